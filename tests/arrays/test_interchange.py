"""Arrow and pickle's out-of-band buffers in blocks: no copies, in one process or between two; all of it pins."""

import gc
import pickle

import numpy as np
import pytest

import blockpool as bp

pa = pytest.importorskip("pyarrow")


def _table(rows=1000):
    return pa.table(
        {
            "number": pa.array(range(rows)),
            "half": pa.array([i / 2 if i % 7 else None for i in range(rows)]),
            "text": pa.array([f"row {i}" for i in range(rows)]),
        }
    )


def _lies_in(buffer, pool):
    return pool.address <= buffer.address <= pool.address + pool.nbytes - buffer.size


def _write(pool, table):
    """Write a table as a stream into a new block of the pool."""
    counted = pa.MockOutputStream()
    with pa.ipc.new_stream(counted, table.schema) as writer:
        writer.write_table(table)
    block = pool.allocate(nbytes=counted.size())
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(block.buf))
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return block


def test_an_arrow_buffer_is_the_block(each, unchanged):
    """py_buffer shows the memory both ways, knows whether it may be written to, and pins."""
    block = each.allocate(nbytes=5000)
    buffer = pa.py_buffer(block.buf)
    assert (buffer.address, buffer.size, buffer.is_mutable) == (block.address, 5000, True)
    assert not pa.py_buffer(block.readonly().buf).is_mutable
    block.buf[:3] = b"abc"
    assert buffer.slice(0, 3).to_pybytes() == b"abc"
    np.frombuffer(buffer, np.uint8)[0] = ord("x")
    assert bytes(block.buf[:3]) == b"xbc"
    array = pa.Array.from_buffers(pa.int64(), 4, [None, buffer])
    del buffer
    with unchanged(each), pytest.raises(bp.BlockInUse):
        block.free()
    del array
    block.free()


def test_an_arrow_table_in_a_block(each):
    """What is read from a stream in a block lies in it, column by column, and outlives the block object."""
    table = _table()
    block = _write(each, table)
    read = pa.ipc.open_stream(pa.py_buffer(block.readonly().buf)).read_all()
    block.release()
    assert read.equals(table)
    buffers = [
        buffer for column in read.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None
    ]
    assert len(buffers) == 5
    assert all(_lies_in(buffer, each) for buffer in buffers)
    del read, buffers
    gc.collect()
    assert each.runs() == []


def test_an_arrow_table_for_another_process(shared, peer):
    """It is redeemed and read there without a copy, and stays while its reader has a column of it."""
    table = _table()
    block = _write(shared, table)
    peer(f"""
        import pyarrow as pa
        block = bp.redeem({str(block.share())!r})
        table = pa.ipc.open_stream(pa.py_buffer(block.readonly().buf)).read_all()
        start, end = block.address, block.address + block.nbytes
        block.release()
    """)
    block.release()
    assert shared.stats().allocated > 0
    assert peer("table.to_pydict()") == table.to_pydict()
    assert peer("""
        all(
            start <= buffer.address <= end - buffer.size
            for column in table.columns for chunk in column.chunks
            for buffer in chunk.buffers() if buffer is not None
        )
    """)
    peer("""
        column = table["text"]
        del table
        gc.collect()
    """)
    assert peer("column[999].as_py()") == "row 999"
    assert shared.stats().allocated > 0
    peer("""
        del column
        gc.collect()
    """)
    assert shared.stats().allocated == 0


# --- pickle 5 ---


def _dump(value, pool):
    """Pickle with the buffers in blocks of the pool."""
    blocks = []

    def into_a_block(buffer):
        with buffer.raw() as raw:
            if raw.nbytes == 0:
                return True  # it stays in the pickle
            block = pool.allocate(nbytes=raw.nbytes)
            block.buf[:] = raw
        blocks.append(block)
        return False

    return pickle.dumps(value, protocol=5, buffer_callback=into_a_block), blocks


def _value():
    return {
        "array": np.arange(3000.0).reshape(30, 100),
        "F": np.asfortranarray(np.arange(600, dtype=">i4").reshape(20, 30)),
        "bytes": pickle.PickleBuffer(bytearray(b"raw" * 100)),
        "empty": np.zeros((0, 3)),
        "small": [1, "two"],
    }


def _same(value):
    assert (value["array"] == np.arange(3000.0).reshape(30, 100)).all()
    assert (value["F"] == np.arange(600).reshape(20, 30)).all()
    assert bytes(value["bytes"]) == b"raw" * 100
    assert value["empty"].shape == (0, 3)
    assert value["small"] == [1, "two"]


def test_buffers_of_a_pickle_in_blocks(each):
    """What is loaded shows the blocks' memory, may be written to, and keeps it when the blocks have gone."""
    data, blocks = _dump(_value(), each)
    assert len(data) < 1000
    assert len(blocks) == 3
    value = pickle.loads(data, buffers=[block.buf for block in blocks])
    _same(value)
    value["array"][0, 0] = -1
    assert np.frombuffer(blocks[0].buf)[0] == -1
    with pytest.raises(bp.BlockInUse):
        blocks[0].free()
    for block in blocks:
        block.release()
    blocks.clear()
    value["array"][0, 0] = 0
    _same(value)
    del value
    assert each.runs() == []


def test_buffers_of_a_pickle_in_readonly_blocks(each):
    """What is loaded from them cannot be written to."""
    data, blocks = _dump(_value(), each)
    value = pickle.loads(data, buffers=[block.readonly().buf for block in blocks])
    _same(value)
    assert not value["array"].flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        value["array"].flags.writeable = True
    assert value["bytes"].readonly


@pytest.mark.parametrize("readonly", ["", ".readonly()"], ids=["writable", "read-only"])
def test_a_pickle_for_another_process(shared, peer, readonly):
    """The pickle and the tickets travel; the arrays there show the memory, and pin it when the sender has let go."""
    data, blocks = _dump(_value(), shared)
    tickets = [str(block.share()) for block in blocks]
    peer(f"""
        value = pickle.loads({data!r}, buffers=[bp.redeem(t){readonly}.buf for t in {tickets!r}])
    """)
    for block in blocks:
        block.release()
    blocks.clear()
    for other in shared.allocate_many(shared.stats().free):
        other.buf[:] = b"y" * 4096
    del other
    if readonly:
        assert not peer("value['array'].flags.writeable")
    else:
        peer("value['array'] += 0")
    _same(peer("{**value, 'bytes': bytes(value['bytes'])}"))
    assert shared.stats().tickets == 0
    peer("del value")
    assert shared.stats().allocated == 0
