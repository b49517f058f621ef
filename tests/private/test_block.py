"""Block: `free`, `release` and what is left of a block afterwards."""

import copy
import pickle
import weakref

import pytest

import blockpool as bp


def _freed(pool):
    block = pool.allocate()
    block.free()
    return block


def _released(pool):
    block = pool.allocate()
    block.release()
    return block


def _released_in_use(pool):
    block = pool.allocate()
    kept_views.append(block.buf)
    block.release()
    return block


def _left(pool):
    with pool.allocate() as block:
        pass
    return block


def _freed_run(pool):
    block = pool.allocate(blocks=3)
    block.free()
    return block


def _freed_after_views(pool):
    block = pool.allocate()
    block.buf[0] = 1
    block.free()
    return block


def _freed_twin(pool):
    block = pool.allocate()
    twin = block.readonly()
    block.release()
    twin.free()
    return twin


def _freed_then_released(pool):
    block = _freed(pool)
    block.release()
    return block


def _never_made(_pool):
    return bp.Block.__new__(bp.Block)


kept_views = []


@pytest.fixture(autouse=True)
def _drop_views():
    yield
    kept_views.clear()


AFTER_FREE = [_freed, _freed_run, _freed_after_views, _freed_twin, _freed_then_released]
AFTER_RELEASE = [_released, _released_in_use, _left, _never_made]

USES = {
    "buf": lambda block: block.buf,
    "readonly": lambda block: block.readonly(),
    "address": lambda block: block.address,
    "with": lambda block: block.__enter__(),
}


def _names(functions):
    return [function.__name__ for function in functions]


@pytest.mark.parametrize("end", AFTER_FREE, ids=_names(AFTER_FREE))
def test_free_after_free_is_a_double_free(pool, unchanged, end):
    """Freeing a block again raises DoubleFree every time and changes nothing, even if the memory has a new owner."""
    block = end(pool)
    new = pool.allocate_many(16)
    with unchanged(pool):
        for _ in range(3):
            with pytest.raises(bp.DoubleFree, match="was freed before"):
                block.free()
    del new


@pytest.mark.parametrize("end", AFTER_RELEASE, ids=_names(AFTER_RELEASE))
def test_free_after_release_is_an_invalid_block(pool, unchanged, end):
    """Freeing a released block raises InvalidBlock, not DoubleFree: it was not freed before."""
    block = end(pool)
    with unchanged(pool), pytest.raises(bp.InvalidBlock) as caught:
        block.free()
    assert type(caught.value) is bp.InvalidBlock


@pytest.mark.parametrize("end", AFTER_FREE + AFTER_RELEASE, ids=_names(AFTER_FREE + AFTER_RELEASE))
def test_release_after_anything_does_nothing(pool, unchanged, end):
    """A block can be released any number of times, in any state, and nothing changes."""
    block = end(pool)
    with unchanged(pool):
        assert block.release() is None
        assert block.release() is None


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("end", AFTER_FREE + AFTER_RELEASE, ids=_names(AFTER_FREE + AFTER_RELEASE))
def test_nothing_else_works_afterwards(pool, unchanged, end, use):
    """Views, twins, address and `with` of a finished block raise InvalidBlock, not DoubleFree."""
    block = end(pool)
    with unchanged(pool), pytest.raises(bp.InvalidBlock) as caught:
        use(block)
    assert type(caught.value) is bp.InvalidBlock


@pytest.mark.parametrize("end", AFTER_FREE + AFTER_RELEASE, ids=_names(AFTER_FREE + AFTER_RELEASE))
def test_a_finished_block_can_be_looked_at(pool, end):
    """repr, index, blocks and nbytes of a finished block still work, for log lines and debuggers."""
    block = end(pool)
    assert repr(block).startswith("<blockpool.Block 0, ")
    assert repr(block).endswith("(no longer valid)>")
    assert block.index == 0
    if end is _never_made:
        assert (block.blocks, block.nbytes) == (0, 0)
        with pytest.raises(bp.InvalidBlock, match="never allocated"):
            _ = block.pool
    else:
        assert block.blocks in {1, 3}
        assert block.pool is pool


def test_free_gives_the_memory_back_at_once(pool):
    """A freed block can be allocated again at once, and the free is counted."""
    block = pool.allocate(blocks=16)
    block.free()
    stats = pool.stats()
    assert (stats.allocated, stats.allocations, stats.frees) == (0, 1, 1)
    assert pool.allocate(blocks=16).index == 0


def test_dropping_gives_the_memory_back(pool):
    """A block is freed when its last reference goes, without any call."""
    block = pool.allocate(blocks=5)
    other = block
    del block
    assert pool.stats().allocated == 5
    del other
    assert pool.stats().allocated == 0
    pool.allocate()
    assert pool.stats().allocated == 0
    assert pool.stats().frees == 2


def test_release_gives_the_memory_back(pool):
    """Releasing a block that nothing else uses frees it at once."""
    block = pool.allocate()
    block.release()
    assert pool.stats().allocated == 0


@pytest.mark.parametrize("end", AFTER_FREE + AFTER_RELEASE, ids=_names(AFTER_FREE + AFTER_RELEASE))
def test_a_finished_block_gives_nothing_back_when_it_goes(pool, unchanged, end):
    """The end of a finished Block object does not free memory that has a new owner by now."""
    block = end(pool)
    new = pool.allocate_many(pool.stats().free)
    with unchanged(pool):
        del block
    del new


