"""What goes through the pool between two workers, and what does not."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import blockpool.dask
import dask_clusters as on
from waits import await_true


def test_an_array_travels_by_reference(pair):
    """A worker reads another's array in the pool, where it was copied once; the sender keeps no other copy."""
    before = pair.counts()
    array = pair.call(0, on.ones)
    assert pair.call(1, on.total, array).result() == on.N
    assert pair.call(1, on.lies_in_pool, array).result()
    await_true(lambda array=array: pair.call(0, on.lies_in_pool, array).result())
    assert pair.counts()[1] == before[1] + 1
    assert pair.left()[0] == on.N * 8 // (64 << 10)
    del array
    pair.wait_until_empty()


def test_what_was_received_is_sent_on_uncopied(pair):
    """An array that came through the pool is not copied when its receiver sends it on."""
    array = pair.call(0, on.ones)
    moved = pair.call(1, on.itself, array)
    moved.result()
    before = pair.counts()
    back = pair.call(0, on.itself, moved)
    assert pair.call(0, on.total, back).result() == on.N
    assert pair.counts()[1] == before[1]
    del array, moved, back
    pair.wait_until_empty()


def test_an_array_made_in_the_pool_is_never_copied(pair):
    """A task's result that lies in the pool is sent as it is, and can be written to no longer, here and there."""
    before = pair.counts()
    array = pair.call(0, on.ones_in_pool)
    assert pair.call(0, on.writeable, array).result()
    assert pair.call(1, on.total, array).result() == on.N
    after = pair.counts()
    assert after[0] > before[0]
    assert after[1] == before[1]
    assert not pair.call(0, on.writeable, array).result()
    assert not pair.call(1, on.writeable, array).result()
    del array
    pair.wait_until_empty()


def test_nobody_writes_to_what_others_have(pair):
    """A task that writes to an array that came through the pool gets NumPy's error, and the data stays."""
    array = pair.call(0, on.ones)
    failed = pair.call(1, on.write, array)
    with pytest.raises(ValueError, match="read-only"):
        failed.result()
    assert pair.call(0, on.total, array).result() == on.N
    del array, failed
    pair.wait_until_empty()


def _ones_frame(n=on.N):
    return pd.DataFrame({"x": np.ones(n)})


def _write_to_column(frame):
    column = frame["x"].to_numpy(copy=False)
    column[0] = 5.0


@pytest.mark.parametrize(
    ("make", "write", "total"),
    [
        (on.ones, on.write, on.total),
        (on.ones_in_pool, on.write, on.total),
        (_ones_frame, _write_to_column, lambda frame: float(frame["x"].sum())),
    ],
    ids=["array", "array made in the pool", "frame"],
)
def test_the_sender_cannot_write_to_what_it_has_sent(pair, make, write, total):
    """A task on the worker that sent it gets an error as well, and what the receiver has stays."""
    made = pair.call(0, make)
    moved = pair.call(1, on.itself, made)
    moved.result()
    await_true(lambda made=made: not pair.call(0, _can_be_written_to, made).result())
    for worker in (0, 1):
        failed = pair.call(worker, write, made)
        with pytest.raises(ValueError, match="read-only"):
            failed.result()
        del failed
    assert pair.call(0, total, made).result() == pair.call(1, total, moved).result() == on.N
    del made, moved
    pair.wait_until_empty()


def _can_be_written_to(made):
    return (made if isinstance(made, np.ndarray) else made["x"].array._ndarray).flags.writeable


def test_small_arrays_go_dasks_way(pair):
    """What is below the threshold leaves the pool alone, and stays writeable."""
    before = pair.counts()
    array = pair.call(0, on.ones, 100)
    assert pair.call(1, on.writeable, array).result()
    assert pair.counts() == before


def _masked():
    return np.ma.masked_array(np.arange(50_000.0), mask=np.arange(50_000) % 3 == 0, fill_value=-1.0)


def _records():
    made = np.zeros(20_000, dtype=[("a", "<i4"), ("b", ">f8"), ("c", "S5")])
    made["a"] = np.arange(20_000)
    made["c"] = b"abc"
    return made


