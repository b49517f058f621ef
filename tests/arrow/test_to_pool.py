"""blockpool.arrow: tables of all types into a pool and out of it, and what can go wrong."""

import datetime as dt
import decimal
import importlib
import re
import sys
import threading
import types

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from blockpool import arrow
from blockpool._extras import install_command
from memory import is_in, spans_of

MANY = 3000


class Money(pa.ExtensionType):
    """A type of a program's own, which Arrow does not know by name."""

    def __init__(self):
        super().__init__(pa.int64(), "tests.money")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


def numbers(kind, values=(1, None, 3)):
    """Return an array of that type."""
    return pa.array([*values] * (MANY // 3), kind)


BERLIN = pa.timestamp("us", "Europe/Berlin")
ARRAYS = {
    "integers": numbers(pa.int32()),
    "floats": numbers(pa.float64()),
    "booleans": numbers(pa.bool_(), (True, False, None)),
    "strings": numbers(pa.string(), ("", None, "äöü" * 9)),
    "large strings": numbers(pa.large_string(), ("", None, "x" * 9)),
    "string views": numbers(pa.string_view(), ("short", None, "longer than twelve bytes")),
    "binary views": numbers(pa.binary_view(), (b"short", None, b"longer than twelve bytes")),
    "binary": numbers(pa.binary(), (b"", None, b"\0")),
    "fixed binary": numbers(pa.binary(3), (b"abc", None, b"\0\0\0")),
    "dictionary": numbers(pa.string(), ("a", None, "b")).dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0, 1] * 500), pa.array(["a", "b"], pa.string_view())
    ),
    "times with a zone": numbers(
        BERLIN, (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None, dt.datetime(1970, 1, 1, tzinfo=dt.UTC))
    ),
    "dates": numbers(pa.date32(), (dt.date(2026, 1, 1), None, dt.date(1970, 1, 1))),
    "durations": numbers(pa.duration("ns")),
    "decimals": numbers(pa.decimal128(20, 3), (decimal.Decimal("1.5"), None, decimal.Decimal(-7))),
    "long decimals": numbers(pa.decimal256(60, 3), (decimal.Decimal("1.5"), None, decimal.Decimal(-7))),
    "lists": numbers(pa.list_(pa.string()), (["a", None], None, [])),
    "large lists": numbers(pa.large_list(pa.int8()), ([1], None, [])),
    "list views": numbers(pa.list_view(pa.int8()), ([1], None, [])),
    "fixed lists": numbers(pa.list_(pa.float32(), 2), ([1, 2], None, [3, 4])),
    "structs": numbers(pa.struct({"a": pa.int8(), "b": pa.string()}), ({"a": 1, "b": "x"}, None, {"a": None})),
    "maps": numbers(pa.map_(pa.string(), pa.int64()), ([("a", 1)], None, [])),
    "sparse union": pa.UnionArray.from_sparse(
        pa.array([0, 1] * 50, pa.int8()), [pa.array(range(100)), pa.array(["x"] * 100)]
    ),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1] * 50, pa.int8()),
        pa.array([number // 2 for number in range(100)], pa.int32()),
        [pa.array(range(50)), pa.array(["x"] * 50)],
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([10, 2000], pa.int32()), pa.array(["a", None])),
    "extension": pa.ExtensionArray.from_storage(Money(), pa.array([1, None, 3] * 100)),
    "nulls": pa.nulls(1000),
    "empty": pa.array([], pa.string()),
    "one": pa.array([1]),
}


@pytest.fixture(params=ARRAYS, ids=lambda name: name.replace(" ", "-"))
def data(request):
    """Give an array of each type in turn."""
    return ARRAYS[request.param]


def check(moved, before, pool):
    """See that what was moved is valid, equal, of the same class and type, and in the pool."""
    assert type(moved) is type(before)
    moved.validate(full=True)
    assert moved.equals(before)
    assert getattr(moved, "type", 0) == getattr(before, "type", 0)
    assert is_in(moved, pool)


def test_arrays_of_each_type(pool, data):
    """An array of any type is equal in the pool; all its buffers are in one run, aligned; the run ends with it."""
    moved = arrow.to_pool(data, pool)
    check(moved, data, pool)
    assert len(pool.runs()) == (1 if spans_of(data) else 0)
    assert all(start % 64 == 0 for start, _ in spans_of(moved))
    part = moved[1:2]
    del moved
    assert part.equals(data[1:2])


def test_slices_of_each_type(pool, data):
    """A slice is equal in the pool, and in a copy from it."""
    moved = arrow.to_pool(data[7:90], pool)
    check(moved, data[7:90], pool)
    copied = arrow.from_pool(moved)
    assert copied.equals(moved)
    assert not spans_of(copied) or not is_in(copied, pool)
    copied.validate(full=True)


