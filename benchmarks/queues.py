"""What does a message cost through a queue of a pool: in one process, to one that spins, to one that sleeps, to many?

"one way" is half of there and back where both spin, each on a processor of its own; most of that is the time that
memory takes from one processor to the other ("a cache line" in core/bench/bench_queues.c). Where the receiver sleeps,
both read the same clock, right before `put` and right after `get`; the sender rests for a moment before each message,
so that the receiver sleeps. The limit in absolute time holds where two uncontended locked instructions take 10 ns, and
is scaled by what they take in the same pair. A block is of 1 MiB, and is not written; small messages are 32 bytes.

"idle" is the processor time of four receivers that wait for a message, over some seconds.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import importlib.metadata
import multiprocessing
import os
import queue as standard
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure
import hand_off

import blockpool

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1 << 20
SMALL = bytes(32)
ROUND_TRIPS = 300
WAKES = 25  # messages to a receiver that sleeps, for one pair
SETTLE = 0.0005  # seconds until a receiver surely sleeps
SENDERS = RECEIVERS = 4
CROWD = 8000  # messages of all senders together, for one pair
CROWD_PAIRS = 9
FANNED_OUT = 2000  # messages of a topic, for one pair
MESSAGES = int(os.environ.get("BENCH_MESSAGES", "1000000"))  # of which the latency is shown
IDLE_SECONDS = 10.0

processes = multiprocessing.get_context("spawn")
clock = time.perf_counter_ns


def own_pool() -> blockpool.Pool:
    """Make a pool of some blocks of 1 MiB."""
    return blockpool.Pool.create(MEGABYTE, 8, prefault=True)


# --- in one process ---


def alone() -> list[_measure.Comparison]:
    """Compare putting and getting with 1 µs, scaled, and a thread's queue."""
    pool = own_pool()
    names: dict[str, Any] = {"queue": pool.queue(), "block": pool.allocate(), "small": SMALL, "other": standard.Queue()}
    names["array"] = pool.zeros(MEGABYTE, "u1")
    locked = _measure.locked_pair()
    ours, limits = [], []
    for _ in range(_measure.PAIRS):
        limits.append(_measure.scaled(1000, locked))
        ours.append(_measure.compare("", "queue.put(block); queue.get()", "pass", names, pairs=1).ours_ns)
    beside = {"peer_name": "32 bytes, queue.Queue"}
    other = "other.put(small); other.get()"
    return [
        _measure.of_pairs("put and get a block, one process", ours, "1 µs, scaled", limits, limit=1),
        _measure.compare("  32 bytes", "queue.put(small); queue.get()", other, names, **beside),
        _measure.compare("  an array of the pool", "queue.put(array); queue.get()", other, names, **beside),
        _measure.compare("  a number", "queue.put(1); queue.get()", "other.put(1); other.get()", names,
                         peer_name="a number, queue.Queue"),
    ]  # fmt: skip


# --- there and back, both spin ---


def answer(there: Any, back: Any) -> None:
    """Answer every message until None comes."""
    while (message := there.get()) is not None:
        del message
        back.put(SMALL)


class Spinning:
    """A receiver behind two queues of a pool; both sides spin."""

    def __init__(self, pool: blockpool.Pool) -> None:
        self.there, self.back = pool.queue(spin=1), pool.queue(spin=1)
        self.process = processes.Process(target=answer, args=(self.there, self.back))
        self.process.start()

    def round_trip(self, message: object) -> None:
        """Send, and await the answer."""
        self.there.put(message)
        self.back.get()

    def end(self) -> None:
        """Have the receiver end."""
        self.there.put(None)
        self.process.join()


def spinning() -> list[_measure.Comparison]:
    """Compare with iceoryx2's polling hand-off, which has a limit, one way."""
    if not _measure.peer("iceoryx2"):
        return []
    pool = own_pool()
    block, link, other = pool.allocate(), Spinning(pool), hand_off.Iceoryx2(MEGABYTE)
    link.round_trip(block)
    other.round_trip(MEGABYTE)
    mine = os.sched_getaffinity(0)
    here, there = min(mine), max(mine)
    os.sched_setaffinity(0, {here})
    for process in (link.process, other.process):
        os.sched_setaffinity(process.pid or 0, {there})
    calls = lambda: link.round_trip(block), lambda: other.round_trip(MEGABYTE), lambda: link.round_trip(SMALL)
    took: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(_measure.PAIRS):
        for call, times in zip(calls, took, strict=True):
            times.append(_measure.quickest(call, ROUND_TRIPS) / 2)
    os.sched_setaffinity(0, mine)
    link.end()
    other.end()
    peer = "iceoryx2, polling, 1 MiB"
    return [
        _measure.of_pairs("block, one way, both spin", took[0], peer, took[1], limit=3, faster=True),
        _measure.of_pairs("  32 bytes", took[2], peer, took[1], faster=True),
    ]


