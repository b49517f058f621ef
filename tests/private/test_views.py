"""Views pin: whatever refers to a block's memory, made however indirectly, keeps it allocated."""

import contextlib
import copy
import ctypes
import gc
import io
import itertools
import pickle
import re
import threading

import numpy as np
import pytest

import blockpool as bp


class Struct(ctypes.Structure):
    """A C structure, to lay over a block."""

    _fields_ = (("a", ctypes.c_uint32), ("b", ctypes.c_double))


def _arrow(block):
    return pytest.importorskip("pyarrow").py_buffer(block.buf)


def _arrow_array(block):
    pa = pytest.importorskip("pyarrow")
    return pa.Array.from_buffers(pa.int64(), 4, [None, pa.py_buffer(block.buf)])


def _arrow_slice(block):
    return _arrow(block).slice(8, 16)


def _arrow_to_numpy(block):
    return _arrow_array(block).to_numpy()


def _closure(view):
    return lambda: view


def _nested(block, depth=50):
    view = block.buf
    for _ in range(depth):
        view = memoryview(view)[1:]
    return view


# Each makes an object that refers to the memory of a block, and nothing else that outlives the call.
VIEWS = {
    "buf": lambda block: block.buf,
    "slice": lambda block: block.buf[8:16],
    "empty slice": lambda block: block.buf[:0],
    "slice of slices": lambda block: block.buf[8:1024][16:512][::2],
    "cast": lambda block: block.buf.cast("I"),
    "cast to two dimensions": lambda block: block.buf.cast("B", (64, 64)),
    "slice of cast": lambda block: block.buf.cast("d")[3:4],
    "memoryview of memoryview": lambda block: memoryview(memoryview(block.buf)),
    "fifty deep": _nested,
    "mv.obj": lambda block: block.buf.obj,
    "obj of a slice": lambda block: memoryview(block.buf[5:]).obj,
    "view of mv.obj": lambda block: memoryview(block.buf.obj),
    "toreadonly": lambda block: block.buf.toreadonly(),
    "bound method": lambda block: block.buf.tobytes,
    "iterator": lambda block: iter(block.buf),
    "zip": lambda block: zip(block.buf, itertools.count()),
    "PickleBuffer": lambda block: pickle.PickleBuffer(block.buf),
    "regular expression match": lambda block: re.match(rb"(?s).", block.buf),
    "list": lambda block: [block.buf],
    "dict value": lambda block: {"view": block.buf},
    "closure": lambda block: _closure(block.buf),
    "ctypes array": lambda block: (ctypes.c_char * 8).from_buffer(block.buf),
    "ctypes at an offset": lambda block: ctypes.c_uint64.from_buffer(block.buf, 64),
    "ctypes structure": lambda block: Struct.from_buffer(block.buf),
    "ctypes of a slice": lambda block: (ctypes.c_int * 4).from_buffer(block.buf[64:]),
    "ctypes pointer": lambda block: ctypes.pointer(ctypes.c_uint64.from_buffer(block.buf)),
    "memoryview of ctypes": lambda block: memoryview((ctypes.c_char * 8).from_buffer(block.buf)),
    "ndarray(buffer=)": lambda block: np.ndarray((8, 8), np.float64, buffer=block.buf),
    "ndarray(buffer=obj)": lambda block: np.ndarray((8,), np.uint8, buffer=block.buf.obj),
    "ndarray(buffer=slice)": lambda block: np.ndarray((8,), np.uint8, buffer=block.buf[64:]),
    "ndarray(buffer=cast)": lambda block: np.ndarray((8,), np.uint8, buffer=block.buf.cast("I")),
    "frombuffer": lambda block: np.frombuffer(block.buf, np.int16),
    "frombuffer of a slice": lambda block: np.frombuffer(block.buf[8:], np.int16, 4),
    "frombuffer of obj": lambda block: np.frombuffer(block.buf.obj, np.int16),
    "asarray": lambda block: np.asarray(block.buf),
    "array, not copied": lambda block: np.array(block.buf, copy=None),
    "scalar array": lambda block: np.ndarray((), np.int64, buffer=block.buf),
    "void scalar": lambda block: np.ndarray((1,), "i4,i4", buffer=block.buf)[0],
    "array slice": lambda block: np.frombuffer(block.buf, np.uint8)[5:9],
    "array reshaped": lambda block: np.frombuffer(block.buf, np.uint8).reshape(64, 64).T[3:],
    "array viewed": lambda block: np.frombuffer(block.buf, np.uint8).view(np.float32),
    "array broadcast": lambda block: np.broadcast_to(np.ndarray((1,), buffer=block.buf), (9,)),
    "array iterator": lambda block: np.nditer(np.frombuffer(block.buf)),
    "array flat": lambda block: np.frombuffer(block.buf).flat,
    "array data": lambda block: np.frombuffer(block.buf).data,
    "array interface": lambda block: np.ndarray((4,), buffer=block.buf).ctypes,
    "memoryview of array": lambda block: memoryview(np.frombuffer(block.buf)),
    "array of array": lambda block: np.asarray(memoryview(np.ndarray((4,), buffer=block.buf))),
    "dlpack": lambda block: np.from_dlpack(np.frombuffer(block.buf, np.int32)),
    "pyarrow.py_buffer": _arrow,
    "pyarrow slice": _arrow_slice,
    "pyarrow array": _arrow_array,
    "pyarrow to numpy": _arrow_to_numpy,
    "readonly()": lambda block: block.readonly(),
    "twin of a twin": lambda block: block.readonly().readonly(),
    "buf of readonly()": lambda block: block.readonly().buf,
    "array of readonly()": lambda block: np.ndarray((4,), buffer=block.readonly().buf),
    "obj of readonly()": lambda block: block.readonly().buf.obj,
}
view_makers = pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)


