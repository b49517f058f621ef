"""What tests of PyTorch share."""

import gc
import importlib.util

import pytest

import blockpool as bp

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def room():
    """Make a shared pool of 4 MiB in blocks of 16 KiB; after the test nothing of it is in use, by anybody."""
    made = bp.Pool.create("16KiB", 256)
    yield made
    from tensors import await_workers  # takes PyTorch

    gc.collect()
    if not made.closed:
        await_workers(made)
        made.recover()
        stats = made.stats()
        assert (stats.allocated, stats.tickets) == (0, 0)
        made.check()
        made.close()
