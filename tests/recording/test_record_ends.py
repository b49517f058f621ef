"""The end of a recording: nothing that was put before is lost, whatever the end is like."""

import os
import stat
import threading
import time

import numpy as np
import pytest

import blockpool as bp
from blockpool import _recording
from blockpool.traces import read
from blockpool.traces._recorded import CELL, recorded

_TAKEN = 8  # see enum lane_kind

THREADS = 24
PAIRS = 7000  # of each thread: they fit in its lane, but those of all threads are more than two calls of collect take


class Held:
    """Takes the place of a recorder: it takes nothing from the time at which all threads have a lane to the end."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.lanes = set()
        self.holds, self.ended = threading.Event(), threading.Event()

    def collect(self, seconds):
        """Take what there is, or wait for the end."""
        if seconds and len(self.lanes) >= THREADS:
            self.holds.set()
            assert self.ended.wait(60)
        cells = self.recorder.collect(min(seconds, 0.01))
        what = np.frombuffer(cells, CELL)["what"]
        self.lanes |= set((what[what & 0xFF == _TAKEN] >> 8).tolist())
        return cells

    def stop(self):
        """Stop, and go on taking."""
        self.recorder.stop()
        self.ended.set()

    def end(self):
        """Let others record."""
        self.recorder.end()


def test_all_that_is_in_the_lanes_is_taken_in_the_end(pool_name):
    """However many events there are when a recording is stopped, each is in the trace or counted as lost."""
    pool = bp.Pool.create("4KiB", 2 * THREADS, name=pool_name)
    recording = pool.record()
    held = recording._recorder = Held(recording._recorder)
    ready = threading.Barrier(THREADS)

    def work():
        while len(held.lanes) < THREADS:
            pool.allocate().free()
            time.sleep(0.001)
        assert held.holds.wait(60)
        ready.wait(60)
        for _ in range(PAIRS):
            pool.allocate().free()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    trace = recording.stop()
    stats = pool.stats()
    assert len(trace) + trace.lost == stats.allocations + stats.frees
    assert len(trace) > 2 * THREADS * PAIRS
    pool.close()


def test_an_interrupt_while_the_file_is_written_loses_nothing(shared, tmp_path, monkeypatch):
    """When Ctrl-C comes while stop() makes the trace, the next stop() makes it, with everything in it."""
    path = tmp_path / "trace.parquet"
    recording = shared.record(path)
    for _ in range(3):
        shared.allocate().free()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(_recording, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recording.stop()
    assert not path.exists()
    assert len(recording.stop()) == 6
    assert len(read(path)) == 6
    with shared.record() as another:
        pass
    assert len(another.stop()) == 0


def test_a_recording_without_a_thread_is_none(shared, tmp_path, monkeypatch):
    """When no thread can be started, that is told, and nothing is being recorded: others may."""

    def fails(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as changed:
        changed.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError, match="can't start new thread") as told:
            shared.record(tmp_path / "trace.parquet")
    with shared.record() as another:  # while the error, and what it was raised in, live on
        shared.allocate().free()
    assert len(another.stop()) == 2
    assert list(tmp_path.iterdir()) == []
    assert told


def test_what_ended_right_before_a_recording_is_not_in_it(shared):
    """A run that was seen before the recording, and had ended when it began, is no live run of the trace."""
    gone, freed, kept = (shared.allocate(nbytes=size) for size in (10, 20, 30))
    before = shared.runs()
    gone.free()
    cells = np.array([(_TAKEN, 1), (2, freed.handle.generation << 24 | freed.index)], CELL)
    live = [run for run in shared.runs() if run.index == kept.index]
    trace = recorded(cells, 0, live, "", before=before)
    assert trace.size.tolist() == [20, 30, 20]
    assert trace.kind.tolist() == [0, 0, 1]
    assert trace.unmatched == 0
    freed.free()


@pytest.mark.parametrize("force", [False, True])
def test_only_files_are_replaced(shared, tmp_path, force):
    """A pipe, device or socket is never replaced by a file: it is refused before anything is recorded."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = pipe
    if force:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    with pytest.raises(FileExistsError, match="is a device, pipe or socket; give the name of a file"):
        shared.record(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    with shared.record() as recording:
        pass
    with pytest.raises(FileExistsError, match="is a device, pipe or socket"):
        bp.traces.write(recording.stop(), path)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_events_after_a_time_are_near_it_however_long_the_thread_pauses_then():
    """The first event after a time in a lane has that time; the others follow within 10 microseconds."""
    cells = [(9, 9_000_000), (_TAKEN, 6), (3, 1), (4, 1_000_000), (1, 1), (4, 5_000_000), (1, 2), (2, 2)]
    trace = recorded(np.array(cells, CELL), 0, [], "")
    assert trace.time.tolist() == [0, 4_000_000, 4_005_000]