@view_makers
def test_a_view_pins(pool, unchanged, make):
    """While a view lives, free raises BlockInUse every time and changes nothing; afterwards free works."""
    block = pool.allocate()
    view = make(block)
    with unchanged(pool):
        for _ in range(3):
            with pytest.raises(bp.BlockInUse, match=r"still has \d+ user"):
                block.free()
    block.buf[:4] = b"okay"
    del view
    gc.collect()
    assert bytes(block.buf[:4]) == b"okay"
    block.free()
    assert pool.stats().allocated == 0


@view_makers
def test_a_view_outlives_the_block(pool, make):
    """After its block was dropped, a view keeps the memory allocated until it goes."""
    block = pool.allocate()
    index = block.index
    view = make(block)
    del block
    assert pool.stats().allocated == 1
    assert index not in {other.index for other in pool.allocate_many(15)}
    del view
    gc.collect()
    assert pool.stats().allocated == 0


@view_makers
def test_a_view_outlives_release(pool, make):
    """After its block was released, a view keeps the memory allocated until it goes."""
    block = pool.allocate()
    view = make(block)
    block.release()
    assert pool.stats().allocated == 1
    with pytest.raises(bp.InvalidBlock):
        _ = block.buf
    del view
    gc.collect()
    assert pool.stats().allocated == 0
    assert pool.check().runs == 0


@view_makers
@pytest.mark.parametrize("end", ["close", "del", "both"])
def test_a_view_outlives_the_pool(make, end):
    """A view's memory stays after pool.close() and the end of the Pool and the Block."""
    pool = bp.Pool("4KiB", 1)
    block = pool.allocate()
    block.buf[:] = b"x" * 4096
    base = block.buf
    view = make(block)
    if end != "del":
        pool.close()
    if end != "close":
        del pool
    block.release()
    del block
    assert bytes(base) == b"x" * 4096
    del base
    gc.collect()
    if isinstance(view, memoryview | np.ndarray):
        assert set(view.tobytes()) <= {ord("x")}
    del view


