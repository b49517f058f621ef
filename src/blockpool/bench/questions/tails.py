"""How late are the latest of very many?"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from blockpool.bench.links import Link
from blockpool.bench.questions._question import Case, Question
from blockpool.bench.statistics import percentile
from blockpool.bench.tasks import Declined, counted, delays_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    Pair = tuple[float, float]

QUESTION = Question(
    asks="How late are the latest, of millions?",
    how="Contenders take turns, for ten minutes in all; each buffer is timed on its own, with two looks at the "
    "clock. “write”: a buffer of 64 KiB is created, written to each of its pages, and destroyed. “hand-off”: "
    "one of 64 KiB goes to another process that sleeps, and a short answer comes back. The turns are put "
    "together into eleven groups, fewer for rare delays, each of which gives a percentile, and so a pair.",
    call="write sender",
    axis="percentile",
)

PERCENTILES = (50, 90, 99, 99.9, 99.99)
_GROUPS = 11
_SIZE = 64 << 10
_SECONDS = 600.0
_QUICK_SECONDS = 6.0


def cases(*, quick: bool) -> list[Case]:
    """Return one case for writing and one for handing over, each with half of the time; `rounds` are those of all."""
    seconds = (_QUICK_SECONDS if quick else _SECONDS) / 2
    turn = 0.02 if quick else 0.25
    return [
        Case(kind, 0, {"kind": kind, "seconds": turn}, group=kind, rounds=round(seconds / turn), turns=1)
        for kind in ("write", "hand-off")
    ]


class _Delays:
    """Times each of many, for so many seconds a turn."""

    def __init__(self, run: Callable[[], list[int]], close: Callable[[], object]) -> None:
        self._run, self.close = run, close

    def turn(self) -> dict[int, int]:
        """Return how often each delay was seen."""
        return counted(self._run())


def prepare(peer: ModuleType, kind: str, seconds: float) -> _Delays:
    """Prepare to write, or to hand over."""
    if not hasattr(peer, "write" if kind == "write" else "sender"):
        raise Declined("it does nothing of the kind")
    if kind == "write":
        run = delays_of(peer.write(_SIZE))
        run(seconds / 10)
        return _Delays(lambda: run(seconds), lambda: None)
    link = Link(peer, _SIZE, "sleeps")
    link.run(2)
    once = max(1, sum(link.run(10)) / 10) / 1e9
    times = max(1, round(seconds / once))
    return _Delays(lambda: link.run(times), link.close)


def compared(ours: Sequence[Counter[int]], peer: Sequence[Counter[int]]) -> dict[str, tuple[float, list[Pair]]]:
    """Return for each percentile its place in the plot, and pairs of what the groups of turns of both give.

    A group has ten delays above its percentile, at least; where there are too few for that, there are fewer groups.
    """
    found: dict[str, tuple[float, list[Pair]]] = {}
    for percent in PERCENTILES:
        least = 10 / (1 - percent / 100)
        number = min(
            _GROUPS,
            len(ours),
            len(peer),
            *(int(sum(each.total() for each in turns) // least) for turns in (ours, peer)),
        )
        if number:
            sides = [[percentile(group, percent) for group in _grouped(turns, number)] for turns in (ours, peer)]
            found[f"p{percent:g}"] = percent, list(zip(*sides, strict=True))
    return found


def _grouped(turns: Sequence[Counter[int]], number: int) -> list[Counter[int]]:
    """Put turns that follow each other together, into so many groups."""
    edges = [round(at * len(turns) / number) for at in range(number + 1)]
    return [sum(turns[low:high], Counter()) for low, high in pairwise(edges)]
