"""The contenders: a file each, which says how it is used and why that is its best.

A file has PEER, `version`, and those of these functions that make sense for it; nothing of a peer is imported outside
of them.

- ``create(size)``: a `Statement` that creates a buffer and destroys it, or gives it back.
- ``write(size)``: the same, with a write to a byte of each page (``marks``).
- ``hold(size, count)``: an object that keeps so many written buffers alive.
- ``grown(blocks, filling)``: a `Statement` as of `create`, for 64 bytes among so many that are there already.
- ``sender(size, waiting)`` and ``receiver(token, size, waiting)``: the two ends of a link, see `blockpool.bench.links`.
- ``shared(size)`` and ``member(token, size)``: what several processes have in common, and `create` in each of them.
- ``engine(size)``: a `Task` that allocates and frees in C.
"""

from __future__ import annotations

from importlib import import_module

from blockpool.bench.peers._peer import Peer

__all__ = ["OURS", "PEERS", "Peer", "peer_of"]

# Those that others are compared with, by what a peer's `against` says.
OURS = {name: f"{__name__}.{name}" for name in ("private_pool", "shared_pool", "engine_pool")}
PEERS = tuple(
    f"{__name__}.{name}"
    for name in (
        "python_object",
        "warm_memory",
        "python_bytearray",
        "numpy_empty",
        "mmap_anonymous",
        "shared_memory",
        "multiprocessing_heap",
        "multiprocessing_queue",
        "pyarrow_memory",
        "iceoryx2_loans",
        "kickmsg_slots",
        "faster_fifo_queue",
        "dragon_memory",
        "zenoh_shm",
        "engine_glibc",
        "engine_jemalloc",
        "engine_mimalloc",
    )
)


def peer_of(module: str) -> Peer:
    """Return what the module of a contender says of it."""
    found: Peer = import_module(module).PEER
    return found
