"""How long does it take to hand a buffer to another process, and to get a short answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.bench.links import Link
from blockpool.bench.questions._question import Case, Question, sized

if TYPE_CHECKING:
    from types import ModuleType

QUESTION = Question(
    asks="How long does it take to hand a new buffer to another process, and to get a short answer?",
    how="There and back. The sender creates a buffer, or has one ready where it is copied anyway, and writes its "
    "first and last byte; the receiver looks at both, and answers with a few bytes the same way. Either both "
    "sleep in the kernel until something comes, or both spin. A value is the quickest of some averages.",
    call="sender",
    against="shared_pool",
)

_SIZES = (64, 4 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20)
_QUICK = (64, 1 << 20)


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each size and each way of waiting."""
    return [
        Case(
            f"{sized(size)}, {waiting}",
            size,
            {"size": size, "waiting": waiting, "seconds": 0.002 if quick else 0.01},
            group=waiting,
            rounds=7 if quick or size > 8 << 20 else 15,
            turns=3 if size <= 1 << 20 else 1,
            shared=32 * max(size, 4 << 20),
        )
        for waiting in ("sleeps", "spins")
        for size in (_QUICK if quick else _SIZES)
    ]


class _HandOff:
    """Hands over buffers for about so many seconds a turn."""

    def __init__(self, link: Link, seconds: float) -> None:
        self._link = link
        link.run(1)
        once = max(1, *link.run(2)) / 1e9
        self._times = max(1, min(1000, round(seconds / once)))

    def turn(self) -> float:
        """Return nanoseconds there and back."""
        found = self._link.run(self._times)
        return sum(found) / len(found)

    def close(self) -> None:
        """End the link."""
        self._link.close()


def prepare(peer: ModuleType, size: int, waiting: str, seconds: float) -> _HandOff:
    """Start a receiver."""
    return _HandOff(Link(peer, size, waiting), seconds)
