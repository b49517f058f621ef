"""Run NumPy's own tests with their array data in a pool: numpy_suite.py [--without-pool] [pytest's arguments].

Left out is the module that tests which handler is set: it expects NumPy's own at its start, or builds an extension that
sets and resets handlers, and does not test what a handler does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp

# Small blocks: nearly every array is large enough to be served.
BLOCK, BLOCKS = 64, 4 << 20


def run(*arguments: str) -> int:
    """Run pytest outside the project and without its settings; return the exit code."""
    package = Path(np.__file__).parent
    (excluded,) = package.glob("*core/tests/test_mem_policy.py")
    options = ["-c", os.devnull, "-p", "no:cacheprovider", "-q", "-m", "not slow"]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        modules = [] if any(word.startswith("numpy") for word in arguments) else ["numpy"]
        where = [f"--rootdir={folder}", f"--ignore={excluded}", "--pyargs"]
        return pytest.main([*options, *where, *modules, *arguments])


def main(arguments: list[str]) -> int:
    """Run the tests and print what the pool did; return 1 if that was nothing."""
    if "--without-pool" in arguments:
        arguments.remove("--without-pool")
        return run(*arguments)
    pool = bp.Pool(BLOCK, BLOCKS, prefault=True, debug=False)
    with pool.numpy_allocator():
        code = run(*arguments)
    stats = pool.stats()
    audit = pool.check()
    print(
        f"the pool served {stats.allocations} allocations, at most {stats.peak * BLOCK} bytes at once; "
        f"{stats.failures} found no room; {audit.runs} are still there"
    )
    return code or (0 if stats.allocations else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
