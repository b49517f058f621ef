"""Tensors that lie in a pool within what goes into the pool's queues and into put."""

import gc
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing
import blockpool.torch


class Unsendable:
    """What cannot be pickled."""

    def __reduce__(self):
        raise ZeroDivisionError


def carriers(room):
    """Return what stores an item and what gets it again, for put and for a queue."""
    queue = room.queue()
    return {"put": lambda item: bp.get(bp.put(item, room)), "queue": lambda item: (queue.put(item), queue.get())[1]}


@pytest.mark.parametrize("way", ["put", "queue"])
def test_the_memory_is_the_same(room, way):
    """A tensor of the pool is got in the same memory, and takes no block of its own."""
    mine = blockpool.torch.zeros(room, 100, 100)
    got = carriers(room)[way]([mine, mine[3]])
    assert got[0].data_ptr() == mine.data_ptr()
    got[1][5] = 7
    assert mine[3, 5] == 7


@pytest.mark.parametrize("way", ["put", "queue"])
def test_what_cannot_be_pickled_leaves_nothing(room, way):
    """If an item with a tensor cannot be pickled, nothing stays in flight."""
    mine = blockpool.torch.zeros(room, 100, 100)
    store = carriers(room)[way]
    before = room.stats().tickets
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            store([mine, Unsendable()])
    assert room.stats().tickets == before


def test_no_room(room):
    """If there is no room for the rest of an item with a tensor, nothing stays in flight."""
    mine = blockpool.torch.zeros(room, 100, 100)
    with pytest.raises(bp.PoolExhausted):
        bp.put([mine, np.ones(10**6)], room)
    assert room.stats().tickets == 0


def test_got_twice(room):
    """An object with a tensor can be got again while all of it is alive."""
    mine = blockpool.torch.zeros(room, 100, 100)
    ticket = bp.put([mine, np.ones(5000)], room)
    first = bp.get(ticket)
    second = bp.get(ticket)
    assert first[0].data_ptr() == second[0].data_ptr() == mine.data_ptr()
    assert room.stats().tickets == 0


def test_the_lifetime_is_over(room):
    """A tensor within an object that nobody gets is dropped with it."""
    bp.put([blockpool.torch.zeros(room, 100, 100)], room, lifetime=0.1)
    gc.collect()
    room.allocate(blocks=256, timeout=60).release()
    assert room.stats().tickets == 0


def test_a_tensor_of_another_pool_is_copied(room):
    """A tensor of another pool is copied into the one it goes into, and needs the other no more."""
    other = bp.Pool.create("16KiB", 64)
    mine = blockpool.torch.full(other, (100, 100), 3.0)
    ticket = bp.put(mine, room)
    assert other.stats().tickets == 0
    del mine
    assert bp.get(ticket).sum() == 30_000
    gc.collect()
    assert other.stats().allocated == 0
    other.close()


def test_a_message_that_cannot_be_pickled(room):
    """After install, the references of tensors in a message that cannot be pickled are taken back."""
    mine = blockpool.torch.zeros(room, 100, 100)
    blockpool.multiprocessing.install(room)
    try:
        with pytest.raises(ZeroDivisionError):
            ForkingPickler.dumps([mine, Unsendable()])
    finally:
        blockpool.multiprocessing.uninstall()
    assert room.stats().tickets == 0
