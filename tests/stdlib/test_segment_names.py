"""`blockpool.shared_memory`: unlink, names that several processes want, and segments that are half made."""

import threading
import time

import pytest

import blockpool as bp
from blockpool import _segments
from blockpool.shared_memory import SharedMemory
from segments import IMPORT, file_of_segment

# --- unlink ---


def test_unlink_twice(segment, attacher):
    """Unlinking a segment again raises FileNotFoundError in any process, and those that attached it keep its memory."""
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
    """If a name was used again, an object of the earlier segment does not unlink the later one."""
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
    assert not file_of_segment(name).exists()


def test_a_name_can_be_used_again_and_again(names):
    """A segment made under a name that was unlinked is new, and zeros."""
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
    """Have two processes do `act` with each of the names at the same time; return what each got, and the two."""
    both = [peers(), peers()]
    for one in both:
        one(f"{IMPORT}\n{RACE}\nnames = {names!r}\n{prepare}")
    start = time.monotonic() + 0.2
    for one in both:
        one.start(f"race({act}, names, {start})")
    return [one.answer() for one in both], both


def test_unlinking_at_the_same_time(new_name, peers):
    """If two processes unlink a segment at the same time, exactly one of them succeeds."""
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
    """If two processes make a segment of the same name at the same time, exactly one of them succeeds."""
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
    """If threads make a segment of the same name at the same time, exactly one of them succeeds."""
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
    """Threads that make, attach, close and unlink segments at the same time see only their own bytes."""
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
    """A segment whose maker was killed half-way cannot be attached, leaves no file, and its name can be used."""
    for attach_first in (True, False):
        name = names()
        maker = peers()
        maker(f"{HALF.format(name)}\n{more}")
        maker.kill()
        assert file_of_segment(name).exists()
        if attach_first:
            with pytest.raises(FileNotFoundError, match="half made"):
                SharedMemory(name)
            assert not file_of_segment(name).exists()
        made = SharedMemory(name, create=True, size=10)
        assert bytes(SharedMemory(name).buf) == bytes(10)
        made.unlink()


def test_a_maker_that_is_at_it(names, peer, monkeypatch):
    """Attaching a segment that another process is about to make waits for it, and gets the whole segment."""
    monkeypatch.setattr(_segments, "_PATIENCE", 60)
    name = names()
    peer(HALF.format(name))
    peer.start("time.sleep(0.2); block = half.allocate(nbytes=10); block.buf[0] = 1; block.share()")
    attached = SharedMemory(name)
    peer.answer()
    assert (attached.size, attached.buf[0]) == (10, 1)
    attached.unlink()


def test_a_maker_in_the_same_process(names, monkeypatch):
    """A segment that a thread of this process is making is not taken for half made, and not removed."""
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
    """While a maker is stopped half-way, attaching and making raise errors after a while; later it can finish."""
    monkeypatch.setattr(_segments, "_PATIENCE", 0.1)
    name = names()
    peer(HALF.format(name))
    with pytest.raises(FileNotFoundError, match="stopped"):
        SharedMemory(name)
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10)
    peer("block = half.allocate(nbytes=10); block.share()")
    SharedMemory(name).unlink()


# --- pools of the user ---


def test_a_pool_of_the_user_is_no_segment(names):
    """A pool that has the name of a segment is neither attached as a segment nor removed."""
    name = names()
    pool = bp.Pool.create(64, 4, name=f"shm.{name}")
    with pytest.raises(bp.PoolCorrupt, match="not a segment"):
        SharedMemory(name)
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10)
    bp.Pool.attach(f"shm.{name}").allocate().free()
    pool.unlink()


def test_a_pool_of_that_name_with_data_in_it_is_left_alone(pool_names):
    """A user's pool with a segment's name and data in it raises PoolCorrupt, and its data stays."""
    name = pool_names()
    mine = bp.Pool.create(4096, 1, name=f"shm.{name}", permanent=True)
    block = mine.allocate()
    block.buf[:4] = b"DATA"
    with pytest.raises(bp.PoolCorrupt, match="is not a segment"):
        SharedMemory(name)
    assert len(bp.Pool.attach(f"shm.{name}").runs()) == 1
    assert bytes(block.buf[:4]) == b"DATA"
    mine.unlink()
