"""Pool.record: what all processes of a shared pool allocate and free, as a trace."""

import os
import threading
import time

import pytest

import blockpool as bp
from blockpool._core import id_of_pool
from blockpool.traces import peak, read
from waits import await_true


def allocations(trace):
    """Return the sizes of all allocations, in order."""
    return trace.size[trace.kind == 0].tolist()


def test_a_recording_has_every_allocation_and_every_free(shared, tmp_path):
    """Sizes are those that were asked for, in order, and the file says the same as the trace."""
    path = tmp_path / "trace.parquet"
    with shared.record(path) as recording:
        kept = shared.allocate(nbytes=5000)
        shared.allocate(blocks=3).free()
        with shared.allocate_many(2)[0]:
            pass
        shared.empty(100).fill(1)
    trace = recording.stop()
    assert allocations(trace) == [5000, 12288, 4096, 4096, 800]
    assert (trace.kind == 1).sum() == 4
    assert (trace.lost, trace.unmatched, trace.timed) == (0, 0, True)
    assert (
        trace.source == f"recording of pool {shared.name or id_of_pool(shared)}, {shared.blocks} blocks of 4,096 bytes"
    )
    assert trace.threads == (f"process {os.getpid()}, thread {threading.get_native_id()}",)
    again = read(path)
    assert allocations(again) == allocations(trace)
    assert again.time.tolist() == trace.time.tolist()
    assert again.source == trace.source
    assert kept.nbytes == 5000


def test_what_lived_before_is_allocated_at_the_beginning(shared):
    """A run that was live when the recording began is in the trace, with its size, and so is its free."""
    first, second = shared.allocate(nbytes=10), shared.allocate(nbytes=8192)
    with shared.record() as recording:
        first.free()
    trace = recording.stop()
    assert sorted(allocations(trace)) == [10, 8192]
    assert trace.size[trace.kind == 1].tolist() == [10]
    assert trace.time[trace.kind == 0].tolist() == [0, 0]
    assert trace.threads[0] == "before the recording"
    assert peak(trace) == 8202
    second.free()


def test_other_processes_and_threads_are_recorded(shared, peers):
    """Events of all processes are there, with the process and the thread that they come from."""
    one, other = peers(), peers()
    for peer in (one, other):
        peer(f"pool = bp.Pool.attach({shared.name!r})")
    with shared.record() as recording:
        one("kept = pool.allocate(blocks=2)")
        other("[pool.allocate().free() for _ in range(100)]; None")
        thread = threading.Thread(target=lambda: shared.allocate(nbytes=77).free())
        thread.start()
        thread.join()
        one("kept.free()")
    trace = recording.stop()
    assert sorted(allocations(trace)) == [77, *[4096] * 100, 8192]
    assert (trace.kind == 1).sum() == 102
    assert {name.split(",")[0] for name in trace.threads} == {
        f"process {pid}" for pid in (os.getpid(), one.pid, other.pid)
    }
    assert len(trace.threads) == 3


def test_a_run_that_is_handed_on_is_freed_where_it_ends(shared, peer):
    """The free of a run is that of the process that freed it, and comes after its allocation."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    with shared.record() as recording:
        for _ in range(50):
            block = shared.allocate()
            ticket = str(block.share())
            block.release()
            peer(f"bp.redeem({ticket!r}).free()")
    trace = recording.stop()
    assert trace.kind.tolist() == [0, 1] * 50
    assert len(set(trace.thread[trace.kind == 1].tolist())) == 1
    assert trace.threads[trace.thread[1]].startswith(f"process {peer.pid},")


@pytest.fixture
def await_round(shared, file_of):
    """Return a function that returns when the recorder has begun another round: the next event is put with its time."""

    def wait():
        with file_of(shared.name).open("rb") as file:
            number = lambda: os.pread(file.fileno(), 8, 768)  # noqa: E731 - recording.on, see layout.h
            before = number()
            await_true(lambda: number() != before)

    return wait


def test_times_are_those_of_the_events(shared, await_round):
    """Events lie between the times at which the program did them, however few there are."""
    marks = []
    with shared.record() as recording:
        for _ in range(3):
            await_round()
            before = time.monotonic_ns()
            shared.allocate().free()
            marks.append((before, time.monotonic_ns()))
    trace = recording.stop()
    first, *others = trace.time[::2].tolist()  # the first may be anywhere between its marks
    for at, (before, after) in zip(others, marks[1:], strict=True):
        assert before - marks[0][1] <= at - first <= after - marks[0][0]


def test_the_dead_are_freed_by_who_recovers_them(shared, peer):
    """What a killed process held is freed in the trace when another process brings it back."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    with shared.record() as recording:
        peer("kept = pool.allocate_many(5)")
        peer.kill()
        await_true(lambda: shared.recover().processes)
    trace = recording.stop()
    assert trace.kind.tolist() == [0] * 5 + [1] * 5
    assert trace.unmatched == 0


