"""`Pool(buffer=)`: a pool in the caller's memory."""

import array
import ctypes
import gc
import mmap
import weakref

import numpy as np
import pytest

import blockpool as bp


def aligned(nbytes, past=0):
    """Return writable memory that starts `past` bytes after a multiple of 64."""
    memory = np.zeros(nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + past
    return memory[start : start + nbytes]


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytearray(4096),
        lambda: memoryview(bytearray(4096)),
        lambda: array.array("d", bytes(4096)),
        lambda: np.zeros(512, np.float64),
        lambda: np.zeros((8, 64)),
        lambda: np.zeros((8, 64), order="F"),
        ctypes.c_char * 4096,
        lambda: mmap.mmap(-1, 4096),
    ],
    ids=[
        "bytearray",
        "memoryview",
        "array",
        "ndarray",
        "matrix",
        "Fortran matrix",
        "ctypes",
        "mmap",
    ],
)
def test_any_writable_contiguous_memory_will_do(make):
    """A pool in the caller's memory has as many blocks as fit, and writes exactly there."""
    memory = make()
    pool = bp.Pool(64, buffer=memory)
    assert (pool.blocks, pool.nbytes) == (64, 4096)
    block = pool.allocate(blocks=64)
    assert block.address == pool.address
    block.buf[:] = bytes(range(256)) * 16
    with memoryview(memory) as seen:
        assert seen.tobytes(order="A") == bytes(range(256)) * 16
    del block, pool, seen


def test_the_remainder_is_left_alone():
    """A pool in the caller's memory does not touch what makes no whole block, nor what `blocks` does not ask for."""
    memory = bytearray(b"x" * 1000)
    pool = bp.Pool(64, buffer=memory)
    assert (pool.blocks, pool.nbytes) == (15, 960)
    few = bp.Pool(64, 3, buffer=memory)
    assert (few.blocks, few.nbytes) == (3, 192)
    assert few.stats().free == 3
    assert memory == b"x" * 1000


def test_fresh_blocks_hold_what_the_caller_left():
    """A pool does not clear the caller's memory: a fresh block holds what was there."""
    pool = bp.Pool(64, buffer=bytearray(b"abcd" * 32))
    assert bytes(pool.allocate().buf) == b"abcd" * 16


@pytest.mark.parametrize("past", [0, 8, 16, 24, 32])
@pytest.mark.parametrize("block_size", [8, 24, 64, 4096])
def test_alignment_counts_the_callers_address(past, block_size):
    """In the caller's memory, `alignment` is what the address and the block size both allow, and every block has it."""
    pool = bp.Pool(block_size, 5, buffer=aligned(5 * block_size, past))
    blocks = pool.allocate_many(5)
    assert {block.address % pool.alignment for block in blocks} == {0}
    both = pool.address | block_size
    assert pool.alignment == min(both & -both, 4096)


@pytest.mark.parametrize("past", range(1, 8))
def test_misaligned_memory(past):
    """Memory that does not start at a multiple of 8 raises a ValueError that says how far off it is."""
    memory = aligned(640, past)
    with pytest.raises(ValueError, match=rf"multiple of 8; its address is {memory.ctypes.data:#x}, {past} past one"):
        bp.Pool(64, buffer=memory)


def test_a_misaligned_slice():
    """A misaligned slice of a bytearray raises ValueError, and the bytearray can be resized right afterwards."""
    memory = bytearray(648)
    with memoryview(memory) as view, pytest.raises(ValueError, match="multiple of 8"):
        bp.Pool(64, buffer=view[1:])
    memory.append(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes(640),
        lambda: memoryview(bytearray(640)).toreadonly(),
        lambda: np.frombuffer(bytes(640)),
        lambda: mmap.mmap(-1, 4096, access=mmap.ACCESS_READ),
    ],
    ids=["bytes", "read-only view", "read-only array", "read-only mmap"],
)
def test_read_only_memory(make):
    """A pool in read-only memory raises ValueError."""
    with pytest.raises(ValueError, match="buffer must be writable and contiguous"):
        bp.Pool(64, buffer=make())


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros(2000, np.uint8)[::2],
        lambda: np.zeros((40, 40))[:, 1:],
        lambda: memoryview(bytearray(1280))[::2],
        lambda: memoryview(bytearray(1280))[::-1],
    ],
    ids=["strided array", "columns", "strided view", "reversed view"],
)
def test_memory_with_gaps(make):
    """A pool in memory that is not contiguous raises ValueError."""
    with pytest.raises(ValueError, match="buffer must be writable and contiguous"):
        bp.Pool(64, buffer=make())


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros(80, object),
        lambda: memoryview(bytearray(640)).cast("P"),
        lambda: np.zeros(80, "f4,O"),
        lambda: np.zeros(80, "i4,i4"),
        lambda: np.zeros(80, "U2"),
        ctypes.py_object * 80,
        ctypes.c_void_p * 80,
        ctypes.c_char_p * 80,
        ctypes.CFUNCTYPE(None) * 80,
    ],
    ids=range(9),
)
def test_memory_of_objects_or_pointers(make):
    """Memory that holds anything but bytes and numbers raises TypeError: a pool would write over pointers."""
    memory = make()
    before = bytes(memoryview(memory))
    with pytest.raises(TypeError, match="of bytes or numbers, not of format"):
        bp.Pool(64, buffer=memory)
    assert bytes(memoryview(memory)) == before


