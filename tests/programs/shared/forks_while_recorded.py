"""A program forks while it records a pool: the child's events are the parent's to take."""

import os
import threading

import blockpool as bp
from forking import await_child, in_child

pool = bp.Pool.create(4096, 16)
recording = pool.record()
pool.allocate(nbytes=1).free()


def work():
    """Allocate in the child, from two threads, and be refused what belongs to the parent."""
    pool.allocate(nbytes=2).free()
    thread = threading.Thread(target=lambda: pool.allocate(nbytes=3).free())
    thread.start()
    thread.join()
    assert not recording.running
    try:
        recording.stop()
    except RuntimeError as error:
        assert str(os.getppid()) in str(error)
    else:
        raise AssertionError
    with recording:
        pass


await_child(in_child(work))
pool.allocate(nbytes=4).free()
trace = recording.stop()
sizes = trace.size[trace.kind == 0].tolist()
assert sorted(sizes) == [1, 2, 3, 4], sizes
assert len(trace) == 8
assert len(trace.threads) == 3, trace.threads
