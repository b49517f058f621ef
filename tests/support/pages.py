"""The pages of the documentation, and one way to run their examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def page(name: str) -> Path:
    """Return the path of a page of docs/, by its name in there."""
    found = DOCS / name
    assert found.is_file(), name
    return found


def run_page(path: Path, folder: Path, *options: str) -> None:
    """Run all examples of a page in an interpreter of its own, with a folder to write to; warnings are errors.

    A fresh interpreter, as examples switch things on and show counts of the whole process.
    """
    script = Path(__file__).with_name("run_page.py")
    command = [sys.executable, "-W", "error", *options, str(script), str(path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stdout + done.stderr


def blocks(path: Path, *languages: str) -> list[tuple[str, str]]:
    """Return the blocks of code of a page in some languages: (language, text)."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^ *```({'|'.join(map(re.escape, languages))})\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