def test_tables(pool):
    """A table with all types, chunks and metadata is equal in the pool, in one run; so is a record batch of it."""
    columns = {name: array[:50] for name, array in ARRAYS.items() if len(array) >= 50}
    schema = pa.schema([pa.field(name, array.type, metadata={"k": name}) for name, array in columns.items()])
    batch = pa.RecordBatch.from_arrays([*columns.values()], schema=schema.with_metadata({"who": "me"}))
    table = pa.Table.from_batches([batch, batch.slice(3, 9), batch.slice(0, 0)])
    for before in (batch, table):
        moved = arrow.to_pool(before, pool)
        check(moved, before, pool)
        assert moved.schema.equals(before.schema, check_metadata=True)
        assert len(pool.runs()) == 1
    assert moved.column(0).num_chunks == table.column(0).num_chunks


@pytest.mark.parametrize(
    "before",
    [
        pa.table({}),
        pa.table({"a": pa.array([], pa.int8())}),
        pa.schema({"a": pa.dictionary(pa.int8(), pa.string())}).empty_table(),
        pa.chunked_array([], pa.string()),
        pa.chunked_array([["a"], [], ["b", None]]),
        pa.RecordBatch.from_arrays([], names=[]),
    ],
    ids=["no columns", "no rows", "no chunks", "no chunk", "chunks", "no columns of a batch"],
)
def test_what_is_small(pool, before):
    """Tables without rows or columns, and arrays without chunks, are equal in a pool and need no memory there."""
    check(arrow.to_pool(before, pool), before, pool)


def test_a_slice_takes_what_it_shows(pool):
    """Of a small slice of a large table only the slice is copied, in both directions."""
    table = pa.table({"text": ["some text"] * 200_000, "number": range(200_000)})
    moved = arrow.to_pool(table.slice(1000, 10), pool)
    check(moved, table.slice(1000, 10), pool)
    assert pool.stats().allocated == 1
    assert arrow.from_pool(table.slice(1000, 10)).get_total_buffer_size() < 1000


def test_a_dictionary_is_copied_once(pool):
    """A dictionary that many chunks use is copied once."""
    words = pa.array([f"word {number}" for number in range(5000)])
    chunk = pa.DictionaryArray.from_arrays(pa.array([1, 2, 3]), words)
    before = pa.chunked_array([chunk] * 100)
    moved = arrow.to_pool(before, pool)
    check(moved, before, pool)
    assert pool.runs()[0].nbytes < 2 * words.nbytes + 100 * 64


def test_what_is_in_the_pool_stays(pool):
    """What lies in the pool is not copied again, only what was added to it."""
    moved = arrow.to_pool(pa.table({"a": range(5000)}), pool)
    again = arrow.to_pool(moved, pool)
    assert spans_of(again) == spans_of(moved)
    more = arrow.to_pool(moved.append_column("b", pa.array(range(5000))), pool)
    assert spans_of(more)[0] == spans_of(moved)[0]
    assert is_in(more, pool)
    assert len(pool.runs()) == 2


def test_results_are_outside(pool):
    """What is computed from a table in the pool is outside, unless it shows the same memory."""
    moved = arrow.to_pool(pa.table({"a": range(5000)}), pool)
    assert is_in(moved.slice(5, 5), pool)
    assert not is_in(pc.add(moved["a"], 1), pool)


def test_private_pool():
    """A table can lie in a private pool, whose run goes back with it."""
    private = bp.Pool("4KiB", 16)
    moved = arrow.to_pool(pa.table({"a": range(1000)}), private)
    assert is_in(moved, private)
    assert private.stats().allocated == 2
    del moved
    assert private.stats().allocated == 0


def test_null_buffers(pool):
    """Arrays without a validity bitmap, and with other buffers left out, are equal in the pool."""
    array = pa.Array.from_buffers(pa.int64(), 1000, [None, pa.py_buffer(np.arange(1000))])
    empty = pa.Array.from_buffers(pa.null(), 5, [None])
    for before in (array, empty):
        check(arrow.to_pool(before, pool), before, pool)


# --- what fails ---


def test_no_room(pool, unchanged):
    """A table that does not fit raises PoolExhausted, at once or in time, and changes nothing."""
    table = pa.table({"a": np.zeros(10**6)})
    with unchanged(pool, failures=1), pytest.raises(bp.PoolExhausted):
        arrow.to_pool(table, pool)
    small = table.slice(0, 10_000)
    with (
        pool.allocate(blocks=255),
        unchanged(pool, failures=1, waits=1),
        pytest.raises(bp.PoolExhausted),
    ):
        arrow.to_pool(small, pool, timeout=0.01)


