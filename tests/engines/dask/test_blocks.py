"""Blocks as arguments and results of tasks."""

import pytest
from dask.base import tokenize
from dask.sizeof import sizeof
from distributed.protocol.serialize import serialize_bytelist

import blockpool as bp
import dask_clusters as on
from waits import await_true


@pytest.fixture
def pool():
    """Make a pool of the client's; no reference is left in flight."""
    with bp.Pool.create("64KiB", 16, ticket_lifetime=60) as made:
        yield made
        await_true(lambda: made.stats().tickets == 0)


def _filled(pool):
    block = pool.allocate()
    block.buf[:] = b"\1" * block.nbytes
    return block


def test_blocks_as_arguments_leave_nothing_behind(pair, pool):
    """Each submit puts as many references in flight as are taken."""
    block = _filled(pool)
    futures = [pair.client.submit(on.total_of_block, block, pure=False) for _ in range(10)]
    assert pair.client.gather(futures) == [block.nbytes] * 10
    await_true(lambda: pool.stats().tickets == 0)
    del futures
    block.release()


@pytest.mark.parametrize("options", [{}, {"direct": True}, {"broadcast": True}])
def test_scattered_blocks_leave_nothing_behind(pair, pool, options):
    """A block can be scattered, used by several tasks, and is given back when it is forgotten."""
    block = _filled(pool)
    there = pair.client.scatter(block, hash=False, **options)
    for worker in (0, 1):
        assert pair.call(worker, on.sum_of_block, there).result() == block.nbytes
    block.release()
    del there


def test_a_block_is_a_result(pair, pool):
    """A task's block comes to the client, and to other tasks."""
    block = _filled(pool)
    result = pair.call(0, on.itself, block)
    assert pair.call(1, on.sum_of_block, result).result() == block.nbytes
    received = result.result()
    assert received.buf[0] == 1
    received.release()
    block.release()
    del result


def test_pickles_that_nobody_loads_end(pair):
    """Functions of the main program are pickled more often than loaded; with their lifetime, all blocks are back."""
    with bp.Pool.create("64KiB", 16, ticket_lifetime=0.5) as pool:
        block = _filled(pool)
        namespace = {"__name__": "__main__"}
        exec("def length(block): return block.nbytes", namespace)  # noqa: S102 - a function of __main__
        assert pair.client.submit(namespace["length"], block, pure=False).result() == block.nbytes
        assert pool.stats().tickets > 0
        block.release()
        pool.allocate(blocks=16, timeout=60).release()


def test_a_key_is_made_without_a_pickle(pool):
    """Keys of tasks differ by block and by what it holds, and putting them together takes no reference."""
    block, other = _filled(pool), _filled(pool)
    first = tokenize(block)
    assert first == tokenize(block)
    assert first != tokenize(other)
    block.buf[0] = 7
    assert first != tokenize(block)
    assert pool.stats().tickets == 0
    block.release()
    other.release()


def test_dask_knows_a_blocks_size(pool):
    """Dask counts what a block takes of its pool."""
    block = pool.allocate()
    assert sizeof(block) == 64 << 10
    block.release()


def test_blocks_are_not_written_to_disk(pool):
    """A reference in a file could be lost, or end, so a block is refused; Dask then keeps it in memory."""
    block = pool.allocate()
    with pytest.raises(TypeError, match="Block"):
        serialize_bytelist(block, on_error="raise")
    assert pool.stats().tickets == 0
    block.release()
