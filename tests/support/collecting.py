"""How tests of waits make the garbage collector quick: how long it took last decides when a wait collects again."""

import gc

import pytest

import blockpool as bp


def collect_quickly():
    """Collect what there is, take it out of the collector's sight, and have a request that is refused collect again.

    A collection among all that earlier tests left may take a second where the machine is busy. Then the next one comes
    after a minute.
    """
    gc.collect()
    gc.freeze()
    pool = bp.Pool(64, 1)
    kept = pool.allocate()
    with pytest.raises(bp.PoolExhausted):
        pool.allocate()
    kept.free()
