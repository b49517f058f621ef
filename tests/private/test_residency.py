"""`prefault=`, `huge_pages=` and `residency`: what the kernel really gave."""

import mmap
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp


def test_pages_come_at_first_use():
    """A fresh pool has no resident memory; writing to a block makes its page resident."""
    pool = bp.Pool("4KiB", 256)
    assert pool.residency() == bp.Residency(resident_bytes=0, huge_page_bytes=0)
    block = pool.allocate()
    block.buf[0] = 1
    assert pool.residency().resident_bytes == mmap.PAGESIZE
    blocks = pool.allocate_many(9)
    for other in blocks:
        other.buf[0] = 1
    assert pool.residency().resident_bytes == 10 * mmap.PAGESIZE


def test_allocating_touches_nothing():
    """Allocating and freeing alone makes no page resident."""
    pool = bp.Pool("4KiB", 256)
    for block in pool.allocate_many(200):
        block.free()
    pool.allocate(blocks=256).free()
    assert pool.residency().resident_bytes == 0


@pytest.mark.parametrize(("block_size", "blocks"), [("4KiB", 1), ("4KiB", 256), (8, 1000), ("1MiB", 9)])
def test_prefault_brings_every_page(block_size, blocks):
    """With prefault=True the whole pool is resident from the start, rounded up to pages, and zeroed."""
    pool = bp.Pool(block_size, blocks, prefault=True)
    pages = -(-pool.nbytes // mmap.PAGESIZE)
    assert pool.residency().resident_bytes == pages * mmap.PAGESIZE
    assert not np.frombuffer(pool.allocate(blocks=blocks).buf, np.uint8).any()


@pytest.mark.parametrize("prefault", [False, True])
@pytest.mark.parametrize("mib", [1, 2, 5, 8])
def test_huge_pages_are_asked_for(mib, prefault):
    """A pool with huge_pages=True works whatever the kernel gives, and residency says what that is."""
    pool = bp.Pool("64KiB", mib * 16, huge_pages=True, prefault=prefault)
    if mib >= 2:
        assert pool.address % (2 << 20) == 0
    whole = pool.allocate(blocks=pool.blocks)
    whole.buf[:] = bytes(pool.nbytes)
    found = pool.residency()
    assert found.resident_bytes == pool.nbytes
    assert 0 <= found.huge_page_bytes <= found.resident_bytes
    assert found.huge_page_bytes % (2 << 20) == 0


def test_the_memory_goes_back_to_the_kernel_at_close():
    """A pool's memory is unmapped when it is closed and its blocks and views have gone, not before."""

    def mapped(address):
        with Path("/proc/self/maps").open(encoding="ascii") as maps:
            spans = [[int(end, 16) for end in line.split(" ", 1)[0].split("-")] for line in maps]
        return any(first <= address < end for first, end in spans)

    pool = bp.Pool("1MiB", 8, prefault=True)
    address = pool.address
    view = pool.allocate().buf
    pool.close()
    del pool
    assert mapped(address)
    view[0] = 1
    del view
    assert not mapped(address)


def test_guard_pages_stand_on_both_sides():
    """The pages before and after a pool cannot be read or written, so a wild pointer faults there."""
    pool = bp.Pool("4KiB", 16)
    with Path("/proc/self/maps").open(encoding="ascii") as maps:
        lines = [line.split() for line in maps]
    by_start = {int(line[0].split("-")[0], 16): line[1] for line in lines}
    by_end = {int(line[0].split("-")[1], 16): line[1] for line in lines}
    assert by_end[pool.address] == "---p"
    assert by_start[pool.address + pool.nbytes] == "---p"
    assert by_start[pool.address] == "rw-p"


def test_residency_of_the_callers_memory():
    """The residency of a pool in the caller's memory counts pages of the caller's mapping."""
    memory = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pool = bp.Pool("4KiB", buffer=memory)
    before = pool.residency().resident_bytes
    pool.allocate(blocks=16).buf[:] = b"x" * (16 * 4096)
    assert before + 16 * 4096 <= pool.residency().resident_bytes
