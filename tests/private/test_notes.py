"""Block.note: what is the same for private and shared pools."""

import array
import gc

import numpy as np
import pytest

import blockpool as bp


def test_a_block_has_no_note_at_first(each):
    """A new block has no note, whatever its memory had before."""
    block = each.allocate()
    assert block.note == b""
    block.note = b"old"
    block.free()
    assert [block.note for block in each.allocate_many(16)] == [b""] * 16


def test_a_note_is_what_it_was_set_to(each):
    """A note of any length up to 120 bytes is read as it was set; of nothing, there is none."""
    block, other = each.allocate(blocks=2), each.allocate()
    other.note = b"another's"
    block.buf[:] = b"d" * 8192
    for length in (*range(121), *range(119, -1, -1)):
        note = bytes(range(length))
        block.note = note
        assert block.note == note
        assert type(block.note) is bytes
    assert other.note == b"another's"
    assert bytes(block.buf) == b"d" * 8192


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (bytearray(b"camera"), b"camera"),
        (memoryview(b"camera 3")[::-1], b"3 aremac"),
        (array.array("H", [1, 258]), b"\1\0\2\1"),
        (np.arange(6, dtype="u1").reshape(2, 3).T, b"\0\3\1\4\2\5"),
        (np.float64(1), b"\0\0\0\0\0\0\xf0\x3f"),
    ],
    ids=["bytearray", "backwards", "array", "columns", "scalar"],
)
def test_a_note_can_be_set_to_what_is_like_bytes(each, value, note):
    """Whatever has bytes can be a note, which is a copy of them."""
    block = each.allocate()
    block.note = value
    assert block.note == note


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("camera", TypeError, "note must be bytes-like, not str 'camera'; encode it"),
        (3, TypeError, "not int 3"),
        (None, TypeError, "not NoneType None"),
        ([1, 2], TypeError, r"not list \[1, 2\]"),
        (b"x" * 121, ValueError, "note has 121 bytes; a note has at most 120"),
        (np.zeros(16), ValueError, "note has 128 bytes"),
        (memoryview(b"x" * 2000)[::2], ValueError, "note has 1000 bytes"),
    ],
    ids=["str", "int", "None", "list", "bytes", "array", "every other"],
)
def test_what_is_no_note(each, value, error, message):
    """What is not bytes-like, or too long, raises an error that says so and changes nothing."""
    block = each.allocate()
    block.note = b"before"
    with pytest.raises(error, match=message):
        block.note = value
    assert block.note == b"before"


def test_a_note_is_not_deleted(each):
    """Deleting the note says how to take it away."""
    block = each.allocate()
    block.note = b"x"
    with pytest.raises(AttributeError, match='set it to b"" to take it away'):
        del block.note
    assert block.note == b"x"
    block.note = b""
    assert block.note == b""


def test_twins_have_one_note(each):
    """A block and its read-only twins have one note, which stays as long as any of them; a twin does not change it."""
    block = each.allocate()
    twin = block.readonly()
    block.note = b"one"
    assert twin.note == b"one"
    again = twin.readonly()
    with pytest.raises(TypeError, match=r"block 0 is read-only, and so is its note"):
        twin.note = b"two"
    block.release()
    assert (twin.note, again.note) == (b"one", b"one")
    twin.release()
    assert again.note == b"one"


def test_views_are_no_matter(each):
    """A note is the same before, while and after a block has views."""
    block = each.allocate()
    block.note = b"one"
    view = block.buf
    assert block.note == b"one"
    block.note = b"two"
    with pytest.raises(bp.BlockInUse):
        block.free()
    del view
    assert block.note == b"two"
    block.free()


@pytest.mark.parametrize("end", ["free", "release"])
def test_a_block_that_ended_has_no_note(each, end):
    """After free and release, the note raises as everything else does."""
    block = each.allocate()
    block.note = b"one"
    getattr(block, end)()
    with pytest.raises(bp.InvalidBlock, match="drop"):
        _ = block.note
    with pytest.raises(bp.InvalidBlock, match="drop"):
        block.note = b"two"
    with pytest.raises(bp.InvalidBlock, match="never allocated"):
        _ = bp.Block.__new__(bp.Block).note


def test_a_note_keeps_nothing(each):
    """Setting and reading notes holds no memory of the pool, and the blocks come back."""
    before = each.stats().allocated
    for block in each.allocate_many(16):
        block.note = b"x" * 120
        assert block.note
    del block
    gc.collect()
    assert each.stats().allocated == before
    block = each.allocate()
    block.note = b"x"
    each.close()
    assert block.note == b"x"
    block.note = b"y"
    assert block.note == b"y"
