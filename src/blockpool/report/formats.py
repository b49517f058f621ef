"""How reports write times, shares and the names of pools and processes.

>>> duration(0.25), duration(75), duration(4000), duration(200_000)
('0.25s', '1m 15s', '1h 6m', '2d 7h')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.report.text import printable, shown_pid
from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockpool.stats import ProcessInfo

__all__ = ["NOT_HELD", "aged", "by_pid", "duration", "naming", "percent", "process_name"]

_SPANS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
# Of a process's command line, this much stands in a row.
_COMMAND = 40
_SHORT_ID = 8
# What stands for a process where none holds a block. The page of `blockpool serve` has the same words.
NOT_HELD = {
    BY_CATALOG: "only the catalog",
    BY_MESSAGE: "only messages",
    BY_TICKETS: "only tickets",
    BY_NOBODY: "nobody, just being allocated or freed",
}


def duration(seconds: float) -> str:
    """Format a time span with its two largest units."""
    if seconds < 10:  # noqa: PLR2004 - above, nobody needs hundredths
        return f"{max(seconds, 0):.2f}".rstrip("0").rstrip(".") + "s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, length in _SPANS:
        number, left = divmod(left, length)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number}{unit}" for number, unit in parts[:2] if number)


def aged(then: float | None, now: float) -> str:
    """Format how long ago something was, if that is known."""
    return "-" if then is None else duration(now - then)


def percent(part: float, whole: float) -> str:
    """Format a share. What is neither nothing nor all never looks like it.

    >>> percent(1, 3), percent(1, 100_000), percent(99_999, 100_000), percent(0, 0)
    ('33 %', '<1 %', '>99 %', '0 %')
    """
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "<1 %"
    if 99 < share < 100:  # noqa: PLR2004 - percent
        return ">99 %"
    return f"{share:.0f} %"


def naming(name: str | None, pool_id: str | None) -> str:
    """Return what a pool is called: its name or, without one, the start of its id, which commands understand too."""
    if name is not None:
        return printable(name)
    return "?" if pool_id is None else pool_id[:_SHORT_ID]


def process_name(process: ProcessInfo, most: int | None = _COMMAND) -> str:
    """Return the id of a process, the start of its command line without folders of the program, and if it is dead."""
    program, *arguments = printable(process.command).split(" ", 1)
    command = " ".join([program.rpartition("/")[2], *arguments])
    if most is not None and len(command) > most:
        command = command[: most - 1] + "…"
    dead = " (dead)" if process.alive is False else ""
    return f"{shown_pid(process.pid)} {command}".rstrip() + dead


def by_pid(processes: Iterable[ProcessInfo]) -> dict[int | None, ProcessInfo]:
    """Return processes by their id; of several with one id, one that is not dead."""
    return {each.pid: each for each in sorted(processes, key=lambda process: process.alive is not False)}
