"""What the tests of blockpool.shared_memory have in common."""

import os
import time
from pathlib import Path

import blockpool as bp
from blockpool._handles import find_descriptor

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
LARGE = 5 << 20  # bytes: a segment of this size has a pool of its own
IMPORT = "from blockpool.shared_memory import *"
ITEMS = [1, -(2**63), 2.5, True, False, None, "text", "", b"bytes", b"", "é" * 3, "x" * 16]


def file_of_segment(name):
    """Return the file of the segment of a given name."""
    return SHM / f"blockpool.shm.{name}"


def is_anywhere(name):
    """Say whether a living process has the pool in which the segment of an automatic name is, or was."""
    return any(True for _ in find_descriptor(bp.Handle.parse(name).pool_id, os.getpid()))


def await_gone(name):
    """Return when no process has the pool of the segment any more; those that were killed take a moment to end."""
    deadline = time.monotonic() + 60
    while is_anywhere(name):
        assert time.monotonic() < deadline, "a process still has the pool"
        time.sleep(0.01)
