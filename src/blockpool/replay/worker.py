"""The process that replays a trace for `measure`: one replay in it, and its answer as JSON on stdout.

It imports little, and allocates little beside the trace: what it has is what is measured.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from blockpool._core import Pool, begin_replay
from blockpool.errors import BlockPoolError
from blockpool.replay.arguments import ranges_of
from blockpool.replay.results import Plan
from blockpool.replay.simulation import STEP

if TYPE_CHECKING:
    from blockpool._core import _Replaying

__all__ = ["main"]

# A replay looks at the clock after steps that take about so long: from half to twice.
_STEP_SECONDS = 0.02
_FIRST_STEP = 16
# A replay for the time is repeated, unless all of them took longer than this.
_ROUNDS = 5
_ENOUGH_SECONDS = 1.0


class _Task:
    """What a worker is told, with the columns of the trace mapped and present."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.threads: int = told["threads"]
        self.plans = tuple(Plan(*plan) for plan in told["plans"])
        self.wait: int = told["wait"]
        self.seconds: float = told["seconds"]
        self.events: int = told["events"]
        wide, narrow = 8 * self.events, 4 * self.events
        whole = memoryview(b"")
        if self.events:
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            whole = memoryview(mmap.mmap(told["fd"], 2 * wide + 2 * narrow + self.events, flags, mmap.PROT_READ))
        kind = whole[2 * wide + 2 * narrow :]
        size, time = (whole[at : at + wide].cast("q") for at in (0, wide))
        ids, thread = (whole[at : at + narrow].cast("i") for at in (2 * wide, 2 * wide + narrow))
        self.columns = (kind, size, ids, thread, time)

    def begin(self, pools: list[Pool], *, touch: bool = False, nothing: bool = False) -> _Replaying:
        """Begin a replay against the pools, or a heap."""
        ranges = ranges_of(self.plans) if pools else []
        return begin_replay(self.columns, self.threads, pools, ranges, self.wait, touch=touch, nothing=nothing)


def main(told: dict[str, Any]) -> None:
    """Do what `measure` told, and print the answer."""
    try:
        require_library(told["library"])
        task = _Task(told)
        answer = touched(task) if told["touch"] else timed(task)
    except (BlockPoolError, MemoryError, TypeError, ValueError) as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(answer))


def touched(task: _Task) -> dict[str, Any]:
    """Replay with a write to each page, and measure the most resident memory above what there was before."""
    with ExitStack() as stack:
        before = resident("VmRSS")
        pools = open_pools(task.plans, stack)
        replaying = task.begin(pools, touch=True)
        known = reset_peak()
        complete = go_on(replaying, task.seconds, task.events)
        grown = resident("VmHWM") - before - replaying.own_bytes()
        return {
            "counts": replaying.counts(),
            "resident": max(grown, 0) if known else None,
            "complete": complete,
        }


def timed(task: _Task) -> dict[str, Any]:
    """Replay without touching memory; the time is that of the quickest replay, without the loop."""
    rounds: list[tuple[float, float]] = []
    counts: dict[str, Any] = {}
    complete = True
    began = perf_counter()
    with ExitStack() as stack:
        pools = open_pools(task.plans, stack)
        while len(rounds) < _ROUNDS and (not rounds or perf_counter() - began < min(_ENOUGH_SECONDS, task.seconds)):
            replaying = task.begin(pools)
            reached = go_on(replaying, task.seconds, task.events)
            spent = replaying.counts()
            replaying.end()
            if not counts:
                counts, complete = spent, reached
            if spent["events"] != counts["events"]:
                break
            rounds.append((spent["seconds"], loop_seconds(task, spent["events"])))
    counts["seconds"] = max(min(each for each, _ in rounds) - min(loop for _, loop in rounds), 0.0)
    return {"counts": counts, "complete": complete}


def open_pools(plans: tuple[Plan, ...], stack: ExitStack) -> list[Pool]:
    """Open a pool for each plan, until the stack ends."""
    return [stack.enter_context(Pool(plan.block_size, plan.blocks, debug=False)) for plan in plans]


def loop_seconds(task: _Task, events: int) -> float:
    """Return how long the loop takes for so many events."""
    replaying = task.begin([], nothing=True)
    go_on(replaying, float("inf"), events)
    seconds: float = replaying.counts()["seconds"]
    return seconds


def go_on(replaying: _Replaying, seconds: float, events: int) -> bool:
    """Let so many events go by, unless time is up before; return whether they did."""
    end = perf_counter() + seconds
    step = _FIRST_STEP
    left = events
    while left > 0:
        began = perf_counter()
        if began >= end:
            return False
        replaying.go_on(min(step, left))
        left -= step
        took = perf_counter() - began
        if took < _STEP_SECONDS / 2:
            step = min(2 * step, STEP)
        elif took > 2 * _STEP_SECONDS:
            step = max(step // 2, 1)
    return True


def require_library(path: str | None) -> None:
    """Raise BlockPoolError unless malloc is that of the library; None: whatever it is."""
    if path is None:
        return
    provider = _provider()
    if not provider or Path(provider).resolve() != Path(path).resolve():
        raise BlockPoolError(f"{path} cannot take the place of malloc in {provider or 'this program'}; is it damaged?")


class _Symbol(ctypes.Structure):
    """What dladdr says."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def _provider() -> str | None:
    """Return the file that malloc is in."""
    program = ctypes.CDLL(None)
    symbol = _Symbol()
    address = ctypes.cast(program.malloc, ctypes.c_void_p)
    if not program.dladdr(address, ctypes.byref(symbol)) or not symbol.file:
        return None
    file: bytes = symbol.file
    return file.decode(errors="surrogateescape")


def resident(field: str) -> int:
    """Return how many bytes of this process are resident, or were at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak() -> bool:
    """Let the peak of resident memory begin from here; return whether the kernel did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
