"""What can be put into a queue, and how it comes out."""

import array
import collections
import datetime as dt
import mmap
import pickle
import threading

import numpy as np
import pytest

import blockpool as bp
from blockpool._core import room_used


def through(queue, item):
    """Put an item and return what comes out."""
    queue.put(item)
    return queue.get()


@pytest.mark.parametrize("length", [0, 1, 31, 207, 208, 209, 4095, 4096, 4097, 4096 * 3, 4096 * 3 + 1])
def test_bytes(queue, length):
    """Bytes of any length come out as they went in."""
    item = bytes(number % 251 for number in range(length))
    got = through(queue, item)
    assert (got, type(got)) == (item, bytes)


@pytest.mark.parametrize(
    "item",
    [
        None,
        True,
        7,
        -(10**100),
        1.5,
        2j,
        "text",
        "ä" * 5000,
        (1, "two", [3.0, {"four": None}]),
        {"a": {1, 2}, "b": frozenset([3])},
        [list(range(100))] * 50,
        dt.date(2026, 1, 2),
        collections.OrderedDict(a=1),
        bytearray(b"x" * 9000),
        array.array("d", [1.0, 2.0]),
        pickle.PicklingError,
        ValueError("why"),
    ],
    ids=lambda item: f"{type(item).__name__}-{str(item)[:8]}",
)
def test_objects(queue, item):
    """What can be pickled comes out as an equal object of the same type."""
    got = through(queue, item)
    assert type(got) is type(item)
    assert repr(got) == repr(item)


# --- blocks ---
def test_a_block_is_not_copied(queue, shared):
    """A Block comes out as another one of the same memory; the sender keeps its own."""
    block = shared.allocate(nbytes=5000)
    got = through(queue, block)
    assert got is not block
    assert (got.index, got.blocks, got.nbytes) == (block.index, 2, 5000)
    got.buf[:5] = b"hello"
    assert bytes(block.buf[:5]) == b"hello"
    block.release()
    assert bytes(got.buf[:5]) == b"hello"
    assert shared.stats().allocated == 2


def test_a_message_holds_its_block(queue, shared):
    """A block stays in the queue when its sender lets go of it."""
    block = shared.allocate(nbytes=5)
    block.buf[:] = b"hello"
    queue.put(block)
    block.release()
    assert shared.stats().allocated == 1
    assert bytes(queue.get().buf) == b"hello"
    assert shared.stats().allocated == 0


def test_a_block_that_is_in_the_queue_already(queue, shared):
    """A block can be in several messages at a time, and is freed after the last of them."""
    block = shared.allocate()
    for _ in range(4):
        queue.put(block)
    block.release()
    for left in reversed(range(4)):
        queue.get().release()
        assert shared.stats().allocated == (1 if left else 0)
    assert shared.stats().tickets == 0


def test_a_read_only_block(queue, shared):
    """A read-only Block comes out read-only."""
    block = shared.allocate()
    got = through(queue, block.readonly())
    with pytest.raises(TypeError):
        got.buf[0] = 1
    assert got.buf.readonly
    assert not through(queue, block).buf.readonly


def test_blocks_within_an_object(queue, shared):
    """Blocks within another object are not copied either, and the same one stays the same."""
    block, other = shared.allocate(nbytes=3), shared.allocate(blocks=2)
    block.buf[:] = b"abc"
    first, second = through(queue, [{"a": block, "b": (other.readonly(), block)}, "x"])
    assert second == "x"
    assert first["a"] is first["b"][1]
    assert (first["a"].index, first["a"].nbytes, first["b"][0].index) == (block.index, 3, other.index)
    assert first["b"][0].buf.readonly
    assert not first["a"].buf.readonly
    first["a"].buf[:] = b"xyz"
    assert bytes(block.buf) == b"xyz"
    del first
    block.free()
    other.free()


def test_many_blocks_in_one_message(queue, shared):
    """A list of blocks travels whole."""
    blocks = shared.allocate_many(16)
    got = through(queue, blocks)
    assert [block.index for block in got] == [block.index for block in blocks]
    del got, blocks
    assert shared.stats().allocated == 0


