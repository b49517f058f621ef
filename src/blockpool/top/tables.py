"""Tables: what the tabs list, as rows of text with what they are sorted by."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from blockpool.report.text import printable, shown_pid
from blockpool.top import values
from blockpool.top.colours import holder_letter, holder_style

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.style import Style

    from blockpool.stats import PoolSummary, ProcessInfo, QueueInfo, Run
    from blockpool.top.feed import View

__all__ = ["KINDS", "POOLS", "Column", "Kind", "Row", "arranged", "pool_rows", "rows_of"]


class Column(NamedTuple):
    """A column: its heading, whether it holds numbers, and how soon it is left out where room is scarce (0: never)."""

    heading: str
    right: bool = False
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: its name, its columns, which one it is sorted by at first, and whether downwards."""

    name: str
    columns: tuple[Column, ...]
    by: int
    down: bool


class Row(NamedTuple):
    """A row: what tells it from others, what it is about, its text, and what each column is sorted by."""

    key: Any
    about: Any
    cells: tuple[str, ...]
    order: tuple[Any, ...]
    mark: tuple[str, Style] | None = None


POOLS = Kind(
    "pools",
    (
        Column("name"),
        Column("state"),
        Column("used", right=True),
        Column("", spare=2),
        Column("blocks", right=True),
        Column("block", right=True, spare=3),
        Column("processes", right=True),
        Column("age", right=True, spare=1),
    ),
    by=0,
    down=False,
)
RUNS = Kind(
    "runs",
    (
        Column("age", right=True),
        Column("block", right=True),
        Column("blocks", right=True),
        Column("bytes", right=True, spare=1),
        Column("tickets", right=True, spare=2),
        Column("queue", right=True, spare=3),
        Column("held by"),
        Column("name"),
    ),
    by=0,
    down=True,
)
PROCESSES = Kind(
    "processes",
    (
        Column("pid", right=True),
        Column("state"),
        Column("blocks", right=True),
        Column("allocated", right=True),
        Column("failed", right=True, spare=2),
        Column("waits", right=True, spare=3),
        Column("waited", right=True, spare=4),
        Column("age", right=True, spare=1),
        Column("command"),
    ),
    by=2,
    down=True,
)
QUEUES = Kind(
    "queues",
    (
        Column("number", right=True, spare=2),
        Column("kind"),
        Column("waiting", right=True),
        Column("room", right=True),
        Column("taken", right=True, spare=1),
        Column("put", right=True),
        Column("lost", right=True, spare=3),
        Column("oldest", right=True),
        Column("name"),
    ),
    by=2,
    down=True,
)
NAMES = Kind("names", (Column("name"),), by=0, down=False)
KINDS = (RUNS, PROCESSES, QUEUES, NAMES)

_BAR = 10


def rows_of(kind: Kind, view: View) -> list[Row]:
    """Return the rows of a table of a pool, in no order."""
    snapshot = view.snapshot
    if kind is RUNS:
        queues = {queue.number: queue for queue in snapshot.queues}
        slots = {process.pid: process.slot for process in snapshot.processes}
        return [_run(run, queues, slots) for run in view.runs]
    if kind is PROCESSES:
        return [_process(process, snapshot.survey.held.get(process.slot, 0)) for process in snapshot.processes]
    if kind is QUEUES:
        return [_queue(queue) for queue in snapshot.queues]
    return [Row(name, name, (printable(name),), (name,)) for name in snapshot.names]


def pool_rows(pools: Iterable[PoolSummary]) -> list[Row]:
    """Return a row for each pool."""
    now = time.time()
    return [_pool(pool, now, at) for at, pool in enumerate(pools)]


def arranged(rows: Iterable[Row], *, by: int, down: bool, containing: str = "") -> list[Row]:
    """Return those rows that contain a text, in upper or lower case, sorted by a column."""
    wanted = containing.casefold()
    found = [row for row in rows if not wanted or any(wanted in cell.casefold() for cell in row.cells)]
    found.sort(key=_key(by), reverse=down)
    return found


def _key(by: int) -> Callable[[Row], tuple[bool, Any]]:
    """Sort by a column; what has no value is below all values."""
    return lambda row: (row.order[by] is not None, 0 if row.order[by] is None else row.order[by])


