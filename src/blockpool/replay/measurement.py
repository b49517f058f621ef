"""A trace in memory: replayed in a process of its own, against pools or a malloc, with time and memory measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from blockpool.errors import BlockPoolError, PoolExhausted, TraceInvalid
from blockpool.replay.arguments import as_nanoseconds, as_plans, columns_of
from blockpool.replay.libraries import PACKAGES, allocators
from blockpool.replay.results import Replayed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockpool.replay.arguments import Columns
    from blockpool.replay.results import Plan
    from blockpool.traces.form import Trace

__all__ = ["measure"]

# The import path first, so that the worker is the same blockpool.
_PROGRAM = """\
import json, sys
told = json.loads(sys.argv[1])
sys.path[:] = told["path"]
from blockpool.replay.worker import main
main(told)
"""
_ERRORS = {each.__name__: each for each in (MemoryError, PoolExhausted, TraceInvalid, TypeError, ValueError)}
# Of what a process says before it dies, this much stands in the error.
_LAST_WORDS = 500


def measure(
    trace: Trace,
    plans: Iterable[Plan] | None = None,
    *,
    allocator: str = "pool",
    seconds: float = 30.0,
    wait: float = 0.0,
) -> Replayed:
    """Replay a trace in memory, in a fresh process, and measure what that costs.

    The trace is replayed twice, each time in a process of its own: once without touching what is allocated, for the
    time of the calls; and once writing to a byte of each page of it, for the resident memory. All calls are made by one
    thread. A short trace is replayed more often for the time, and the quickest replay counts.

    Parameters
    ----------
    trace : Trace
        What is replayed.
    plans : iterable of Plan or None
        One to three pools, for different sizes; none if `allocator` is a malloc.
    allocator : str
        "pool"; "malloc", the C library's, with its settings as they are in this process's environment; or "jemalloc" or
        "mimalloc" where `allocators` finds it.
    seconds : float
        After so long, by the clock, each of the two replays stops where it is.
    wait : float
        For how many seconds of the trace's time a request waits for room in a pool, as for `simulate`.

    Returns
    -------
    Replayed
        What happened, with the measured memory, or None where the kernel does not reset the peak of a process
        (``/proc/self/clear_refs``). `complete` says whether both replays reached the end.

    Raises
    ------
    TypeError, ValueError
        As from `simulate`; if there are plans for a malloc; or if there is no such allocator, or it is not installed.
    TraceInvalid
        If the events are not those of a trace.
    PoolExhausted
        If this machine can never have such a pool.
    MemoryError
        If there is no memory for the replay.
    BlockPoolError
        If the process died, for example because the machine ran out of memory, or if the allocator cannot be used.
    OSError
        If no process can be started.

    Examples
    --------
    >>> from blockpool.replay import Plan, measure
    >>> found = measure(trace, [Plan(4096, 1000)])     # doctest: +SKIP
    >>> found.resident, found.seconds / found.events   # doctest: +SKIP
    (4194304, 2.1e-08)
    """
    columns = columns_of(trace)
    known = allocators()
    if allocator != "pool" and allocator not in known:
        raise ValueError(_unknown(allocator))
    chosen = as_plans(plans or ()) if allocator == "pool" else ()
    if plans and not chosen:
        raise ValueError(f"plans are for pools; {allocator} takes none")
    told = {
        "path": [os.path.abspath(folder) for folder in sys.path],  # noqa: PTH100 - "" is the working directory
        "library": known.get(allocator),
        "events": len(trace),
        "threads": len(trace.threads),
        "plans": [astuple(plan) for plan in chosen],
        "wait": as_nanoseconds("wait", wait),
        "seconds": as_nanoseconds("seconds", seconds) / 1e9,
    }
    fd = _store(columns)
    try:
        timed = _run(told | {"fd": fd, "touch": False}, allocator)
        touched = _run(told | {"fd": fd, "touch": True}, allocator)
    finally:
        os.close(fd)
    counts: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in timed["counts"].items()
    }
    return Replayed(
        allocator=allocator,
        plans=chosen,
        **counts,
        resident=touched["resident"],
        touched_seconds=touched["counts"]["seconds"],
        touched_events=touched["counts"]["events"],
        complete=timed["complete"] and touched["complete"],
    )


def _unknown(allocator: object) -> str:
    """Return what is wrong with the name of an allocator."""
    if isinstance(allocator, str) and allocator in PACKAGES:
        return f"{allocator} is not installed; install its library, for example with: apt install {PACKAGES[allocator]}"
    return f"allocator={allocator!r:.60} is not one of pool, malloc, {', '.join(PACKAGES)}"


def _store(columns: Columns) -> int:
    """Put the columns into memory that a child can map: those of the widest elements first, so that all are aligned."""
    fd = os.memfd_create("blockpool-trace")
    try:
        with open(fd, "wb", closefd=False) as file:
            if len(columns.kind):  # no array that is empty can be cast
                wide_first = (columns.size, columns.time, columns.id, columns.thread, columns.kind)
                file.writelines(each.data.cast("B") for each in wide_first)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _run(told: dict[str, Any], allocator: str) -> dict[str, Any]:
    """Run a worker; return its answer, or raise its error."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    if told["library"]:
        environment["LD_PRELOAD"] = told["library"]
    command = [sys.executable, "-X", "dev=0", "-W", "ignore", "-c", _PROGRAM, json.dumps(told)]
    with subprocess.Popen(  # noqa: S603 - this Python
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[told["fd"]],
        text=True,
        errors="replace",
    ) as process:
        try:
            out, said = process.communicate()
        except BaseException:
            process.kill()
            process.wait()  # after an interrupt, the end of the `with` does not
            raise
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        answer = {}
    if process.returncode or not answer:
        raise BlockPoolError(_death(allocator, process.returncode, said))
    if "error" in answer:
        raise _ERRORS.get(answer["error"], BlockPoolError)(answer["message"])
    return answer


def _death(allocator: str, status: int, said: str) -> str:
    """Return how a worker ended without an answer."""
    how = f"ended with status {status}"
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        hint = ", perhaps because memory ran out; replay a part of the trace" if -status == signal.SIGKILL else ""
        how = f"was killed by {name}{hint}"
    words = said.strip()[-_LAST_WORDS:]
    return f"the process that replayed the trace against {allocator} {how}" + (f": {words}" if words else "")