# --- arrays ---
@pytest.mark.parametrize("dtype", ["u1", "?", "<i2", ">f4", "f8", "c16", "f2", "M8[ns]", "m8[s]", "S5", "U3", "V7"])
def test_an_array_of_the_pool(queue, shared, dtype):
    """An array of the pool comes out with its shape and type, and is not copied."""
    sent = shared.empty((3, 4), dtype)
    got = through(queue, sent)
    assert (got.dtype, got.shape, got.strides) == (sent.dtype, sent.shape, sent.strides)
    assert np.shares_memory(got, sent)
    assert got.flags.writeable
    assert shared.stats().allocated == 1


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "u1"), ("b", "f8", (2,))],
        np.dtype({"names": ["x"], "formats": ["i4"], "offsets": [4], "itemsize": 12}),
        np.dtype("f8", metadata={"unit": "m"}),
        "U50",
    ],
)
def test_an_array_of_an_unusual_type(queue, shared, dtype):
    """Structured arrays and the like are pickled, but their elements are not copied."""
    sent = shared.zeros(5, dtype)
    got = through(queue, sent)
    assert got.dtype == sent.dtype
    assert np.shares_memory(got, sent)


def test_parts_of_arrays(queue, shared):
    """Slices, transposed arrays and the like come out as they are, of the same memory."""
    whole = shared.asarray(np.arange(120, dtype="f4").reshape(4, 5, 6))
    for part in (
        whole[1:3],
        whole[:, ::2, ::-1],
        whole.T,
        whole[2, 3],
        whole[..., 0],
        whole[::3, 1:4, 2],
        whole[:0],
        whole.reshape(-1)[5:6],
        np.broadcast_to(whole[0, 0], (7, 6)),
        whole.view("u1"),
        whole[0, 0, 0:1].reshape(()),
        whole.reshape((1,) * 8 + (4, 5, 6)),
    ):
        for item, take in ((part, lambda got: got), ([part], lambda got: got[0])):
            got = take(through(queue, item))
            assert (got.shape, got.strides, got.dtype) == (part.shape, part.strides, part.dtype)
            assert np.array_equal(got, part)
            assert not part.size or np.shares_memory(got, whole)
            assert got.flags.writeable == part.flags.writeable


def test_a_read_only_array(queue, shared):
    """A read-only array comes out read-only, alone or within an object."""
    sent = shared.zeros(3)
    sent.flags.writeable = False
    for got in (through(queue, sent), through(queue, [sent])[0]):
        assert not got.flags.writeable
        assert np.shares_memory(got, sent)
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            got.flags.writeable = True


def test_an_array_keeps_its_memory(queue, shared):
    """The memory of an array that was received comes back with the array."""
    queue.put(shared.full(4, 7, "u1"))
    got = queue.get()
    part = got[1:3]
    del got
    assert (shared.stats().allocated, part.tolist()) == (1, [7, 7])
    del part
    assert shared.stats().allocated == 0


def test_an_array_can_be_sent_on(queue, shared):
    """What was received is an array of the pool again, and so are its parts."""
    sent = shared.zeros((4, 4))
    got = through(queue, through(queue, [sent])[0][1:])
    assert np.shares_memory(got, sent)
    assert shared.stats().allocated == 1


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_is_copied_once(queue, shared, order):
    """An array outside the pool is copied into it; what comes out shows that copy, in the same order."""
    sent = np.asarray(np.arange(1000.0).reshape(20, 50), order=order)
    for item, take in ((sent, lambda got: got), ({"a": sent}, lambda got: got["a"])):
        got = take(through(queue, item))
        assert np.array_equal(got, sent)
        assert (got.flags.c_contiguous, got.flags.f_contiguous) == (order == "C", order == "F")
        assert not np.shares_memory(got, sent)
        assert got.flags.writeable
        assert shared.stats().allocated == 2
        del got
        assert shared.stats().allocated == 0


def test_a_part_of_a_large_array(queue, shared):
    """Only the part of an array that is put is copied."""
    whole = np.arange(100_000.0).reshape(1000, 100)
    part = whole[::10, ::2]
    got = through(queue, part)
    assert np.array_equal(got, part)
    assert shared.stats().allocated == 10
    del got
    assert np.array_equal(through(queue, [part])[0], part)


def test_small_arrays(queue, shared):
    """A small array outside the pool takes no block of it."""
    for sent in (np.arange(5), np.float32(3.5), np.zeros((0, 3)), np.array("text"), np.array([1, None], dtype=object)):
        got = through(queue, sent)
        assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
        assert np.array_equal(got, sent)
    assert shared.stats().allocations == 0


def test_an_array_of_objects(queue):
    """An array of Python objects is pickled."""
    sent = np.array([{"a": 1}, "x" * 5000, None], dtype=object)
    assert through(queue, sent).tolist() == sent.tolist()


def test_arrays_of_another_pool_are_copied(queue, shared, pool):
    """An array in another pool is copied into the queue's."""
    for other in (pool, bp.Pool.create("4KiB", 4)):
        sent = other.full(1000, 3.0)
        got = through(queue, sent)
        assert np.array_equal(got, sent)
        assert not np.shares_memory(got, sent)
        del got
    assert shared.stats().allocated == 0


