"""Arrow tables and pickle's out-of-band buffers in blocks: read without copies, in one process or in two."""

import gc
import pickle

import numpy as np
import pytest

import blockpool as bp

pa = pytest.importorskip("pyarrow")


def _table(rows=1000):
    """Make a table with a column of integers, one of floats with nulls, and one of text."""
    return pa.table(
        {
            "number": pa.array(range(rows)),
            "half": pa.array([i / 2 if i % 7 else None for i in range(rows)]),
            "text": pa.array([f"row {i}" for i in range(rows)]),
        }
    )


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
    """pyarrow.py_buffer shows the block's memory, knows if it is read-only, and keeps the block in use."""
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
    """A table read from a stream in a block has all its buffers in the block, and outlives the Block object."""
    table = _table()
    block = _write(each, table)
    read = pa.ipc.open_stream(pa.py_buffer(block.readonly().buf)).read_all()
    block.release()
    assert read.equals(table)
    buffers = [
        buffer for column in read.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None
    ]
    assert len(buffers) == 5
    assert all(each.address <= buffer.address <= each.address + each.nbytes - buffer.size for buffer in buffers)
    del read, buffers
    gc.collect()
    assert each.runs() == []


def test_an_arrow_table_for_another_process(shared, peer):
    """Another process reads a table from a redeemed block without a copy, and keeps it with a single column."""
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
    """Pickle a value with its buffers in blocks of the pool; return the pickle and the blocks."""
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
    """Make a value with arrays of several kinds, a buffer, and other objects."""
    return {
        "array": np.arange(3000.0).reshape(30, 100),
        "F": np.asfortranarray(np.arange(600, dtype=">i4").reshape(20, 30)),
        "bytes": pickle.PickleBuffer(bytearray(b"raw" * 100)),
        "empty": np.zeros((0, 3)),
        "small": [1, "two"],
    }


def _same(value):
    """Check that a value equals that of `_value`."""
    assert (value["array"] == np.arange(3000.0).reshape(30, 100)).all()
    assert (value["F"] == np.arange(600).reshape(20, 30)).all()
    assert bytes(value["bytes"]) == b"raw" * 100
    assert value["empty"].shape == (0, 3)
    assert value["small"] == [1, "two"]


def test_buffers_of_a_pickle_in_blocks(each):
    """Arrays loaded from buffers in blocks show the blocks' memory, writeable, and keep it after their release."""
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
    """Arrays loaded from buffers in read-only blocks cannot be made writeable."""
    data, blocks = _dump(_value(), each)
    value = pickle.loads(data, buffers=[block.readonly().buf for block in blocks])
    _same(value)
    assert not value["array"].flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        value["array"].flags.writeable = True
    assert value["bytes"].readonly


@pytest.mark.parametrize("readonly", ["", ".readonly()"], ids=["writable", "read-only"])
def test_a_pickle_for_another_process(shared, peer, readonly):
    """Another process loads a pickle with redeemed blocks; its arrays keep the memory after the sender's release."""
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