def test_waits_for_room(pool):
    """With a timeout, to_pool waits for room."""
    block = pool.allocate(blocks=255)
    timer = threading.Timer(0.05, block.release)
    timer.start()
    assert arrow.to_pool(pa.array(np.zeros(10_000)), pool, timeout=60).null_count == 0
    timer.join()


@pytest.mark.parametrize("data", [None, [1, 2], np.zeros(5), pa.scalar(1), pa.schema([])], ids=lambda x: str(type(x)))
def test_wrong_data(pool, data):
    """Anything but a table, record batch or array raises TypeError, which says what there is for it."""
    with pytest.raises(TypeError, match=r"Array of pyarrow is needed, or .*, not .*blockpool\.put"):
        arrow.to_pool(data, pool)
    with pytest.raises(TypeError, match="is needed, or"):
        arrow.from_pool(data)


def test_wrong_arguments(pool):
    """A wrong pool or timeout raises TypeError or ValueError; a closed pool PoolClosed."""
    array = pa.array([1])
    with pytest.raises(TypeError, match=r"pool must be a blockpool\.Pool, not str"):
        arrow.to_pool(array, "name")
    with pytest.raises(ValueError, match="timeout"):
        arrow.to_pool(array, pool, timeout=-1)
    with pytest.raises(TypeError, match="timeout"):
        arrow.to_pool(array, pool, timeout="1")
    other = bp.Pool.create("4KiB", 2)
    other.close()
    with pytest.raises(bp.PoolClosed):
        arrow.to_pool(array, other)


def test_memory_of_a_device(pool, monkeypatch):
    """Data in the memory of a device raises ValueError, as none of it may be read here."""
    monkeypatch.setattr(arrow, "_is_on_cpu", lambda _: False)
    for call in (lambda: arrow.to_pool(pa.array([1]), pool), lambda: arrow.from_pool(pa.array([1]))):
        with pytest.raises(ValueError, match="memory of a device"):
            call()
    monkeypatch.undo()
    assert arrow._is_on_cpu(pa.table({"a": [1]}))
    assert not arrow._is_on_cpu(types.SimpleNamespace(is_cpu=False))
    assert arrow._is_on_cpu(types.SimpleNamespace())


@pytest.mark.parametrize("found", [None, "16.1.0"])
def test_a_library_that_is_missing_or_old(monkeypatch, found):
    """Without pyarrow, or with an old one, the import raises ImportError that says what was found and what to do."""
    stand_in = None if found is None else types.ModuleType("pyarrow")
    if stand_in:
        stand_in.__version__ = found
    monkeypatch.setitem(sys.modules, "pyarrow", stand_in)
    monkeypatch.delitem(sys.modules, "blockpool.arrow")
    monkeypatch.delattr(bp, "arrow")
    with pytest.raises(ImportError, match=rf"{found or 'pyarrow'}.*{re.escape(install_command('arrow'))}"):
        importlib.import_module("blockpool.arrow")


# --- any table ---

VALUES = st.one_of(
    st.lists(st.none() | st.integers(-(2**40), 2**40)),
    st.lists(st.none() | st.text(max_size=20)),
    st.lists(st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3)),
    st.lists(st.none() | st.fixed_dictionaries({"a": st.none() | st.booleans(), "b": st.text(max_size=15)})),
)


@given(st.lists(st.tuples(VALUES, st.booleans()), max_size=4), st.data())
def test_any_table(columns, draw):
    """A slice of any table, its chunks and dictionaries included, is equal in a pool and out of it again."""
    pool = _POOLS.setdefault("one", bp.Pool.create("4KiB", 256))
    rows = max((len(values) for values, _ in columns), default=0)
    table = pa.table({f"c{i}": _column(values, rows, encode=encode) for i, (values, encode) in enumerate(columns)})
    table = pa.concat_tables([table, table])
    table = table.slice(draw.draw(st.integers(0, rows)), draw.draw(st.integers(0, 2 * rows)))
    moved = arrow.to_pool(table, pool)
    check(moved, table, pool)
    got = bp.get(bp.put(moved, pool))
    assert got.equals(table)
    assert arrow.from_pool(got).equals(table)
    del moved, got
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


def _column(values, rows, *, encode):
    array = pa.array([*values, *[None] * (rows - len(values))])
    return array.dictionary_encode() if encode and pa.types.is_string(array.type) else array


_POOLS = {}