def test_a_subclass_of_an_array(queue):
    """Arrays of other classes are pickled as those say."""
    sent = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
    got = through(queue, sent)
    assert type(got) is np.ma.MaskedArray
    assert got.tolist() == [1, None, 3]


# --- other buffers ---
def test_views(queue, shared):
    """A memoryview comes out as one; one of the pool's memory is not copied."""
    block = shared.allocate(nbytes=100)
    got = through(queue, block.buf[10:20])
    got[:] = b"0123456789"
    assert bytes(block.buf[10:20]) == b"0123456789"
    assert bytes(through(queue, memoryview(b"x" * 10_000))) == b"x" * 10_000
    assert bytes(through(queue, memoryview(bytearray(b"abc")))) == b"abc"
    del got
    block.free()


def test_buffers_behind_each_other(queue, shared):
    """Several large buffers of one object share a run, and each is as it was."""
    sent = [np.full(1000, number) for number in range(5)] + [pickle.PickleBuffer(b"y" * 6000)]
    *arrays, buffer = through(queue, sent)
    assert [array.tolist() for array in arrays] == [array.tolist() for array in sent[:5]]
    assert bytes(buffer) == b"y" * 6000
    assert len(shared.runs()) == 1
    assert all(array.ctypes.data % 64 == arrays[0].ctypes.data % 64 for array in arrays)


def test_a_long_pickle_with_blocks(queue, shared):
    """A pickle that is too long for its message goes into a run, beside the blocks that the message carries."""
    block = shared.allocate(nbytes=1)
    text, got, numbers = through(queue, ("x" * 10_000, block, np.arange(2000)))
    assert (text, got.index, numbers.sum()) == ("x" * 10_000, block.index, 1999000)
    del got, numbers
    block.free()
    assert shared.stats().allocated == 0


def test_a_pool_and_a_queue_can_be_put(queue, shared):
    """A pool comes out as the pool, a queue as the queue."""
    other = shared.queue("other")
    other.put(1)
    pool, got = through(queue, [shared, other])
    assert pool.name == shared.name
    assert (got.name, got.get()) == ("other", 1)
    assert through(queue, other).capacity == other.capacity


def test_itself(queue):
    """A queue can be put into itself."""
    got = through(queue, {"answer": queue})["answer"]
    got.put(1)
    assert queue.get() == 1


# --- what fails ---
class Refuses:
    """An object whose pickling fails after a few steps."""

    def __init__(self, *before):
        self.before = before

    def __reduce__(self):
        return tuple, (list(self.before), Unpicklable())


class Unpicklable:
    """An object that cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError("not me")


def test_what_cannot_be_pickled(queue, shared, nothing_left):
    """If an object cannot be pickled, the error is pickle's, and nothing of what went before is left behind."""
    block, array = shared.allocate(), shared.zeros(3)
    other = shared.queue("other")
    with nothing_left(queue):
        for item in (
            Unpicklable(),
            [block, array, Unpicklable()],
            Refuses(block, array, np.zeros(5000), other, shared),
        ):
            with pytest.raises(RuntimeError, match="not me"):
                queue.put(item)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError), match="pickle"):
            queue.put([block, threading.Lock()])
        with pytest.raises((AttributeError, pickle.PicklingError), match=r"local|lambda"):
            queue.put(lambda: 0)