def test_writes_are_seen_by_every_view(pool):
    """All views of a block show the same memory, so each sees what another writes."""
    block = pool.allocate()
    array = np.ndarray((1024,), np.uint32, buffer=block.buf)
    raw = (ctypes.c_uint32 * 1024).from_buffer(block.buf)
    array[5] = 0xDEADBEEF
    assert raw[5] == 0xDEADBEEF
    assert block.buf.cast("I")[5] == 0xDEADBEEF
    assert block.readonly().buf.cast("I")[5] == 0xDEADBEEF
    raw[5] = 1
    assert array[5] == 1


def test_buf_is_a_plain_writable_memoryview(pool):
    """block.buf is a plain writable memoryview of unsigned bytes in one dimension, like SharedMemory.buf."""
    for block in (pool.allocate(), pool.allocate(blocks=3), pool.allocate(nbytes=4097)):
        view = block.buf
        assert type(view) is memoryview
        assert (view.format, view.itemsize, view.ndim, view.shape) == ("B", 1, 1, (block.nbytes,))
        assert (view.nbytes, view.readonly, view.c_contiguous) == (block.nbytes, False, True)
        assert ctypes.addressof(ctypes.c_char.from_buffer(view)) == block.address
        with pytest.raises(IndexError):
            view[block.nbytes]
        with pytest.raises(ValueError):
            view[:] = bytes(block.nbytes + 1)


def test_nbytes_is_all_that_views_reach(pool):
    """A view of a run with nbytes= ends at nbytes, not at the end of its last block."""
    block = pool.allocate(nbytes=5000)
    assert len(block.buf) == 5000
    assert len(block.readonly().buf) == 5000
    with pytest.raises(TypeError):
        np.ndarray((5001,), np.uint8, buffer=block.buf)
    with pytest.raises(ValueError):
        ctypes.c_uint64.from_buffer(block.buf, 4996)


RELEASED = {
    "ndarray": lambda view: np.ndarray((8,), np.uint8, buffer=view),
    "frombuffer": lambda view: np.frombuffer(view, np.uint8),
    "asarray": np.asarray,
    "ctypes": (ctypes.c_char * 8).from_buffer,
    "memoryview": memoryview,
    "slice": lambda view: view[4:],
    "cast": lambda view: view.cast("I"),
    "obj": lambda view: view.obj,
}


@pytest.mark.parametrize("make", RELEASED.values(), ids=RELEASED)
def test_releasing_the_memoryview_below_another(pool, unchanged, make):
    """Whether `view.release()` works or raises BufferError, what was made from the view still pins the memory."""
    block = pool.allocate()
    view = block.buf
    other = make(view)
    with contextlib.suppress(BufferError):
        view.release()
    del view
    with unchanged(pool), pytest.raises(bp.BlockInUse):
        block.free()
    others = pool.allocate_many(15)
    for each in others:
        each.buf[:] = b"y" * 4096
    assert b"y" not in bytes(other)
    del other
    block.free()


def test_releasing_memoryviews_by_with(pool):
    """A view in `with block.buf as view` pins the block until the end of the `with`."""
    block = pool.allocate()
    with block.buf as view:
        view[0] = 1
        with pytest.raises(bp.BlockInUse):
            block.free()
    block.free()
    with pytest.raises(ValueError):
        view[0]


def test_every_view_counts(pool):
    """The error for a block in use says how many users it has at the moment."""
    block = pool.allocate()
    views = [block.buf for _ in range(5)]
    while views:
        with pytest.raises(bp.BlockInUse, match=f"still has {len(views)} user{'s' if len(views) > 1 else ''}:"):
            block.free()
        views.pop()
    block.free()


def test_views_after_a_failed_free(pool):
    """After free raised BlockInUse, new views of the block can be taken."""
    block = pool.allocate()
    view = block.buf
    with pytest.raises(bp.BlockInUse):
        block.free()
    second = block.buf
    second[0] = 9
    assert view[0] == 9
    del view, second
    block.free()


def test_reading_into_a_view(pool):
    """A view can be filled by readinto and written by write."""
    block = pool.allocate()
    with block.buf as view:
        assert io.BytesIO(b"z" * 5000).readinto(view) == 4096
        target = io.BytesIO()
        target.write(view)
    assert target.getvalue() == b"z" * 4096
    block.free()


