"""The examples of README.md, run as they stand there."""

import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_readme_examples_do_what_they_say() -> None:
    """Every ``>>>`` of README.md prints what stands below it; later blocks see earlier names."""
    text = README.read_text(encoding="utf-8")
    parser = doctest.DocTestParser()
    examples = []
    for block in PYTHON_BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(1))
        for example in parser.get_examples(block[1]):
            example.lineno += line
            examples.append(example)
    assert examples, "README.md has no examples"
    test = doctest.DocTest(examples, {}, README.name, str(README), 0, text)
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    if result.failed:
        pytest.fail("".join(report), pytrace=False)
