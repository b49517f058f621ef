"""Lines of text about a pool: its header, and all about one run, process or queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from blockpool.report.text import count, printable, shown_pid
from blockpool.top import values
from blockpool.top.tables import bar

if TYPE_CHECKING:
    from blockpool.stats import ProcessInfo, QueueInfo, Run
    from blockpool.top.feed import View

__all__ = ["about_process", "about_queue", "about_run", "header", "name_of", "recoverable"]

Pairs = list[tuple[str, str]]

# Wider than this, words need no abbreviation.
_WIDE = 76


def name_of(name: str | None, pool_id: str | None) -> str:
    """Return what a pool is called: its name, or its id if it has none."""
    return printable(name) if name is not None else (pool_id or "?")


def recoverable(view: View) -> list[ProcessInfo]:
    """Return the dead processes that still hold something or have a place in the pool."""
    return [process for process in view.snapshot.processes if process.alive is False]


def header(view: View, width: int) -> list[str]:
    """Return three lines: which pool it is, how full it is, and what happens in it."""
    at, rates = view.snapshot, view.rates
    counts = at.counts
    old = None if at.created is None else max(0.0, at.time - at.created)
    size = f"{at.blocks:,} × {values.size(at.block_size)} = {values.size(at.nbytes)}"
    traits = [
        size,
        f"age {values.age(old)}" if old is not None else "",
        "permanent" if at.permanent else "",
        f"blockpool {printable(at.made_by)}" if width > _WIDE else "",
    ]
    rest = "  ".join(filter(None, traits))
    title = values.fit(name_of(at.name, at.pool_id), max(8, width - len(rest) - 2)).rstrip()
    first = f"{title}  {rest}"
    used = f"{values.share(counts.allocated, counts.blocks)} used"
    if width > _WIDE:
        tail = (
            f"{counts.allocated:,} blocks  largest free {counts.largest_free_run:,}  "
            f"fragmented {100 * counts.fragmentation:.0f}%"
        )
    else:
        tail = f"free run {values.short(counts.largest_free_run)}  fragm. {100 * counts.fragmentation:.0f}%"
    room = max(4, min(40, width - len(used) - len(tail) - 4))
    second = f"{bar(counts.allocated / counts.blocks, room)}  {used}  {tail}"
    gate = "free" if at.gate is None else f"process {at.gate}"
    allocations, failures, waits = map(values.per_second, (rates.allocations, rates.failures, rates.waits))
    third = (
        f"{allocations} allocations  {failures} failures  {waits} waits ({rates.waited:.1f} waiting)  gate {gate}"
        if width > _WIDE
        else f"alloc {allocations}  fail {failures}  waits {waits}  gate {gate}"
    )
    return [values.fit(line, width) for line in (first, second, third)]


def about_run(run: Run, view: View) -> Pairs:
    """Return all that is known of a run, as pairs of a label and a value."""
    processes = {process.pid: process for process in view.snapshot.processes}
    holders = [
        f"{shown_pid(pid)}  {values.command_of(processes[pid])}" if pid in processes else shown_pid(pid)
        for pid in run.holders
    ]
    queues = {queue.number: queue for queue in view.snapshot.queues}
    pairs = [
        ("blocks", f"{count(run.blocks, 'block')}, the first is {run.index}"),
        ("bytes", f"{run.nbytes:,} of {run.blocks * view.snapshot.block_size:,}"),
        ("age", f"{values.age(run.age)} since it was allocated or last given a ticket"),
        *_listed("held by", holders or ["no process"]),
        ("tickets", count(run.tickets, "reference") + " in flight"),
        *_listed("names", [printable(name) for name in run.names] or ["none"]),
    ]
    if run.queue is not None:
        queue = queues.get(run.queue)
        name = f" {printable(queue.name)}" if queue and queue.name else ""
        pairs.append(("queue", f"a message of queue {run.queue}{name} carries it"))
    if run.handle is not None:
        pairs.append(("handle", printable(str(run.handle))))
    stack = run.stack
    if stack:
        pairs += _listed("allocated at", [printable(line.rstrip()) for line in str(stack).splitlines()])
    return pairs


def about_process(process: ProcessInfo, held: int) -> Pairs:
    """Return all that is known of a process."""
    state = {True: "alive", False: "dead, not recovered yet", None: "not known: it is in another PID namespace"}
    lived = None if process.started is None else time.time() - process.started
    return [
        ("pid", shown_pid(process.pid)),
        ("command", values.command_of(process)),
        ("state", state[process.alive]),
        ("age", values.age(lived)),
        ("blocks held", f"{held:,}"),
        ("allocations", f"{process.allocations:,}"),
        ("failures", f"{process.failures:,}"),
        ("waits", f"{process.waits:,}, {process.waited:.3f} s in all"),
    ]


def about_queue(queue: QueueInfo) -> Pairs:
    """Return all that is known of a queue, a topic or a latest value."""
    taken = [f"{count(number, 'message')} by process {shown_pid(pid)}" for pid, number in queue.taken]
    traits = [
        "shut" if queue.shut else "",
        "redeliver" if queue.redeliver else "",
        "permanent" if queue.permanent else "",
    ]
    return [
        ("kind", ", ".join(filter(None, [queue.kind, *traits]))),
        ("name", printable(queue.name) if queue.name is not None else "none"),
        ("number", str(queue.number)),
        ("waiting", f"{queue.waiting:,} of {queue.capacity:,}, the oldest {values.age(queue.oldest)}"),
        *_listed("taken", taken or ["none"]),
        ("put", f"{queue.put:,}"),
        ("lost", f"{queue.lost:,}"),
        ("readers", f"{queue.readers:,}"),
        *_listed("open in", [" ".join(map(shown_pid, queue.processes)) or "no process"]),
    ]


def _listed(label: str, lines: list[str]) -> Pairs:
    return [(label if at == 0 else "", line) for at, line in enumerate(lines)]
