"""pandas' frames in a pool: sent without another copy, and never changed by those that share them."""

import importlib
import sys
import types

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from blockpool import arrow
from placement import lies_in
from transfers import carry, send

ROWS = 6000  # so that every buffer of a column is large enough to go out of band


def dates(zone):
    """Return as many dates as there are rows."""
    return pd.date_range("2026-01-01", periods=ROWS, tz=zone)


COLUMNS = {
    "int64": (np.arange(ROWS), 7),
    "float": (np.arange(ROWS, dtype="f4"), 7.5),
    "bool": (np.zeros(ROWS, bool), True),
    "str": ([f"text {number}" for number in range(ROWS)], "other"),
    "category": (pd.Categorical(["a", "b"] * (ROWS // 2)), "b"),
    "Int64": (pd.array([1, None] * (ROWS // 2), dtype="Int64"), 9),
    "boolean": (pd.array([False, None] * (ROWS // 2), dtype="boolean"), True),
    "dates": (dates(None), pd.Timestamp("2020-01-01")),
    "dates with a zone": (dates("Europe/Berlin"), pd.Timestamp("2020-01-01", tz="Europe/Berlin")),
    "periods": (pd.period_range("2026", periods=ROWS, freq="D"), pd.Period("2020-01-01", "D")),
    "timedelta": (pd.to_timedelta(range(ROWS), unit="s"), pd.Timedelta(-1, "s")),
    "interval": (pd.interval_range(0, ROWS), pd.Interval(5, 9)),
    "int64[pyarrow]": (pd.array([1, None] * (ROWS // 2), dtype="int64[pyarrow]"), 9),
    "string[pyarrow]": (pd.array(["a", None] * (ROWS // 2), dtype="string[pyarrow]"), "z"),
}


@pytest.fixture(params=COLUMNS, ids=lambda name: name.replace(" ", "-"))
def column(request):
    """Give the name of each kind of column in turn."""
    return request.param


def frame_of(*names):
    """Return a frame with those columns."""
    return pd.DataFrame({name: COLUMNS[name][0] for name in names})


def test_columns_of_each_kind(pool, column):
    """A frame of any kind of column is equal in the pool, lies in one run there, and is equal in a copy from it."""
    before = frame_of(column)
    moved = arrow.to_pool(before, pool)
    pd.testing.assert_frame_equal(moved, before)
    assert len(pool.runs()) == 1
    pd.testing.assert_frame_equal(arrow.from_pool(moved), before)


def test_whole_frame(pool):
    """A frame with columns of all kinds, a MultiIndex and attributes is equal in the pool, in one run."""
    before = frame_of(*COLUMNS)
    before["object"] = [{"row": row} for row in range(ROWS)]
    before.index = pd.MultiIndex.from_product([range(ROWS // 100), [f"key {n}" for n in range(100)]], names=["a", "b"])
    before.attrs["unit"] = "mm"
    moved = arrow.to_pool(before, pool)
    pd.testing.assert_frame_equal(moved, before)
    assert moved.attrs == before.attrs
    assert len(pool.runs()) == 1


@pytest.mark.parametrize("what", ["series", "index", "empty", "no rows", "multi"])
def test_other_objects_of_pandas(pool, what):
    """Series, indices and empty frames are equal in the pool."""
    before = {
        "series": pd.Series(np.arange(ROWS), name="x"),
        "index": pd.Index(np.arange(ROWS, dtype="f8")),
        "empty": pd.DataFrame(),
        "no rows": frame_of(*COLUMNS).iloc[:0],
        "multi": pd.MultiIndex.from_product([range(600), range(10)]),
    }[what]
    moved = arrow.to_pool(before, pool)
    assert type(moved) is type(before)
    assert moved.equals(before)


@pytest.mark.parametrize("way", ["queue", "put", "pipe"])
def test_sent_without_a_copy(pool, column, way, carried):
    """A frame in the pool takes no more room there when it is sent, and arrives with the same memory."""
    moved = arrow.to_pool(frame_of(column), pool)
    used = pool.runs()[0]
    got = send(moved, pool, way)
    pd.testing.assert_frame_equal(got, moved)
    runs = [run for run in pool.runs() if run.nbytes >= ROWS]
    assert [(run.index, run.nbytes) for run in runs] == [(used.index, used.nbytes)]
    assert memory_of(got, column) == memory_of(moved, column)
    assert carried()[1:] == (0, 0)
    assert pool.stats().tickets == 0


def memory_of(frame, name):
    """Return where the first values of a column are."""
    array = frame[name].array
    if hasattr(array, "__arrow_array__") and "pyarrow" in str(type(array.__arrow_array__())):
        data = array.__arrow_array__()
        chunks = data.chunks if hasattr(data, "chunks") else [data]
        if str(array.dtype) in ("int64[pyarrow]", "string", "str"):
            return [buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer is not None]
    for part in ("_ndarray", "_data", "_left"):
        array = getattr(array, part, array)
    return np.asarray(array).__array_interface__["data"][0]


@pytest.mark.parametrize("way", ["queue", "put", "pipe"])
@pytest.mark.parametrize("who", ["receiver", "sender"])
def test_nobody_changes_the_frame_of_another(pool, column, way, who, carried):
    """A write to a frame that was sent, or to a part of it, copies that column first; the others see no change."""
    moved = arrow.to_pool(frame_of(column), pool)
    before = frame_of(column)
    got = send(moved, pool, way)
    mine, other = (got, moved) if who == "receiver" else (moved, got)
    value = COLUMNS[column][1]
    part = mine[column]
    mine.loc[0, column] = value
    assert mine.loc[0, column] == value
    part.iloc[1] = value
    assert part.iloc[1] == value
    pd.testing.assert_frame_equal(other, before)
    assert carried()[2] == 0


def test_a_third_process_shares_it_too(pool, peer):
    """A frame that is passed on by its receiver is the same memory in the third, and nobody changes it for another."""
    moved = arrow.to_pool(frame_of("int64", "str"), pool)
    peer("import numpy, pandas")
    peer(f"got = bp.get({str(bp.put(moved, pool))!r}); pool = bp.redeem({str(pool.allocate().share())!r}).pool")
    got = bp.get(peer("str(bp.put(got, pool))"))
    assert memory_of(got, "int64") == memory_of(moved, "int64")
    assert peer("got.loc[0, 'int64'] = 5; int(got.loc[0, 'int64'])") == 5
    assert (got.loc[0, "int64"], moved.loc[0, "int64"]) == (0, 0)
    peer("del got, pool")


@pytest.mark.parametrize("way", ["put", "queue", "pipe"])
def test_passed_on_by_a_process_that_knows_nothing(pool, peer, way):
    """A frame that came from outside the pool is protected, too, once its receiver passes it on."""
    peer("import pickle, pandas as pd; import blockpool.multiprocessing as carrier")
    peer("from multiprocessing.reduction import ForkingPickler")
    peer(f"pool = bp.redeem({str(pool.allocate().share())!r}).pool; queue = pool.queue()")
    peer("carrier.install(pool, threshold=1)")
    peer(
        """
        def send(data, way):
            if way == "put":
                return bp.get(bp.put(data, pool))
            if way == "queue":
                queue.put(data)
                return queue.get()
            return ForkingPickler.loads(ForkingPickler.dumps(data))
        """
    )
    peer(f"got = send(pd.DataFrame({{'x': range(9000), 'n': pd.array(range(9000), dtype='Int64')}}), {way!r})")
    peer(f"again = send(got, {way!r}); again.loc[0, 'x'] = 5; again.loc[0, 'n'] = 5; got.loc[1, 'x'] = 6")
    assert peer("[*map(int, (got.x[0], got.n[0], again.x[0], again.n[0], again.x[1]))]") == [0, 0, 5, 5, 1]
    peer("del got, again, queue; carrier.uninstall(); del pool")


def test_the_first_owner_writes_in_place(pool):
    """A frame that only this process has is written to in place, and stays in the pool."""
    moved = arrow.to_pool(frame_of("int64"), pool)
    where = memory_of(moved, "int64")
    moved.loc[0, "int64"] = 5
    assert memory_of(moved, "int64") == where


def test_outside_a_pool_nothing_changes(pool, carried):
    """A frame outside a pool is sent as before: the receiver has its own copy, and the sender writes in place."""
    arrow.to_pool(pd.Series([1]), pool)
    frame = pd.DataFrame({"x": np.arange(100)})
    where = memory_of(frame, "x")
    got = carry(frame)
    frame.loc[0, "x"] = 7
    assert memory_of(frame, "x") == where
    assert got.loc[0, "x"] == 0
    assert carried() == (0, 0, 0)


def test_frames_of_another_process_that_was_killed(pool, peer):
    """A frame whose process was killed stays whole, and its memory ends with it."""
    peer("import pandas as pd, numpy as np; from blockpool import arrow")
    peer(f"pool = bp.redeem({str(pool.allocate().share())!r}).pool")
    ticket = peer("str(bp.put(arrow.to_pool(pd.DataFrame({'x': np.arange(9000)}), pool), pool))")
    peer.kill()
    got = bp.get(ticket)
    assert int(got["x"].sum()) == sum(range(9000))
    assert lies_in(got["x"].to_numpy(), pool)


@pytest.mark.parametrize("found", ["2.2.3", "3.0.0"])
def test_an_old_or_unknown_library(pool, monkeypatch, found):
    """With a pandas that is too old, or that works in another way, frames raise ImportError, and tables go on."""
    monkeypatch.setattr(pd, "__version__", found)
    if found == "3.0.0":
        stand_in = types.ModuleType("pandas._libs.internals")
        stand_in.Block = stand_in.BlockValuesRefs = type("BlockValuesRefs", (), {})
        monkeypatch.setitem(sys.modules, "pandas._libs.internals", stand_in)
    monkeypatch.delitem(sys.modules, "blockpool._frames", raising=False)
    with pytest.raises(ImportError, match=f"need pandas 3 .* pandas {found}; update it"):
        arrow.to_pool(pd.DataFrame({"x": [1]}), pool)
    assert arrow.to_pool(arrow.pa.array([1]), pool).equals(arrow.pa.array([1]))
    monkeypatch.undo()
    importlib.import_module("blockpool._frames")


KINDS = st.sampled_from(["int64", "float32", "Int64", "str", "category", "datetime64[ns]", "string[pyarrow]"])


@given(st.lists(KINDS, max_size=6), st.integers(0, 3000), st.data())
def test_any_frame(kinds, rows, data):
    """Any frame, and any slice of one, is equal in the pool and after it was sent twice, and leaves nothing behind."""
    pool = _POOLS.setdefault("one", bp.Pool.create("4KiB", 1024))
    frame = pd.DataFrame({f"c{at}": pd.Series(np.arange(rows) % 9).astype(kind) for at, kind in enumerate(kinds)})
    start = data.draw(st.integers(0, rows))
    moved = arrow.to_pool(frame, pool)[start:]
    got = bp.get(bp.put(moved, pool))
    again = bp.get(bp.put({"frame": got, "part": got[5:]}, pool))
    pd.testing.assert_frame_equal(again["frame"], frame[start:])
    pd.testing.assert_frame_equal(again["part"], frame[start:][5:])
    del moved, got, again
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


_POOLS = {}
