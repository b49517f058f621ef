"""A finding of the doctor, and what its sentences are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ERROR", "INFO", "WARNING", "Finding", "Severity", "begin", "call", "duration", "listed", "title", "who"]

Severity = Literal["error", "warning", "info"]
ERROR: Severity = "error"
WARNING: Severity = "warning"
INFO: Severity = "info"

# A sentence lists no more than this; the details have all.
_MOST_LISTED = 5
_MOST_COMMAND = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, soon will be, or should be known; from `diagnose` or `diagnose_all`.

    Attributes
    ----------
    code : str
        What kind of finding it is; the guide has a table of them.
    severity : str
        "error": something does not work, or is lost. "warning": it is or soon will be so unless somebody acts. "info":
        good to know.
    pool : str or None
        The name of the pool, or the id of one without a name; None if it is about the machine.
    sentence : str
        What was found, with its numbers.
    remedy : str
        What to do. Commands stand in backquotes.
    details : dict
        The numbers again, for programs.
    """

    code: str
    severity: Severity
    pool: str | None
    sentence: str
    remedy: str
    details: dict[str, object] = field(default_factory=dict)


def title(name: str | None, pool_id: str | None) -> str:
    """Return how a sentence calls a pool.

    >>> title("camera", "0a" * 16), title(None, "0a" * 16)
    ("pool 'camera'", 'the pool without a name 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a')
    """
    return f"pool {name!r}" if name is not None else f"the pool without a name {pool_id}"


def begin(text: str) -> str:
    """Return the beginning of a sentence with a capital letter, and the rest as it is.

    >>> begin("pool 'iCam'")
    "Pool 'iCam'"
    """
    return text[:1].upper() + text[1:]


def who(pid: int | None, command: str) -> str:
    """Return how a sentence calls a process: with its command, without the folder of the program, and shortened.

    >>> who(5, "/usr/bin/python3 worker.py"), who(5, ""), who(None, "")
    ('process 5 (python3 worker.py)', 'process 5', 'a process that is attaching')
    """
    program, space, rest = command.partition(" ")
    text = program.rpartition("/")[2] + space + rest
    if len(text) > _MOST_COMMAND:
        text = text[: _MOST_COMMAND - 1] + "…"
    process = "a process that is attaching" if pid is None else f"process {pid}"
    return f"{process} ({text})" if text else process


def call(expression: str) -> str:
    """Return the command that evaluates an expression of blockpool, in backquotes.

    >>> call("sweep()")
    '`python -c "import blockpool; blockpool.sweep()"`'
    """
    return f'`python -c "import blockpool; blockpool.{expression}"`'


def duration(seconds: float) -> str:
    """Format a length of time with a suitable unit.

    >>> duration(0.2), duration(59), duration(600), duration(9000), duration(200_000)
    ('0.2 s', '59 s', '10 minutes', '2.5 hours', '2.31 days')
    """
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"


def listed(things: Iterable[object]) -> str:
    """Put a few things into a sentence.

    >>> listed("abc"), listed("abcdefgh")
    ('a, b, c', 'a, b, c, d, e and 3 more')
    """
    texts = [str(thing) for thing in things]
    more = len(texts) - _MOST_LISTED
    return ", ".join(texts[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
