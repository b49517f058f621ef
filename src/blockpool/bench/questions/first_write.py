"""What does it cost to create a buffer, write to all of its pages, and destroy it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question, sized
from blockpool.bench.tasks import Timed

if TYPE_CHECKING:
    from types import ModuleType

QUESTION = Question(
    asks="What does it cost to create a buffer, write to each of its pages, and destroy it?",
    how="As for creating, with one byte written to each page, which is what makes the kernel give the memory. Those"
    " that do not share memory are compared with a private pool, the others with a shared one.",
    call="write",
)

_SIZES = (4 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20)
_QUICK = (4 << 10, 1 << 20)


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each size."""
    seconds = 0.0005 if quick else 0.005
    return [
        Case(
            sized(size),
            size,
            {"size": size, "seconds": seconds},
            rounds=9 if quick else 21,
            turns=3 if size <= 8 << 20 else 2,
            shared=4 * size * 8,
        )
        for size in (_QUICK if quick else _SIZES)
    ]


def prepare(peer: ModuleType, size: int, seconds: float) -> Timed:
    """Time the statement of a contender."""
    return Timed(peer.write(size), seconds)