_OBJECTS = {
    "C order": lambda: np.arange(60_000.0).reshape(200, 300),
    "Fortran order": lambda: np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "strided": lambda: np.arange(120_000.0).reshape(400, 300)[::2, ::-1],
    "transposed": lambda: np.arange(60_000.0).reshape(20, 30, 100).transpose(1, 2, 0),
    "datetime": lambda: np.datetime64("2020-01-01") + np.arange(50_000),
    "timedelta": lambda: np.arange(50_000).astype("m8[ns]"),
    "text": lambda: np.array(["short", "a longer one"] * 5_000),
    "big-endian": lambda: np.arange(50_000, dtype=">i8"),
    "complex": lambda: np.arange(50_000).astype(complex),
    "half": lambda: np.arange(50_000).astype("f2"),
    "records": _records,
    "objects": lambda: np.array([{"a": 1}, None, "x"] * 20_000, dtype=object),
    "zero size": lambda: np.zeros((0, 1000)),
    "no dimensions": lambda: np.array(7.0),
    "repeated": lambda: np.broadcast_to(np.arange(1000.0), (500, 1000)),
    "masked": _masked,
    "matrix": lambda: np.asmatrix(np.arange(60_000.0).reshape(200, 300)),
    "read-only": lambda: np.frombuffer(b"x" * 500_000, dtype=np.uint8),
    "bytes": lambda: b"x" * 500_000,
    "bytearray": lambda: bytearray(500_000),
    "list": lambda: [np.arange(50_000), "and", np.zeros(3)],
    "dict": lambda: {"a": np.arange(50_000), "b": {"c": 1}},
    "frame": lambda: pd.DataFrame({"n": np.arange(50_000), "x": np.arange(50_000) / 3}),
    "frame of strings": lambda: pd.DataFrame({"s": [f"text {i}" for i in range(50_000)]}),
    "frame of dates": lambda: pd.DataFrame({"d": pd.date_range("2020", periods=50_000, freq="s")}),
    "frame of categories": lambda: pd.DataFrame({"c": pd.Categorical(["a", "b"] * 50_000)}),
    "frame with missing values": lambda: pd.DataFrame({"i": pd.array([1, None] * 50_000, dtype="Int64")}),
    "empty frame": lambda: pd.DataFrame({"n": np.arange(0)}),
    "series": lambda: pd.Series(np.arange(50_000), name="s"),
    "Arrow table": lambda: pa.table({"n": np.arange(50_000), "s": [f"text {i}" for i in range(50_000)]}),
    "Arrow batch": lambda: pa.record_batch({"n": np.arange(50_000)}),
    "Arrow array": lambda: pa.array(np.arange(50_000)),
}


