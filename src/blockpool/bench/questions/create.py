"""What does it cost to create a buffer and to destroy it, or to take it and give it back?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question, sized
from blockpool.bench.tasks import Timed

if TYPE_CHECKING:
    from types import ModuleType

QUESTION = Question(
    asks="What does it cost to create a buffer and to destroy it?",
    how="The shortest statement of Python that does both, without a look at the memory. Those that do not share "
    "memory are compared with a private pool, the others with a shared one.",
    call="create",
)

_SIZES = (64, 4 << 10, 64 << 10, 1 << 20, 8 << 20)
_QUICK = (64, 64 << 10)


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each size."""
    seconds = 0.0005 if quick else 0.003
    return [
        Case(sized(size), size, {"size": size, "seconds": seconds}, rounds=9 if quick else 21)
        for size in (_QUICK if quick else _SIZES)
    ]


def prepare(peer: ModuleType, size: int, seconds: float) -> Timed:
    """Time the statement of a contender."""
    return Timed(peer.create(size), seconds)