@pytest.mark.parametrize(
    "make",
    [
        *[lambda kind=kind: np.zeros(80, kind) for kind in ("u1", ">i8", "f2", "c16", "?", "S16")],
        ctypes.c_ubyte * 640,
        lambda: ctypes.create_string_buffer(640),
        ctypes.c_double * 80,
        lambda: array.array("q", [0] * 80),
        lambda: mmap.mmap(-1, 4096),
    ],
    ids=range(11),
)
def test_memory_of_bytes_and_numbers(make):
    """A pool can be in memory of bytes or of any one kind of number."""
    block = bp.Pool(8, buffer=make()).allocate()
    block.buf[:] = b"12345678"
    assert bytes(block.buf) == b"12345678"


def test_a_released_memoryview():
    """A pool in a released memoryview raises ValueError."""
    view = memoryview(bytearray(640))
    view.release()
    with pytest.raises(ValueError, match="buffer"):
        bp.Pool(64, buffer=view)


@pytest.mark.parametrize(
    "memory",
    ["text", 640, [0] * 640, object(), (1, 2), 1.5],
    ids=lambda value: type(value).__name__,
)
def test_not_a_buffer(memory):
    """An object without the buffer protocol raises a TypeError that names its type."""
    with pytest.raises(TypeError, match=f"writable memory.*not {type(memory).__name__}"):
        bp.Pool(64, buffer=memory)


def test_a_block_is_no_buffer(pool):
    """A Block as `buffer=` raises a TypeError that points to block.buf."""
    with pytest.raises(TypeError, match=r"not itself a buffer; use block\.buf"):
        bp.Pool(64, buffer=pool.allocate())


@pytest.mark.parametrize(
    ("nbytes", "block_size", "blocks"),
    [(0, 64, None), (63, 64, None), (640, 64, 11), (640, 2**62, None), (640, 64, 2**100)],
)
def test_too_small(nbytes, block_size, blocks):
    """Memory that holds too few blocks raises a ValueError with both numbers, and can be resized right afterwards."""
    memory = bytearray(nbytes)
    found = rf"too small: {nbytes} bytes hold \d+ blocks of {block_size}, and \d+ are needed"
    if not nbytes:
        found += "|multiple of 8"  # nothing is anywhere
    with pytest.raises(ValueError, match=found):
        bp.Pool(block_size, blocks, buffer=memory)
    memory.append(0)


@pytest.mark.parametrize("option", ["prefault", "huge_pages"])
def test_options_for_own_memory_only(option):
    """Both prefault and huge_pages with buffer= raise ValueError: they are for memory that the pool reserves."""
    memory = bytearray(640)
    with pytest.raises(ValueError, match="prefault and huge_pages are for memory that the pool reserves itself"):
        bp.Pool(64, buffer=memory, **{option: True})
    memory.append(0)


def test_other_bad_arguments_let_the_memory_go():
    """A Pool that is refused for other arguments does not keep the caller's memory locked."""
    memory = bytearray(640)
    for arguments in ((7,), (64, 0), (64, "3"), ("",), (0,)):
        with pytest.raises((ValueError, TypeError)):
            bp.Pool(*arguments, buffer=memory)
        memory.append(0)


def _locked(memory):
    try:
        memory.append(0)
    except BufferError:
        return True
    memory.pop()
    return False


def test_the_memory_stays_exported_until_all_is_gone():
    """The caller's bytearray cannot be resized until pool, block and view have all gone."""
    memory = bytearray(640)
    pool = bp.Pool(64, buffer=memory)
    assert _locked(memory)
    block = pool.allocate()
    view = block.buf
    pool.close()
    assert _locked(memory)
    del pool
    assert _locked(memory)
    del block
    assert _locked(memory)
    view[0] = 7
    del view
    assert not _locked(memory)
    assert memory[0] == 7


def test_a_twin_keeps_it_exported():
    """A read-only twin, or a NumPy array of it, keeps the caller's memory from being resized."""
    memory = bytearray(640)
    block = bp.Pool(64, buffer=memory).allocate()
    twin = block.readonly()
    block.release()
    assert _locked(memory)
    values = np.frombuffer(twin.buf, np.uint8)
    twin.release()
    assert _locked(memory)
    del block, twin
    assert _locked(memory)
    del values
    assert not _locked(memory)


def test_closing_lets_go():
    """Closing an empty pool lets the caller's memory go."""
    memory = bytearray(640)
    with bp.Pool(64, buffer=memory) as pool:
        assert _locked(memory)
    assert pool.closed
    assert not _locked(memory)


def test_a_pool_in_a_block(pool, unchanged):
    """A block can be the memory of another pool, which pins it."""
    outer = pool.allocate(blocks=2)
    inner = bp.Pool(64, buffer=outer.buf)
    assert inner.blocks == 128
    block = inner.allocate()
    block.buf[:5] = b"inner"
    assert bytes(outer.buf[:5]) == b"inner"
    inner.close()
    with unchanged(pool), pytest.raises(bp.BlockInUse):
        outer.free()
    block.free()
    del block  # even a freed Block knows its pool, and so keeps the mapping
    outer.free()


def test_two_pools_in_one_buffer():
    """Several pools can be made in one memory, which stays locked until all of them are closed."""
    memory = bytearray(1280)
    with memoryview(memory) as view:
        low, high = bp.Pool(64, 10, buffer=view[:640]), bp.Pool(64, 10, buffer=view[640:])
    assert high.address - low.address == 640
    low.close()
    assert _locked(memory)
    high.close()
    assert not _locked(memory)


class Memory(bytearray):
    """A bytearray that can have attributes."""


def test_a_buffer_that_refers_to_its_pool_is_collected():
    """A reference cycle of a pool and the caller's buffer is collected as garbage."""
    memory = Memory(640)
    memory.pool = bp.Pool(64, buffer=memory)
    gone = weakref.ref(memory)
    del memory
    gc.collect()
    assert gone() is None
