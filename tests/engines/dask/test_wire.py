"""Messages whose references are taken twice, never, or by nobody; without a cluster."""

import asyncio
import types

import numpy as np
import pytest
from distributed.comm.core import CommClosedError
from distributed.protocol import deserialize, dumps, loads, serialize, to_serialize
from distributed.protocol.serialize import serialize_bytelist

import blockpool as bp
import blockpool.dask
from blockpool.dask import _member, _versions, _wire
from waits import await_true


@pytest.fixture
def pool():
    """Make a pool that this process exchanges through; nothing is left in it."""
    with bp.Pool.create("64KiB", 64, ticket_lifetime=60) as made:
        _member.join("test", lambda: made, "64KiB", readonly=True)
        yield made
        _member.leave("test")
        await_true(lambda: (made.stats().allocated, made.stats().tickets) == (0, 0))


def _context(pool_id):
    return {"recipient": {"blockpool": pool_id}, "sender": {}}


def _to_a_member():
    return _context(_member.current.id)


_ARRAY = np.arange(100_000.0)


@pytest.mark.parametrize("context", [None, {}, {"recipient": {}}, _context("0" * 32), _context(None)])
def test_only_members_of_the_pool_get_references(pool, context):
    """A receiver that did not name this very pool gets the data itself."""
    frames = dumps({"x": to_serialize(_ARRAY)}, context=context)
    assert sum(memoryview(frame).nbytes for frame in frames) > _ARRAY.nbytes
    assert pool.stats().allocated == 0
    assert np.array_equal(loads(list(map(bytes, frames)))["x"], _ARRAY)


@pytest.mark.parametrize("x", [_ARRAY, b"x" * 200_000], ids=["array", "frames"])
@pytest.mark.usefixtures("pool")
def test_a_message_is_loaded_once(x):
    """The second load of a message ends as one that was cut off does: Dask fetches the data again."""
    frames = dumps({"x": to_serialize(x)}, context=_to_a_member())
    assert sum(memoryview(frame).nbytes for frame in frames) < 2_000
    assert np.array_equal(loads(frames)["x"], x)
    with pytest.raises(EOFError, match="no longer there"):
        loads(frames)


def test_a_message_that_nobody_loads_ends():
    """References of a lost message hold no memory for longer than their lifetime, if it is needed."""
    with bp.Pool.create("1MiB", 1, ticket_lifetime=0.2) as pool:
        _member.join("test", lambda: pool, "64KiB", readonly=True)
        try:
            serialize(_ARRAY, context=_to_a_member())
            assert pool.stats().tickets == 1
            pool.allocate(timeout=60).release()
        finally:
            _member.leave("test")


def test_a_message_that_cannot_be_sent_is_taken_back(pool):
    """If the connection turns out to be closed, the references come back at once."""

    async def write(comm, msg):
        dumps(msg, context={"recipient": comm.remote_info})
        raise CommClosedError

    comm = types.SimpleNamespace(remote_info={"blockpool": _member.current.id})
    message = {"x": to_serialize(_ARRAY), "y": to_serialize(b"x" * 200_000)}
    with pytest.raises(CommClosedError):
        asyncio.run(_wire._write_over(write)(comm, message))
    assert pool.stats().allocated == 0
    assert not _wire._writing


@pytest.mark.parametrize(
    ("op", "receiver", "goes_through"),
    [
        ("shuffle_receive", _to_a_member, False),
        ("shuffle_receive", lambda: _context("0" * 32), False),
        ("put", lambda: _context("0" * 32), False),
        ("put", _to_a_member, True),
    ],
    ids=["P2P", "P2P to another host", "to another host", "to a member"],
)
def test_what_goes_dasks_way_is_what_dask_makes(pool, op, receiver, goes_through):
    """Between hosts, and for P2P rechunking and shuffling, nothing goes to the pool, and messages are Dask's own."""
    shards = [((0, i), np.full(50_000, float(i))) for i in range(3)]
    message = {"op": op, "data": to_serialize(shards), "more": to_serialize(b"x" * 200_000)}
    context = receiver()
    made = []

    async def write(comm, msg):
        made.extend(dumps(msg, context={"recipient": comm.remote_info}))

    comm = types.SimpleNamespace(remote_info=context["recipient"])
    asyncio.run(_wire._write_over(write)(comm, message))
    assert (pool.stats().allocated > 0) == goes_through
    _member.leave("test")
    try:
        of_dask = dumps(message, context=context)
    finally:
        _member.join("test", lambda: pool, "64KiB", readonly=True)
    assert (list(map(bytes, made)) == list(map(bytes, of_dask))) == (not goes_through)
    arrived = loads(list(map(bytearray, made)))
    assert [(i, shard.tolist()) for i, shard in arrived["data"]] == [(i, shard.tolist()) for i, shard in shards]
    assert not _wire._writing


def test_a_closed_pool_is_bypassed():
    """When somebody has closed the pool, data goes Dask's way."""
    pool = bp.Pool.create("64KiB", 64)
    _member.join("test", lambda: pool, "64KiB", readonly=True)
    try:
        pool.close()
        for x in (_ARRAY, b"x" * 200_000):
            assert np.array_equal(deserialize(*serialize(x, context=_to_a_member())), x)
    finally:
        _member.leave("test")


def test_arrays_of_other_pools_are_copied(pool):
    """What lies in a pool that the receiver may not have is copied into the one that it has."""
    with bp.Pool.create("64KiB", 64) as other:
        x = other.zeros(50_000)
        received = deserialize(*serialize(x, context=_to_a_member()))
        assert x.flags.writeable
        assert blockpool._core.pool_of(received).nbytes == pool.nbytes
        assert other.stats().tickets == 0
        del received, x


def test_nothing_goes_to_disk_by_reference(pool):
    """What is written to disk is complete, also of arrays that lie in the pool."""
    x = pool.zeros(50_000)
    assert sum(memoryview(frame).nbytes for frame in serialize_bytelist(x)) > 1_000
    assert pool.stats().tickets == 0


def test_a_process_has_one_pool(pool):
    """Workers of two clusters in one process cannot have two pools."""
    with bp.Pool.create("64KiB", 1) as other, pytest.raises(RuntimeError, match="another cluster"):
        _member.join("worker of another", lambda: other, "64KiB", readonly=True)
    assert blockpool.dask.pool() is pool


def test_old_versions_are_refused(monkeypatch):
    """A version that is too old, or no version, is an ImportError that says what was found and what to do."""
    monkeypatch.setattr(_versions, "version", lambda _: "2024.12.1")
    with pytest.raises(ImportError, match=r"dask 2025\.1 or later, and 2024\.12\.1.*pip install"):
        _versions.require()

    def missing(_):
        raise _versions.PackageNotFoundError

    monkeypatch.setattr(_versions, "version", missing)
    with pytest.raises(ImportError, match="not installed"):
        _versions.require()
