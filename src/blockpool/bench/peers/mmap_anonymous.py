"""mmap: pages straight from the kernel, shared with children that are forked later."""

from __future__ import annotations

import mmap
import platform

from blockpool.bench.peers._peer import Peer
from blockpool.bench.tasks import Declined, Statement, marks

PEER = Peer("mmap", "mmap.mmap(-1, size), dropped; not with MAP_POPULATE, as not all would be written")

MOST_MAPPINGS = 65_530  # the kernel's default of vm.max_map_count


def version() -> str:
    """Return the version of Python."""
    return platform.python_version()


def create(size: int) -> Statement:
    """Map memory and drop it."""
    return Statement("mmap(-1, size)", {"mmap": mmap.mmap, "size": size})


def write(size: int) -> Statement:
    """Map memory, write a byte of each page, and drop it."""
    return Statement("mmap(-1, size)[::4096] = marks", {"mmap": mmap.mmap, "size": size, "marks": marks(size)})


def hold(size: int, count: int) -> object:
    """Keep so many, written."""
    if count > MOST_MAPPINGS - 1000:
        raise Declined(f"{count} of them are more than the kernel lets a process map ({MOST_MAPPINGS})")
    found = [mmap.mmap(-1, size) for _ in range(count)]
    for each in found:
        each[::4096] = marks(size)
    return found
