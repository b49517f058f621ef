"""The end of shared blocks: free, release and `with`, while others have the block too."""

import os
import pickle
import re

import pytest

import blockpool as bp


def test_free_while_another_process_holds_it(shared, peer, unchanged):
    """Freeing a block that another process holds is BlockInUse with that process's number, until it lets go."""
    block = shared.allocate()
    peer(f"held = bp.redeem({str(block.handle)!r})")
    with (
        unchanged(shared),
        pytest.raises(bp.BlockInUse, match=f"still used by process {peer.pid};"),
    ):
        block.free()
    with pytest.raises(bp.BlockInUse, match=f"process {os.getpid()};"):
        peer("held.free()")
    block.buf[0] = 1
    peer("held.release()")
    block.free()
    with pytest.raises(bp.DoubleFree):
        block.free()


def test_free_while_several_use_it(shared, peers, unchanged):
    """The error for freeing a run in use names all processes that hold it, and says how many tickets are in flight."""
    one, other = peers(), peers()
    block = shared.allocate(blocks=2)
    for each in (one, other):
        each(f"held = bp.redeem({str(block.handle)!r})")
    block.share()
    with unchanged(shared), pytest.raises(bp.BlockInUse) as caught:
        block.free()
    assert re.search(f"processes {one.pid}, {other.pid}, 1 ticket in flight", str(caught.value)), caught.value
    assert "the run of 2 blocks at 0" in str(caught.value)
    one("held.release()")
    other("held.release()")
    shared.recover(tickets_older_than=0)
    block.free()


def test_free_with_a_ticket_in_flight(shared, unchanged):
    """The error for freeing a block with tickets in flight says how many there are."""
    block = shared.allocate()
    block.share(2)
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="2 tickets in flight"):
        block.free()
    block.release()
    assert shared.stats().allocated == 1
    shared.recover(tickets_older_than=0)


def test_free_with_another_block_here(shared, unchanged):
    """A redeemed block, a read-only twin and a view in the same process each keep a block from being freed."""
    block = shared.allocate()
    again = bp.redeem(block.handle)
    with (
        unchanged(shared),
        pytest.raises(bp.BlockInUse, match="1 other Block redeemed in this process"),
    ):
        block.free()
    again.release()
    twin = block.readonly()
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="1 user: 1 read-only Block"):
        block.free()
    twin.release()
    view = block.buf
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="view"):
        block.free()
    del view
    block.free()
    assert shared.stats().allocated == 0


def test_a_double_free_has_one_owner_only(shared, peers):
    """Of two processes that hold a block, neither can free it while the other does; a second free is DoubleFree."""
    one, other = peers(), peers()
    block = shared.allocate()
    ticket = str(block.share(2))
    block.release()
    one(f"block = bp.redeem({ticket!r})")
    other(f"block = bp.redeem({ticket!r})")
    for each in (one, other):
        with pytest.raises(bp.BlockInUse):
            each("block.free()")
    one("block.release()")
    other("block.free()")
    with pytest.raises(bp.DoubleFree):
        other("block.free()")
    one("block.release()")
    kept = shared.allocate_many(16)
    assert len({each.index for each in kept}) == 16
    assert shared.check().allocated == 16


def test_the_end_of_with(shared):
    """A shared block is released at the end of `with`, even with a ticket in flight, unless it has a second name."""
    with shared.allocate() as block:
        ticket = block.share()
    with pytest.raises(bp.InvalidBlock):
        block.buf
    assert shared.stats().allocated == 1
    with bp.redeem(ticket) as got:
        got.buf[0] = 1
    assert shared.stats().allocated == 0
    with shared.allocate():
        assert shared.stats().allocated == 1
    assert shared.stats().allocated == 0
    with shared.allocate() as block:
        kept = [block]
    assert kept[0].buf[0] == 1
    kept.pop().free()


def test_the_end_of_with_after_pickling(shared):
    """A block pickled inside `with` is released at its end, and the pickle still gives its data."""
    with shared.allocate(nbytes=3) as block:
        block.buf[:] = b"abc"
        data = pickle.dumps(block)
    with pytest.raises(bp.InvalidBlock):
        block.buf
    assert bytes(pickle.loads(data).buf) == b"abc"
    assert shared.stats().allocated == 0