def test_a_cycle_of_views_is_collected(pool):
    """Views in a reference cycle keep their block allocated until the collector finds them."""
    block = pool.allocate()
    cycle = [block.buf, np.frombuffer(block.buf)]
    cycle.append(cycle)
    block.release()
    gc.disable()
    try:
        del cycle
        assert pool.stats().allocated == 1
        gc.collect()
        assert pool.stats().allocated == 0
    finally:
        gc.enable()


def test_the_last_view_may_go_in_another_thread(pool):
    """Blocks come back when their last view goes in another thread."""
    views = [pool.allocate().buf for _ in range(16)]
    thread = threading.Thread(target=views.clear)
    thread.start()
    thread.join()
    assert pool.stats().allocated == 0


# --- readonly() ---


def _write_item(view):
    view[0] = 1


def _write_slice(view):
    view[:4] = b"abcd"


def _write_cast(view):
    view.cast("I")[0] = 1


def _write_memoryview(view):
    memoryview(view.obj)[0] = 1


def _write_ctypes(view):
    (ctypes.c_char * 4).from_buffer(view)


def _write_ctypes_obj(view):
    (ctypes.c_char * 4).from_buffer(view.obj)


def _write_ndarray(view):
    np.ndarray((4,), np.uint8, buffer=view)[0] = 1


def _write_frombuffer(view):
    np.frombuffer(view, np.uint8)[:] = 1


def _write_array_of_obj(view):
    np.ndarray((4,), np.uint8, buffer=view.obj)[0] = 1


def _make_writable(view):
    np.ndarray((4,), np.uint8, buffer=view).flags.writeable = True


def _make_writable_frombuffer(view):
    np.frombuffer(view, np.uint8).flags.writeable = True


def _make_writable_setflags(view):
    np.asarray(view).setflags(write=True)


def _make_writable_below(view):
    np.asarray(view).base.cast("B")[0] = 1


def _write_out(view):
    np.add(1, 1, out=np.frombuffer(view, np.int64)[:1])


def _write_readinto(view):
    io.BytesIO(b"abc").readinto(view)


def _write_pool(view):
    bp.Pool(64, buffer=view)


def _write_pool_of_obj(view):
    bp.Pool(64, buffer=view.obj)


WRITES = [
    _write_item,
    _write_slice,
    _write_cast,
    _write_memoryview,
    _write_ctypes,
    _write_ctypes_obj,
    _write_ndarray,
    _write_frombuffer,
    _write_array_of_obj,
    _make_writable,
    _make_writable_frombuffer,
    _make_writable_setflags,
    _make_writable_below,
    _write_out,
    _write_readinto,
    _write_pool,
    _write_pool_of_obj,
]


@pytest.mark.parametrize("write", WRITES, ids=[write.__name__ for write in WRITES])
@pytest.mark.parametrize("times", [1, 2], ids=["twin", "twin of a twin"])
def test_a_twin_cannot_be_written_to(pool, unchanged, write, times):
    """Every way to write through a read-only block raises TypeError or ValueError, and the bytes stay."""
    block = pool.allocate()
    block.buf[:] = b"s" * 4096
    twin = block
    for _ in range(times):
        twin = twin.readonly()
    assert twin.buf.readonly
    with unchanged(pool), pytest.raises((TypeError, ValueError)):
        write(twin.buf)
    assert bytes(block.buf) == b"s" * 4096


@pytest.mark.parametrize(
    "make",
    [
        lambda twin: np.frombuffer(twin.buf, np.uint8).flags.writeable,
        lambda twin: np.ndarray((4,), np.uint8, buffer=twin.buf).flags.writeable,
        lambda twin: pytest.importorskip("pyarrow").py_buffer(twin.buf).is_mutable,
        lambda twin: not memoryview(twin.buf.obj).readonly,
    ],
    ids=["frombuffer", "ndarray", "pyarrow", "obj"],
)
def test_libraries_know_that_a_twin_is_read_only(pool, make):
    """Arrays and buffers made from a read-only twin say that they are not writable."""
    assert make(pool.allocate().readonly()) is False


