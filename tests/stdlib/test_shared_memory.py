"""`blockpool.shared_memory`: segments, and each trap of the standard library's shown gone."""

import ctypes
import importlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp
from blockpool import _core, _segments
from blockpool._handles import find_descriptor
from blockpool.shared_memory import SharedMemory

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
LARGE = 5 << 20  # has a pool of its own
IMPORT = "from blockpool.shared_memory import *"


class Namer:
    """Names of which there is no segment."""

    def __init__(self):
        self.given = []

    def __call__(self):
        """Give the next one."""
        self.given.append(f"test-{os.getpid()}-{len(self.given)}")
        return self.given[-1]

    @staticmethod
    def file(name):
        """Say which file a segment of that name is."""
        return SHM / f"blockpool.shm.{name}"


@pytest.fixture
def names():
    """Give names of which there is no segment; those that have them afterwards are removed."""
    namer = Namer()
    yield namer
    for name in namer.given:
        namer.file(name).unlink(missing_ok=True)


@pytest.fixture(params=["automatic", "given"])
def new_name(request, names):
    """Give the name to make a segment with: None, or a new one."""
    return names if request.param == "given" else lambda: None


@pytest.fixture
def segment(new_name):
    """Make a small segment."""
    made = SharedMemory(new_name(), create=True, size=100)
    yield made
    made.close()


@pytest.fixture
def attacher(peer):
    """Start another process that has our names."""
    peer(IMPORT)
    return peer


def is_anywhere(pool_id):
    """Say whether a living process has the pool without a name."""
    return any(True for _ in find_descriptor(pool_id, os.getpid()))


def await_gone(pool_id):
    """Return when no process has the pool; killed ones take a moment to end."""
    deadline = time.monotonic() + 10
    while is_anywhere(pool_id):
        assert time.monotonic() < deadline, "a process still has the pool"
        time.sleep(0.01)


# --- what a segment is ---


@pytest.mark.parametrize("size", [1, 7, 100, 4095, 4096, 4097, LARGE + 1])
def test_processes_see_one_memory_of_the_size_asked_for(new_name, attacher, size):
    """A new segment is zeros; who attaches it sees the same size, and what others write."""
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
    """A segment in the place of an earlier one is zeros."""
    addresses = set()
    for _ in range(50):
        made = SharedMemory(create=True, size=200_000)
        addresses.add(ctypes.addressof(ctypes.c_char.from_buffer(made.buf)))
        assert bytes(made.buf) == bytes(200_000)
        made.buf[:] = b"\xff" * 200_000
        made.unlink()
    assert len(addresses) < 50, "none was used again; the test shows nothing"


def test_segments_begin_at_a_page(new_name):
    """As those of the standard library do."""
    kept = []
    for size in (10, 5000, LARGE):
        kept.append(SharedMemory(new_name(), create=True, size=size))
        assert ctypes.addressof(ctypes.c_char.from_buffer(kept[-1].buf)) % 4096 == 0
    for made in kept:
        made.unlink()


def test_more_than_the_small_pool_holds():
    """When the pool of small segments is full, others are made all the same, and none lies in another."""
    made = [SharedMemory(create=True, size=1 << 20) for _ in range(9)]
    for number, one in enumerate(made):
        one.buf[:] = bytes([number]) * (1 << 20)
    for number, one in enumerate(made):
        assert bytes(SharedMemory(one.name).buf) == bytes([number]) * (1 << 20)
        one.unlink()


def test_without_a_place_in_the_small_pool(monkeypatch):
    """A process that has no part in the pool it was forked with makes segments elsewhere, and then a new pool."""
    closed = bp.Pool.create(4096, 1)
    closed.close()
    monkeypatch.setattr(_segments, "_small", {"": closed})
    for _ in range(2):
        made = SharedMemory(create=True, size=10)
        SharedMemory(made.name).unlink()
    assert _segments._small[""] is not closed


def test_a_given_name_with_a_slash(names):
    """One '/' at the beginning may be there or not; `name` is as it was given."""
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
    """It is of one length always, and `redeem` takes it."""
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
    """Each is refused with the error that the standard library has for it, and a text that says what is wrong."""
    with pytest.raises(error, match=r"size|name|segment|integer|handle|pool"):
        SharedMemory(**arguments)


def test_the_longest_name(names):
    """A name of 176 characters is one."""
    name = names().ljust(176, "_")
    names.given.append(name)
    made = SharedMemory(name, create=True, size=1)
    SharedMemory(name).close()
    made.unlink()


