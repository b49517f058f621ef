"""Fixtures for queues: one to use, and a look at what is left of the room for queues and their messages."""

import gc
from contextlib import contextmanager

import pytest

from blockpool._core import room_used


@pytest.fixture
def queue(shared):
    """Open a queue of four in a shared pool of 16 blocks of 4 KiB; at the end, nothing may be left of its messages."""
    made = shared.queue(capacity=4)
    empty = room_used(made)
    yield made
    if not made.closed:
        while not made.empty():
            made.get()
        gc.collect()
        assert room_used(made) == empty, made
    assert shared.stats().tickets == 0


@pytest.fixture
def nothing_left():
    """Return `nothing_left(queue)`: after its `with`, what is in use is the same as before.

    That is of the pool, and of its room for queues; `queue` is any queue of the pool.
    """

    @contextmanager
    def watch(queue):
        pool = queue.pool
        gc.collect()
        before = pool.runs(), pool.stats().tickets, room_used(queue), queue.unfinished
        yield
        gc.collect()
        assert (pool.runs(), pool.stats().tickets, room_used(queue), queue.unfinished) == before
        pool.check()

    return watch