def test_one_recording_at_a_time(shared, peer):
    """A second recording is refused with the process that has the first, and possible once that has stopped."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); recording = pool.record()")
    with pytest.raises(bp.PoolBusy, match=f"process {peer.pid} is recording pool '{shared.name}' already"):
        shared.record()
    peer("recording.stop(); None")
    with shared.record() as recording, pytest.raises(bp.PoolBusy, match=f"process {os.getpid()} is recording"):
        shared.record()
    assert len(recording.stop()) == 0


def test_a_recorder_that_is_killed_ends_its_recording(shared, peer):
    """After a recorder was killed, others go on, and the next recording begins with nothing of the old one."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); recording = pool.record()")
    shared.allocate().free()
    peer.kill()
    for _ in range(40_000):  # more than there is room for
        shared.allocate().free()
    await_true(lambda: shared.recover().processes)
    with shared.record() as recording:
        shared.allocate(nbytes=5).free()
    assert allocations(recording.stop()) == [5]
    assert recording.stop().lost == 0


def test_events_that_find_no_room_are_counted(shared):
    """What a stopped recorder does not take is lost and counted, and nobody waits."""
    recording = shared.record()
    real = recording._recorder.collect
    held, go = threading.Event(), threading.Event()

    class Slow:
        def collect(self, seconds):
            held.set()
            go.wait(60)
            return real(seconds)

        def __getattr__(self, name):
            return getattr(recorder, name)

    recorder = recording._recorder
    recording._recorder = Slow()
    assert held.wait(60)
    for _ in range(20_000):
        shared.allocate().free()
    go.set()
    trace = recording.stop()
    assert trace.lost > 0
    assert len(trace) + trace.lost == 40_000
    shared.check()


def test_a_private_pool_is_refused(pool):
    """A private pool cannot be recorded; the error says what to do instead."""
    with pytest.raises(TypeError, match="run that under memray"):
        pool.record()


def test_bad_files(shared, tmp_path):
    """A file that cannot be written is refused at the beginning, and nothing is recorded."""
    with pytest.raises(IsADirectoryError):
        shared.record(tmp_path)
    with pytest.raises(FileNotFoundError):
        shared.record(tmp_path / "none" / "trace.parquet")
    with pytest.raises(TypeError):
        shared.record(3.5)
    with shared.record() as recording:
        pass
    assert len(recording.stop()) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pool(shared, tmp_path):
    """A closed pool cannot be recorded; a recording that has begun goes on when its Pool is closed."""
    other = bp.Pool.attach(shared.name)
    recording = other.record(tmp_path / "trace.parquet")
    other.close()
    with pytest.raises(bp.PoolClosed):
        other.record()
    shared.allocate().free()
    assert len(recording.stop()) == 2


def test_a_forked_child_has_no_part_in_the_recording(run_program):
    """What a forked child does is recorded by its parent; it cannot stop the recording, and its exit leaves it be."""
    run_program("shared/forks_while_recorded.py")


def test_stacks_come_with_debug_mode(pool_name):
    """In a pool in debug mode each allocation has its stack, the innermost call first."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name, debug=True)

    def inner():
        return pool.allocate(nbytes=9)

    with pool.record() as recording:
        for _ in range(3):
            inner().free()
        pool.allocate(nbytes=8).free()
    trace = recording.stop()
    calls = [trace.stacks[number][0].function for number in trace.stack[trace.kind == 0].tolist()]
    assert [call.rpartition(".")[2] for call in calls] == ["inner"] * 3 + ["test_stacks_come_with_debug_mode"]
    assert trace.stacks[trace.stack[0]][0].file.endswith("test_record.py")
    assert len(set(trace.stack.tolist())) == 2
    pool.close()


def test_a_recording_is_stopped_at_exit(run_program, tmp_path):
    """A program that ends without stopping its recording leaves the whole file."""
    path = tmp_path / "trace.parquet"
    run_program("shared/ends_while_recorded.py", str(path))
    assert allocations(read(path)) == [4096] * 10


def test_stopping_twice_gives_the_same(shared):
    """stop() gives the same trace at each call, from any thread."""
    recording = shared.record()
    shared.allocate().free()
    traces = []
    threads = [threading.Thread(target=lambda: traces.append(recording.stop())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({id(trace) for trace in traces}) == 1
    assert not recording.running
