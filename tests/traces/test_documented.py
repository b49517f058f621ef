"""The examples of traces, in their guide and in docstrings, do what they say."""

import doctest
import subprocess
import sys
from pathlib import Path

import blockpool.traces

GUIDE = Path(__file__).parents[2] / "docs" / "traces.md"


def test_the_guide_does_what_it_says(tmp_path):
    """Each ``>>>`` prints what is below it."""
    assert ">>> " in GUIDE.read_text(encoding="utf-8")
    command = [sys.executable, "-W", "error", "-m", "doctest", str(GUIDE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