# --- one way, the receiver sleeps ---


def note_arrivals(get: Callable[[], Any], board: Any) -> None:
    """Write the time of each arrival to the board, and then how many there were."""
    while get() is not None:
        board[0] = clock()
        board[1] += 1


def note_from_queue(queue: Any, board: Any) -> None:
    """Note what comes through a queue."""
    note_arrivals(queue.get, board)


def note_from_pipe(pipe: Any, board: Any) -> None:
    """Note what comes through a pipe."""
    note_arrivals(pipe.recv, board)


def note_from_kickmsg(name: str, board: Any) -> None:
    """Note what comes through kickmsg."""
    kickmsg = _measure.peer("kickmsg")
    region = kickmsg.SharedRegion.open(name)
    subscriber = kickmsg.Subscriber(region)
    forever = dt.timedelta(seconds=60)
    board[1] = 1

    def get() -> Any:
        received = subscriber.receive_view(forever)
        return received if len(received) > 1 else None

    note_arrivals(get, board)


class OneWay:
    """A receiver that sleeps until a message comes."""

    def __init__(
        self, name: str, target: Callable[..., None], end: Any, send: Callable[[Any], None], message: object
    ) -> None:
        self.name, self.send, self.message = name, send, message
        self.board = processes.RawArray(ctypes.c_int64, 2)
        self.process = processes.Process(target=target, args=(end, self.board))
        self.process.start()

    def measure(self) -> float:
        """Send the message; return how long it was under way, nanoseconds."""
        time.sleep(SETTLE)
        before, count = clock(), self.board[1]
        self.send(self.message)
        while self.board[1] == count:
            time.sleep(1e-5)
        return float(self.board[0] - before)

    def end(self) -> None:
        """Have the receiver end."""
        self.send(None)
        self.process.join()


class Kickmsg(OneWay):
    """A receiver that sleeps in kickmsg's blocking receive."""

    def __init__(self) -> None:
        kickmsg = _measure.peer("kickmsg")
        config = kickmsg.Config()
        config.max_subscribers, config.sub_ring_capacity, config.pool_size = 1, 4, 16
        config.max_payload_size = MEGABYTE
        name = f"/blockpool-bench-{os.getpid()}"
        self.region = kickmsg.SharedRegion.create(name, kickmsg.ChannelType.PubSub, config)
        self.publisher = kickmsg.Publisher(self.region)
        super().__init__("kickmsg, 1 MiB", note_from_kickmsg, name, self.publish, SMALL)
        while self.board[1] == 0:
            time.sleep(0.01)

    def publish(self, message: object) -> None:
        """Publish 1 MiB that is not written; one byte ends."""
        self.publisher.allocate().publish(MEGABYTE if message else 1)

    def end(self) -> None:
        """Have the receiver end."""
        super().end()
        self.region.unlink()


def asleep() -> list[_measure.Comparison]:
    """Compare with a message of 32 bytes through a Pipe and with kickmsg."""
    pool = own_pool()
    block, for_block, for_small = pool.allocate(), pool.queue(spin=0), pool.queue(spin=0)
    reading, writing = processes.Pipe(duplex=False)
    links = [
        OneWay("a block", note_from_queue, for_block, for_block.put, block),
        OneWay("32 bytes", note_from_queue, for_small, for_small.put, SMALL),
        OneWay("32 bytes, Pipe", note_from_pipe, reading, writing.send, SMALL),
    ]
    if _measure.peer("kickmsg"):
        links.append(Kickmsg())
    for link in links:
        link.measure()
    took: dict[str, list[float]] = {link.name: [] for link in links}
    for _ in range(_measure.PAIRS):
        turns: dict[str, list[float]] = {link.name: [] for link in links}
        for _ in range(WAKES):
            for link in random.sample(links, len(links)):  # as the one before may have warmed up what it needs
                turns[link.name].append(link.measure())
        for name, turn in turns.items():
            took[name].append(statistics.median(turn))
    for link in links:
        link.end()
    what = "a block, one way, asleep"
    rows = [_measure.of_pairs(what, took["a block"], link.name, took[link.name], limit=0.5) for link in links[2:]]
    rows.append(_measure.of_pairs("  32 bytes", took["32 bytes"], links[2].name, took[links[2].name]))
    return rows


# --- a crowd ---


def send_many(queue: Any, pipe: Any) -> None:
    """Each time a number comes, send so many small messages, and an empty one."""
    while (count := pipe.recv()) is not None:
        put = queue.put
        for _ in range(count):
            put(SMALL)
        put(b"")