def test_track_is_accepted(segment):
    """`track` is taken, as in Python 3.13, and changes nothing."""
    for track in (False, True):
        SharedMemory(segment.name, track=track).close()
    SharedMemory(segment.name).unlink()


@pytest.mark.parametrize("size", [1 << 45, 1 << 62, 1 << 70])
def test_what_the_machine_cannot_hold_is_refused(names, size):
    """Too large a segment is a MemoryError when it is made, and leaves no name."""
    name = names()
    with pytest.raises(bp.PoolExhausted):
        SharedMemory(create=True, size=size)
    with pytest.raises(MemoryError):
        SharedMemory(name, create=True, size=size)
    assert not names.file(name).exists()


def test_what_fails_half_way_leaves_no_name(names, monkeypatch):
    """If the block of a segment with a given name cannot be had, the name is not taken."""

    class NoRoom(bp.Pool):
        def allocate(self, **_):
            raise bp.PoolExhausted("no")

    name = names()
    monkeypatch.setattr(_segments, "Pool", NoRoom)
    with pytest.raises(bp.PoolExhausted):
        SharedMemory(name, create=True, size=10)
    assert not names.file(name).exists()


def test_a_pool_of_the_user_is_no_segment(names):
    """A pool that happens to have the name of a segment is neither attached nor removed."""
    name = names()
    pool = bp.Pool.create(64, 4, name=f"shm.{name}")
    with pytest.raises(bp.PoolCorrupt, match="no segment"):
        SharedMemory(name)
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10)
    bp.Pool.attach(f"shm.{name}").allocate().free()
    pool.unlink()


def test_what_is_looked_at():
    """Private pools have no runs with names, and nothing in flight; a closed pool says so."""
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


# --- close: the memory stays under views ---


@pytest.mark.parametrize("size", [4000, LARGE])
@pytest.mark.parametrize(
    "view_of",
    [
        lambda buf: np.ndarray(500, np.uint64, buffer=buf),
        lambda buf: np.frombuffer(buf, np.uint64, 500),
        lambda buf: memoryview(buf)[:4000].cast("Q"),
    ],
    ids=["ndarray", "frombuffer", "memoryview"],
)
def test_close_under_a_view(new_name, view_of, size):
    """An array made of `buf` can be read and written after close and unlink, and no later segment lies in it."""
    made = SharedMemory(new_name(), create=True, size=size)
    view = view_of(made.buf)
    view[:] = view_of(bytearray(range(250)) * 16)
    made.close()
    assert made.buf is None
    made.unlink()
    later = [SharedMemory(create=True, size=size) for _ in range(20)]
    for one in later:
        one.buf[:] = b"\xff" * size
    assert bytes(view) == bytes(range(250)) * 16
    view[0] = 1
    assert view[0] == 1
    for one in later:
        one.unlink()


def test_a_buf_held_by_somebody(segment):
    """A memoryview taken before close stays valid."""
    view = segment.buf
    view[0] = 3
    segment.close()
    segment.close()
    assert view[0] == 3
    view[0] = 4
    assert SharedMemory(segment.name).buf[0] == 4
    segment.unlink()


@pytest.mark.parametrize("module", ["blockpool.shared_memory", "multiprocessing.shared_memory"])
def test_buf_is_one_memoryview(module):
    """As in the standard library `buf` is the same object each time, and once it is released it stays so."""
    segment = importlib.import_module(module).SharedMemory(create=True, size=10)
    try:
        assert segment.buf is segment.buf
        with segment.buf as view:
            view[0] = 3
        with pytest.raises(ValueError, match="released memoryview"):
            segment.buf[0]
        segment.close()
        assert segment.buf is None
    finally:
        segment.unlink()


def test_memory_that_runs_short_while_a_segment_is_made(run_python):
    """Wherever MemoryError strikes, no segment is left of which nobody knows the name."""
    run_python("""
        from _testcapi import remove_mem_hooks, set_nomemory
        from blockpool import _segments
        from blockpool.shared_memory import SharedMemory
        SharedMemory(create=True, size=10).unlink()
        pool = _segments._small[""]
        failed, made = 0, None
        while made is None:
            try:
                set_nomemory(failed, failed + 1)
                made = SharedMemory(create=True, size=10)
            except MemoryError:
                failed += 1
            finally:
                remove_mem_hooks()
            assert made is not None or (pool.stats().tickets, pool.stats().allocated) == (0, 0), failed
        made.unlink()
        assert failed > 5
    """)


# --- who destroys a segment, and who does not ---


