"""Shared blocks and pools through pickle."""

import copy
import pickle

import numpy as np
import pytest

import blockpool as bp


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_block_through_pickle(shared, protocol):
    """A pickled block arrives with the same memory and nbytes, and takes one ticket until then."""
    block = shared.allocate(nbytes=5000)
    block.buf[:] = bytes(range(250)) * 20
    data = pickle.dumps(block, protocol)
    assert len(data) < 250
    assert shared.stats().tickets == 1
    got = pickle.loads(data)
    assert (got.index, got.blocks, got.nbytes, got.pool) == (0, 2, 5000, shared)
    assert bytes(got.buf) == bytes(range(250)) * 20
    assert got.address == block.address
    assert shared.stats().tickets == 0


def test_readonly_through_pickle(shared, peer):
    """A read-only block arrives read-only through pickle, and leaves nothing behind."""
    block = shared.allocate(nbytes=4)
    block.buf[:] = b"look"
    data = pickle.dumps(block.readonly())
    peer(f"got = pickle.loads({data!r})")
    assert peer("got.buf.readonly, bytes(got.buf), got.nbytes, '(read-only)' in repr(got)") == (
        True,
        b"look",
        4,
        True,
    )
    with pytest.raises(TypeError):
        peer("got.buf[0] = 1")
    data = peer("pickle.dumps(got)")
    again = pickle.loads(data)
    assert again.buf.readonly
    again.release()
    peer("got.release()")
    block.free()


def test_many_forms_of_pickling(shared):
    """A block can be pickled inside a structure, twice in one pickle, and one pickle can be loaded twice."""
    block = shared.allocate()
    block.buf[:2] = b"ok"
    structure = pickle.loads(pickle.dumps({"a": [block, block], "b": (block.readonly(), block)}))
    assert structure["a"][0] is structure["a"][1] is structure["b"][1]
    assert bytes(structure["b"][0].buf[:2]) == b"ok"
    data = pickle.dumps(block)
    twice = [pickle.loads(data), pickle.loads(data)]
    del structure, twice
    block.free()
    with pytest.raises(bp.StaleHandle):
        pickle.loads(data)
    assert shared.check().allocated == 0


def test_copies_are_refused(shared, unchanged):
    """Copying a block is a TypeError that names readonly instead, and leaves no ticket."""
    block = shared.allocate()
    with unchanged(shared):
        for call in (copy.copy, copy.deepcopy, lambda one: copy.deepcopy([{"k": one}])):
            with pytest.raises(TypeError, match=r"cannot be copied.*readonly"):
                call(block)
    block.free()


def test_a_released_block_is_not_pickled(shared, unchanged):
    """Pickling a released block is InvalidBlock, like any use of it."""
    block = shared.allocate()
    block.release()
    with unchanged(shared), pytest.raises(bp.InvalidBlock):
        pickle.dumps(block)


def test_private_blocks_do_not_travel(pool):
    """The handle, share and pickle of a private block, and the pickle of a private pool, are TypeErrors."""
    block = pool.allocate()
    for call in (
        block.share,
        lambda: block.handle,
        lambda: pickle.dumps(block),
        lambda: pickle.dumps(pool),
    ):
        with pytest.raises(TypeError, match="private pool"):
            call()
    block.free()


def test_a_pool_through_pickle(shared, peer):
    """A pickled pool attaches where it arrives, or shares the mapping that is there."""
    again = pickle.loads(pickle.dumps(shared))
    assert (again.address, again.name) == (shared.address, shared.name)
    assert copy.copy(shared).address == shared.address
    assert peer(f"pool = pickle.loads({pickle.dumps(shared)!r}); pool.name, pool.blocks") == (
        shared.name,
        16,
    )
    shared.unlink()
    assert peer(f"pickle.loads({pickle.dumps(shared)!r}).address == pool.address")
    unnamed = bp.Pool.create(64, 8)
    assert peer(f"other = pickle.loads({pickle.dumps(unnamed)!r}); other.name, other.blocks") == (
        None,
        8,
    )
    assert unnamed.stats().processes == 2


def test_numpy_arrays_over_a_redeemed_block(shared, peer):
    """Arrays over one block in two processes share their data, and the block lives until the last of them is gone."""
    block = shared.allocate(nbytes=800)
    here = np.ndarray((100,), "i8", buffer=block.buf)
    peer("import numpy as np")
    peer(f"array = np.ndarray((100,), 'i8', buffer=bp.redeem({str(block.handle)!r}).buf); array[:] = range(100)")
    assert here.sum() == 4950
    with pytest.raises(bp.BlockInUse):
        block.free()
    block.release()
    del here
    assert [run.holders for run in shared.runs()] == [(peer.pid,)]
    peer("array = None")
    assert shared.stats().allocated == 0


def test_a_block_that_was_given_back_before_a_queue_sent_it(shared):
    """The error for pickling a released block says that queues pickle later."""
    block = shared.allocate()
    block.release()
    with pytest.raises(bp.InvalidBlock, match="don't release or free a block after put"):
        pickle.dumps(block)
