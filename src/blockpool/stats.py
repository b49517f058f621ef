"""What a pool tells about itself, as frozen dataclasses of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Audit",
    "IndexStats",
    "Outstanding",
    "PoolStats",
    "Recovered",
    "Residency",
    "Run",
    "Transfers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The state of a pool, from `Pool.stats`.

    `allocated`, `free`, `largest_free_run` and what follows from them are counted from the bitmap when asked. With
    other threads at work meanwhile they are of no single moment.

    Attributes
    ----------
    blocks, block_size : int
        Geometry: how many blocks, of how many bytes each.
    allocated, free : int
        Blocks allocated and free.
    peak : int
        The high-water mark: the most blocks that were allocated at once. In a shared pool a lower bound, sampled: the
        most that any process saw when it asked for the state, found no room, or looked, as each does at every eighth
        allocation, in pools of more than 64 blocks at every (blocks / 8)th or so.
    largest_free_run : int
        Blocks in the longest run of adjacent free blocks: the largest `blocks=` that would succeed now.
    fragmentation : float
        The share of the free blocks outside the largest free run: 0 when all free blocks are adjacent (or there
        are none), near 1 when they are scattered.
    requested_bytes, allocated_bytes : int
        Bytes that were asked for by what is allocated now, and bytes of the blocks that serve it.
    utilization : float
        requested_bytes / allocated_bytes; 1 when nothing is allocated.
    allocations, frees, failures : int
        Since the pool was made: runs allocated, runs that came back (also by recovery), and requests that found no
        room.
    tickets : int
        References in flight between processes.
    oldest_ticket : float or None
        Each run records when its latest ticket was created. This is the age in seconds of the oldest such record; None
        without tickets.
    processes : int
        Processes attached that are alive, or cannot be known to be dead; 1 for a private pool.
    """

    blocks: int
    block_size: int
    allocated: int
    free: int
    peak: int
    largest_free_run: int
    fragmentation: float
    requested_bytes: int
    allocated_bytes: int
    utilization: float
    allocations: int
    frees: int
    failures: int
    tickets: int
    oldest_ticket: float | None
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """The state of an index pool, from `IndexPool.stats`.

    Attributes
    ----------
    capacity : int
        How many indices there are.
    allocated, free, peak, largest_free_run, fragmentation
        As in `PoolStats`, of indices.
    allocations, frees : int
        Since the pool was made: indices allocated, and indices freed.
    failures : int
        Calls that found no room.
    """

    capacity: int
    allocated: int
    free: int
    peak: int
    largest_free_run: int
    fragmentation: float
    allocations: int
    frees: int
    failures: int


@dataclass(frozen=True, slots=True)
class Run:
    """One live run, from `Pool.runs`.

    Attributes
    ----------
    index : int
        Its first block.
    blocks : int
        Its length in blocks.
    nbytes : int
        Its length in bytes. Whole blocks, unless the pool knows what was asked for.
    holders : tuple of int
        Process ids of the processes that hold it, of dead ones too until they are recovered.
    tickets : int
        References in flight.
    """

    index: int
    blocks: int
    nbytes: int
    holders: tuple[int, ...]
    tickets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What `Pool.check` looked at and found in order.

    Attributes
    ----------
    blocks, allocated, runs : int
        Blocks audited; of these allocated; and the runs they form.
    healed : int
        Bits of a shared pool that were clear though their block was allocated, and were set. This is no fault.
    in_transit : int
        Blocks of a shared pool that some process was perhaps allocating or freeing at that moment; one that is
        stopped in the midst of it (by a signal, a debugger, a frozen container) leaves them so until it goes on or
        dies. In a private pool, summaries of free blocks that another thread was about to correct. This is no fault
        while other processes have the pool, or other threads of this process run; when nobody else can be at work,
        it is one.
    """

    blocks: int
    allocated: int
    runs: int
    healed: int = 0
    in_transit: int = 0


@dataclass(frozen=True, slots=True)
class Outstanding:
    """A run that is allocated, from `Pool.outstanding` of a pool in debug mode.

    Attributes
    ----------
    index, blocks : int
        Its first block, and its length.
    nbytes : int
        Bytes that were asked for.
    stack : str
        Where it was allocated, as a traceback prints it.
    """

    index: int
    blocks: int
    nbytes: int
    stack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """What the kernel gave a pool, from `Pool.residency`.

    Attributes
    ----------
    resident_bytes : int
        Bytes of the pool that are backed by memory now.
    huge_page_bytes : int
        Of these, bytes backed by huge pages.
    """

    resident_bytes: int
    huge_page_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What `Pool.recover` brought back.

    Attributes
    ----------
    processes : int
        Dead processes whose blocks came back.
    tickets : int
        References in flight that were dropped.
    """

    processes: int
    tickets: int


@dataclass(frozen=True, slots=True)
class Transfers:
    """What this process sent through pools; from `blockpool.multiprocessing.stats`.

    Attributes
    ----------
    shared : int
        Arrays and buffers that were in a pool already, and went by ticket alone.
    copied : int
        Those that were copied into the pool, once.
    copied_bytes : int
        Their bytes.
    refused : int
        Those for which there was no room, or no pool any more; they travelled as without blockpool.
    """

    shared: int
    copied: int
    copied_bytes: int
    refused: int
