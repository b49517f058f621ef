"""blockpool.multiprocessing: large arrays travel through a pool, alone and within other objects."""

import dataclasses
import gc
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from placement import address_of
from transfers import carry

LARGE = 100_000  # elements


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 256)


# --- one array ---


def test_an_array_in_the_pool_goes_by_ticket_alone(pool, sent):
    """The message of an array in the pool is small, and what arrives shows the same memory."""
    array = pool.full(LARGE, 7.0)
    message = ForkingPickler.dumps(array)
    assert len(message) < 200
    arrived = ForkingPickler.loads(message)
    assert address_of(arrived) == address_of(array)
    arrived[3] = 8
    assert array[3] == 8
    assert sent() == {"shared": 1}


def test_another_array_is_copied_in_once(pool, sent):
    """An array outside the pool arrives as a writeable copy in the pool, which is sent on without a copy."""
    array = np.arange(LARGE)
    arrived = carry(array)
    assert np.array_equal(arrived, array)
    assert arrived.flags.writeable
    assert pool.stats().allocated == -(-array.nbytes // pool.block_size)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes}
    again = carry(arrived)
    assert address_of(again) == address_of(arrived)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes, "shared": 1}


def test_the_memory_lasts_as_long_as_anybody_has_it(pool):
    """The memory of a sent array stays while it is in flight and while the receiver has a view of it, no longer."""
    message = ForkingPickler.dumps(np.ones(LARGE))
    assert (pool.stats().tickets, pool.stats().allocated) == (1, 49)
    view = ForkingPickler.loads(message)[::7]
    assert (pool.stats().tickets, pool.stats().allocated) == (0, 49)
    assert view.sum() == len(view)
    del view
    assert pool.stats().allocated == 0


def test_small_arrays_are_pickled_whole(pool, sent):
    """An array that is smaller than the threshold is pickled whole, and nothing is put in the pool."""
    array = np.arange(64 * 1024 // 8 - 1)
    assert np.array_equal(carry(array), array)
    assert sent() == {}
    assert pool.stats().allocations == 0


@pytest.mark.parametrize("threshold", [1000, "1000 B"])
def test_the_threshold_can_be_set(pool, sent, threshold):
    """An array of as many bytes as the threshold goes through the pool, one with a byte less does not."""
    carrier.install(pool, threshold=threshold)
    carry(np.zeros(999, "u1"))
    assert sent() == {}
    carry(np.zeros(1000, "u1"))
    assert sent() == {"copied": 1, "copied_bytes": 1000}


def test_a_small_part_of_an_array_in_the_pool_is_shared_too(pool):
    """A view of an array in the pool is shared even if it is smaller than the threshold."""
    array = pool.zeros(100)
    carry(array[10:12])[:] = 5
    assert array.sum() == 10


@pytest.mark.parametrize(
    "take",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[5:7, ::-3],
        lambda a: a.T,
        lambda a: a[:, 3],
        lambda a: a[2, 3, ...],
        lambda a: a.view("u1"),
        lambda a: a.reshape(-1, 5),
        lambda a: np.broadcast_to(a[0], (9, *a[0].shape)),
        lambda a: a[..., None],
    ],
)
def test_views_arrive_as_they_are(pool, take):
    """A view of an array in the pool arrives with its shape, strides and order, and shows the same memory."""
    array = pool.asarray(np.arange(40_000, dtype="i4").reshape(200, 200))
    view = take(array)
    arrived = carry(view)
    assert (arrived.shape, arrived.dtype) == (view.shape, view.dtype)
    steps = [(a, b) for a, b, n in zip(arrived.strides, view.strides, view.shape, strict=True) if n > 1]
    assert all(a == b for a, b in steps)
    assert address_of(arrived) == address_of(view)
    assert np.array_equal(arrived, view)
    assert arrived.flags.writeable == view.flags.writeable


