"""What a pool reports about itself, as frozen dataclasses of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from array import array

    from blockpool._handles import Handle

__all__ = [
    "BY_CATALOG",
    "BY_MESSAGE",
    "BY_NOBODY",
    "BY_TICKETS",
    "Audit",
    "IndexStats",
    "Outstanding",
    "PoolCounts",
    "PoolMap",
    "PoolStats",
    "PoolSummary",
    "ProcessInfo",
    "QueueInfo",
    "Recovered",
    "Residency",
    "Run",
    "Survey",
    "Transfers",
]

# Holders of a cell of a PoolMap that are no slots; as in core/src/shared/survey.h.
BY_CATALOG, BY_MESSAGE, BY_TICKETS, BY_NOBODY = range(4096, 4100)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """The state of a pool, from `Pool.stats`.

    `allocated`, `free`, `largest_free_run` and what follows from them are counted from the bitmap when asked for. If
    other threads or processes are at work meanwhile, they are of no single moment.

    Attributes
    ----------
    blocks : int
        Number of blocks.
    block_size : int
        Size of a block in bytes.
    allocated, free : int
        Number of blocks allocated, and free.
    peak : int
        High-water mark: the most blocks that were allocated at once. For a shared pool it is sampled, and so a lower
        bound: the most that any process saw when it asked for the state, found no room, or took a look. Each process
        takes one at every eighth of its allocations, or in pools of more than 64 blocks at about every (blocks / 8)th.
    largest_free_run : int
        Number of blocks in the longest run of adjacent free blocks: the largest `blocks=` that would succeed now.
    fragmentation : float
        The share of the free blocks that is outside the largest free run: 0 if all free blocks are adjacent or there
        are none, near 1 if they are scattered.
    requested_bytes, allocated_bytes : int
        Bytes that the current allocations asked for, and bytes of the blocks that serve them.
    utilization : float
        requested_bytes / allocated_bytes; 1 if nothing is allocated.
    allocations, frees, failures : int
        Since the pool was created: runs allocated, runs that came back (including by recovery), and requests that found
        no room.
    waits : int
        Requests that waited for room, whether they got it or not.
    waited : float
        How long they waited, in seconds in all.
    tickets : int
        References in flight between processes.
    oldest_ticket : float or None
        Each run records when its latest ticket was created. This is the age in seconds of the oldest such record; None
        without tickets.
    processes : int
        Attached processes that are alive, or not known to be dead; 1 for a private pool.
    max_processes : int
        The most processes that can be attached; 1 for a private pool.
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
    waits: int
    waited: float
    tickets: int
    oldest_ticket: float | None
    processes: int
    max_processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCounts:
    """What is quickly known of a shared pool, from `Inspector.counts`.

    Attributes
    ----------
    blocks, block_size, allocated, free, peak, largest_free_run, fragmentation : int or float
        As in `PoolStats`.
    allocations, failures, waits, waited, processes, max_processes : int or float
        As in `PoolStats`.
    """

    blocks: int
    block_size: int
    allocated: int
    free: int
    peak: int
    largest_free_run: int
    fragmentation: float
    allocations: int
    failures: int
    waits: int
    waited: float
    processes: int
    max_processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMap:
    """A picture of a shared pool in cells, from `Inspector.map`.

    The four arrays have an element for each cell. What they say of a cell's holder is that of the first run in it.

    Attributes
    ----------
    first, blocks : int
        The first block, and how many there are.
    cells : int
        Number of cells. Cell i stands for the blocks from ``first + blocks * i // cells`` up to that of cell i + 1.
    allocated : array of unsigned int
        How many of its blocks are allocated.
    holder : array of unsigned short
        The slot (`ProcessInfo.slot`) of a process that holds it, the one that allocated it before others. Or one of the
        constants of this module: `BY_CATALOG` (only the pool's catalog holds it), `BY_MESSAGE`, `BY_TICKETS` (only
        references in flight), `BY_NOBODY` (it is free, or is just being allocated or freed).
    shared : array of unsigned short
        1 if it had other holders too since it was allocated, or has tickets.
    age : array of unsigned int
        Seconds since it was allocated, or since its latest ticket was made.
    """

    first: int
    blocks: int
    cells: int
    allocated: array[int]
    holder: array[int]
    shared: array[int]
    age: array[int]

    def range_of(self, cell: int) -> range:
        """Return the blocks that a cell stands for.

        Parameters
        ----------
        cell : int
            Its number, from 0.

        Returns
        -------
        range
            Their indices.
        """
        return range(self.first + self.blocks * cell // self.cells, self.first + self.blocks * (cell + 1) // self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Who holds how much of a shared pool, from `Inspector.survey`.

    Attributes
    ----------
    allocated, runs : int
        Number of blocks that are allocated, and of runs that they form.
    requested_bytes : int
        Bytes that their allocations asked for.
    tickets : int
        References in flight between processes.
    oldest_ticket : float or None
        As in `PoolStats`.
    held : dict of int to int
        Number of blocks by slot (`ProcessInfo.slot`) of the process that holds them. A run that several processes hold
        counts for each of them.
    only_kept, only_messages, only_tickets : int
        Number of blocks that no process holds: that the pool's catalog holds, or else a message, or else tickets.
    nobody : int
        Number of blocks that were just being allocated or freed. If they stay so, a process died in the middle, or is
        stopped there.
    top : tuple of Run
        The oldest or largest runs, in that order.
    """

    allocated: int
    runs: int
    requested_bytes: int
    tickets: int
    oldest_ticket: float | None
    held: dict[int, int]
    only_kept: int
    only_messages: int
    only_tickets: int
    nobody: int
    top: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStats:
    """The state of an index pool, from `IndexPool.stats`.

    Attributes
    ----------
    capacity : int
        Number of indices, allocated or not.
    allocated, free, peak, largest_free_run : int
        As in `PoolStats`, in indices; `peak` is exact.
    fragmentation : float
        As in `PoolStats`.
    allocations, frees : int
        Since the pool was created: indices allocated, and indices freed.
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
        Number of its first block.
    blocks : int
        Length in blocks.
    nbytes : int
        Length in bytes, as requested; whole blocks if the pool does not know.
    holders : tuple of int or None
        Ids of the processes that hold it, including dead ones until they are recovered; None is one that is still
        attaching.
    tickets : int
        References in flight.
    names : tuple of str
        Names that the pool's catalog has for it (`Pool.keep`).
    queue : int or None
        Number of the queue with a message that carries it (`QueueInfo.number`).
    age : float or None
        Seconds since it was allocated, or since its latest ticket was made; None in a private pool. It does not count
        when two are compared.
    handle : Handle or None
        What `redeem` makes a Block of; None in a private pool. It does not count when two are compared.
    stack : str or None
        Where it was allocated, of a pool in debug mode: in a private pool in the format of a traceback, in a shared one
        a line ``file:line function`` a frame, the innermost last, after a line ``...`` if not all fitted. It is what
        the allocating process wrote, and may contain anything. It does not count when two are compared.
    allocated_by : int or None
        Id of the process that allocated it, in its own PID namespace, of a pool in debug mode; that process may be
        dead. It does not count when two are compared.
    ticket_ends : float or None
        In how many seconds its tickets end, 0 if they have ended and nobody needed the room yet; None if it has none,
        or they never end. It does not count when two are compared.
    """

    index: int
    blocks: int
    nbytes: int
    holders: tuple[int | None, ...]
    tickets: int
    names: tuple[str, ...] = ()
    queue: int | None = None
    age: float | None = field(default=None, compare=False)
    handle: Handle | None = field(default=None, compare=False)
    stack: str | None = field(default=None, compare=False)
    allocated_by: int | None = field(default=None, compare=False)
    ticket_ends: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What `Pool.check` examined and found in order.

    Attributes
    ----------
    blocks, allocated, runs : int
        Number of blocks examined, number of those that are allocated, and number of runs that they form.
    healed : int
        Number of bits of a shared pool that were clear although their block was allocated, and that were set. This is
        not a fault.
    in_transit : int
        Number of blocks of a shared pool that some process may have been allocating or freeing at that moment. If that
        process is stopped (by a signal, a debugger, a frozen container), they stay so until it continues or dies. In a
        private pool, the number of summaries of free blocks that another thread was about to correct. This is not a
        fault while other processes have the pool, or other threads of this process run. If nothing else can be at
        work, it is one, and `check` raises.
    """

    blocks: int
    allocated: int
    runs: int
    healed: int = 0
    in_transit: int = 0


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An allocated run, from `Pool.outstanding` of a pool in debug mode.

    Attributes
    ----------
    index : int
        Number of its first block.
    blocks : int
        Length in blocks.
    nbytes : int
        Length in bytes, as requested.
    stack : str
        Where it was allocated: in a private pool in the format of a traceback, in a shared one as `Run.stack`; empty if
        it was allocated by a program in C.
    """

    index: int
    blocks: int
    nbytes: int
    stack: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something wrote past the end of a run, and nobody was told yet; from `Inspector.damage`.

    Attributes
    ----------
    index : int
        Number of the run's first block.
    blocks : int
        Length in blocks.
    nbytes : int or None
        Length in bytes, as requested; None if it is not known any more.
    at : int
        The first byte that was found changed, counted from the start of the run.
    found : int
        What it was, 0 to 255.
    allocated_by, freed_by : int or None
        Ids of the processes that allocated and freed it; None if they are not known. The run of a killed process is
        freed by the process that recovers it.
    stack, freed_stack : str or None
        Where, as `Run.stack`; empty if the process left no stack, None if it is not known any more.
    """

    index: int
    blocks: int
    nbytes: int | None
    at: int
    found: int
    allocated_by: int | None
    stack: str | None
    freed_by: int | None
    freed_stack: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """How much memory the kernel gave a pool, from `Pool.residency`.

    Attributes
    ----------
    resident_bytes : int
        Bytes of the pool that are backed by memory now.
    huge_page_bytes : int
        Bytes, among these, that are backed by huge pages.
    """

    resident_bytes: int
    huge_page_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What `Pool.recover` brought back.

    Attributes
    ----------
    processes : int
        Number of dead processes whose blocks came back.
    tickets : int
        Number of references in flight that were dropped.
    """

    processes: int
    tickets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """A process that has a shared pool attached, from `Inspector.processes` or `pools`.

    Attributes
    ----------
    slot : int
        Its place in the pool, from 0.
    pid : int or None
        Its id, in its own PID namespace; None while it is still attaching.
    alive : bool or None
        False if it is certainly dead: what it held comes back when a process recovers it. None if this cannot be known.
    command : str
        The start of its command line.
    started : float or None
        When it started, in seconds since the epoch; None without ``/proc``.
    allocations, failures : int
        Since it attached the pool: runs that it allocated, and requests that found no room.
    waits : int
        Requests that waited for room.
    waited : float
        How long they waited, in seconds in all.
    """

    slot: int
    pid: int | None
    alive: bool | None
    command: str
    started: float | None
    allocations: int
    failures: int
    waits: int
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """A queue, a topic or a latest value of a shared pool, from `Inspector.queues`.

    With others at work, the numbers are not of one moment.

    Attributes
    ----------
    number : int
        Tells it from the others in the pool while it exists.
    kind : str
        "queue", "topic" or "latest".
    name : str or None
        Its name in the pool's catalog.
    capacity : int
        Messages that it has room for; of a topic, how many it keeps.
    redeliver, permanent : bool
        As it was made.
    shut : bool
        Whether it was shut down.
    waiting : int
        Messages that can be received now; of a topic, those that it keeps.
    taken : tuple of tuple
        The processes that received messages and are not done with them: (process id, number of messages), the most
        first; the id is None if the process is still attaching.
    oldest : float or None
        Seconds since the oldest message that waits was put.
    put, lost : int
        Messages that were put so far, and those that were dropped for want of room.
    readers : int
        Readers of a topic that publishers wait for.
    processes : tuple of int or None
        Ids of the processes that have it open, including dead ones until they are recovered; None is one that is still
        attaching.
    """

    number: int
    kind: str
    name: str | None
    capacity: int
    redeliver: bool
    permanent: bool
    shut: bool
    waiting: int
    taken: tuple[tuple[int | None, int], ...]
    oldest: float | None
    put: int
    lost: int
    readers: int
    processes: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSummary:
    """A shared pool of this user, or a file that has the name of one, from `pools`.

    Attributes
    ----------
    name : str or None
        Its name; None if it has none, or its name was removed while processes use it.
    state : str
        "ok"; or why it cannot be attached: "damaged", "truncated" (the size of the file is wrong), "other version"
        (made by another release of blockpool), "not a pool" (the file holds something else), "unreadable" (its mode was
        changed). Then nothing but `name`, `segment_bytes` and perhaps `made_by` is known.
    pool_id : str or None
        The pool's random id: 32 hexadecimal digits.
    block_size, blocks, nbytes : int or None
        Size of a block in bytes, number of blocks, and size of all blocks together.
    allocated : int or None
        Number of blocks that are allocated.
    segment_bytes : int
        How much memory it takes, with all bookkeeping.
    permanent : bool or None
        Whether the pool stays until it is unlinked.
    max_processes : int or None
        The most processes that can be attached.
    made_by : str or None
        The release of blockpool that made the pool.
    created : float or None
        When it was made, in seconds since the epoch.
    processes : tuple of ProcessInfo
        Who has it attached.
    leftover : bool
        Whether nobody alive has it attached and it is not permanent: `sweep` would remove it.
    """

    name: str | None
    state: str
    pool_id: str | None
    block_size: int | None
    blocks: int | None
    nbytes: int | None
    allocated: int | None
    segment_bytes: int
    permanent: bool | None
    max_processes: int | None
    made_by: str | None
    created: float | None
    processes: tuple[ProcessInfo, ...]
    leftover: bool


@dataclass(frozen=True, slots=True)
class Transfers:
    """What this process sent through pools, from `blockpool.multiprocessing.stats`.

    Attributes
    ----------
    shared : int
        Number of arrays and buffers that were in a pool already, and were sent as a ticket alone.
    copied : int
        Number of those that were copied into the pool, once.
    copied_bytes : int
        Size in bytes of those that were copied.
    refused : int
        Number of those for which there was no room, or no pool any more; they were sent as without blockpool.
    """

    shared: int
    copied: int
    copied_bytes: int
    refused: int