def test_a_closed_segment_stays_until_unlinked(new_name, attacher):
    """The maker may close at once: others can attach, and find what it wrote."""
    for size in (100, LARGE):
        made = SharedMemory(new_name(), create=True, size=size)
        made.buf[:5] = b"hello"
        made.close()
        assert attacher(f"bytes(SharedMemory({made.name!r}).buf[:5])") == b"hello"
        assert bytes(SharedMemory(made.name).buf[:5]) == b"hello"
        made.unlink()
        with pytest.raises(FileNotFoundError):
            SharedMemory(made.name)


def test_an_attacher_that_exits_does_not_destroy(segment, run_python):
    """A process of its own attaches and ends; the segment is there for others as before."""
    segment.buf[0] = 8
    for ending in ("", "there.close()", "import os, signal; os._exit(0)"):
        run_python(f"{IMPORT}\nthere = SharedMemory({segment.name!r})\n{ending}")
        assert SharedMemory(segment.name).buf[0] == 8
    segment.unlink()


def test_a_killed_attacher_does_not_destroy(segment, attacher):
    """Nor does one that is killed; and the memory is not kept for it."""
    attacher(f"there = SharedMemory({segment.name!r})")
    attacher.kill()
    SharedMemory(segment.name).close()
    segment.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(segment.name)


def test_a_given_name_outlives_its_maker(names, run_python):
    """What a process made under a given name and left is there for the next, until it is unlinked."""
    name = names()
    run_python(f"{IMPORT}\nmade = SharedMemory({name!r}, True, 10)\nmade.buf[:2] = b'hi'")
    for _ in range(2):
        assert run_python(f"{IMPORT}\nprint(bytes(SharedMemory({name!r}).buf[:2]))") == "b'hi'\n"
    SharedMemory(name).unlink()
    assert not names.file(name).exists()


def test_an_automatic_name_ends_with_its_last_process(attacher, peers, run_python):
    """If its maker is killed, it stays for those that have it, and others find it there; then it is gone."""
    attacher(f"made = SharedMemory(create=True, size=10); made.buf[0] = 6; large = SharedMemory(None, True, {LARGE})")
    names = [attacher("made.name"), attacher("large.name")]
    held = [SharedMemory(name) for name in names]
    attacher.kill()
    other = peers()
    other(f"{IMPORT}\nthere = [SharedMemory(name) for name in {names!r}]")
    assert (held[0].buf[0], other("there[0].buf[0]"), held[1].size) == (6, 6, LARGE)
    del held
    other.end()
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    gone = run_python(f"{IMPORT}\nprint(SharedMemory(create=True, size=10).name)").strip()
    with pytest.raises(FileNotFoundError):
        SharedMemory(gone)


def test_a_killed_group_leaves_nothing_behind():
    """Parent and child make segments without names and are killed: no process and no file has them any more."""
    before = set(SHM.iterdir())
    code = f"""
        import os, sys, time
        {IMPORT}
        kept = [SharedMemory(create=True, size=size) for size in (10, {LARGE})]
        os.fork()
        kept += [SharedMemory(create=True, size=size) for size in (10, {LARGE})]
        os.write(1, "".join(one.name + "\\n" for one in kept).encode())
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as group:
        names = {group.stdout.readline().decode().strip() for _ in range(8)}
        assert len(names) == 6
        for name in names:
            SharedMemory(name).close()
        os.killpg(group.pid, signal.SIGKILL)
    for name in names:
        await_gone(bp.Handle.parse(name).pool_id)
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    mine = {path for path in set(SHM.iterdir()) - before if str(group.pid) in path.name}
    assert not mine


# --- unlink ---


def test_unlink_twice(segment, attacher):
    """The second is FileNotFoundError, in any process and through any object; who has the memory keeps it."""
    attacher(f"there = SharedMemory({segment.name!r})")
    also = SharedMemory(segment.name)
    segment.unlink()
    for again in (segment.unlink, also.unlink, lambda: attacher("there.unlink()")):
        with pytest.raises(FileNotFoundError):
            again()
    for attach in (SharedMemory, lambda name: attacher(f"SharedMemory({name!r})")):
        with pytest.raises(FileNotFoundError):
            attach(segment.name)
    segment.buf[0] = 2
    assert (also.buf[0], attacher("there.buf[0]")) == (2, 2)
    segment.close()
    with pytest.raises(FileNotFoundError):
        segment.unlink()


def test_unlink_removes_its_own_segment_only(names, attacher):
    """When the name was used again, an object of the earlier segment does not remove the later one."""
    name = names()
    old = SharedMemory(name, create=True, size=10)
    SharedMemory(name).unlink()
    new = SharedMemory(name, create=True, size=20)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            old.unlink()
        old.close()
    assert attacher(f"SharedMemory({name!r}).size") == 20
    new.unlink()
    assert not names.file(name).exists()


def test_a_name_can_be_used_again_and_again(names):
    """Each time the segment is a new one, of zeros."""
    name = names()
    for size in range(1, 30):
        made = SharedMemory(name, create=True, size=size)
        assert bytes(SharedMemory(name).buf) == bytes(size)
        made.buf[:] = b"\xff" * size
        made.unlink()


RACE = """
def race(act, names, start):
    won = []
    while time.monotonic() < start:
        pass
    for name in names:
        try:
            won.append(act(name))
        except (FileNotFoundError, FileExistsError):
            pass
    return won
