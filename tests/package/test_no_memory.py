"""When Python has no memory: each operation, with each of its allocations failing in turn, loses nothing."""

import sys

import pytest

from stress_programs import run_stress

pytest.importorskip("_testcapi", reason="_testcapi, which makes allocations fail, is not in this Python")


@pytest.mark.parametrize("kind", ["private", "debug", "shared", "index"])
def test_every_allocation_fails_once(kind):
    """Whichever of its allocations fails, a call raises or does without it, loses nothing and does not crash."""
    if kind == "debug" and (3, 12) <= sys.version_info < (3, 14):
        pytest.skip(
            "without memory, Python 3.12 and 3.13 crash when traceback looks at the stack, which debug mode keeps"
        )
    run_stress("no_memory.py", kind, seeded=False)
