"""What does a buffer cost among many others, and when there is hardly room for it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question
from blockpool.bench.tasks import Timed

if TYPE_CHECKING:
    from types import ModuleType

QUESTION = Question(
    asks="What does a buffer of 64 bytes cost among many others, and when there is hardly room for it?",
    how="Creating and destroying one, where so many were created and some of them, at random places, destroyed "
    "again: of 10³ to 10⁷, none are left, or 99.9 %; of 10⁶, 50, 90 and 99 % too. A pool has exactly so many "
    "blocks.",
    call="grown",
    against="private_pool shared_pool",
    axis="blocks",
)

_POWERS = range(3, 8)
_FILLINGS = (0.5, 0.9, 0.99)
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷"
# What a block of 64 bytes takes of a shared pool at most, and of the process that holds it.
_SHARED = 320
_MEMORY = 320


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each number of blocks and each filling."""
    powers = (3, 5) if quick else _POWERS
    pairs = [(power, filling) for filling in (0.0, 0.999) for power in powers]
    if not quick:
        pairs += [(6, filling) for filling in _FILLINGS]
    return [
        Case(
            f"10{_SUPERSCRIPTS[power]} blocks, {filling * 100:g} % full",
            10**power,
            {"blocks": 10**power, "filling": filling, "seconds": 0.0005 if quick else 0.005},
            group=f"{filling * 100:g} % full",
            rounds=9 if quick else 21,
            shared=_SHARED * 10**power + (64 << 20),
            memory=4 * _MEMORY * 10**power + (256 << 20),
        )
        for power, filling in pairs
    ]


def prepare(peer: ModuleType, blocks: int, filling: float, seconds: float) -> Timed:
    """Time the statement of a contender."""
    return Timed(peer.grown(blocks, filling), seconds)
