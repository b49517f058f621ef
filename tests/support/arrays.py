"""Fixtures for arrays in pools, and for arrays that travel through them."""

from contextlib import ExitStack, contextmanager

import pytest

import blockpool as bp

ARRAYS = {
    "empty": lambda pool: pool.empty((16, 64)),
    "zeros": lambda pool: pool.zeros((16, 64)),
    "full": lambda pool: pool.full((16, 64), 2.5),
    "asarray": lambda pool: pool.asarray([[1.0] * 64] * 16),
    "array": lambda pool: pool.allocate(blocks=2).array((16, 64)),
}


@pytest.fixture(params=ARRAYS.values(), ids=ARRAYS)
def make_array(request):
    """Return a function that makes an array of 16 x 64 numbers in a pool, in each way in turn."""
    return request.param


@pytest.fixture
def carrying(pool_name):
    """Return a function that makes a shared pool through which arrays travel.

    After the test nothing may be allocated in it, nor in flight.
    """
    with ExitStack() as ends:
        yield lambda *geometry: ends.enter_context(_carrying(pool_name, *geometry))


@contextmanager
def _carrying(name, *geometry):
    from blockpool import multiprocessing as carrier  # takes NumPy, which not all tests need

    made = bp.Pool.create(*geometry, name=name)
    carrier.install(made)
    yield made
    carrier.uninstall()
    if not made.closed:
        made.check()
        assert (made.stats().allocated, made.stats().tickets) == (0, 0)
        made.close()
