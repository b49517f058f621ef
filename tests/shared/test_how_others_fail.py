"""Failures of other shared memory libraries, each tried here; theirs were seen in the versions of that time."""

import gc
import signal
import subprocess
import time

import numpy as np
import pytest

import blockpool as bp
from descriptors import open_files
from programs import interpreter
from sweeps import sweep_away


def test_an_attacher_that_exits(shared, run_python, file_of, unchanged):
    """A process that attaches and exits leaves the pool and its data alone.

    With SharedMemory its exit deletes the owner's segment.
    """
    block = shared.allocate()
    block.buf[:4] = b"data"
    with unchanged(shared):
        run_python(
            f"import blockpool as bp; kept = bp.Pool.attach({shared.name!r}), bp.redeem({str(block.handle)!r}).buf"
        )
        assert file_of(shared.name).exists()
        shared.recover()
    assert bytes(block.buf[:4]) == b"data"
    block.free()


def test_a_killed_group(pool_name, peers, file_of):
    """After all its processes were killed, create or sweep removes a pool; with SharedMemory the segment leaks."""
    several = [peers() for _ in range(2)]
    for _ in range(3):
        for each in several:
            each(f"pool = bp.Pool.create('1MiB', 4, name={pool_name!r}, exist_ok=True); kept = pool.allocate()")
        for each in several:
            each.kill()
        several = [peers() for _ in range(2)]
    sweep_away(file_of(pool_name))


def test_close_under_a_live_array(run_program, pool_name, file_of):
    """An array outlives the close of its pool; with SharedMemory the next access is SIGSEGV."""
    run_program("shared/keep_an_array.py", pool_name)
    assert not file_of(pool_name).exists()


def test_close_does_not_complain_of_exported_pointers(shared):
    """A pool can be closed under a live view; SharedMemory raises "cannot close exported pointers exist"."""
    view = shared.allocate().buf
    shared.close()
    view[0] = 1


@pytest.mark.parametrize("named", [True, False])
def test_too_little_shared_memory(pool_name, named):
    """A pool that does not fit is an error at create; with SharedMemory the first write is SIGBUS."""
    with pytest.raises(bp.PoolExhausted, match="available now"):
        bp.Pool.create("1GiB", 4096, name=pool_name if named else None)


def test_a_killed_holder_of_a_lock(shared, peers):
    """Killing a process at any work leaves the others going; a killed holder of a multiprocessing.Lock blocks all."""
    for action in (
        "while True: pool.check()",
        "while True: bp.Pool.attach(pool.name); pool.recover(tickets_older_than=1000)",
        "while True: pool.allocate().free()",
        "while True: bp.Pool.create(64, 8, name=pool.name + '-x').close()",
        "while True: os.waitpid(os.fork() or os._exit(0), 0)",
    ):
        peer = peers()
        peer(f"pool = bp.Pool.attach({shared.name!r})")
        peer.start(action)
        assert not peer.answers(0.15)
        peer.kill()
        shared.recover()
        shared.check()
        assert len(shared.allocate_many(16)) == 16
    deadline = time.monotonic() + 60
    while shared.stats().processes > 1 and time.monotonic() < deadline:  # a child of the last one
        shared.recover()
    assert shared.stats().processes == 1
    bp.sweep()


def test_an_array_that_outlives_its_block(shared, peer):
    """An array keeps its block from being allocated again; with iceoryx2 its data silently changes."""
    block = shared.allocate()
    array = np.ndarray(512, "i8", buffer=block.buf)
    array[:] = 42
    block.release()
    del block
    gc.collect()
    peer(f"pool = bp.Pool.attach({shared.name!r}); everything = pool.allocate_many(15)")
    with pytest.raises(bp.PoolExhausted):
        peer("pool.allocate()")
    peer("for block in everything: block.buf[:] = b'x' * 4096\n")
    assert (array == 42).all()
    del array
    assert peer("pool.allocate().index") == 0


