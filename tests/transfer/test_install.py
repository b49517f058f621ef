"""blockpool.multiprocessing.install and uninstall: what they patch, and what they put back."""

import copyreg
import multiprocessing
import pickle
import threading
from multiprocessing import popen_forkserver, popen_spawn_posix, reduction
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _patches, _sending
from placement import address_of
from transfers import carry

LARGE = 100_000  # elements


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 256)


PATCHED = (
    *((ForkingPickler, "dumps"), (reduction, "dump"), (Connection, "_send_bytes")),
    *((popen_spawn_posix.Popen, "_launch"), (popen_forkserver.Popen, "_launch")),
)


def test_uninstall_restores_what_was(pool, sent):
    """After uninstall, multiprocessing pickles, sends and starts with its own code, and arrays are copied."""

    def found():
        return [vars(owner)[name] for owner, name in PATCHED]

    installed = found()
    carrier.uninstall()
    before = found()
    assert all(mine is not plain for mine, plain in zip(installed, before, strict=True))
    assert np.ndarray not in ForkingPickler._extra_reducers
    array = pool.zeros(1000)
    assert address_of(carry(array)) != address_of(array)
    assert sent() == {}
    carrier.uninstall()  # again does nothing
    carrier.install(pool)
    carrier.uninstall()
    assert found() == before


TABLES = {"ForkingPickler": ForkingPickler._extra_reducers, "copyreg": copyreg.dispatch_table}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_reducer_of_arrays_that_the_program_registers(pool, sent, table, order):
    """A reducer that the program registers for arrays, before or after install, reduces all of them and stays."""
    arrays = np.zeros(3), np.ones(LARGE), pool.zeros(LARGE)

    def mine(array):
        return list, ([array.size],)

    carrier.uninstall()
    try:
        if order == "before":
            TABLES[table][np.ndarray] = mine
        carrier.install(pool)
        TABLES[table][np.ndarray] = mine
        for array in arrays:
            assert carry(array) == [array.size]
            assert carry({"in": array})["in"] == [array.size]
            assert pickle.loads(ForkingPickler.dumps(array, 4)) == [array.size]
        assert sent() == {}
        carrier.uninstall()
        assert TABLES[table][np.ndarray] is mine
    finally:
        del TABLES[table][np.ndarray]
    carrier.install(pool)
    assert isinstance(carry(arrays[1]), np.ndarray)
    assert sent() == {"copied": 1, "copied_bytes": arrays[1].nbytes}


@pytest.mark.parametrize("table", TABLES)
def test_a_reducer_of_blocks_that_the_program_registers(pool, table):
    """A reducer that the program registers for blocks reduces them, alone and within messages."""
    block = pool.allocate()
    before = TABLES[table].get(bp.Block)
    try:
        TABLES[table][bp.Block] = lambda block: (list, ([block.index],))
        assert carry(block) == [0]
        assert carry([block]) == [[0]]
    finally:
        TABLES[table][bp.Block] = before
        if before is None:
            del TABLES[table][bp.Block]
    assert isinstance(carry(block), bp.Block)
    block.free()


@pytest.mark.parametrize("number", range(len(PATCHED)))
def test_what_another_library_patches_later_stays(pool, number):
    """A patch that another library put over ours stays through uninstall and install, and sending works throughout."""
    owner, name = PATCHED[number]
    ours, calls = vars(owner)[name], []
    carrier.uninstall()
    plain = vars(owner)[name]
    carrier.install(pool, threshold=100)
    ours = vars(owner)[name]

    def theirs(*arguments, **options):
        calls.append(name)
        return getattr(ours, "__func__", ours)(*arguments, **options)

    patch = classmethod(theirs) if name == "dumps" else theirs
    setattr(owner, name, patch)
    try:
        carrier.uninstall()
        assert vars(owner)[name] is patch
        here, there = multiprocessing.Pipe()
        here.send({"a": np.ones(100)})
        assert there.recv()["a"].sum() == 100
        assert pool.stats().allocations == 0
        carrier.install(pool, threshold=100)
        here.send({"a": np.ones(100)})
        assert there.recv()["a"].sum() == 100
        assert pool.stats().allocations == 1
        carrier.uninstall()
        assert vars(owner)[name] is patch
    finally:
        setattr(owner, name, plain)
    assert bool(calls) == (name in {"dumps", "_send_bytes"})


def test_installing_again_replaces(pool, pool_names):
    """After a second install the second pool is used, and a single uninstall restores multiprocessing."""
    other = bp.Pool.create("1MiB", 2, name=pool_names())
    carrier.install(other)
    arrived = carry(np.ones(LARGE))
    assert (pool.stats().allocated, other.stats().allocated) == (0, 1)
    del arrived
    carrier.uninstall()
    assert np.ndarray not in ForkingPickler._extra_reducers


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (lambda _: ("frames",), TypeError, "must be a blockpool.Pool, not str"),
        (lambda _: (bp.Pool("4KiB", 2),), ValueError, "private.*Pool.create"),
        (lambda p: (p, 0), ValueError, "threshold"),
        (lambda p: (p, -1), ValueError, "threshold"),
        (lambda p: (p, "many"), ValueError, "threshold"),
        (lambda p: (p, 1.5), TypeError, "threshold"),
    ],
)
def test_wrong_arguments_change_nothing(pool, sent, arguments, error, words):
    """Wrong arguments to install are a typed error, and the pool that was installed stays."""
    one, *threshold = arguments(pool)
    with pytest.raises(error, match=words):
        carrier.install(one, **({"threshold": threshold[0]} if threshold else {}))
    carry(np.ones(LARGE))
    assert sent()["copied"] == 1


def test_a_closed_pool_is_not_installed(pool_names):
    """Installing a closed pool raises PoolClosed."""
    closed = bp.Pool.create("4KiB", 2, name=pool_names())
    closed.close()
    with pytest.raises(bp.PoolClosed):
        carrier.install(closed)


def test_threads_that_send_and_switch(pool):
    """Messages sent while another thread installs and uninstalls all arrive."""
    failures = []

    def send():
        array = np.arange(LARGE)
        try:
            for _ in range(100):
                assert carry({"a": array})["a"][-1] == LARGE - 1
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        carrier.uninstall()
        carrier.install(pool)
    assert failures == []


def test_what_a_message_says_comes_last(carrying):
    """A received array installs neither over what was installed meanwhile, nor after uninstall."""
    route = _sending.Route(carrying("16KiB", 64), "1KiB", readonly=True)
    before = _sending.current
    _patches.install(route, over=False)
    assert _sending.current is before
    carrier.uninstall()
    _patches.install(route, over=False)
    assert _sending.current is None
