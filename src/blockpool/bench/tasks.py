"""What a contender's process does for a turn: run a statement so and so often, and say what a run of it took."""

from __future__ import annotations

import itertools
import time
import timeit
from collections import Counter
from textwrap import indent
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["PAGE", "Declined", "Statement", "Task", "Timed", "counted", "delays_of", "marks", "repeated"]

PAGE = 4096
_MOST = 10**8
_WARM = 5
_TRIES = 2


class Declined(Exception):
    """A contender has no part in this case; the message says why."""


class Statement(NamedTuple):
    """A statement of Python, and the names in it; what keeps memory alive may be among them."""

    code: str
    names: Mapping[str, Any]


class Task(Protocol):
    """What was prepared for a case of a question."""

    def turn(self) -> Any:
        """Do it for a moment, and return what was measured."""

    def close(self) -> None:
        """Give back what it has."""


class Timed:
    """Times a statement; a turn takes about so many seconds, one run of the statement at least."""

    def __init__(self, statement: Statement, seconds: float) -> None:
        self._timer = timeit.Timer(statement.code, globals=dict(statement.names))
        number = 1
        took = min(self._timer.repeat(_WARM, 1))
        while took < seconds / 4 and number < _MOST:
            number *= 4
            took = min(self._timer.repeat(_TRIES, number))
        self._number = max(1, round(number * seconds / max(took, 1e-9)))

    def turn(self) -> float:
        """Return nanoseconds a run."""
        return self._timer.timeit(self._number) / self._number * 1e9

    def close(self) -> None:
        """Forget the statement and its names."""
        del self._timer


def marks(size: int) -> bytes:
    """Return what is written to a byte of each page of so many bytes."""
    return b"x" * (-(-size // PAGE))


def repeated(statement: Statement, seconds: float) -> Callable[[float], int]:
    """Return a function that runs a statement until a moment of the monotonic clock, and returns how often it did.

    It does so a few times at least: where there are more threads than processors, the moment may come before its turn.
    """
    number = max(1, round(seconds / 100 / (Timed(statement, seconds / 20).turn() / 1e9)))
    run: Callable[[float], int] = _compiled(
        f"""
def run(end):
    count = 0
    while True:
        for _ in times(None, {number}):
{indent(statement.code, " " * 12)}
        count += {number}
        if clock() >= end:
            return count
""",
        statement.names,
    )
    return run


def delays_of(statement: Statement) -> Callable[[float], list[int]]:
    """Return a function that runs a statement for some seconds, and returns how many nanoseconds each run took."""
    run: Callable[[float], list[int]] = _compiled(
        f"""
def run(seconds):
    found = []
    add = found.append
    now = nanoseconds()
    end = now + round(seconds * 1e9)
    while now < end:
        start = nanoseconds()
{indent(statement.code, " " * 8)}
        now = nanoseconds()
        add(now - start)
    return found
""",
        statement.names,
    )
    return run


def counted(delays: list[int]) -> dict[int, int]:
    """Return how many there are of each delay, rounded down to 6 significant bits: to 3 % or better."""
    found: Counter[int] = Counter()
    for delay in delays:
        drop = max(0, delay.bit_length() - 6)
        found[delay >> drop << drop] += 1
    return dict(found)


def _compiled(code: str, names: Mapping[str, Any]) -> Any:
    space = dict(names) | {"clock": time.monotonic, "nanoseconds": time.perf_counter_ns, "times": itertools.repeat}
    exec(compile(code, "<statement>", "exec"), space)  # noqa: S102 - as timeit does, with a statement of ours
    return space["run"]