def test_a_twin_sees_later_writes(pool):
    """A read-only twin is the same memory, not a copy: it sees later writes."""
    block = pool.allocate(nbytes=100)
    twin = block.readonly()
    view = twin.buf
    block.buf[:3] = b"new"
    assert bytes(view[:3]) == b"new"
    assert (twin.index, twin.blocks, twin.nbytes) == (block.index, block.blocks, block.nbytes)
    assert twin is not block
    assert type(twin) is bp.Block


def test_a_twin_that_is_freed_first(pool, unchanged):
    """Neither a block nor its twin can be freed while the other is open; after one is released, the other can."""
    block = pool.allocate()
    twin = block.readonly()
    with unchanged(pool):
        for each in (twin, block, twin):
            with pytest.raises(bp.BlockInUse):
                each.free()
    block.release()
    twin.free()
    assert pool.stats().allocated == 0
    with pytest.raises(bp.DoubleFree):
        twin.free()
    with pytest.raises(bp.InvalidBlock):
        block.free()


def test_the_original_is_freed_after_its_twin(pool):
    """A block can be freed after its twin was released."""
    block = pool.allocate()
    twin = block.readonly()
    twin.release()
    block.free()
    with pytest.raises(bp.DoubleFree):
        block.free()
    assert pool.stats().frees == 1


def test_a_view_of_the_original_pins_a_twin(pool, unchanged):
    """A twin cannot be freed while there is a view of it or of the original block."""
    block = pool.allocate()
    view = block.buf
    twin = block.readonly()
    block.release()
    with unchanged(pool), pytest.raises(bp.BlockInUse):
        twin.free()
    del view
    seen = twin.buf
    with unchanged(pool), pytest.raises(bp.BlockInUse):
        twin.free()
    del seen
    twin.free()


def test_many_twins(pool, unchanged):
    """A block's memory comes back with the last of its twins, in whatever order they go."""
    block = pool.allocate()
    twins = [block.readonly() for _ in range(5)]
    twins += [twin.readonly() for twin in twins]
    block.release()
    while len(twins) > 2:
        twins.pop(len(twins) // 2).release()
        with unchanged(pool), pytest.raises(bp.BlockInUse):
            twins[0].free()
    twins.pop().release()
    twins[0].free()
    assert pool.stats().allocated == 0


def test_a_twin_in_a_with(pool):
    """The end of `with block.readonly() as twin` ends the twin, and the block stays usable."""
    block = pool.allocate()
    with block.readonly() as twin:
        assert twin.buf.readonly
    with pytest.raises(bp.InvalidBlock):
        _ = twin.buf
    block.buf[0] = 1
    block.free()


def test_the_exporter_gives_nothing_away(pool):
    """The object behind a view, `mv.obj`, cannot be created, pickled or subclassed."""
    exporter = pool.allocate().buf.obj
    kind = type(exporter)
    assert repr(exporter) == "<memory of blockpool block 0>"
    for attempt in (kind, lambda: kind.__new__(kind), lambda: object.__new__(kind)):
        with pytest.raises(TypeError, match=r"cannot create|not safe"):
            attempt()
    with pytest.raises(TypeError, match=r"Block\.buf"):
        exporter.__init__()
    with pytest.raises(TypeError):
        type("Mine", (kind,), {})
    assert [name for name in dir(exporter) if not name.startswith("__")] == []
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(exporter)


def _view_of_copy(exporter):
    return memoryview(copy.copy(exporter))


def _view_of_deepcopy(exporter):
    return memoryview(copy.deepcopy(exporter))


OPERATIONS = [hash, repr, len, str, iter, _view_of_copy, _view_of_deepcopy]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda call: call.__name__)
def test_the_exporter_survives_everything(pool, operation):
    """Whatever is done to the object behind a view, it answers or raises, and the memory stays."""
    exporter = pool.allocate().buf.obj
    with contextlib.suppress(TypeError, BufferError):
        operation(exporter)
    assert bytes(memoryview(exporter)[:1]) == b"\0"