def test_an_empty_view_of_any_shape(pool):
    """A view without elements arrives with its shape, even if its strides lead outside the run."""
    view = pool.zeros((4, 128))[:0].reshape(0, 10**6)
    assert carry(view).shape == (0, 10**6)


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "make",
    [
        lambda a: np.asfortranarray(a.reshape(500, -1)),
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.reshape(500, -1)[:, 3:],
        lambda a: (a % 100).astype("f2"),
        lambda a: a.astype("c16"),
        lambda a: a.astype(">i8"),
        lambda a: a.astype("M8[s]"),
        lambda a: a.astype("S8"),
        lambda a: a.astype("U5"),
        lambda a: (a % 2).astype("?"),
        lambda a: a.view([("a", "i4"), ("b", "f4")]),
        lambda a: a.reshape((1,) * 30 + (-1,)),
    ],
)
def test_whatever_the_array_it_arrives_equal(sent, make):
    """An array of any dtype and layout that is copied into the pool arrives equal, in its order, and writeable."""
    array = make(np.arange(LARGE))
    arrived = carry(array)
    assert sent()["copied"] == 1
    assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
    assert np.array_equal(arrived, array)
    assert arrived.flags.f_contiguous or not array.flags.f_contiguous
    assert arrived.flags.writeable


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, "text"] * LARGE, object),
        np.zeros((0, LARGE)),
        np.ma.masked_array(np.zeros(LARGE), mask=False),
        np.zeros(LARGE).view(np.recarray),
    ],
    ids=["objects", "empty", "masked", "subclass"],
)
def test_what_cannot_go_through_the_pool_arrives_as_without_it(array):
    """Arrays of objects, empty arrays and subclasses of ndarray arrive as they do without blockpool."""
    arrived = carry(array)
    assert type(arrived) is type(array)
    assert arrived.shape == array.shape
    if array.size:
        assert (arrived == array).all()
    del arrived


def test_an_array_without_room_is_pickled_whole_and_counted(pool, sent):
    """An array for which the pool has no room is pickled whole, and counted as refused."""
    held = pool.allocate(blocks=256)
    array = np.arange(LARGE)
    arrived = carry(array)
    assert np.array_equal(arrived, array)
    assert type(arrived.base).__name__ != "_Lease"
    assert sent() == {"refused": 1}
    held.release()
    too_large = np.zeros(pool.nbytes + 1, "u1")
    assert np.array_equal(carry(too_large), too_large)
    assert sent() == {"refused": 2}


def test_a_full_pool_is_not_collected_for(pool):
    """Sending an array while the pool is full does not run the garbage collector."""
    held = pool.allocate(blocks=256)
    runs = []
    gc.disable()  # so that it runs only if it is called
    gc.callbacks.append(lambda phase, _: runs.append(phase))
    try:
        carry(np.arange(LARGE))
    finally:
        gc.callbacks.pop()
        gc.enable()
    held.release()
    assert runs == []


@pytest.mark.usefixtures("pool")
def test_arrays_of_any_shared_pool_go_by_ticket(sent, pool_names):
    """An array in a shared pool other than the installed one is sent without a copy."""
    other = bp.Pool.create("64KiB", 4, name=pool_names())
    array = other.zeros(10)
    assert address_of(carry(array)) == address_of(array)
    assert sent() == {"shared": 1}


@pytest.mark.usefixtures("pool")
def test_arrays_of_private_pools_are_copied(sent):
    """An array in a private pool is copied, as no other process can reach its memory."""
    private = bp.Pool("1MiB", 2)
    array = private.zeros(LARGE)
    assert address_of(carry(array)) != address_of(array)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes}


def test_arrays_over_a_block_go_by_ticket(pool, sent):
    """An array over a block's memory is sent without a copy, whether block.array, frombuffer or ndarray made it."""
    block = pool.allocate(nbytes=8000)
    for array in (
        block.array(1000),
        np.frombuffer(block.buf),
        np.ndarray((10, 10), buffer=block.buf[800:]),
    ):
        assert address_of(carry(array)) == address_of(array)
    assert sent() == {"shared": 3}


# --- read-only ---