class FailsToLoad:
    """An object whose pickle fails when it is loaded."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return int, ("no number", self.parts)


def test_what_cannot_be_loaded(queue, shared, nothing_left):
    """If an item cannot be loaded, the error comes from `get`, and the item is gone."""
    block = shared.allocate()
    with nothing_left(queue):
        queue.put([block, FailsToLoad(np.zeros(5000))])
        queue.put(1)
        with pytest.raises((TypeError, ValueError)):
            queue.get()
        assert queue.get() == 1


def test_blocks_of_other_pools(queue, pool, nothing_left):
    """A Block of another pool is refused, alone or within an object."""
    others = [pool.allocate(), bp.Pool.create("4KiB", 2).allocate()]
    with nothing_left(queue):
        for block in others:
            for item in (block, {"a": block}, block.readonly()):
                with pytest.raises(bp.InvalidBlock, match="the block is not of pool"):
                    queue.put(item)


def test_blocks_that_are_gone(queue, shared, nothing_left):
    """A Block that was released, freed or never allocated is refused, alone or within an object."""
    released, freed = shared.allocate(), shared.allocate()
    released.release()
    freed.free()
    never = bp.Block.__new__(bp.Block)
    with nothing_left(queue):
        for block, why in ((released, "released"), (freed, "freed"), (never, "never allocated")):
            for item in (block, [1, block]):
                with pytest.raises(bp.InvalidBlock, match=why):
                    queue.put(item)


def test_a_released_view(queue, shared, nothing_left):
    """A memoryview that was released is refused."""
    view = shared.allocate().buf
    view.release()
    with nothing_left(queue), pytest.raises(ValueError, match="released"):
        queue.put(view)


class Interrupts:
    """An object whose loading is interrupted by Ctrl-C."""

    def __reduce__(self):
        return interrupt, ()


def interrupt():
    """Be interrupted, the first time."""
    if interrupted.pop():
        raise KeyboardInterrupt
    return "loaded"


interrupted = []


@pytest.mark.parametrize("redeliver", [False, True])
def test_loading_that_is_interrupted(shared, redeliver):
    """If Ctrl-C comes while an item is loaded, it comes again if the queue redelivers, and otherwise is gone."""
    queue = shared.queue(redeliver=redeliver)
    queue.put(Interrupts())
    interrupted[:] = [False, True]
    with pytest.raises(KeyboardInterrupt):
        queue.get()
    assert queue.qsize() == redeliver
    if redeliver:
        message = queue.receive()
        assert (message.item, message.again) == ("loaded", True)
        message.done()


def test_a_block_in_too_many_messages(pool_name):
    """A block can be in 8192 messages at a time; one more is TooManyTickets, and nothing of it is left behind."""
    pool = bp.Pool.create("4KiB", 2, name=pool_name, queue_room="4MiB")
    queue = pool.queue(capacity=10_000)
    block = pool.allocate()
    for _ in range(8192):
        queue.put(block)
    used = room_used(queue)
    for item in (block, [block]):
        with pytest.raises(bp.TooManyTickets, match="8191 references to block 0"):
            queue.put(item)
    assert (room_used(queue), queue.qsize(), pool.stats().tickets) == (used, 8192, 8191)
    queue.shutdown(immediate=True)
    assert pool.stats().tickets == 0
    block.free()


def test_no_room_in_the_pool_for_a_copy(queue, shared, nothing_left):
    """What does not fit in the pool is PoolExhausted, which says so; nothing is left behind."""
    block = shared.allocate(blocks=15)
    with nothing_left(queue):
        for item in (b"x" * 5000, np.zeros(1000), [np.zeros(1000)], "x" * 5000):
            with pytest.raises(bp.PoolExhausted, match="asked for 2 adjacent blocks; 1 of 16 free"):
                queue.put(item, timeout=0)
        for item in (bytes(17 * 4096), np.zeros(17 * 4096), [np.zeros(17 * 4096)]):
            with pytest.raises(bp.PoolExhausted, match="the pool has only 16"):
                queue.put(item)
    block.free()


def test_waiting_for_room_in_the_pool(queue, shared):
    """`put` waits for room in the pool until its timeout."""
    block = shared.allocate(blocks=15)
    with pytest.raises(bp.PoolExhausted):
        queue.put(b"x" * 5000, timeout=0.1)
    timer = threading.Timer(0.1, block.free)
    timer.start()
    queue.put(b"x" * 5000, timeout=60)
    timer.join()
    assert queue.get() == b"x" * 5000


def test_no_room_for_the_message(pool_name):
    """A message without room is PoolExhausted, which names the room for queues; `put` waits for that, too."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, queue_room="8KiB")
    queue = pool.queue(capacity=64)
    while room_used(queue) <= 8192 - 1280:
        queue.put(bytes(1000), timeout=0)
    with pytest.raises(bp.PoolExhausted, match=r"no room for a message of 1000 bytes; .* 8192 bytes .*queue_room"):
        queue.put(bytes(1000), timeout=0)
    assert queue.qsize() > 3
    with pytest.raises(bp.PoolExhausted, match="queue_room"):
        queue.put(bytes(1000), timeout=0.05)
    used = room_used(queue)
    timer = threading.Timer(0.1, queue.get)
    timer.start()
    queue.put(bytes(1000), timeout=60)
    timer.join()
    assert room_used(queue) == used


def test_a_message_that_never_fits(pool_name):
    """A message larger than all the room for queues is refused at once."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, queue_room="2KiB")
    queue = pool.queue(capacity=1)
    with pytest.raises(bp.PoolExhausted, match="no room for a message of 3000 bytes"):
        queue.put(bytes(3000))


def test_a_file_in_memory(queue):
    """Objects that show memory but cannot be pickled are refused by pickle, not half sent."""
    with mmap.mmap(-1, 4096) as memory, pytest.raises(TypeError, match="pickle"):
        queue.put(memory)
