"""What the tests of blockpool.shared_memory have in common."""

import os
import re
from pathlib import Path

import blockpool as bp
from blockpool._handles import find_descriptor
from waits import await_true

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
LARGE = 5 << 20  # bytes: a segment of this size has a pool of its own
IMPORT = "from blockpool.shared_memory import *"
ITEMS = [1, -(2**63), 2.5, True, False, None, "text", "", b"bytes", b"", "é" * 3, "x" * 16]


def file_of_segment(name):
    """Return the file of the segment of a given name."""
    return SHM / f"blockpool.shm.{name}"


def segments_with(number):
    """Return the names of the files of segments that have a number in them, such as the id of their process."""
    return {path.name for path in SHM.glob(file_of_segment("*").name) if str(number) in re.findall(r"\d+", path.name)}


def is_anywhere(name):
    """Say whether a living process has the memory of the segment of an automatic name, or looks at it just now."""
    return any(True for _ in find_descriptor(bp.Handle.parse(name).pool_id, os.getpid()))


def await_gone(name):
    """Return when no process has it any more: one may take a moment to end, and other programs look at all pools."""
    await_true(lambda: not is_anywhere(name))
