"""`blockpool.shared_memory.SharedMemory`: what a segment is, its arguments, its pickles."""

import ctypes
import pickle

import pytest

import blockpool as bp
from blockpool import _core, _segments
from blockpool.shared_memory import SharedMemory
from segments import LARGE, file_of_segment

# --- what a segment is ---


@pytest.mark.parametrize("size", [1, 7, 100, 4095, 4096, 4097, LARGE + 1])
def test_processes_see_one_memory_of_the_size_asked_for(new_name, attacher, size):
    """A new segment is zeros of the size asked for, and a process that attaches it sees the same bytes and size."""
    made = SharedMemory(new_name(), create=True, size=size)
    assert (made.size, made.buf.nbytes, bytes(made.buf)) == (size, size, bytes(size))
    attacher(f"there = SharedMemory({made.name!r}, size=3)")
    assert attacher("there.size, there.buf.nbytes, there.buf.readonly") == (size, size, False)
    attacher("there.buf[-1] = 7")
    assert made.buf[-1] == 7
    made.buf[0] = 9
    assert attacher("there.buf[0]") == 9
    made.unlink()


def test_memory_that_was_used_before_is_zeros_again():
    """A segment at the address of an earlier one is zeros."""
    addresses = set()
    for _ in range(50):
        made = SharedMemory(create=True, size=200_000)
        addresses.add(ctypes.addressof(ctypes.c_char.from_buffer(made.buf)))
        assert bytes(made.buf) == bytes(200_000)
        made.buf[:] = b"\xff" * 200_000
        made.unlink()
    assert len(addresses) < 50, "none was used again; the test shows nothing"


def test_segments_begin_at_a_page(new_name):
    """Segments begin at a multiple of the page size, as those of the standard library do."""
    kept = []
    for size in (10, 5000, LARGE):
        kept.append(SharedMemory(new_name(), create=True, size=size))
        assert ctypes.addressof(ctypes.c_char.from_buffer(kept[-1].buf)) % 4096 == 0
    for made in kept:
        made.unlink()


def test_more_than_the_small_pool_holds():
    """Segments that the pool of small segments has no room for are made elsewhere, and none overlaps another."""
    made = [SharedMemory(create=True, size=1 << 20) for _ in range(9)]
    for number, one in enumerate(made):
        one.buf[:] = bytes([number]) * (1 << 20)
    for number, one in enumerate(made):
        assert bytes(SharedMemory(one.name).buf) == bytes([number]) * (1 << 20)
        one.unlink()


def test_without_a_place_in_the_small_pool(monkeypatch):
    """A process without a part in the small pool that it was forked with makes segments elsewhere and a new pool."""
    closed = bp.Pool.create(4096, 1)
    closed.close()
    monkeypatch.setattr(_segments, "_small", {"": closed})
    for _ in range(2):
        made = SharedMemory(create=True, size=10)
        SharedMemory(made.name).unlink()
    assert _segments._small[""] is not closed


def test_a_given_name_with_a_slash(names):
    """A given name may begin with one '/', which `name` and repr keep and which makes no difference in attaching."""
    name = names()
    made = SharedMemory(f"/{name}", create=True, size=10)
    assert made.name == f"/{name}"
    assert repr(made) == f"SharedMemory('/{name}', size=10)"
    made.buf[0] = 1
    attached = SharedMemory(name)
    assert (attached.buf[0], attached.name) == (1, name)
    attached.unlink()
    with pytest.raises(FileNotFoundError):
        made.unlink()


