"""Fixtures that make pools, watch them for changes, and remove the named ones."""

import dataclasses
import itertools
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import blockpool as bp
import bookkeeping as books

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
_numbers = itertools.count()


@pytest.fixture
def pool():
    """Make a private pool of 16 blocks of 4 KiB, and audit its bookkeeping after the test."""
    made = bp.Pool("4KiB", 16)
    yield made
    if not made.closed:
        made.check()
        made.close()


@pytest.fixture
def shared(pool_name):
    """Make a shared pool of 16 blocks of 4 KiB, and audit its bookkeeping after the test."""
    made = bp.Pool.create("4KiB", 16, name=pool_name)
    yield made
    if not made.closed:
        made.check()
        made.close()


@pytest.fixture(params=["private", "debug", "shared"])
def each(request):
    """Make a pool of 16 blocks of 4 KiB of each kind in turn: private, private in debug mode, shared."""
    if request.param == "debug":
        return bp.Pool("4KiB", 16, debug=True)
    return request.getfixturevalue("pool" if request.param == "private" else "shared")


def _stats_of(pool):
    """Return the statistics, but for the age of tickets, which goes on: only whether there is one."""
    stats = pool.stats()
    return stats if stats.oldest_ticket is None else dataclasses.replace(stats, oldest_ticket=0.0)


@contextmanager
def _watch(pool, *, failures=0, waits=0):
    before = _stats_of(pool), pool.runs(), pool.check()
    yield
    stats = _stats_of(pool)
    waited = before[0].waited if waits else stats.waited
    stats = dataclasses.replace(stats, failures=stats.failures - failures, waits=stats.waits - waits, waited=waited)
    assert (stats, pool.runs(), pool.check()) == before


@pytest.fixture
def unchanged():
    """Return `unchanged(pool, failures=0, waits=0)`: the state of the pool must be the same after its `with` as before.

    `failures` is how many requests are meant to find no room, and `waits` how many to wait; nothing else may count
    them.
    """
    return _watch


@pytest.fixture
def bookkeeping():
    """Return the class that finds the bookkeeping of a private pool; a release has none that tests could see."""
    if not books.IS_THERE:
        pytest.skip("blockpool._testing is no part of a release")
    return books.Bookkeeping


def _file_of(name):
    return SHM / f"blockpool.{name}"


@pytest.fixture
def pool_names():
    """Return a function that gives a new name for a pool; pools that have such names are removed after the test."""
    given = []

    def new():
        names = (f"test-{os.getpid()}-{number}" for number in _numbers)
        given.append(next(name for name in names if not _file_of(name).exists()))  # of an earlier process of that id
        return given[-1]

    yield new
    for name in given:
        _file_of(name).unlink(missing_ok=True)


@pytest.fixture
def pool_name(pool_names):
    """Give a name that no pool has; a pool that has it after the test is removed."""
    return pool_names()


@pytest.fixture
def file_of():
    """Return a function that gives the path of the file of a named pool."""
    return _file_of


@pytest.fixture
def await_waiting():
    """Return a function that returns when `count` processes wait for room in the pool of a name."""

    def wait(name, count=1, seconds=60):
        deadline = time.monotonic() + seconds
        with _file_of(name).open("rb") as file:
            while waiters := os.pread(file.fileno(), 512, 192):  # a bit for each place
                if int.from_bytes(waiters, "little").bit_count() == count:
                    return
                assert time.monotonic() < deadline, f"not {count} processes wait"
                time.sleep(0.001)

    return wait


@pytest.fixture
def await_a_wait(await_waiting, request):
    """Return a function that returns when a thread of this process waits for room in a pool, private or shared."""
    private = "each" in request.fixturenames and not request.getfixturevalue("each").name
    look = request.getfixturevalue("bookkeeping") if private else None  # now: a thread could not skip the test

    def wait(pool):
        if pool.name:
            await_waiting(pool.name)
        else:
            look(pool).await_waiting()

    return wait