def test_writing_to_a_read_only_view(shared, peer):
    """A read-only view says so and raises on a write.

    With iceoryx2 the received view says that it is writable, and a write is SIGSEGV.
    """
    block = shared.allocate()
    peer("import numpy as np")
    peer(f"got = bp.redeem({str(block.handle)!r}).readonly(); array = np.frombuffer(got.buf, 'u1')")
    assert peer("got.buf.readonly, array.flags.writeable") == (True, False)
    for wrong in (
        "got.buf[0] = 1",
        "array[0] = 1",
        "array.flags.writeable = True",
        "got.buf.cast('B')[:2] = b'xx'",
    ):
        with pytest.raises((TypeError, ValueError)):
            peer(wrong)
    assert not any(block.buf)


def test_slots_of_killed_publishers(shared, peers):
    """A killed process's blocks come back while others work; kickmsg recovers only when no process uses the segment."""
    worker = peers()
    worker("from shared.peer_work import AtWork, use_and_release")
    worker(f"pool = bp.Pool.attach({shared.name!r}); at_work = AtWork(lambda: use_and_release(pool))")
    worker("at_work.await_rounds(1)")
    for _ in range(5):
        killed = peers()
        killed(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(10)")
        killed.kill()
        assert shared.recover().processes == 1
    assert worker("at_work.stop()") > 0
    assert shared.check().allocated == 0


def test_an_explicit_release_under_a_view(shared, unchanged):
    """A block with an array over it cannot be freed, and release waits for the array.

    With kickmsg it is released and the data changes.
    """
    block = shared.allocate()
    array = np.ndarray(4096, "u1", buffer=block.buf)
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="1 array"):
        block.free()
    block.release()
    assert shared.stats().allocated == 1
    del array
    assert shared.stats().allocated == 0


def test_a_double_free(shared, peer):
    """A double free raises and every block has one owner; with free lists in Python one block gets two owners."""
    block = shared.allocate()
    block.free()
    with pytest.raises(bp.DoubleFree):
        block.free()
    peer(f"pool = bp.Pool.attach({shared.name!r}); theirs = pool.allocate()")
    with pytest.raises(bp.DoubleFree):
        block.free()
    block.release()
    assert peer("theirs.index") == block.index
    kept = shared.allocate_many(15)
    assert sorted(each.index for each in kept) == list(range(1, 16))
    with pytest.raises(bp.PoolExhausted):
        shared.allocate()


def test_a_segment_recycled_under_a_reader(shared, peer):
    """A reader's data never changes while it has a view; elsewhere segments were recycled under views (spdl#1636)."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer("""
        def read(tickets):
            views = [(bp.redeem(ticket).buf, number) for ticket, number in tickets]
            return sum(bytes(view[:4]) != number.to_bytes(4, "little") for view, number in views)
    """)
    for round_ in range(20):
        tickets = []
        for number in range(round_ * 10, round_ * 10 + 10):
            with shared.allocate(timeout=10) as block:
                block.buf[:4] = number.to_bytes(4, "little")
                tickets.append((str(block.share()), number))
        peer.start(f"read({tickets!r})")
        with shared.allocate(timeout=10) as block:
            block.buf[:] = b"\xff" * 4096
        assert peer.answer() == 0
    assert shared.check().allocated == 0


def test_restarts_leave_nothing(pool_name, file_of):
    """A program killed and restarted has at most one pool; elsewhere 852 segments leaked so (sglang#40726)."""
    for _ in range(6):
        done = subprocess.run(
            interpreter("shared/create_and_be_killed.py", pool_name, "8"), capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")
        assert len([path for path in file_of("x").parent.iterdir() if pool_name in path.name]) <= 1
    sweep_away(file_of(pool_name))


def test_one_descriptor_for_many_blocks(shared):
    """The number of descriptors does not grow with blocks, tickets or views, as it did elsewhere (pytorch#973)."""
    before = open_files()
    kept = [
        pickled for block in shared.allocate_many(16) for pickled in (block.buf, block.share(), bp.redeem(block.handle))
    ]
    assert open_files() == before
    del kept
    shared.recover(tickets_older_than=0)