def _run(run: Run, queues: dict[int, QueueInfo], slots: dict[int | None, int]) -> Row:
    queue = queues.get(run.queue) if run.queue is not None else None
    queue_name = (queue.name if queue else None) or (f"#{run.queue}" if run.queue is not None else "")
    names = " ".join(map(printable, run.names))
    slot = slots.get(run.holders[0]) if run.holders else None
    return Row(
        run.index,
        run,
        (
            values.age(run.age),
            str(run.index),
            f"{run.blocks:,}",
            values.size(run.nbytes),
            str(run.tickets) if run.tickets else "",
            printable(queue_name),
            _many(run.holders) or "nobody",
            names,
        ),
        (
            run.age,
            run.index,
            run.blocks,
            run.nbytes,
            run.tickets,
            queue_name,
            tuple(pid or 0 for pid in run.holders),
            names,
        ),
        None if slot is None else (holder_letter(slot), holder_style(slot)),
    )


def _many(pids: Sequence[int | None], most: int = 3) -> str:
    text = " ".join(map(shown_pid, pids[:most]))
    return text if len(pids) <= most else f"{text} +{len(pids) - most}"


def _process(process: ProcessInfo, held: int) -> Row:
    state = {True: "alive", False: "dead", None: "?"}[process.alive]
    command = _brief(values.command_of(process))
    lived = None if process.started is None else max(0.0, time.time() - process.started)
    return Row(
        process.slot,
        process,
        (
            "-" if process.pid is None else str(process.pid),
            state,
            f"{held:,}",
            values.short(process.allocations),
            values.short(process.failures),
            values.short(process.waits),
            values.age(process.waited) if process.waited >= 1 else f"{process.waited * 1000:.0f}ms",
            values.age(lived),
            command,
        ),
        (
            process.pid,
            state,
            held,
            process.allocations,
            process.failures,
            process.waits,
            process.waited,
            lived,
            command,
        ),
        (holder_letter(process.slot), holder_style(process.slot)),
    )


def _brief(command: str) -> str:
    """Return a command without the folder of its program.

    >>> _brief("/usr/bin/python3 /srv/work.py"), _brief("?")
    ('python3 /srv/work.py', '?')
    """
    program, space, rest = command.partition(" ")
    return program.rsplit("/", 1)[-1] + space + rest


def _queue(queue: QueueInfo) -> Row:
    taken = sum(number for _, number in queue.taken)
    kind = f"{queue.kind}, shut" if queue.shut else queue.kind
    name = printable(queue.name or "")
    return Row(
        queue.number,
        queue,
        (
            str(queue.number),
            kind,
            f"{queue.waiting:,}",
            f"{queue.capacity:,}",
            f"{taken:,}",
            values.short(queue.put),
            values.short(queue.lost),
            values.age(queue.oldest),
            name,
        ),
        (queue.number, kind, queue.waiting, queue.capacity, taken, queue.put, queue.lost, queue.oldest, name),
    )


def _pool(pool: PoolSummary, now: float, at: int) -> Row:
    name = printable(pool.name) if pool.name is not None else f"{pool.pool_id or '?'}"
    state = pool.state if not pool.leftover else "left over"
    age = None if pool.created is None else max(0.0, now - pool.created)
    used = None if pool.allocated is None or not pool.blocks else pool.allocated / pool.blocks
    living = sum(process.alive is not False for process in pool.processes)
    known = pool.state == "ok"
    return Row(
        (pool.name, pool.pool_id) if pool.name or pool.pool_id else at,
        pool,
        (
            name,
            state,
            values.share(pool.allocated or 0, pool.blocks or 1) if known else "",
            "" if used is None else bar(used, _BAR),
            f"{pool.blocks:,}" if pool.blocks is not None else "",
            values.size(pool.block_size) if pool.block_size is not None else "",
            f"{living}" if known else "",
            values.age(age) if age is not None else "",
        ),
        (name, state, used, used, pool.blocks, pool.block_size, living if known else None, age),
    )


def bar(part: float, width: int) -> str:
    """Draw a share from 0 to 1; anything at all is a sign, and only all of it is the whole bar.

    >>> bar(0, 4), bar(0.01, 4), bar(0.99, 4), bar(1, 4)
    ('────', '━───', '━━━─', '━━━━')
    """
    full = width if part >= 1 else min(width - 1, int(part * width + 0.5))
    if part > 0:
        full = max(1, full)
    return "━" * full + "─" * (width - full)