def receive_many(queue: Any, pipe: Any) -> None:
    """Each time a number comes, receive until an empty message comes, and say so."""
    while pipe.recv() is not None:
        get = queue.get
        while get():
            pass
        pipe.send("done")


def receive_at_once(queue: Any, pipe: Any) -> None:
    """Do the same with faster-fifo's get_many."""
    while pipe.recv() is not None:
        ends = 0
        while not ends:
            ends = sum(not message for message in queue.get_many())
        for _ in range(ends - 1):  # those of other receivers
            queue.put(b"")
        pipe.send("done")


class Crowd:
    """Four senders and four receivers of one queue."""

    def __init__(self, name: str, queue: Any, receiver: Callable[..., None] = receive_many) -> None:
        self.name, self.pipes, self.processes = name, [], []
        self.queue = queue  # the semaphores of multiprocessing's last as long as this one
        for target in [send_many] * SENDERS + [receiver] * RECEIVERS:
            ours, theirs = processes.Pipe()
            self.pipes.append(ours)
            self.processes.append(processes.Process(target=target, args=(queue, theirs)))
            self.processes[-1].start()

    def run(self) -> float:
        """Have all messages sent and received; return nanoseconds a message."""
        before = clock()
        for pipe in self.pipes:
            pipe.send(CROWD // SENDERS)
        for pipe in self.pipes[SENDERS:]:
            assert pipe.recv() == "done"
        return (clock() - before) / CROWD

    def end(self) -> None:
        """Have all end."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(None)
            process.join()


def crowds() -> list[_measure.Comparison]:
    """Compare four senders and four receivers with multiprocessing.Queue and faster-fifo."""
    pool = own_pool()
    kinds = [Crowd("pool.queue", pool.queue(capacity=1024)), Crowd("multiprocessing.Queue", processes.Queue(1024))]
    if module := _measure.peer("faster_fifo"):
        kinds.append(Crowd("faster-fifo", module.Queue(1 << 16)))
        kinds.append(Crowd("faster-fifo, get_many", module.Queue(1 << 16), receive_at_once))
    took: list[list[float]] = [[] for _ in kinds]
    for kind in kinds:
        kind.run()
    for _ in range(CROWD_PAIRS):
        for kind, times in zip(kinds, took, strict=True):
            times.append(kind.run())
    for kind in kinds:
        kind.end()
    what, limits = "32 bytes, 4 senders, 4 receivers", (None, 5, 2, None)
    return [
        _measure.of_pairs(what, took[0], kinds[i].name, took[i], limit=limits[i], faster=True)
        for i in range(1, len(kinds))
    ]


# --- one message for all ---


def read_all(topic: Any, pipe: Any) -> None:
    """Read a topic: each time a message comes, until an empty one does, and say so."""
    reader = topic.subscribe(wait=True, start="now")
    pipe.send("ready")
    while pipe.recv() is not None:
        while reader.get():
            pass
        pipe.send("done")


class FanOut:
    """Four readers that all get all."""

    def __init__(self, target: Callable[..., None], ends: list[Any], put: Callable[[bytes], None]) -> None:
        self.ends, self.put, self.pipes, self.processes = ends, put, [], []
        for end in ends:
            ours, theirs = processes.Pipe()
            self.pipes.append(ours)
            self.processes.append(processes.Process(target=target, args=(end, theirs)))
            self.processes[-1].start()

    def run(self) -> float:
        """Publish messages, which all read; return nanoseconds a message."""
        for pipe in self.pipes:
            pipe.send("begin")
        before = clock()
        for _ in range(FANNED_OUT):
            self.put(SMALL)
        self.put(b"")
        for pipe in self.pipes:
            assert pipe.recv() == "done"
        return (clock() - before) / FANNED_OUT

    def end(self) -> None:
        """Have the readers end."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(None)
            process.join()


def fan_out() -> list[_measure.Comparison]:
    """Compare a topic with four queues of multiprocessing; and a latest value with an array that has a lock."""
    pool = own_pool()
    topic, queues = pool.topic(history=64), [processes.Queue(64) for _ in range(RECEIVERS)]
    ours = FanOut(read_all, [topic] * RECEIVERS, topic.publish)
    for pipe in ours.pipes:
        assert pipe.recv() == "ready"
    other = FanOut(receive_many, queues, lambda message: [queue.put(message) for queue in queues] and None)
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(CROWD_PAIRS + 1):
        pair = ours.run(), other.run()
        if number:  # the first is that of processes that begin
            took[0].append(pair[0])
            took[1].append(pair[1])
    ours.end()
    other.end()
    names = {"latest": pool.latest(), "array": processes.Array("c", len(SMALL)), "small": b"x" * len(SMALL)}
    return [
        _measure.of_pairs("32 bytes that 4 read, a topic", took[0], "4 multiprocessing.Queues", took[1], faster=True),
        _measure.compare(
            "set and get a latest value, 32 bytes", "latest.set(small); latest.get()",
            "array.value = small; array.value", names, peer_name="multiprocessing.Array", faster=True,
        ),
    ]  # fmt: skip


# --- how late the latest are ---


def note_delays(get: Callable[[], Any], answer: Callable[[Any], None], count: int, board: Any) -> None:
    """Write to the board how long each message was under way."""
    for number in range(count):
        message = get()
        board[number] = clock() - int.from_bytes(message, "little")
        answer(SMALL)


def note_delays_of_queue(there: Any, back: Any, count: int, board: Any) -> None:
    """Note those that come through a queue."""
    note_delays(there.get, back.put, count, board)


def note_delays_of_pipe(there: Any, back: Any, count: int, board: Any) -> None:
    """Note those that come through a pipe."""
    note_delays(there.recv, back.send, count, board)


def delays(
    target: Callable[..., None], ends: tuple[Any, Any], put: Callable[[Any], None], get: Callable[[], Any]
) -> str:
    """Send messages one after the other, as soon as one is answered; return how late they were, as text."""
    board = processes.RawArray(ctypes.c_int64, MESSAGES)
    process = processes.Process(target=target, args=(*ends, MESSAGES, board))
    process.start()
    for _ in range(MESSAGES):
        put(clock().to_bytes(8, "little"))
        get()
    process.join()
    late = sorted(board)
    shares = ((f"p{share:g}", late[int(len(late) * share / 100)]) for share in (50, 99, 99.9))
    return ", ".join(f"{name} {ns / 1e3:.1f} µs" for name, ns in shares) + f", most {late[-1] / 1e6:.1f} ms"


def latencies() -> dict[str, str]:
    """Return the latency of small messages through queues and a pipe, in words."""
    pool = own_pool()
    found = {}
    for name, spin in (("as it is", None), ("both spin", 1), ("none spins", 0)):
        there, back = pool.queue(spin=spin), pool.queue(spin=spin)
        found[f"pool.queue, {name}"] = delays(note_delays_of_queue, (there, back), there.put, back.get)
    there, back = processes.Queue(), processes.Queue()
    found["multiprocessing.Queue"] = delays(note_delays_of_queue, (there, back), there.put, back.get)
    (their_reader, writer), (reader, their_writer) = processes.Pipe(duplex=False), processes.Pipe(duplex=False)
    found["Pipe"] = delays(note_delays_of_pipe, (their_reader, their_writer), writer.send, reader.recv)
    return found


# --- idle ---


def wait_for_one(queue: Any, ready: Any) -> None:
    """Wait for a message."""
    ready.send(None)
    queue.get()


def processor_time(pid: int) -> int:
    """Return the nanoseconds that a process has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def idle() -> dict[str, str]:
    """Return the processor time of receivers that wait, in words."""
    found = {}
    for name, queue in (("pool.queue", own_pool().queue()), ("multiprocessing.Queue", processes.Queue())):
        mine, theirs = processes.Pipe()
        receivers = [processes.Process(target=wait_for_one, args=(queue, theirs)) for _ in range(RECEIVERS)]
        for receiver in receivers:
            receiver.start()
        for _ in receivers:
            mine.recv()
        time.sleep(1)
        pids = [receiver.pid for receiver in receivers if receiver.pid]
        before = sum(map(processor_time, pids))
        time.sleep(IDLE_SECONDS)
        took = sum(map(processor_time, pids)) - before
        for _ in receivers:
            queue.put(None)
        for receiver in receivers:
            receiver.join()
        found[name] = f"{took / 1e6:.2f} ms in {IDLE_SECONDS:g} s, of {RECEIVERS} that wait"
    return found


def main() -> None:
    """Measure what was asked for, or everything, and print the table."""
    asked = sys.argv[1:] or ["alone", "spinning", "asleep", "crowds", "fan_out", "latencies", "idle"]
    rows: list[_measure.Comparison] = []
    facts: dict[str, str] = {}
    tables = {"alone": alone, "spinning": spinning, "asleep": asleep, "crowds": crowds, "fan_out": fan_out}
    for name in asked:
        if name in tables:
            rows += tables[name]()
    if "latencies" in asked:
        facts |= {f"latency of {MESSAGES:,} small messages, {name}": text for name, text in latencies().items()}
    if "idle" in asked:
        facts |= {f"processor time while idle, {name}": text for name, text in idle().items()}
    for peer in ("iceoryx2", "kickmsg", "faster-fifo"):
        try:
            facts[peer] = importlib.metadata.version(peer)
        except importlib.metadata.PackageNotFoundError:
            continue
    _measure.report("A message through a queue", rows, facts)


if __name__ == "__main__":
    main()