def test_a_read_only_array_arrives_read_only(pool):
    """A read-only array, or one of a read-only block, arrives read-only and cannot be made writeable."""
    array = pool.zeros(1000)
    view = array.view()
    view.flags.writeable = False
    for one in (view, pool.allocate(nbytes=800).readonly().array(100)):
        arrived = carry(one)
        with pytest.raises(ValueError, match="read-only"):
            arrived[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            arrived.flags.writeable = True


def test_all_can_arrive_read_only(pool):
    """With install(readonly=True) every array arrives read-only, and stays writeable at the sender."""
    carrier.install(pool, readonly=True)
    array = pool.zeros(1000)
    for one in (array, np.zeros(LARGE)):
        with pytest.raises(ValueError, match="read-only"):
            carry(one)[0] = 1
        one[0] = 1


# --- within other objects ---


@dataclasses.dataclass
class Frame:
    """A message as programs have them: arrays among other fields."""

    number: int
    pixels: np.ndarray
    history: list


def test_arrays_within_objects(pool, sent):
    """Arrays in dicts, tuples and dataclasses go through the pool, and one that occurs twice arrives as one."""
    array = np.arange(LARGE)
    kept = pool.zeros(10)
    frame = Frame(3, array, [array, {"kept": kept}])
    arrived = carry({"frame": (frame, "text")})["frame"][0]
    assert np.array_equal(arrived.pixels, array)
    assert arrived.history[0] is arrived.pixels
    assert address_of(arrived.history[1]["kept"]) == address_of(kept)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes, "shared": 1}


def test_blocks_beside_arrays(pool):
    """A block, alone or beside an array in a message, arrives as a block with the same bytes."""
    block = pool.allocate(nbytes=5)
    block.buf[:] = b"hello"
    arrived, array = carry((block, np.ones(LARGE)))
    assert bytes(arrived.buf) == b"hello"
    assert array.sum() == LARGE
    assert bytes(carry(block).buf) == b"hello"


def test_arrow_tables(pool, sent):
    """The buffers of an Arrow table go through the pool, and the table that arrives reads from there."""
    table = pa.table({"number": np.arange(LARGE), "text": ["abcdefgh"] * LARGE})
    arrived = carry(table)
    assert arrived.equals(table)
    assert sent()["copied"] == 3
    assert pool.stats().allocated > 0


@pytest.mark.usefixtures("pool")
def test_columns_of_pandas(sent):
    """The columns of a pandas DataFrame, those of NumPy and those of Arrow, go through the pool."""
    frame = pd.DataFrame({"a": np.arange(LARGE), "b": np.arange(LARGE) / 3})
    frame["c"] = pd.array(["abcdefgh"] * LARGE, dtype=pd.ArrowDtype(pa.string()))
    arrived = carry(frame)
    pd.testing.assert_frame_equal(arrived, frame)
    assert sent()["copied"] >= 3


class OutOfBand:
    """An object that pickles itself with an out-of-band buffer."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce_ex__(self, protocol):
        return OutOfBand, (pickle.PickleBuffer(self.buffer),)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_out_of_band_buffers(pool, sent, kind):
    """A large out-of-band buffer goes through the pool, writeable if it was; a small one is part of the pickle."""
    arrived = carry([OutOfBand(kind(range(200)) * 1000), OutOfBand(kind(b"small"))])
    large, small = (memoryview(one.buffer) for one in arrived)
    assert large == bytes(range(200)) * 1000
    assert large.readonly == (kind is bytes)
    assert small == b"small"
    assert sent() == {"copied": 1, "copied_bytes": 200_000}
    del arrived
    assert pool.stats().allocated > 0  # the view keeps it


def test_an_out_of_band_buffer_in_the_pool(pool, sent):
    """An out-of-band buffer that is a part of a block is sent without a copy, and shows that part."""
    block = pool.allocate(nbytes=1000)
    block.buf[100:105] = b"hello"
    arrived = carry(OutOfBand(block.buf[100:105]))
    assert bytes(arrived.buffer) == b"hello"
    arrived.buffer[:1] = b"J"
    assert bytes(block.buf[100:105]) == b"Jello"
    assert sent() == {"shared": 1}


def test_an_out_of_band_buffer_without_room(pool, sent):
    """An out-of-band buffer for which the pool has no room is part of the pickle, and counted as refused."""
    with pool.allocate(blocks=256):
        arrived = carry(OutOfBand(bytes(100_000)))
    assert bytes(arrived.buffer) == bytes(100_000)
    assert sent() == {"refused": 1}
