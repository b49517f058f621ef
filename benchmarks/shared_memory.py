"""Is 1 MiB of shared memory, allocated, written and given back, cheaper from a shared pool than from elsewhere?

It is written in two ways, the same for all: one byte of every page (``memory[::4096] = marks``), which is what makes
the pages be there; and every byte (``memory[:] = source``), where copying takes most of the time in
any case. Warm memory is a block of a shared pool that is kept.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from multiprocessing import heap
from multiprocessing.shared_memory import SharedMemory

import _measure

import blockpool

SIZE = 1 << 20
PAGE = 4096
SOURCE = bytes(SIZE)
MARKS = bytes(SIZE // PAGE)

Write = Callable[[memoryview], None]


def mark(memory: memoryview) -> None:
    """Write one byte of every page."""
    memory[::PAGE] = MARKS


def fill(memory: memoryview) -> None:
    """Write every byte."""
    memory[:] = SOURCE


def standard(write: Write) -> None:
    """Write a SharedMemory of its own."""
    memory = SharedMemory(create=True, size=SIZE)
    assert memory.buf is not None
    write(memory.buf)
    memory.close()
    memory.unlink()


def arena(write: Write) -> None:
    """Write what multiprocessing's heap gives: shared only with processes forked later."""
    write(heap.BufferWrapper(SIZE).create_memoryview())


def peers() -> dict[str, Callable[[Write], None]]:
    """Return the ways to write memory of one's own, by name."""
    found: dict[str, Callable[[Write], None]] = {"heap.BufferWrapper": arena}
    name = f"blockpool-bench-{os.getpid()}"
    posix_ipc, shared_array = _measure.peer("posix_ipc"), _measure.peer("SharedArray")
    if posix_ipc:

        def posix(write: Write) -> None:
            segment = posix_ipc.SharedMemory(f"/{name}", posix_ipc.O_CREX, size=SIZE)
            with mmap.mmap(segment.fd, SIZE) as mapped, memoryview(mapped) as memory:
                write(memory)
            segment.close_fd()
            segment.unlink()

        found["posix_ipc and mmap"] = posix
    if shared_array:

        def numpy_array(write: Write) -> None:
            write(memoryview(shared_array.create(f"shm://{name}", SIZE, "B")))
            shared_array.delete(f"shm://{name}")

        found["SharedArray"] = numpy_array
    return found


def main() -> None:
    """Measure, and print the table."""
    rows = []
    others = peers()
    kept = blockpool.Pool.create(SIZE, 4, prefault=True).allocate()
    for how, write, least in (("a byte a page", mark, 300), ("every byte", fill, None)):
        for label, size, blocks in (("16 × 64 KiB", "64KiB", 16), ("1 × 1 MiB", "1MiB", 1)):
            pool = blockpool.Pool.create(size, 4 * blocks, prefault=True)
            statement = "memory[::4096] = MARKS" if write is mark else "memory[:] = SOURCE"
            asked = f"blocks={blocks}" if blocks > 1 else ""
            ours = f"with pool.allocate({asked}) as block: {statement.replace('memory', 'block.buf')}"
            names = {"pool": pool, "memory": kept.buf, "MARKS": MARKS, "SOURCE": SOURCE}
            names |= {"write": write, "standard": standard}
            what = f"{label}, {how}"
            rows += [
                _measure.compare(what, ours, statement, names, peer_name="writing warm memory", limit=1.2),
                _measure.compare(
                    what,
                    ours,
                    "standard(write)",
                    names,
                    peer_name="SharedMemory",
                    limit=least,
                    faster=True,
                ),
            ]
            if blocks == 1:
                rows += [
                    _measure.compare(
                        what,
                        ours,
                        "other(write)",
                        names | {"other": other},
                        peer_name=name,
                        faster=True,
                    )
                    for name, other in others.items()
                ]
    _measure.report("1 MiB of shared memory: allocate, write, give back", rows)


if __name__ == "__main__":
    main()
