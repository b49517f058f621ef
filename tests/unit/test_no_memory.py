"""When Python has no memory: each operation, with each of its allocations failing in turn, loses nothing."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("_testcapi")  # which makes allocations fail

PROGRAM = Path(__file__).parents[1] / "stress" / "no_memory.py"
OPERATIONS = runpy.run_path(str(PROGRAM))["OPERATIONS"]
CASES = [(kind, name) for kind, operations in OPERATIONS.items() for name in operations]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_allocation_fails_once(kind, name):
    """Whichever allocation of a call fails, the call raises or does without; nothing is lost, and nothing crashes."""
    done = subprocess.run(
        [sys.executable, PROGRAM, kind, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
