"""Do several threads or processes that create and destroy buffers at the same time get more done than one?"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blockpool.bench.partners import Partner, requests
from blockpool.bench.questions._question import Case, Question
from blockpool.bench.tasks import repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from types import ModuleType

QUESTION = Question(
    asks="What does a buffer of 4 KiB cost when several threads or processes create and destroy some at the same time?",
    how="The time that goes by, divided by what all of them did together, so with more processors it may fall. "
    "Processes have one pool together, or one service, where the contender shares memory; else each has its "
    "own.",
    call="create",
    axis="threads or processes",
)

_ONE = {"threads": "thread", "processes": "process"}
_SIZE = 4 << 10
_LEAD = 0.005


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each number of threads and of processes."""
    return [
        Case(
            f"{number} {kind if number > 1 else _ONE[kind]}",
            number,
            {"kind": kind, "number": number, "seconds": 0.02 if quick else 0.04},
            group=kind,
            rounds=7 if quick else 11,
            turns=1,
        )
        for kind in ("threads", "processes")
        for number in ((1, 2) if quick else (1, 2, 4, 8))
    ]


class _Threads:
    """Threads of this process, started for each turn."""

    def __init__(self, peer: ModuleType, number: int, seconds: float) -> None:
        self._number, self._seconds = number, seconds
        self._run = repeated(peer.create(_SIZE), seconds)

    def turn(self) -> float:
        """Return the nanoseconds that go by for a buffer of any of them."""
        begin = time.monotonic() + _LEAD
        with ThreadPoolExecutor(self._number) as threads:
            turns = [threads.submit(_take_part, self._run, begin, self._seconds) for _ in range(self._number)]
        return _nanoseconds(begin, [turn.result() for turn in turns])

    def close(self) -> None:
        """Forget the statement."""
        del self._run


class _Processes:
    """Processes that wait for the next turn."""

    def __init__(self, peer: ModuleType, number: int, seconds: float) -> None:
        peer.create(_SIZE)  # if it declines, it does so here
        self._token = peer.shared(_SIZE) if hasattr(peer, "shared") else None
        self._partners = [Partner(_serve, peer.__name__, self._token, seconds) for _ in range(number)]
        for partner in self._partners:
            partner.await_ready()

    def turn(self) -> float:
        """Return the nanoseconds that go by for a buffer of any of them."""
        begin = time.monotonic() + _LEAD
        for partner in self._partners:
            partner.ask(begin)
        return _nanoseconds(begin, [partner.answer() for partner in self._partners])

    def close(self) -> None:
        """Have all end."""
        for partner in self._partners:
            partner.close()


def _take_part(run: Callable[[float], int], begin: float, seconds: float) -> tuple[int, float]:
    """Do it from one moment on, for some seconds; return how often, and when it was done."""
    time.sleep(max(0.0, begin - time.monotonic()))
    return run(begin + seconds), time.monotonic()


def _nanoseconds(begin: float, turns: Sequence[tuple[int, float]]) -> float:
    """Return the time until all were done, for one of all that they did."""
    return (max(end for _, end in turns) - begin) * 1e9 / sum(count for count, _ in turns)


def _serve(pipe: Connection[Any, Any], name: str, token: Any, seconds: float) -> None:
    """Run as one of several processes, until there are no more turns."""
    peer = import_module(name)
    run = repeated(peer.create(_SIZE) if token is None else peer.member(token, _SIZE), seconds)
    pipe.send("ready")
    for begin in requests(pipe):
        pipe.send(_take_part(run, begin, seconds))


def prepare(peer: ModuleType, kind: str, number: int, seconds: float) -> _Threads | _Processes:
    """Start them."""
    return (_Threads if kind == "threads" else _Processes)(peer, number, seconds)
