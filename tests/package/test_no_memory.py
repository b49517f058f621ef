"""When Python has no memory: each operation, with each of its allocations failing in turn, loses nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("_testcapi")  # which makes allocations fail

PROGRAM = Path(__file__).parents[1] / "stress" / "no_memory.py"


@pytest.mark.parametrize("kind", ["private", "debug", "shared", "index"])
def test_every_allocation_fails_once(kind):
    """Whichever of its allocations fails, a call raises or does without it, loses nothing and does not crash."""
    if kind == "debug" and sys.version_info >= (3, 12):
        pytest.skip(
            "without memory, Python 3.12 and 3.13 crash when traceback looks at the stack, which debug mode keeps"
        )
    done = subprocess.run([sys.executable, PROGRAM, kind], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
