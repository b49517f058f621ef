"""docs/arrow.md: its examples do what they show."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "arrow.md"


def test_examples():
    """Every example of the page gives what it shows."""
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried > 30) == (0, True)
