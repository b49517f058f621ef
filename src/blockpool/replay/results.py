"""What a replay found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Comparison", "Plan", "Replayed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A pool for requests of some sizes.

    Attributes
    ----------
    block_size : int
        Bytes of a block.
    blocks : int
        How many blocks.
    above : int
        Requests of more bytes than this come here; 0: from the smallest.
    up_to : int or None
        Requests of at most so many bytes come here; None: up to the largest.
    """

    block_size: int
    blocks: int
    above: int = 0
    up_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A trace, replayed against pools or against malloc.

    Attributes
    ----------
    allocator : str
        "pool", "malloc" (the C library's), "jemalloc", "mimalloc".
    plans : tuple of Plan
        The pools; empty for malloc.
    events, allocations, failures : int
        How many events were replayed, how many requests got memory, and how many were refused; of a measurement, in the
        replay that does not touch the memory.
    waits : int
        How many requests waited for room.
    waited : float
        How long they waited in all, in seconds of the trace's time.
    peak_bytes : int
        The most bytes that were asked for and live at a time, of requests that got memory.
    peak_blocks : tuple of int
        The most blocks allocated at a time, of each pool.
    longest_run : tuple of int
        The most blocks of one request, of each pool; refused ones count too.
    inner : tuple of int
        Bytes at the ends of blocks that nobody asked for, of each pool, when it first had `peak_blocks`.
    bytes : int
        Memory of the pools, with their bookkeeping; 0 for malloc.
    seconds : float
        Processor time of all calls that allocate and free, without touching the memory. Of a simulation, the loop that
        makes the calls is included; of a measurement it is not.
    resident : int or None
        The most resident memory more than before the replay, measured, in bytes, while the replay wrote to a byte of
        each page of what it got; None if it was not measured.
    touched_seconds : float or None
        Processor time of the replay that measured `resident`, with its loop and the page faults; None if it was not
        measured.
    touched_events : int or None
        How many events that replay came to; None if it was not measured.
    complete : bool
        Whether all of the trace was replayed, in both replays of a measurement; each may stop at its time limit, which
        is of the time that goes by, not of the processor's.
    """

    allocator: str
    plans: tuple[Plan, ...]
    events: int
    allocations: int
    failures: int
    waits: int
    waited: float
    peak_bytes: int
    peak_blocks: tuple[int, ...]
    longest_run: tuple[int, ...]
    bytes: int
    seconds: float
    inner: tuple[int, ...] = ()
    resident: int | None = None
    touched_seconds: float | None = None
    touched_events: int | None = None
    complete: bool = True

    @property
    def reached(self) -> int:
        """How many events were replayed by the replay that came least far."""
        return self.events if self.touched_events is None else min(self.events, self.touched_events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The output of `blockpool replay`: one trace, in a pool and in mallocs.

    Attributes
    ----------
    source : str
        What the trace was made from.
    events, allocations, live_at_end : int
        How many events and allocations it has, and how many of these are never freed.
    wait : float
        For how long requests waited for room in the pool, in seconds of the trace's time.
    replays : tuple of Replayed
        What was measured, the pool first.
    """

    source: str
    events: int
    allocations: int
    live_at_end: int
    wait: float
    replays: tuple[Replayed, ...]
