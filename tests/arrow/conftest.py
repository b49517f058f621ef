"""What the tests of Arrow and pandas share: a pool of their own, and where the memory of tables and frames is."""

import gc

import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier

collect = pytest.importorskip("pyarrow") and gc.collect


@pytest.fixture
def pool():
    """Make a shared pool of 256 blocks of 16 KiB; at the end, nothing may be left in it, and no ticket."""
    made = bp.Pool.create("16KiB", 256)
    yield made
    collect()
    made.check()
    assert (made.stats().allocated, made.stats().tickets) == (0, 0)
    made.close()


@pytest.fixture
def carried(pool):
    """Send what multiprocessing pickles through the pool; give a function that returns what was sent since."""
    carrier.install(pool)
    before = carrier.stats()

    def since():
        now = carrier.stats()
        names = ("shared", "copied", "refused")
        return tuple(getattr(now, name) - getattr(before, name) for name in names)

    yield since
    carrier.uninstall()