def test_a_block_comes_from_a_pool_only():
    """Block() raises a TypeError that says where blocks come from, and Block cannot be subclassed."""
    with pytest.raises(TypeError, match=r"Pool\.allocate\(\)"):
        bp.Block()
    with pytest.raises(TypeError):
        type("Mine", (bp.Block,), {})


def test_init_of_a_live_block(pool, unchanged):
    """Calling __init__ on a live block raises TypeError and changes nothing."""
    block = pool.allocate()
    with unchanged(pool), pytest.raises(TypeError):
        block.__init__()
    block.free()


@pytest.mark.parametrize("end", [bp.Pool.allocate, _freed, _released], ids=["open", "freed", "released"])
def test_blocks_are_not_copied_or_pickled(pool, unchanged, end):
    """Copying or pickling a private block raises a TypeError that says what to do instead, and changes nothing."""
    block = end(pool)
    with unchanged(pool):
        for attempt in (copy.copy, copy.deepcopy, lambda block: copy.deepcopy([block])):
            with pytest.raises(TypeError, match=r"use readonly\(\).*other\.buf\[:\] = block\.buf"):
                attempt(block)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match=r"cannot be pickled.*bytes\(block\.buf\)"):
                pickle.dumps(block, protocol)
    block.release()


def test_the_pool_of_a_block(pool):
    """block.pool is the Pool object that allocated the block, also for read-only twins and after free."""
    block = pool.allocate()
    assert block.pool is pool
    assert block.readonly().pool is pool
    block.free()
    assert block.pool is pool


def test_the_pool_of_a_block_whose_pool_object_is_gone():
    """A pool lives on with its blocks: when its Pool object is gone, block.pool gives a new one of the same memory."""
    block = bp.Pool("4KiB", 16).allocate()
    pool = block.pool
    assert block.pool is pool
    assert not pool.closed
    assert (pool.stats().allocated, pool.blocks) == (1, 16)
    second = pool.allocate()
    assert second.index == 1
    assert second.pool is pool
    assert second.address == block.address + 4096
    block.free()
    assert pool.check() == bp.Audit(blocks=16, allocated=1, runs=1)
    del pool
    assert second.pool.stats().peak == 2


def test_the_pool_of_a_block_whose_pool_is_closed(pool):
    """block.pool of a closed pool is a closed Pool, before and after the first Pool object has gone."""
    block = pool.allocate()
    pool.close()
    assert block.pool is pool
    made = bp.Pool(64, 4)
    block = made.allocate()
    made.close()
    del made
    assert block.pool.closed
    with pytest.raises(bp.PoolClosed):
        block.pool.allocate()
    block.buf[0] = 1
    block.free()


def test_the_address_of_a_block(pool):
    """A block's address is that of the pool plus its index times the block size, also for a read-only twin."""
    block = pool.allocate(blocks=2)
    assert block.address == pool.address + block.index * pool.block_size
    assert block.readonly().address == block.address


def test_attributes_cannot_be_set(pool):
    """A block's attributes are read-only, and no others can be added."""
    block = pool.allocate()
    for name in ("index", "blocks", "nbytes", "address", "buf", "pool", "colour"):
        with pytest.raises(AttributeError):
            setattr(block, name, 1)


def test_blocks_are_compared_by_identity(pool):
    """A block equals only itself, can be a key, and cannot be ordered."""
    a, b = pool.allocate_many(2)
    twin = a.readonly()
    assert len({a, b, twin, a}) == 3
    assert a != twin
    with pytest.raises(TypeError):
        _ = a < b


def test_a_block_is_not_a_buffer(pool):
    """memoryview, bytes and bytearray refuse a Block: only its buf exposes memory."""
    block = pool.allocate()
    for attempt in (memoryview, bytes, bytearray):
        with pytest.raises(TypeError):
            attempt(block)


def test_a_block_has_no_weak_references(pool):
    """A weak reference to a block raises TypeError: blocks are kept small."""
    with pytest.raises(TypeError):
        weakref.ref(pool.allocate())


def test_repr(pool):
    """The repr of a block shows its index, its length and its state."""
    block = pool.allocate(nbytes=5000)
    assert repr(block) == "<blockpool.Block 0, blocks=2, nbytes=5000>"
    twin = block.readonly()
    assert repr(twin) == "<blockpool.Block 0, blocks=2, nbytes=5000 (read-only)>"
    twin.release()
    assert repr(twin) == "<blockpool.Block 0, blocks=2, nbytes=5000 (no longer valid)>"
    block.free()
    assert repr(block) == "<blockpool.Block 0, blocks=2, nbytes=5000 (no longer valid)>"


def test_blocks_outlive_their_pool():
    """Blocks stay usable after their pool was closed and its Pool object has gone."""
    pool = bp.Pool(64, 8)
    a, b, c = pool.allocate(), pool.allocate(blocks=2), pool.allocate()
    c.buf[:] = b"c" * 64
    pool.close()
    a.buf[:] = b"a" * 64
    twin = b.readonly()
    del pool
    twin.release()
    b.free()
    with pytest.raises(bp.DoubleFree):
        b.free()
    assert bytes(a.buf) == b"a" * 64
    with c:
        assert bytes(c.buf) == b"c" * 64
    with pytest.raises(bp.InvalidBlock):
        _ = c.buf
