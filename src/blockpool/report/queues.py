"""The queues, topics and latest values of a pool, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.formats import by_pid, duration
from blockpool.report.listing import listings
from blockpool.report.text import count, printable, shown_pid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from blockpool.report.documents import ListedQueues
    from blockpool.stats import QueueInfo

__all__ = ["queue_list", "queue_name"]

_HEADINGS = ("~queue", "kind", ">waiting", ">oldest", ">taken", ">put", ">lost", "~state", "~open in")


def queue_list(listed: ListedQueues) -> RenderableType:
    """List the queues of a pool."""
    if not listed.queues:
        return Text("The pool has no queues.")
    dead = {each.pid for each in by_pid(listed.processes).values() if each.alive is False}
    return Group(*listings(_HEADINGS, [_row(each, dead) for each in listed.queues]))


def queue_name(queue: QueueInfo) -> str:
    """Return the name of a queue, or its number if it has none."""
    return f"{queue.kind} {queue.number}" if queue.name is None else printable(queue.name)


def _row(queue: QueueInfo, dead: set[int | None]) -> tuple[str, ...]:
    words = (
        "shut down" if queue.shut else "",
        "permanent" if queue.permanent else "",
        "redelivers" if queue.redeliver else "",
        count(queue.readers, "reader") if queue.kind == "topic" else "",
    )
    return (
        queue_name(queue),
        queue.kind,
        f"{queue.waiting:,}/{queue.capacity:,}",
        "-" if queue.oldest is None else duration(queue.oldest),
        f"{sum(number for _, number in queue.taken):,}",
        f"{queue.put:,}",
        f"{queue.lost:,}",
        ", ".join(filter(None, words)) or "-",
        ", ".join(f"{shown_pid(pid)} (dead)" if pid in dead else shown_pid(pid) for pid in queue.processes) or "-",
    )
