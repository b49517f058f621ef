"""Latest values: the newest one, always whole, whatever became of the process that set it."""

import gc
import os
import pickle
import queue as standard
import random
import select
import signal
import threading
import time

import numpy as np
import pytest

import blockpool as bp
from blockpool._core import room_used, writer_alive


@pytest.fixture
def latest(shared):
    """Make a latest value without a name; at the end, nothing may be left but the value."""
    made = shared.latest()
    empty = room_used(made)
    yield made
    if not made.closed:
        made.set(0)
        gc.collect()
        assert room_used(made) == empty + 256, made
    assert (shared.stats().allocated, shared.stats().tickets) == (0, 0)


@pytest.fixture
def pose(shared, peers):
    """Return a latest value named "pose", and a function that starts a peer which has it open too."""
    latest = shared.latest("pose")

    def start():
        peer = peers()
        peer(f"pool = bp.Pool.attach({shared.name!r}); latest = pool.latest('pose')")
        return peer

    return latest, start


# --- values ---
def test_the_newest_value(latest):
    """`get` returns what was set last, again and again."""
    for number in range(50):
        latest.set(number)
        assert (latest.get(), latest.get(), latest.position) == (number, number, number)
        sample = latest.read()
        assert (sample.value, sample.position, sample.process) == (number, number, os.getpid())
        assert 0 <= sample.age < 60
        assert 0 <= time.monotonic() - sample.sent < 60
    assert repr(latest) == "<blockpool.Latest, set 50 times>"
    assert repr(sample) == "<blockpool.Sample 49, 49>"


def test_before_it_is_set(latest):
    """Before it was ever set, `get` returns its default, or raises the standard library's Empty."""
    assert latest.get(None) is None
    assert latest.get(default=5) == 5
    assert latest.position is None
    for call in (latest.get, latest.read, lambda: latest.wait(timeout=0), lambda: latest.wait(timeout=0.01)):
        with pytest.raises(standard.Empty, match=r"was never set|was not set again") as caught:
            call()
        assert type(caught.value) is bp.QueueEmpty
    latest.set(None)
    assert latest.get(5) is None


