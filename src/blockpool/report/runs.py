"""The runs of a pool, as text: who holds what, for how long, and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.formats import by_pid, duration, process_name
from blockpool.report.listing import Listing, listings
from blockpool.report.queues import queue_name
from blockpool.report.text import count, in_bytes, printable, shown_pid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from blockpool.report.documents import ListedRuns
    from blockpool.stats import ProcessInfo, Run

__all__ = ["run_list"]

_HEADINGS = (">block", ">blocks", ">bytes", ">age", ">tickets", "~held by", "~queue", "~names")
# How many holders of one run are named, and how much of their commands is.
_HOLDERS = 3
_COMMAND = 24


def run_list(listed: ListedRuns, *, stacks: bool = False) -> RenderableType:
    """List runs; with `stacks`, each with where it was allocated, as far as that is known."""
    if not listed.runs:
        return Text("Nothing is allocated.")
    processes = by_pid(listed.processes)
    queues = {each.number: queue_name(each) for each in listed.queues}
    rows = [_row(each, processes, queues) for each in listed.runs]
    shown: list[RenderableType] = []
    if stacks:
        for run, row in zip(listed.runs, rows, strict=True):
            shown += [Listing(_HEADINGS, [row]), *_stack(run), Text()]
    else:
        shown += listings(_HEADINGS, rows)
    if len(listed.runs) < listed.total:
        which = "oldest" if listed.order == "age" else "largest"
        shown.append(Text(f"The {which} {len(listed.runs):,} of {count(listed.total, 'run')}; --all lists all."))
    return Group(*shown)


def _row(run: Run, processes: dict[int | None, ProcessInfo], queues: dict[int, str]) -> tuple[str, ...]:
    holders = [process_name(processes[pid], _COMMAND) if pid in processes else shown_pid(pid) for pid in run.holders]
    rest = f" and {len(holders) - _HOLDERS} more" if len(holders) > _HOLDERS else ""
    return (
        f"{run.index:,}",
        f"{run.blocks:,}",
        in_bytes(run.nbytes),
        "-" if run.age is None else duration(run.age),
        f"{run.tickets:,}" if run.tickets else "-",
        ", ".join(holders[:_HOLDERS]) + rest or _without_holder(run),
        "-" if run.queue is None else queues.get(run.queue, f"queue {run.queue}"),
        ", ".join(map(printable, run.names)) or "-",
    )


def _without_holder(run: Run) -> str:
    """Return who keeps a run that no process holds."""
    if run.names:
        return "its name"
    if run.queue is not None:
        return "a message"
    return "tickets" if run.tickets else "nobody"


def _stack(run: Run) -> Iterable[Text]:
    stack = run.stack
    if not stack:
        yield Text("  where it was allocated is not known: the pool was made without debug=True", style="dim")
        return
    for line in stack.splitlines():
        yield Text(f"  {printable(line)}", overflow="fold")
