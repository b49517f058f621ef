"""The processes of a pool, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from blockpool.report.formats import aged, duration
from blockpool.report.listing import Listing
from blockpool.report.text import printable, shown_pid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from blockpool.report.documents import ListedProcesses

__all__ = ["process_list"]

_HEADINGS = (">pid", "state", ">age", ">blocks", ">allocated", ">failed", ">waited", "~command")
_STATES = {True: "alive", False: "dead", None: "not known"}


def process_list(listed: ListedProcesses) -> RenderableType:
    """List the processes that have a pool attached."""
    if not listed.processes:
        return Text("No process has the pool attached.")
    rows = [
        (
            shown_pid(each.pid),
            _STATES[each.alive] + (", in the gate" if each.pid is not None and each.pid == listed.gate else ""),
            aged(each.started, listed.time),
            f"{listed.held.get(each.slot, 0):,}",
            f"{each.allocations:,}",
            f"{each.failures:,}",
            f"{each.waits:,} for {duration(each.waited)}" if each.waits else "-",
            printable(each.command),
        )
        for each in listed.processes
    ]
    return Listing(_HEADINGS, rows)