"""


def run_race(peers, prepare, act, names):
    """Have two processes do the same to each of the names at the same time; return what each got."""
    both = [peers(), peers()]
    for one in both:
        one(f"{IMPORT}\n{RACE}\nnames = {names!r}\n{prepare}")
    start = time.monotonic() + 0.2
    for one in both:
        one.start(f"race({act}, names, {start})")
    return [one.answer() for one in both], both


def test_unlinking_at_the_same_time(new_name, peers):
    """Of two processes that unlink the same segments one succeeds each time."""
    made = [SharedMemory(new_name(), create=True, size=10) for _ in range(100)]
    names = [one.name for one in made]
    won, _ = run_race(
        peers,
        "held = {name: SharedMemory(name) for name in names}",
        "lambda name: held[name].unlink() or name",
        names,
    )
    assert sorted(won[0] + won[1]) == sorted(names)


def test_making_at_the_same_time(names, peers):
    """Of two processes that make a segment of the same name one succeeds each time."""
    wanted = [names() for _ in range(100)]
    won, both = run_race(
        peers,
        "held = {}",
        "lambda name: held.update({name: SharedMemory(name, True, 10)}) or name",
        wanted,
    )
    assert sorted(won[0] + won[1]) == sorted(wanted)
    for one in both:
        one("for made in held.values(): made.unlink()")


def test_threads_that_make_the_same_name(names):
    """Of several threads one succeeds each time, and its segment is the one that has the name."""
    for _ in range(30):
        name = names()
        made, failed = [], []
        gate = threading.Barrier(4)

        def run(name=name, made=made, failed=failed, gate=gate):
            gate.wait()
            try:
                made.append(SharedMemory(name, create=True, size=10))
            except FileExistsError as error:
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(made), len(failed)) == (1, 3)
        made[0].unlink()


def test_threads_with_segments_of_their_own():
    """Threads make, attach, close and unlink at the same time; none sees another's bytes."""
    faults = []

    def run(number):
        for size in (100, 5000, 300_000) * 20:
            made = SharedMemory(create=True, size=size)
            made.buf[:] = bytes([number]) * size
            attached = SharedMemory(made.name)
            made.close()
            if bytes(attached.buf) != bytes([number]) * size:
                faults.append(number)
            attached.unlink()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


# --- half made ---


HALF = "half = bp.Pool.create(4096, 1, name='shm.{}', permanent=True)"


@pytest.mark.parametrize("more", ["", "block = half.allocate(nbytes=10)"])
def test_a_maker_that_was_killed_half_way(names, peers, more):
    """Its name is free: nothing can be attached under it, nothing is left, and a new segment can be made."""
    for attach_first in (True, False):
        name = names()
        maker = peers()
        maker(f"{HALF.format(name)}\n{more}")
        maker.kill()
        assert names.file(name).exists()
        if attach_first:
            with pytest.raises(FileNotFoundError, match="half made"):
                SharedMemory(name)
            assert not names.file(name).exists()
        made = SharedMemory(name, create=True, size=10)
        assert bytes(SharedMemory(name).buf) == bytes(10)
        made.unlink()


def test_a_maker_that_is_at_it(names, peer):
    """Who attaches meanwhile waits for it, and gets the whole segment."""
    name = names()
    peer(HALF.format(name))
    peer.start("time.sleep(0.2); block = half.allocate(nbytes=10); block.buf[0] = 1; block.share()")
    attached = SharedMemory(name)
    peer.answer()
    assert (attached.size, attached.buf[0]) == (10, 1)
    attached.unlink()


