"""The examples of traces in docstrings do what they say, and their page is complete."""

import doctest
from pathlib import Path

import blockpool.traces

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "traces.md"


def test_docstrings_do_what_they_say(tmp_path, monkeypatch):
    """Those of the module and of its public names."""
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(blockpool.traces)
    assert result.failed == 0
    assert result.attempted >= 4


def test_the_guide_names_what_is_public():
    """All but the names of the two kinds, which are 0 and 1."""
    text = GUIDE.read_text(encoding="utf-8")
    for name in set(blockpool.traces.__all__) - {"ALLOCATE", "FREE", "Frame"}:
        assert f"`{name}" in text or f" {name}" in text, name