def _same(a, b):
    """Return whether two objects are the same, in kind and content."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ma.MaskedArray):
        return _same(a.data, b.data) and _same(a.mask, b.mask) and a.fill_value == b.fill_value
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return a.equals(b) if hasattr(a, "equals") else a == b


@pytest.mark.parametrize("kind", _OBJECTS)
def test_what_arrives_is_what_was_sent(pair, kind):
    """Every kind of object arrives as it was, in the same order in memory, and leaves nothing in the pool."""
    there = pair.client.scatter(_OBJECTS[kind](), workers=pair.workers[:1], hash=False)
    moved = pair.call(1, on.itself, there)
    arrived = moved.result()
    sent = _OBJECTS[kind]()
    assert _same(sent, arrived)
    if type(sent) is np.ndarray and sent.flags.f_contiguous:
        assert arrived.flags.f_contiguous
    del there, moved, arrived
    pair.wait_until_empty()


@pytest.mark.parametrize(
    "kind", ["strided", "records", "datetime", "frame", "frame of strings", "Arrow table", "bytes", "masked", "list"]
)
def test_large_data_of_every_kind_goes_through_the_pool(pair, kind):
    """Columns, Arrow buffers and unusual arrays are copied into the pool and not into a socket."""
    there = pair.client.scatter(_OBJECTS[kind](), workers=pair.workers[:1], hash=False)
    before = pair.counts()
    pair.call(1, on.itself, there).result()
    assert pair.counts()[1] > before[1]
    del there
    pair.wait_until_empty()


def test_a_full_pool_is_bypassed(pair):
    """While the pool has no room, arrays go Dask's way, which is counted; afterwards they go through it again."""
    filling = pair.call(0, on.ones_in_pool, (60 << 20) // 8)
    array = pair.call(0, on.ones, (8 << 20) // 8)
    before = pair.counts()
    assert pair.call(1, on.total, array).result() == 1 << 20
    assert not pair.call(1, on.lies_in_pool, array).result()
    assert pair.counts()[3] > before[3]
    del filling, array
    pair.wait_until_empty()
    array = pair.call(0, on.ones)
    assert pair.call(1, on.lies_in_pool, array).result()
    del array
    pair.wait_until_empty()


def test_an_array_larger_than_the_pool_goes_dasks_way(pair):
    """What never fits is exchanged as without a pool."""
    array = pair.call(0, on.ones, (70 << 20) // 8)
    assert pair.call(1, on.total, array).result() == (70 << 20) // 8


def test_clients_and_the_scheduler_need_no_pool(pair):
    """Results are gathered by a client, and data is scattered by it, with and without the scheduler between."""
    array = pair.call(0, on.ones)
    pair.call(1, on.total, array).result()
    assert pair.client.gather(array).sum() == on.N
    assert pair.client.gather(array, direct=True).sum() == on.N
    there = pair.client.scatter(np.ones(on.N), direct=True, workers=pair.workers[:1])
    assert pair.call(1, on.total, there).result() == on.N
    spread = pair.client.scatter(np.ones(on.N), broadcast=True)
    assert pair.call(0, on.total, spread).result() == on.N
    del array, there, spread
    pair.wait_until_empty()


def test_dask_arrays_and_frames_are_computed(pair):
    """Rechunking and shuffling, by tasks and from worker to worker, give what they give without a pool."""
    da, dd = pytest.importorskip("dask.array"), pytest.importorskip("dask.dataframe")
    dask = pytest.importorskip("dask")
    array = da.arange(1 << 19, chunks=1 << 16).reshape(512, 1024)
    frame = pd.DataFrame({"key": np.arange(80_000) % 17, "x": np.arange(80_000.0)})
    for method in ("tasks", "p2p"):
        with dask.config.set({"array.rechunk.method": method, "dataframe.shuffle.method": method}):
            assert array.rechunk((512, 64)).sum(axis=0).sum().compute() == sum(range(1 << 19))
            found = dd.from_pandas(frame, npartitions=4).shuffle("key").compute()
            assert found.sort_values("x")["key"].tolist() == frame["key"].tolist()
    pair.wait_until_empty()


def test_shards_do_not_go_through_the_pool(pair):
    """P2P rechunking sends its shards as Dask does: nothing is copied into the pool, or sent by reference.

    On one worker, which sends them to itself: no chunk moves to another, which Dask may decide on at any time.
    """
    da, dask = pytest.importorskip("dask.array"), pytest.importorskip("dask")
    before = pair.counts()
    with dask.config.set({"array.rechunk.method": "p2p"}):
        rechunked = da.ones((1 << 10, 1 << 10), chunks=(1 << 8, -1)).rechunk((-1, 1 << 8))
        total = pair.client.compute(rechunked.sum(axis=0).sum(), workers=pair.workers[:1])
        assert total.result() == 1 << 20
    assert pair.counts() == before
    del total
    pair.wait_until_empty()


def test_installing_again_changes_the_settings(pair):
    """With readonly=False each receiver has a writeable array of its own; what it writes nobody else sees."""
    blockpool.dask.install(pair.client, nbytes="64MiB", readonly=False)
    try:
        array = pair.call(0, on.ones)
        assert pair.call(1, on.writeable, array).result()
        pair.call(1, on.write, array).result()
        assert pair.call(0, on.total, array).result() == on.N
        del array
        pair.wait_until_empty()
    finally:
        blockpool.dask.install(pair.client, nbytes="64MiB")
