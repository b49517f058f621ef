"""What does it cost in C to allocate and free?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question, sized

if TYPE_CHECKING:
    from types import ModuleType

    from blockpool.bench.tasks import Task

QUESTION = Question(
    asks="What does it cost in C to allocate memory and free it, without touching it?",
    how="Pairs of calls by one thread, in the loop of `blockpool replay`; its own time is measured apart and taken "
    "off. A malloc is called through its symbol, as every program calls it; the pool is part of the loop's "
    "library.",
    call="engine",
    against="engine_pool",
)

_SIZES = (64, 4 << 10, 64 << 10, 1 << 20)
_QUICK = (64, 64 << 10)


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each size."""
    return [
        Case(sized(size), size, {"size": size}, rounds=9 if quick else 21, turns=1)
        for size in (_QUICK if quick else _SIZES)
    ]


def prepare(peer: ModuleType, size: int) -> Task:
    """Prepare the pairs."""
    found: Task = peer.engine(size)
    return found
