"""The examples of the README and the guide, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    ["README.md", "docs/arrow.md", "docs/guide.md", "docs/looking.md", "docs/processes.md", "docs/which-pool.md"],
)
def test_examples_do_what_they_say(name: str) -> None:
    """Every ``>>>`` in README and guide prints what is below it; later blocks see earlier names.

    They run in a fresh interpreter, as they switch things on and show counts of the whole process.
    """
    assert ">>> " in (ROOT / name).read_text(encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "doctest", str(ROOT / name)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if (result.returncode, result.stderr) != (0, ""):
        pytest.fail(result.stdout + result.stderr, pytrace=False)


def test_the_example_of_two_processes_prints_what_it_says(tmp_path: Path) -> None:
    """The README's program with two processes prints what the comment after its last line says."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = [block for block in PYTHON_BLOCK.findall(text) if "__main__" in block]
    expected = program.rstrip().rsplit("# ", 1)[1]
    script = tmp_path / "camera.py"
    script.write_text(program.replace('"camera"', f'"readme-{os.getpid()}"'))
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, expected, "")


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page is to a file that is there, and to a heading that this file has."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not heading or target.suffix != ".md" or heading in anchors(target.read_text(encoding="utf-8")), link
