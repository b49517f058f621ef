"""How long does it take to hand megabytes to another process, and to get a short answer?

The receiver is a process of its own, has the pool, and answers each message with a short one. A block is written once,
outside of what is timed, unless the line says that each message has a block of its own. "looked at" means that the
receiver reads a byte of every page, and checks it. "array" is one that is in the pool already, sent after
blockpool.multiprocessing.install. "newcomer" is a receiver that does not keep the pool, so that it
attaches for every message. The floor is a message of 32 bytes, there and back, over the same Queue or Pipe,
without `install`. The other floor is an object that has nothing but as many fields as a block: its pickle names a
function too, which pickle looks up on both sides.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import time
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import _measure

import blockpool
import blockpool.multiprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
FLOOR = bytes(32)
ANSWER = b"had it"
POLLS = 10**8
ROUND_TRIPS = 50

processes = multiprocessing.get_context("spawn")


MARKS = bytes(i % 251 for i in range((64 << 20) // PAGE))  # what a byte of every page is to be


class Opened:
    """A SharedMemory in flight: its name."""

    def __init__(self, name: str) -> None:
        self.name = name


def nothing(*fields: object) -> bool:
    """Return what is not None."""
    return not fields


class Nothing:
    """An object with as many fields as a block."""

    def __reduce__(self) -> tuple[Any, ...]:
        return nothing, (bytes(16), 0, 1, 12345, None, 1 << 20, False)


def look(message: Any) -> None:
    """Read a byte of every page."""
    memory = message if isinstance(message, bytes) else message.buf
    size = len(memory)
    assert bytes(memory[::PAGE]) == MARKS[: size // PAGE]


def receive(get: Callable[[], Any], put: Callable[[Any], None]) -> None:
    """Answer every message until None comes; look at those that come in a tuple."""
    while (message := get()) is not None:
        if isinstance(message, tuple):
            look(message[0])
        elif isinstance(message, Opened):
            memory = SharedMemory(message.name)
            look(memory)
            memory.close()
        del message
        put(ANSWER)


def receive_from_queue(there: Any, back: Any, pool: blockpool.Pool | None) -> None:
    """Run as the receiver of a Queue."""
    receive(there.get, back.put)
    del pool


def receive_from_pipe(pipe: Any, pool: blockpool.Pool | None) -> None:
    """Run as the receiver of a Pipe."""
    receive(pipe.recv, pipe.send)
    del pool


class Queues:
    """A receiver behind two Queues."""

    name = "Queue"

    def __init__(self, pool: blockpool.Pool | None) -> None:
        self.start(processes.Queue(), processes.Queue(), pool)

    def start(self, there: Any, back: Any, pool: blockpool.Pool | None) -> None:
        """Start the receiver."""
        self.there, self.back = there, back
        self.process = processes.Process(target=receive_from_queue, args=(there, back, pool))
        self.process.start()

    def round_trip(self, message: object) -> None:
        """Send, and await the answer."""
        self.there.put(message)
        assert self.back.get() == ANSWER

    def end(self) -> None:
        """Have the receiver end."""
        self.there.put(None)
        self.process.join()


class Pipes:
    """A receiver behind a Pipe."""

    name = "Pipe"

    def __init__(self, pool: blockpool.Pool | None) -> None:
        self.pipe, other = processes.Pipe()
        self.process = processes.Process(target=receive_from_pipe, args=(other, pool))
        self.process.start()

    def round_trip(self, message: object) -> None:
        """Send, and await the answer."""
        self.pipe.send(message)
        assert self.pipe.recv() == ANSWER

    def end(self) -> None:
        """Have the receiver end."""
        self.pipe.send(None)
        self.process.join()


class FasterFifo(Queues):
    """A receiver behind two queues of faster-fifo, which have room for four messages."""

    def __init__(self, size: int) -> None:
        module = _measure.peer("faster_fifo")
        self.start(module.Queue(4 * size + (1 << 16)), module.Queue(1 << 16), None)


def shared_memory(link: Queues | Pipes, size: int) -> None:
    """Hand over a new SharedMemory, written here and read there."""
    memory = SharedMemory(create=True, size=size)
    assert memory.buf is not None
    memory.buf[::PAGE] = MARKS[: size // PAGE]
    link.round_trip(Opened(memory.name))
    memory.close()
    memory.unlink()


def own_block(link: Queues | Pipes, pool: blockpool.Pool, size: int) -> None:
    """Hand over a new block, written here and read there."""
    with pool.allocate() as block:
        block.buf[::PAGE] = MARKS[: size // PAGE]
        link.round_trip((block,))


def sent_array(link: Queues | Pipes, pool: blockpool.Pool, size: int, limit: float | None) -> _measure.Comparison:
    """Compare an array of the pool, with install, with a message of 32 bytes, without."""
    array = pool.zeros(size, "u1")
    ours, floor = [], []
    for _ in range(_measure.PAIRS):
        blockpool.multiprocessing.install(pool)
        ours.append(_measure.quickest(lambda: link.round_trip(array), ROUND_TRIPS))
        blockpool.multiprocessing.uninstall()
        floor.append(_measure.quickest(lambda: link.round_trip(FLOOR), ROUND_TRIPS))
    what = f"{size >> 20} MiB array, {link.name}"
    return _measure.of_pairs(what, ours, f"32 bytes, {link.name}", floor, limit=limit)


def through(kind: type[Queues | Pipes], size: int) -> list[_measure.Comparison]:
    """Compare what goes through one kind of link."""
    label = f"{size >> 20} MiB"
    pool = blockpool.Pool.create(size, 4, prefault=True)
    link = kind(pool)
    block = pool.allocate()
    block.buf[:] = bytes(size)
    block.buf[::PAGE] = MARKS[: size // PAGE]
    data = bytes(block.buf)
    names = {
        "link": link,
        "block": block,
        "seen": (block,),
        "data": data,
        "FLOOR": FLOOR,
        "pool": pool,
        "size": size,
        "nothing": Nothing(),
        "own_block": own_block,
        "shared_memory": shared_memory,
    }
    ours, floor = "link.round_trip(block)", f"32 bytes, {link.name}"
    sent = f"{label} block, {link.name}"
    own = "own_block(link, pool, size)"
    limit = 1.2 if size == 8 << 20 else None
    rows = [
        sent_array(link, pool, size, limit),
        _measure.compare(sent, ours, "link.round_trip(FLOOR)", names, peer_name=floor, limit=limit),
        _measure.compare(
            sent, ours, "link.round_trip(nothing)", names, peer_name=f"an object of 7 fields, {link.name}"
        ),
        _measure.compare(
            f"{sent}, looked at",
            "link.round_trip(seen)",
            "link.round_trip(FLOOR)",
            names,
            peer_name=floor,
        ),
        _measure.compare(
            f"{sent}, looked at", "link.round_trip(seen)", "link.round_trip((data,))", names,
            peer_name="pickled bytes, looked at", faster=True,
        ),
        _measure.compare(
            f"{sent} of its own, looked at", own, "shared_memory(link, size)", names,
            peer_name="SharedMemory of its own", faster=True,
        ),
    ]  # fmt: skip
    link.end()
    return rows


def newcomers(kind: type[Queues | Pipes], size: int) -> list[_measure.Comparison]:
    """Compare a receiver that attaches for every block with one that has the pool, and with 32 bytes."""
    rows = []
    for name in (None, f"hand-off-{os.getpid()}"):
        with blockpool.Pool.create(size, 4, name=name, prefault=True) as pool, pool.allocate() as block:
            link, newcomer = kind(pool), kind(None)
            names = {"link": link, "newcomer": newcomer, "block": block, "FLOOR": FLOOR}
            what = f"{size >> 20} MiB block, {link.name}, newcomer{', named pool' if name else ''}"
            for peer, peer_name in (
                ("link.round_trip(block)", "one that has the pool"),
                ("newcomer.round_trip(FLOOR)", f"32 bytes, {link.name}"),
            ):
                rows.append(_measure.compare(what, "newcomer.round_trip(block)", peer, names, peer_name=peer_name))
            link.end()
            newcomer.end()
    return rows


# --- iceoryx2 ---


def iceoryx2_ends(size: int, there: str, back: str) -> tuple[Any, ...]:
    """Return what keeps them alive, a publisher of up to `size` bytes and a subscriber."""
    iceoryx2 = _measure.peer("iceoryx2")
    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    services = [
        node.service_builder(iceoryx2.ServiceName.new(name))
        .publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
        .open_or_create()
        for name in (there, back)
    ]
    publisher = services[0].publisher_builder().initial_max_slice_len(size).create()
    return node, services, publisher, services[1].subscriber_builder().create()


def poll(subscriber: Any) -> Any:
    """Return the next sample."""
    for _ in range(POLLS):
        sample = subscriber.receive()
        if sample is not None:
            return sample
    raise TimeoutError


def receive_from_iceoryx2(pipe: Any, there: str, back: str) -> None:
    """Answer every sample until one of a single byte comes."""
    *kept, publisher, subscriber = iceoryx2_ends(64, back, there)
    pipe.send("ready")
    while True:
        sample = poll(subscriber)
        ends = sample.payload().number_of_elements == 1
        del sample
        if ends:
            break
        publisher.loan_slice_uninit(32).assume_init().send()
    del kept


class Iceoryx2:
    """A receiver behind two services of iceoryx2; both sides poll without a pause."""

    def __init__(self, size: int) -> None:
        there, back = (f"blockpool/bench/{os.getpid()}/{size}/{way}" for way in ("there", "back"))
        *self.kept, self.publisher, self.subscriber = iceoryx2_ends(size, there, back)
        self.pipe, other = processes.Pipe()
        self.process = processes.Process(target=receive_from_iceoryx2, args=(other, there, back))
        self.process.start()
        assert self.pipe.recv() == "ready"
        time.sleep(0.1)

    def round_trip(self, size: int) -> None:
        """Send a sample that is not written, and await the answer."""
        self.publisher.loan_slice_uninit(size).assume_init().send()
        poll(self.subscriber)

    def end(self) -> None:
        """Have the receiver end."""
        self.publisher.loan_slice_uninit(1).assume_init().send()
        self.process.join()


def beside_iceoryx2(size: int) -> list[_measure.Comparison]:
    """Compare a block through a Pipe with a sample of iceoryx2."""
    if not _measure.peer("iceoryx2"):
        return []
    pool = blockpool.Pool.create(size, 4, prefault=True)
    link, other = Pipes(pool), Iceoryx2(size)
    names = {"link": link, "other": other, "block": pool.allocate(), "size": size}
    row = _measure.compare(
        f"{size >> 20} MiB block, Pipe",
        "link.round_trip(block)",
        "other.round_trip(size)",
        names,
        peer_name="iceoryx2, polling",
    )
    link.end()
    other.end()
    return [row]


def beside_faster_fifo(size: int) -> list[_measure.Comparison]:
    """Compare a block through a Queue with pickled bytes through faster-fifo."""
    if not _measure.peer("faster_fifo"):
        return []
    pool = blockpool.Pool.create(size, 4, prefault=True)
    link, other = Queues(pool), FasterFifo(size)
    names = {"link": link, "other": other, "block": pool.allocate(), "data": bytes(size)}
    row = _measure.compare(
        f"{size >> 20} MiB block, Queue",
        "link.round_trip(block)",
        "other.round_trip(data)",
        names,
        peer_name="faster-fifo, pickled bytes",
        faster=True,
    )
    link.end()
    other.end()
    return [row]


def main() -> None:
    """Measure, and print the table."""
    rows = []
    for size in (1 << 20, 8 << 20, 64 << 20):
        rows += through(Queues, size) + through(Pipes, size)
        rows += newcomers(Queues, size) + newcomers(Pipes, size)
        rows += beside_iceoryx2(size) + beside_faster_fifo(size)
    _measure.report("Hand memory to another process, and get a short answer", rows)


if __name__ == "__main__":
    main()