VALUES = [
    b"",
    b"x" * 5000,
    None,
    (1.0, 2.0),
    list(range(5000)),
    np.arange(5),
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(10)[::2],
    np.zeros((3, 0)),
    np.array(3.5),
    np.array(["a", "bc"]),
    np.array([1, 2], "datetime64[s]"),
    np.array([(1, 2.5)], "i4,f8"),
    np.arange(2000, dtype="u2").astype(">u2"),
    np.arange(3980, dtype="u1"),
    np.arange(2500.0),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_all_kinds_of_values(latest, value):
    """`get` returns an equal value, and an array of the same type and order, which may be written if that could."""
    np.zeros(1)
    latest.pool.zeros(1)  # so that arrays are known
    for _ in range(3):
        latest.set(value)
        got = latest.get()
        if isinstance(value, np.ndarray):
            assert (got.dtype, got.shape, got.flags.writeable) == (value.dtype, value.shape, True)
            assert got.flags.c_contiguous == value.flags.c_contiguous or not value.flags.forc
            assert np.array_equal(got, value)
            got[...] = 0
            assert np.array_equal(latest.get(), value) or value.nbytes > 4096
        else:
            assert got == value
        del got


def test_small_arrays_that_may_not_be_written(latest):
    """A small array that is read-only arrives so."""
    latest.pool.zeros(1)
    value = np.arange(3)
    value.flags.writeable = False
    latest.set(value)
    assert not latest.get().flags.writeable


def test_blocks_and_arrays_of_the_pool(latest, shared):
    """A block or an array of the pool is passed on without a copy, and stays with who got it."""
    block = shared.allocate(nbytes=4)
    block.buf[:] = b"abcd"
    latest.set(block)
    got = latest.get()
    assert got.index == block.index
    block.release()
    array = shared.full(3, 9.0)
    latest.set(array)
    assert bytes(got.buf) == b"abcd"
    again = latest.get()
    array[1] = 5
    assert again.tolist() == [9, 5, 9]
    assert shared.stats().allocated == 2
    latest.set(0)
    assert again.tolist() == [9, 5, 9]


def test_a_value_that_cannot_be_set(latest, shared, pool):
    """What cannot be set leaves the value as it was, and nothing behind."""

    class Unlucky:
        def __reduce__(self):
            raise RuntimeError("no pickle")

    latest.set("old")
    used = room_used(latest), shared.stats().allocated
    released = shared.allocate()
    released.release()
    for make, error in (
        (lambda: [shared.zeros(3), Unlucky()], RuntimeError),
        (pool.allocate, bp.InvalidBlock),
        (lambda: released, bp.InvalidBlock),
        (lambda: lambda: None, (AttributeError, pickle.PicklingError)),
        (lambda: np.zeros(16 * 512 + 1), bp.PoolExhausted),
    ):
        with pytest.raises(error):
            latest.set(make())
        gc.collect()
        assert (latest.get(), latest.position) == ("old", 0)
        assert (room_used(latest), shared.stats().allocated) == used


def test_a_value_takes_room_for_two(latest):
    """The old value stays until the new one is there; without room for both, the new one is refused."""
    large = np.zeros(9 * 512)
    latest.set(large)
    with pytest.raises(bp.PoolExhausted):
        latest.set(large)
    assert latest.get().shape == large.shape
    gc.collect()
    latest.set(0)
    latest.set(large)


# --- waiting ---
@pytest.mark.parametrize("spin", [None, 0, 0.001])
def test_waiting_for_a_newer_value(shared, spin):
    """`wait` returns as soon as there is a newer value than the one that it is told."""
    latest = shared.latest(spin=spin)
    sample = None
    for number in range(6):
        timer = threading.Timer(0.005, latest.set, [number])
        timer.start()
        sample = latest.wait(newer_than=sample, timeout=60)
        timer.join()
        assert (sample.value, sample.position) == (number, number)
        assert latest.wait(number - 1 if number else None).value == number


def test_a_timeout_takes_its_time(latest):
    """A wait for a value that does not come ends after its timeout, not before and not much later."""
    latest.set(1)
    for newer_than in (latest.read(), 0, 17, 2**63 - 2):
        began = time.monotonic()
        with pytest.raises(standard.Empty, match="was not set again"):
            latest.wait(newer_than, timeout=0.1)
        assert 0.1 <= time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("newer_than", "error"), [(-1, ValueError), (2**63, ValueError), (1.5, TypeError), ("1", TypeError)]
)
def test_what_is_no_position(latest, newer_than, error):
    """A position is a whole number, at least 0; or a sample of the same latest value."""
    with pytest.raises(error, match="newer_than must be"):
        latest.wait(newer_than)
    with pytest.raises(error, match="newer_than must be"):
        latest.wait_async(newer_than)
    other = latest.pool.latest()
    other.set(1)
    with pytest.raises(ValueError, match="a sample of another"):
        latest.wait(other.read())


def test_closing_wakes_those_who_wait(latest):
    """A call that waits raises QueueClosed when another thread closes the object."""
    timer = threading.Timer(0.05, latest.close)
    timer.start()
    with pytest.raises(bp.QueueClosed):
        latest.wait()
    timer.join()


def test_a_descriptor_for_event_loops(latest):
    """The descriptor is readable when the value may have been set, until the value is asked for."""
    descriptor = latest.fileno()
    assert latest.get(None) is None
    assert select.select([descriptor], [], [], 0)[0] == []
    for number in range(3):
        latest.set(number)
        assert select.select([descriptor], [], [], 60)[0]
        assert latest.get() == number
        assert select.select([descriptor], [], [], 0)[0] == []


def test_tasks(latest):
    """Tasks wait for newer values without holding up the loop."""
    import asyncio

    async def main():
        got = []

        async def follow():
            sample = None
            while sample is None or sample.value < 20:
                sample = await latest.wait_async(sample, timeout=60)
                got.append(sample.value)

        task = asyncio.create_task(follow())
        for number in range(21):
            latest.set(number)
            await asyncio.sleep(0)
        await task
        with pytest.raises(bp.QueueEmpty):
            await latest.wait_async(latest.position, timeout=0.05)
        return got

    got = asyncio.run(main())
    assert got == sorted(set(got))
    assert got[-1] == 20