def test_a_maker_in_the_same_process(names, monkeypatch):
    """Nor is a thread that is half way taken for dead: what it makes is not removed, and is whole at the end."""
    name = names()

    class Slow(bp.Pool):
        def allocate(self, **options):
            for _ in range(2):
                with pytest.raises(FileNotFoundError, match="stopped"):
                    SharedMemory(name)
                with pytest.raises(FileExistsError):
                    SharedMemory(name, create=True, size=10)
            return super().allocate(**options)

    monkeypatch.setattr(_segments, "_PATIENCE", 0.01)
    monkeypatch.setattr(_segments, "Pool", Slow)
    made = SharedMemory(name, create=True, size=10)
    SharedMemory(name).buf[0] = 1
    assert made.buf[0] == 1
    made.unlink()


def test_a_maker_that_was_stopped(names, peer, monkeypatch):
    """Attaching is FileNotFoundError and making FileExistsError, after a while; the maker can still go on."""
    monkeypatch.setattr(_segments, "_PATIENCE", 0.1)
    name = names()
    peer(HALF.format(name))
    with pytest.raises(FileNotFoundError, match="stopped"):
        SharedMemory(name)
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10)
    peer("block = half.allocate(nbytes=10); block.share()")
    SharedMemory(name).unlink()


# --- children, and what processes keep ---

CHILDREN = f"""
import multiprocessing, sys
{IMPORT}

def child(name, sent, items):
    SharedMemory(name).buf[0] += 1
    sent.buf[0] += 1
    items[1] = "done"

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for name in (None, sys.argv[2]):
        made = SharedMemory(name, create=True, size=10)
        items = ShareableList([1, "todo"])
        for _ in range(2):
            process = context.Process(target=child, args=(made.name, made, items))
            process.start()
            process.join()
            assert process.exitcode == 0
        assert made.buf[0] == 4, made.buf[0]
        assert list(items) == [1, "done"]
        made.unlink()
        items.shm.unlink()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_attach(run_script, names, method):
    """Children of every kind attach by name and by pickle, and their end destroys nothing."""
    run_script(CHILDREN, method, names())


def test_a_child_makes_a_segment_for_its_parent(run_python):
    """What a forked child made and left is there for the parent, which shares its pool."""
    run_python(f"""
        import os
        {IMPORT}
        SharedMemory(create=True, size=1).unlink()
        receive, send = os.pipe()
        if os.fork() == 0:
            made = SharedMemory(create=True, size=10)
            made.buf[0] = 4
            os.write(send, made.name.encode())
            os._exit(0)
        os.wait()
        attached = SharedMemory(os.read(receive, 100).decode())
        assert attached.buf[0] == 4
        attached.unlink()
    """)


def test_a_child_does_not_keep_what_its_parent_closed():
    """Unlinked, a large segment that its maker closed before it forked is gone though the child lives."""
    made = SharedMemory(create=True, size=LARGE)
    pool_id = bp.Handle.parse(made.name).pool_id
    made.close()
    child = get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        made.unlink()
        await_gone(pool_id)
    finally:
        child.kill()
        child.join()


def test_what_others_unlinked_is_let_go(attacher):
    """The maker of a large segment keeps it until it hears that it was unlinked: when it next closes or makes one."""
    for last in ("close", "make"):
        made, other = (SharedMemory(create=True, size=LARGE) for _ in range(2))
        pool_id = bp.Handle.parse(made.name).pool_id
        made.close()
        attacher(f"SharedMemory({made.name!r}).unlink()")
        assert is_anywhere(pool_id)
        if last == "close":
            other.close()
        else:
            SharedMemory(create=True, size=LARGE).unlink()
        assert not is_anywhere(pool_id)
        other.unlink()


# --- pickling ---


class Special(SharedMemory):
    """A class of a user."""


def test_pickles_are_names(new_name, attacher):
    """A pickle attaches the same segment, as an object of the same class, as long as it has its name."""
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
    """`import blockpool` brings neither this module nor multiprocessing."""
    run_python("""
        import sys, blockpool
        assert not {"multiprocessing", "blockpool.shared_memory", "blockpool._segments"} & set(sys.modules)
    """)


def test_a_pool_of_that_name_with_data_in_it_is_left_alone(pool_names):
    """A user's own pool is no segment, and is not taken for one that was left half made."""
    name = pool_names()
    mine = bp.Pool.create(4096, 1, name=f"shm.{name}", permanent=True)
    block = mine.allocate()
    block.buf[:4] = b"DATA"
    with pytest.raises(bp.PoolCorrupt, match="is no segment"):
        SharedMemory(name)
    assert len(bp.Pool.attach(f"shm.{name}").runs()) == 1
    assert bytes(block.buf[:4]) == b"DATA"
    mine.unlink()
