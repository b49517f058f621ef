"""Do several threads or processes that create and destroy buffers at the same time get more done than one?"""

from __future__ import annotations

import multiprocessing
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blockpool.bench.questions._question import Case, Question
from blockpool.bench.tasks import repeated

if TYPE_CHECKING:
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
_READY_SECONDS = 60.0


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
        found: list[int] = []
        begin = time.monotonic() + _LEAD
        end = begin + self._seconds

        def call() -> None:
            time.sleep(max(0.0, begin - time.monotonic()))
            found.append(self._run(end))

        threads = [threading.Thread(target=call) for _ in range(self._number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (time.monotonic() - begin) * 1e9 / max(1, sum(found))

    def close(self) -> None:
        """Forget the statement."""
        del self._run


class _Processes:
    """Processes that wait for the next turn."""

    def __init__(self, peer: ModuleType, number: int, seconds: float) -> None:
        peer.create(_SIZE)  # if it declines, it does so here
        self._seconds = seconds
        self._token = peer.shared(_SIZE) if hasattr(peer, "shared") else None
        processes = multiprocessing.get_context("spawn")
        self._pipes: list[Connection[Any, Any]] = []
        self._processes = []
        for _ in range(number):
            ours, theirs = processes.Pipe()
            process = processes.Process(target=_call, args=(theirs, peer.__name__, self._token, seconds), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            if not pipe.poll(_READY_SECONDS):
                raise TimeoutError("a process does not begin")
            _answer(pipe)

    def turn(self) -> float:
        """Return the nanoseconds that go by for a buffer of any of them."""
        begin = time.monotonic() + _LEAD
        for pipe in self._pipes:
            pipe.send(begin)
        found: list[tuple[int, float]] = [_answer(pipe) for pipe in self._pipes]
        return (max(end for _, end in found) - begin) * 1e9 / max(1, sum(count for count, _ in found))

    def close(self) -> None:
        """Have all end."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(2)
            process.kill()
            process.join()


def _answer(pipe: Connection[Any, Any]) -> Any:
    """Return what a process answers."""
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError("one of the processes ended") from None


def _call(pipe: Connection[Any, Any], name: str, token: Any, seconds: float) -> None:
    """Run as one of several processes, until there are no more turns."""
    peer = import_module(name)
    run = repeated(peer.create(_SIZE) if token is None else peer.member(token, _SIZE), seconds)
    pipe.send("ready")
    while True:
        try:
            begin = pipe.recv()
        except EOFError:
            break
        time.sleep(max(0.0, begin - time.monotonic()))
        count = run(begin + seconds)
        pipe.send((count, time.monotonic()))


def prepare(peer: ModuleType, kind: str, number: int, seconds: float) -> _Threads | _Processes:
    """Start them."""
    return (_Threads if kind == "threads" else _Processes)(peer, number, seconds)