# --- names and bad arguments ---
def test_values_by_name(shared):
    """A value with a name stays until it is unlinked, unless it was made otherwise."""
    latest = shared.latest("a")
    assert (latest.name, latest.permanent) == ("a", True)
    latest.set(shared.full(2, 3.0))
    latest.close()
    assert shared.latest("a").get().tolist() == [3, 3]
    assert shared.latest("a", permanent=True).position == 0
    with pytest.raises(bp.NameTaken, match="permanent=True, not permanent=False"):
        shared.latest("a", permanent=False)
    shared.latest("a").unlink()
    gc.collect()
    assert shared.stats().allocated == 0
    passing = shared.latest("b", permanent=False)
    passing.set(1)
    assert shared.latest("b").permanent is False
    passing.close()
    gc.collect()
    assert shared.latest("b").position is None
    assert shared.latest().permanent is False


def test_names_of_another_kind(shared):
    """A name of a block, a queue or a topic is not a latest value's."""
    shared.keep("block", shared.allocate())
    kept = shared.queue("queue"), shared.topic("topic")
    for name in ("block", "queue", "topic"):
        with pytest.raises(bp.WrongKind, match=f"'{name}' is a {name} of .*, not a latest value"):
            shared.latest(name)
    assert len(kept) == 2
    shared.forget("block")


def test_after_close(latest):
    """All calls of a closed object raise QueueClosed; closing again does nothing."""
    latest.close()
    latest.close()
    assert latest.closed
    for call in (
        lambda: latest.set(1),
        latest.get,
        lambda: latest.get(1),
        latest.read,
        latest.wait,
        latest.fileno,
        latest.unlink,
        lambda: latest.position,
    ):
        with pytest.raises(bp.QueueClosed):
            call()
    assert repr(latest) == "<blockpool.Latest closed>"


def test_other_bad_arguments(latest, pool):
    """What cannot be is refused at once."""
    with pytest.raises(bp.NameNotFound, match="the latest value has no name"):
        latest.unlink()
    with pytest.raises(ValueError, match="needs a name"):
        latest.pool.latest(permanent=True)
    with pytest.raises(ValueError, match="private"):
        pool.latest("a")
    for kind in (bp.Latest, bp.Sample):
        with pytest.raises(TypeError):
            kind()


# --- between processes ---
def test_a_value_outlives_who_set_it(pose):
    """The value stays when the process that set it exits or is killed."""
    latest, start = pose
    for end in ("end", "kill"):
        peer = start()
        peer(f"latest.set(pool.full(3, {peer.pid}))")
        getattr(peer, end)()
        assert latest.get().tolist() == [peer.pid] * 3
        assert latest.pool.recover() is not None
        assert latest.get().tolist() == [peer.pid] * 3
        assert latest.read().process == peer.pid
    latest.unlink()


def test_whether_the_writer_lives(pose):
    """A sample tells whether the process that set it is alive and attached, also when its id is used again."""
    latest, start = pose
    latest.set(0)
    assert latest.read().writer_alive is True
    peer = start()
    peer("latest.set(1)")
    sample = latest.read()
    assert (sample.process, sample.writer_alive) == (peer.pid, True)
    assert peer("latest.read().writer_alive") is True
    peer.process.send_signal(signal.SIGSTOP)
    assert sample.writer_alive is True
    peer.process.send_signal(signal.SIGCONT)
    peer.kill()
    assert sample.writer_alive is False
    latest.pool.recover()
    assert sample.writer_alive is False
    leaving = start()
    leaving("latest.set(2)")
    assert latest.read().writer_alive is True
    leaving("latest.close(); pool.close(); del latest, pool; gc.collect()")
    assert latest.read().writer_alive is False
    latest.unlink()