def test_an_automatic_name_is_a_handle():
    """Automatic names are handles that `redeem` takes, all of one length."""
    small, large = (SharedMemory(create=True, size=size) for size in (1, LARGE))
    assert len(small.name) == len(large.name)
    small.buf[0] = 5
    assert bp.redeem(small.name).buf[0] == 5
    small.unlink()
    large.unlink()


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"create": True}, ValueError),
        ({"create": True, "size": 0}, ValueError),
        ({"create": True, "size": -1}, ValueError),
        ({"create": True, "size": 1.5}, TypeError),
        ({"create": True, "size": "10"}, TypeError),
        ({}, ValueError),
        ({"name": "x", "size": -1}, ValueError),
        ({"name": 5}, TypeError),
        ({"name": b"bytes"}, TypeError),
        ({"name": ""}, ValueError),
        ({"name": "/"}, ValueError),
        ({"name": "//x"}, ValueError),
        ({"name": "a/b"}, ValueError),
        ({"name": "a\0b"}, ValueError),
        ({"name": "é"}, ValueError),
        ({"name": "x" * 177}, ValueError),
        ({"name": "blockpool-handle:1:2"}, ValueError),
        ({"name": "blockpool-handle:1:2", "create": True, "size": 1}, ValueError),
        ({"name": "no-such-segment"}, FileNotFoundError),
        ({"name": f"blockpool-handle:{'0' * 32}:0:1:1:"}, FileNotFoundError),
    ],
)
def test_arguments_that_cannot_be_used(arguments, error):
    """Wrong arguments raise what the standard library raises for them, with a message that says what is wrong."""
    with pytest.raises(error, match=r"size|name|segment|integer|handle|pool"):
        SharedMemory(**arguments)


def test_the_longest_name(names):
    """A segment can have a name of 176 characters."""
    name = names(length=176)
    made = SharedMemory(name, create=True, size=1)
    SharedMemory(name).close()
    made.unlink()


def test_track_is_accepted(segment):
    """The argument `track` is accepted, as in Python 3.13, and changes nothing."""
    for track in (False, True):
        SharedMemory(segment.name, track=track).close()
    SharedMemory(segment.name).unlink()


@pytest.mark.parametrize("size", [1 << 45, 1 << 62, 1 << 70])
def test_what_the_machine_cannot_hold_is_refused(names, size):
    """A segment that is too large for the machine raises MemoryError when it is made, and leaves no name."""
    name = names()
    with pytest.raises(bp.PoolExhausted):
        SharedMemory(create=True, size=size)
    with pytest.raises(MemoryError):
        SharedMemory(name, create=True, size=size)
    assert not file_of_segment(name).exists()


def test_what_fails_half_way_leaves_no_name(names, monkeypatch):
    """If the pool of a given name is made but its block cannot be allocated, the name stays free."""

    class NoRoom(bp.Pool):
        def allocate(self, **_):
            raise bp.PoolExhausted("no")

    name = names()
    monkeypatch.setattr(_segments, "Pool", NoRoom)
    with pytest.raises(bp.PoolExhausted):
        SharedMemory(name, create=True, size=10)
    assert not file_of_segment(name).exists()


def test_what_is_looked_at():
    """first_run and in_flight find nothing in private pools, and raise PoolClosed in closed ones."""
    pool = bp.Pool(64, 4)
    block = pool.allocate()
    assert (_core.first_run(pool), _core.in_flight(block)) == (None, 0)
    shared = bp.Pool.create(64, 4)
    assert _core.first_run(shared) is None
    first, second = shared.allocate_many(2)
    first.release()
    second.share(2)
    assert (_core.first_run(shared), _core.in_flight(second)) == (second.handle, 2)
    shared.close()
    with pytest.raises(bp.PoolClosed):
        _core.first_run(shared)


def test_memory_that_runs_short_while_a_segment_is_made(run_program):
    """Wherever MemoryError is raised while a segment is made, no block stays allocated."""
    pytest.importorskip("_testcapi", reason="_testcapi, which makes allocations fail, is not in this Python")
    run_program("stdlib/memory_runs_short.py")


# --- pickling ---


class Special(SharedMemory):
    """A subclass, as users write them."""


def test_pickles_are_names(new_name, attacher):
    """A pickle of a segment attaches it with the same class, and raises FileNotFoundError once it is unlinked."""
    made = Special(new_name(), create=True, size=10)
    sent = pickle.dumps(made)
    got = pickle.loads(sent)
    assert (type(got), got.name, got.size) == (Special, made.name, 10)
    got.buf[0] = 1
    assert made.buf[0] == 1
    plain = SharedMemory(made.name)
    attacher(f"there = pickle.loads({pickle.dumps(plain)!r})")
    assert attacher("there.buf[0]") == 1
    made.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(sent)


def test_importing_blockpool_does_not_import_it(run_python):
    """`import blockpool` imports neither blockpool.shared_memory nor multiprocessing."""
    run_python("""
        import sys, blockpool
        assert not {"multiprocessing", "blockpool.shared_memory", "blockpool._segments"} & sys.modules.keys()
    """)
