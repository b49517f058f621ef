"""The contest of the demo: the same messages, to the same workers, in each way in turn; then what hashlib says.

One process packs files into messages, workers hash them. A lap is all messages once, in one way; the ways take turns,
and who begins changes from round to round, so that a machine whose speed drifts favours none. The first lap of each is
not counted. A plain loop in this process, which hands nothing over, runs in turn with them.

Why it cannot stand still: a worker needs nothing to go on but its message, and no more messages are on their way than
the pool has blocks, so that `allocate` never has to wait.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from blockpool import PoolCorrupt
from blockpool.cli.crew import Crew
from blockpool.cli.files import File, Unreadable, fill, pack, reason
from blockpool.cli.ways import ThroughPool, ThroughQueue, ThroughSharedMemory
from blockpool.cli.worker import Job, Usage, digests_of, usage
from blockpool.report.results import (
    LOOP,
    Contestant,
    DataSet,
    DemoResult,
    Kills,
    Lap,
    Progress,
    Snapshot,
    Wrong,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blockpool import Pool
    from blockpool.cli.files import Piece, Selection
    from blockpool.cli.ways import Way
    from blockpool.report.results import Settings

__all__ = ["Comparison", "quickest_hash"]

# Fewer laps than this make no median. A lap should be long beside what begins and ends it.
LEAST_LAPS = 3
LAP_BYTES = 256 << 20
# With `kill`: so many workers in each lap.
KILLS = 4


def quickest_hash() -> str:
    """Return the hash function of hashlib that takes least time here.

    The work has to be real and its result easy to check, but light: under SHA-512 all hand-offs would look alike.
    Where the processor has instructions for SHA-256, that takes half the time of BLAKE2, elsewhere twice.
    """
    data = bytes(1 << 20)

    def seconds(name: str) -> float:
        times = []
        for _ in range(5):
            began = perf_counter()
            hashlib.new(name, data)
            times.append(perf_counter() - began)
        return min(times)

    return min(("sha256", "blake2b"), key=seconds)


class Comparison:
    """All ways in turn, for so many seconds; `run` is called once.

    `watch` is called after every message, with a function that says how far it is. It may raise KeyboardInterrupt;
    nothing of the demo is left over then.
    """

    def __init__(
        self,
        pool: Pool,
        selection: Selection,
        settings: Settings,
        seconds: float,
        watch: Callable[[Callable[[], Progress]], None],
    ) -> None:
        self._pool = pool
        self._selection = selection
        self._settings = settings
        self._seconds = seconds
        self._watch = watch
        self._messages = pack(selection.files, settings.block_size)
        passes = max(1, round(min(seconds, 1.0) * LAP_BYTES / selection.nbytes))
        self._lap = self._messages * passes
        self.data = DataSet(
            files=len(selection.files),
            nbytes=selection.nbytes,
            messages=len(self._messages),
            passes=passes,
            omitted=selection.omitted,
        )
        ways: list[Way] = [ThroughPool(pool)]
        if (
            not settings.kill
        ):  # a worker that dies with a Queue's bytes or a SharedMemory is another story
            ways += [ThroughQueue(), ThroughSharedMemory()]
        self._ways = ways
        self._laps: dict[str, list[Lap]] = {
            name: [] for name in (*(way.name for way in ways), LOOP)
        }
        self._digests: dict[str, dict[Piece, set[bytes]]] = {
            name: defaultdict(set) for name in self._laps
        }
        self._random = random.Random()  # noqa: S311 - chance, not secrets
        self._kills = Kills()
        self._busy: Snapshot | None = None
        self._doing, self._share = "warming up", 0.0

    def run(self) -> DemoResult:
        """Run laps until the time is over, compare all digests, and audit the pool."""
        crew = Crew(
            self._pool,
            self._settings.workers,
            self._settings.blocks // self._settings.workers,
            self._settings.algorithm,
        )
        done = False
        try:
            self._round(crew, 0)
            for laps in self._laps.values():
                laps.clear()
            began = perf_counter()
            number = 0
            while number < LEAST_LAPS or perf_counter() - began < self._seconds:
                number += 1
                self._doing = f"round {number}"
                share = (perf_counter() - began) / self._seconds if self._seconds else 1.0
                self._share = min(1.0, max(share, 0.0))
                self._round(crew, number)
            done = True
        finally:
            crew.close(kill=not done)
            for way in self._ways:
                way.close()
        return self._verdict()

    # ---- laps ------------------------------------------------------------------------------------

    def _round(self, crew: Crew, number: int) -> None:
        """Run a lap of each way, another one first than in the round before."""
        turns: list[Way | None] = [*self._ways, None]
        first = number % len(turns)
        for way in turns[first:] + turns[:first]:
            self._tell(way.name if way else LOOP)
            lap = self._hand_over(crew, way) if way else self._loop()
            self._laps[way.name if way else LOOP].append(lap)

    def _hand_over(self, crew: Crew, way: Way) -> Lap:
        """Send all messages to workers in one way, and take their answers."""
        kill = self._settings.kill
        victims = (
            set(self._random.sample(range(len(self._lap)), min(KILLS, len(self._lap))))
            if kill
            else set()
        )
        digests = self._digests[way.name]
        before = [] if kill else [usage(), *crew.usages()]
        began = perf_counter()
        number = 0
        while number < len(self._lap) or crew.busy:
            while number < len(self._lap) and (seat := crew.free()) is not None:
                message = self._lap[number]
                payload = way.pack(message)
                seat.send(Job(number, payload, tuple(piece.nbytes for piece in message)))
                if number in victims:
                    self._kill(crew)
                number += 1
                if (
                    self._busy is None
                    and isinstance(way, ThroughPool)
                    and 2 * number > len(self._lap)
                ):
                    self._busy = self._snapshot()
            for job, answer in crew.answers():
                way.done(job.payload)
                for piece, digest in zip(self._lap[job.number], answer.digests, strict=True):
                    digests[piece].add(digest)
            self._tell(way.name)
        seconds = perf_counter() - began
        after = [] if kill else [usage(), *crew.usages()]
        return self._measured(seconds, before, after)

    def _loop(self) -> Lap:
        """Do the same work in this process: one buffer, nothing handed over."""
        digests = self._digests[LOOP]
        before = [usage()]
        began = perf_counter()
        with memoryview(bytearray(self._settings.block_size)) as buffer:
            for message in self._lap:
                fill(buffer, message)
                lengths = tuple(piece.nbytes for piece in message)
                found = digests_of(buffer, lengths, self._settings.algorithm)
                for piece, digest in zip(message, found, strict=True):
                    digests[piece].add(digest)
                self._tell(LOOP)
        return self._measured(perf_counter() - began, before, [usage()])

    def _measured(self, seconds: float, before: Sequence[Usage], after: Sequence[Usage]) -> Lap:
        """Return the lap that these processes have run."""
        nbytes = self._selection.nbytes * self.data.passes
        if not before:
            return Lap(nbytes, seconds)
        pairs = list(zip(before, after, strict=True))
        moved = sum(end.moved - begin.moved for begin, end in pairs)
        return Lap(
            nbytes,
            seconds,
            faults=sum(end.faults - begin.faults for begin, end in pairs),
            cpu=sum(end.seconds - begin.seconds for begin, end in pairs),
            moved=moved or None,  # without /proc/self/io nobody knows
        )

    def _kill(self, crew: Crew) -> None:
        """Kill a worker that has something to do."""
        seats = [seat for seat in crew.seats if seat.jobs and not seat.killed]
        if seats:
            seat = self._random.choice(seats)
            seat.kill()
            self._kills = Kills(self._kills.killed + 1, self._kills.again + len(seat.jobs))

    # ---- what is told ----------------------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._pool.blocks, tuple(self._pool.runs()))

    def _contestants(self) -> tuple[Contestant, ...]:
        return tuple(Contestant(name, tuple(laps)) for name, laps in self._laps.items())

    def _tell(self, running: str | None) -> None:
        self._watch(
            lambda: Progress(
                self._doing,
                self._share,
                running,
                self._contestants(),
                self._snapshot(),
                self._kills,
            )
        )

    # ---- the end ---------------------------------------------------------------------------------

    def _verdict(self) -> DemoResult:
        """Compare the digests, and audit the pool."""
        self._doing, self._share = "comparing with hashlib", 1.0
        wrong: list[Wrong] = []
        skipped = list(self._selection.skipped)
        compared = 0
        pieces: dict[File, list[Piece]] = defaultdict(list)
        for message in self._messages:
            for piece in message:
                pieces[piece.file].append(piece)
        for file, cut in pieces.items():
            self._tell(None)
            try:
                right = _digests(file, cut, self._settings.algorithm)
            except Unreadable as error:
                skipped.append(error.skipped)
                continue
            for name, found in self._digests.items():
                compared += len(cut)
                if any(found[piece] != {digest} for piece, digest in zip(cut, right, strict=True)):
                    wrong.append(Wrong(file.path, name))
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
            settings=self._settings,
            data=self.data,
            contestants=self._contestants(),
            compared=compared,
            wrong=tuple(wrong),
            skipped=tuple(skipped),
            busy=self._busy or end,
            end=end,
            allocations=stats.allocations,
            frees=stats.frees,
            problems=tuple(problems),
            kills=self._kills,
        )


def _digests(file: File, pieces: Sequence[Piece], algorithm: str) -> list[bytes]:
    """Hash a file plainly, as anybody would: read it from its beginning, with Python's own open()."""
    try:
        with Path(file.path).open("rb") as opened:
            digests = [
                hashlib.new(algorithm, opened.read(piece.nbytes)).digest() for piece in pieces
            ]
            if File.of(file.path, os.fstat(opened.fileno())) != file:
                raise Unreadable(file.path, "changed while the demo ran")
    except OSError as error:
        raise Unreadable(file.path, reason(error)) from error
    return digests