def test_another_process_with_the_same_id(pose):
    """A process that started after the value was set did not set it, although it has that id."""
    latest, start = pose
    peer = start()
    latest.set(0)
    sent = latest.read().sent
    time.sleep(0.05)
    younger = start()
    assert writer_alive(latest, peer.pid, sent) is True
    assert writer_alive(latest, younger.pid, sent) is False
    assert writer_alive(latest, younger.pid, time.monotonic()) is True
    latest.unlink()


def test_never_half_a_value(pose):
    """Readers see whole values, old or new, while several processes set them; also of more than one block."""
    latest, start = pose
    latest.set(np.zeros(3))
    writers = [start() for _ in range(2)]
    code = """
        import numpy as np
        n = {0}
        while True:
            n += 2
            latest.set(np.full({1}, n, "i8"))
            latest.set(pool.full(100, n, "i8", timeout=60))
            latest.set([n] * 50)
            latest.set(bytes([n % 256]) * {2})
    """
    for number, writer in enumerate(writers):
        writer("pool.zeros(1)")
        writer.start(code.format(number, 400 if number else 10, 3000 if number else 100))
    reader = start()
    reader("pool.zeros(1)")  # takes NumPy now
    reader.start(
        """
        position = n = 0
        end = time.monotonic() + 3
        while time.monotonic() < end or min(n, position) <= 100:
            sample = latest.read()
            assert sample.position >= position, (sample, position)
            position = sample.position
            value = sample.value
            assert len(set(value if type(value) in (list, bytes) else value.tolist())) == 1, value
            n += 1
        """
    )
    end = time.monotonic() + 3
    reads = 0
    while time.monotonic() < end or reads <= 100:
        value = latest.get()
        assert len(set(value if type(value) in (list, bytes) else value.tolist())) == 1, value
        reads += 1
    reader.answer()
    for writer in writers:
        writer.kill()
    del value
    latest.pool.recover()
    latest.unlink()
    latest.close()
    gc.collect()
    assert latest.closed


def test_kills_at_random(pose, shared):
    """Writers and readers are killed at any moment; the others go on with whole values."""
    latest, start = pose
    empty = room_used(latest)
    latest.set(shared.full(8, 0))
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    write = "n = 0\nwhile True:\n    latest.set(pool.full(8, n, timeout=60))\n    n += 1"
    read = "while True: assert len(set(latest.get().tolist())) == 1"
    other = start()
    other.start(write)
    for _ in range(10):
        killed = start()
        killed.start(dice.choice([write, read]))
        time.sleep(0.05 * dice.random())
        killed.kill()
        sample = latest.read()
        for _ in range(20):
            sample = latest.wait(sample, timeout=60)
            assert len(set(sample.value.tolist())) == 1, seed
    other.kill()
    del sample
    shared.recover()
    latest.set(0)
    gc.collect()
    assert shared.stats().allocated == 0
    assert room_used(latest) == empty + 256, seed
    latest.unlink()


def test_a_writer_that_is_stopped(pose):
    """A writer that is stopped anywhere in `set` holds up neither readers nor other writers."""
    latest, start = pose
    peer = start()
    peer.start("while True: latest.set((1, 1))")
    for number in range(2, 30):
        latest.wait(timeout=60)
        peer.process.send_signal(signal.SIGSTOP)
        for _ in range(3):
            latest.set((number, number))
            assert latest.get() in ((number, number), (1, 1))
        peer.process.send_signal(signal.SIGCONT)
    peer.kill()
    latest.pool.recover()
    latest.unlink()


def test_readers_change_nothing(pose, file_of):
    """A reader that only reads writes nothing to the segment: no reference, no lock, no mark."""
    latest, start = pose
    latest.set((1, 2, 3))
    peer = start()
    file = file_of(latest.pool.name)
    before = file.read_bytes()
    for _ in range(5):
        assert latest.get() == (1, 2, 3)
        assert latest.read().value == (1, 2, 3)
    assert peer("latest.get(), latest.read().position") == ((1, 2, 3), 0)
    assert file.read_bytes() == before
    latest.unlink()
