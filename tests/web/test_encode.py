"""How pictures and updates are encoded."""

import base64
import json
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from blockpool.observe import Observer, rates
from blockpool.stats import PoolMap
from blockpool.web.encode import Encoder, map_data


def picture(blocks, allocated, *, holder=None, shared=None, age=None):
    """Return a picture with so many allocated blocks in each cell."""
    cells = len(allocated)
    return PoolMap(
        first=0,
        blocks=blocks,
        cells=cells,
        allocated=array("I", allocated),
        holder=array("H", holder or [4099] * cells),
        shared=array("H", shared or [0] * cells),
        age=array("I", age or [0] * cells),
    )


def decoded(data, field):
    """Return the bytes of a field."""
    return base64.b64decode(data[field], validate=True)


@given(st.data())
def test_fill(data):
    """A cell's byte is its share, 0 only if nothing of it is allocated, and 255 only if everything is."""
    cells = data.draw(st.integers(1, 40))
    blocks = data.draw(
        st.one_of(st.integers(cells, 200), st.integers(cells, 10**6), st.integers(70_000 * cells, 10**8))
    )
    sizes = [len(picture(blocks, [0] * cells).range_of(cell)) for cell in range(cells)]
    allocated = [data.draw(st.sampled_from([0, 1, size // 2, size - 1, size])) for size in sizes]
    filled = decoded(map_data(picture(blocks, allocated)), "fill")
    assert len(filled) == cells
    for byte, count, size in zip(filled, allocated, sizes, strict=True):
        assert (byte == 0, byte == 255) == (count == 0, count == size)
        assert abs(byte - 255 * count / size) <= 1


@given(st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1)), min_size=1, max_size=50))
def test_age(ages):
    """A cell's age is 16 * log2(1 + seconds), rounded, at most 255."""
    found = decoded(map_data(picture(len(ages), [1] * len(ages), age=ages)), "age")
    assert list(found) == [min(255, round(16 * math.log2(1 + age))) for age in ages]


def test_holders_and_shared():
    """Holders are little-endian numbers of 16 bits, and whether a cell is shared is a byte."""
    data = map_data(picture(4, [1, 1, 1, 0], holder=[0, 258, 4096, 4099], shared=[1, 0, 1, 0]))
    assert decoded(data, "holder") == bytes([0, 0, 2, 1, 0, 16, 3, 16])
    assert decoded(data, "shared") == bytes([1, 0, 1, 0])


def test_counts_beyond_their_cell():
    """A damaged pool that says more than a cell has room for gives a full cell."""
    for blocks in (2, 3, 140_002):
        assert decoded(map_data(picture(blocks, [4_000_000_000, 0])), "fill") == b"\xff\x00"


def data_of(event):
    """Return the lines of an event, and its data."""
    lines = event.decode().split("\n")
    assert lines[-2:] == ["", ""]
    assert [line.partition(": ")[0] for line in lines[:-2]] == ["id", "event", "data"]
    return json.loads(lines[2].removeprefix("data: "))


@pytest.fixture
def pool():
    """Make a shared pool without a name."""
    return bp.Pool.create("4KiB", 64)


def test_an_update(pool):
    """An update has a snapshot without its picture, rates and the picture, or null for that."""
    with Observer(pool, cells=64) as observer:
        seen = observer.look()
        update = Encoder().update(seen, rates(seen, seen))
    whole, brief = data_of(update.whole), data_of(update.brief)
    assert whole.pop("map") == map_data(seen.map)
    assert brief.pop("map") is None
    assert whole == brief
    assert (whole["schema"], whole["kind"], whole["rates"]["waited"]) == (1, "update", 0)
    assert whole["snapshot"]["counts"]["blocks"] == 64
    assert set(whole["snapshot"]) == {*type(seen).__dataclass_fields__} - {"map"}


def test_pictures_are_counted(pool, monkeypatch):
    """A picture counts as a new one if a cell changed; if only ages did, then once a second."""
    clock = [100.0]
    monkeypatch.setattr("blockpool.web.encode.time.monotonic", lambda: clock[0])
    encoder = Encoder()
    with Observer(pool, cells=4) as observer:
        seen = observer.look()

    def drawn(**change):
        from dataclasses import replace

        changed = replace(seen, map=replace(seen.map, **change))
        return encoder.update(changed, rates(seen, seen)).drawn

    assert drawn() == drawn() == 1
    assert drawn(age=array("I", [5, 0, 0, 0])) == 1
    assert drawn(holder=array("H", [5, 0, 0, 0])) == 2
    assert drawn(shared=array("H", [1, 0, 0, 0])) == 3
    assert drawn(allocated=array("I", [1, 0, 0, 0])) == 4
    assert drawn(allocated=array("I", [1, 0, 0, 0]), age=array("I", [5, 0, 0, 0])) == 4
    clock[0] += 2
    assert drawn(allocated=array("I", [1, 0, 0, 0]), age=array("I", [5, 0, 0, 0])) == 5
    clock[0] += 2
    assert drawn(allocated=array("I", [1, 0, 0, 0]), age=array("I", [5, 0, 0, 0])) == 5
