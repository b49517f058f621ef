"""The comparison of the demo: the same messages go to the same workers in each way, and hashlib checks the digests.

One process packs files into messages, and workers hash them. A lap is all messages once, in one way. The ways take
turns, and which one starts changes from round to round, so that a machine whose speed drifts favours none. The first
lap of each is not counted. A loop in this process, which hands nothing over, takes its turn with them.

Why it cannot deadlock: a worker needs nothing but its message to continue, and there are never more messages in flight
than the pool has blocks, so `allocate` never has to wait.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import defaultdict
from time import perf_counter
from typing import TYPE_CHECKING

from blockpool import PoolCorrupt
from blockpool.cli.crew import Crew
from blockpool.cli.files import File, Unreadable, fill, opened, pack
from blockpool.cli.ways import ThroughPool, ThroughQueue, ThroughSharedMemory
from blockpool.cli.worker import Answer, Job, digests_of, usage
from blockpool.report.results import (
    LOOP,
    POOL,
    Contestant,
    DemoResult,
    Lap,
    Progress,
    Snapshot,
    Usage,
    Wrong,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockpool import Pool
    from blockpool.cli.files import Message, Piece
    from blockpool.cli.ways import Way
    from blockpool.report.results import Setup

__all__ = ["Comparison", "passes", "quickest_hash"]

# A median needs at least this many laps. A lap handles this much data, so that its start and end hardly count.
LEAST_LAPS = 3
LAP_BYTES = 256 << 20
LAP_MESSAGES = 4096
# With `kill`: how many workers are killed in each lap.
KILLS = 4


def quickest_hash() -> str:
    """Return the hash function of hashlib that is fastest here.

    The work should be real and its result easy to check, but light: next to SHA-512, all hand-offs would look alike.
    If the processor has instructions for SHA-256, that takes half the time of BLAKE2, otherwise twice as much.
    """
    data = bytes(1 << 20)

    def seconds(name: str) -> float:
        began = perf_counter()
        hashlib.new(name, data)
        return perf_counter() - began

    return min(("sha256", "blake2b"), key=lambda name: min(seconds(name) for _ in range(5)))


def passes(nbytes: int, block_size: int, seconds: float) -> int:
    """Return how often a lap goes through `nbytes` in a demo of that many seconds."""
    lap = min(LAP_BYTES, LAP_MESSAGES * block_size)
    return max(1, round(min(seconds, 1.0) * lap / nbytes))


class Comparison:
    """Compare all ways in turn; `run` is called once.

    `watch` is called after every message, with a function that returns the progress. It may raise KeyboardInterrupt;
    the demo then cleans up after itself.
    """

    def __init__(
        self,
        pool: Pool,
        files: Sequence[File],
        setup: Setup,
        watch: Callable[[Callable[[], Progress]], None],
    ) -> None:
        self._pool = pool
        self._setup = setup
        self._watch = watch
        self._messages = pack(files, setup.block_size)
        self._lap = self._messages * setup.passes
        ways: list[Way] = [ThroughPool(pool)]
        if not setup.kill:  # in the other ways, what a killed worker takes with it is lost
            ways += [ThroughQueue(), ThroughSharedMemory()]
        self._ways = {way.name: way for way in ways}
        self._laps: dict[str, list[Lap]] = {name: [] for name in (*self._ways, LOOP)}
        # Every digest that was found for a piece; there should be one.
        self._digests: dict[str, dict[Piece, set[bytes]]] = {name: defaultdict(set) for name in self._laps}
        self._random = random.Random()  # noqa: S311 - chance, not secrets
        self._killed = self._again = 0
        self._busy: Snapshot | None = None
        self._doing = "warming up"
        self._share: Callable[[], float] = lambda: 0.0

    def run(self, seconds: float) -> DemoResult:
        """Run laps until time is up, compare all digests, and audit the pool."""
        setup = self._setup
        crew = Crew(self._pool, setup.workers, setup.blocks // setup.workers, setup.algorithm)
        done = False
        try:
            self._round(crew, 0)
            for laps in self._laps.values():
                laps.clear()
            began = perf_counter()
            self._share = lambda: min(1.0, (perf_counter() - began) / (seconds or 1.0))
            number = 0
            while number < LEAST_LAPS or perf_counter() - began < seconds:
                number += 1
                self._doing = f"round {number}"
                self._round(crew, number)
            done = True
        finally:
            crew.close(kill=not done)
            for way in self._ways.values():
                way.close()
        return self._verdict()

    # ---- laps ------------------------------------------------------------------------------------

    def _round(self, crew: Crew, number: int) -> None:
        """Run a lap of each, starting with another one than in the round before."""
        names = list(self._laps)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before = self._usage(crew)
            began = perf_counter()
            if name == LOOP:
                self._loop()
            else:
                self._hand_over(crew, self._ways[name])
            seconds = perf_counter() - began
            after = self._usage(crew)
            used = None
            if before and after:
                used = Usage(*(end - begin for begin, end in zip(before, after, strict=True)))
            nbytes = self._setup.nbytes * self._setup.passes
            self._laps[name].append(Lap(nbytes, seconds, used))

    def _usage(self, crew: Crew) -> Usage | None:
        """Return what all processes have used so far; None if some are killed and cannot say."""
        if self._setup.kill:
            return None
        return Usage(*map(sum, zip(usage(), *crew.usages(), strict=True)))

    def _hand_over(self, crew: Crew, way: Way) -> None:
        """Send all messages to workers in one way, and collect their answers."""
        count = len(self._lap)
        kills = self._random.sample(range(count), min(KILLS, count)) if self._setup.kill else []
        number = 0
        while number < count or crew.busy:
            while number < count and (seat := crew.free()) is not None:
                message = self._lap[number]
                payload = way.pack(message)
                seat.send(Job(number, payload, tuple(piece.nbytes for piece in message)))
                if number in kills:
                    self._kill(crew)
                if self._busy is None and way.name == POOL and number >= count // 2:
                    self._busy = self._snapshot()
                number += 1
            for job, answer in crew.answers():
                way.done(job.payload)
                self._note(way.name, self._lap[job.number], answer)
            self._tell(way.name)

    def _loop(self) -> None:
        """Do the same work in this process: one buffer, nothing handed over."""
        with memoryview(bytearray(self._setup.block_size)) as buffer:
            for number, message in enumerate(self._lap):
                fill(buffer, message)
                lengths = tuple(piece.nbytes for piece in message)
                answer = Answer(number, digests_of(buffer, lengths, self._setup.algorithm))
                self._note(LOOP, message, answer)
                self._tell(LOOP)

    def _note(self, name: str, message: Message, answer: Answer) -> None:
        digests = self._digests[name]
        for piece, digest in zip(message, answer.digests, strict=True):
            digests[piece].add(digest)

    def _kill(self, crew: Crew) -> None:
        """Kill a worker that has jobs."""
        seats = [seat for seat in crew.seats if seat.jobs and not seat.killed]
        if seats:
            seat = self._random.choice(seats)
            seat.kill()
            self._killed += 1
            self._again += len(seat.jobs)

    # ---- progress --------------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._pool.blocks, tuple(self._pool.runs()))

    def _contestants(self) -> tuple[Contestant, ...]:
        return tuple(Contestant(name, tuple(laps)) for name, laps in self._laps.items())

    def _tell(self, running: str) -> None:
        self._watch(
            lambda: Progress(
                doing=self._doing,
                share=self._share(),
                running=running,
                contestants=self._contestants(),
                pool=self._snapshot(),
                killed=self._killed,
            )
        )

    # ---- the end ---------------------------------------------------------------------------------

    def _verdict(self) -> DemoResult:
        compared, wrong = self._compare()
        problems = []
        try:
            self._pool.recover()
            self._pool.check()
        except PoolCorrupt as error:
            problems.append(str(error))
        stats = self._pool.stats()
        if stats.allocated or stats.allocations != stats.frees:
            problems.append(
                f"{stats.allocated} of {stats.blocks} blocks did not come back: "
                f"{stats.allocations} allocations, {stats.frees} frees"
            )
        end = self._snapshot()
        return DemoResult(
            setup=self._setup,
            contestants=self._contestants(),
            compared=compared,
            wrong=tuple(wrong),
            busy=self._busy or end,
            end=end,
            allocations=stats.allocations,
            frees=stats.frees,
            problems=tuple(problems),
            killed=self._killed,
            again=self._again,
        )

    def _compare(self) -> tuple[int, list[Wrong]]:
        """Compare all digests with hashlib's: return how many, and which files are wrong."""
        compared = 0
        wrong: list[Wrong] = []
        cut: dict[File, list[Piece]] = defaultdict(list)
        for message in self._messages:
            for piece in message:
                cut[piece.file].append(piece)
        self._doing = "comparing with hashlib"
        for file, pieces in cut.items():
            self._tell("")
            right = [{digest} for digest in _plainly(file, pieces, self._setup.algorithm)]
            for name, digests in self._digests.items():
                compared += len(pieces)
                if [digests[piece] for piece in pieces] != right:
                    wrong.append(Wrong(file.path, name))
        return compared, wrong


def _plainly(file: File, pieces: Sequence[Piece], algorithm: str) -> list[bytes]:
    """Hash the pieces of a file with hashlib alone; the file must not have changed."""
    with opened(file) as source:
        digests = [hashlib.new(algorithm, source.read(piece.nbytes)).digest() for piece in pieces]
        if File.of(file.path, os.fstat(source.fileno())) != file:
            raise Unreadable(file.path, "changed while the demo ran")
    return digests
