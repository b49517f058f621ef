"""A child that is forked when its parent's pool has no place left: what it may do, and what it is told.

The arguments are the name of the pool, "share" or "detach", and what the child does: one of the functions here.
"""

import os
import signal
import sys
import time
from contextlib import suppress

import numpy as np

import blockpool as bp
from forking import logged, steps
from refusals import refused

name, on_fork, use = sys.argv[1:]
MOST = 2
messages = logged()
pool = bp.Pool.create(4096, 8, name=name, processes=MOST, on_fork=on_fork)
block = pool.allocate()
block.buf[:] = b"\x07" * 4096
view, array, handle, ticket = block.buf, pool.asarray(np.full(500, 3.5)), block.handle, str(block.share())
REFUSAL = bp.TooManyProcesses
WORDS = f"{MOST} processes, as many as it was created for", "Pool.create(processes=…)"


def read():
    """Read a byte of a view."""
    print(view[0], flush=True)


def read_all():
    """Copy a view."""
    print(bytes(view)[:1], flush=True)


def compute():
    """Add up an array."""
    print(array.sum(), flush=True)


def write():
    """Write into a view."""
    view[0] = 1
    print("written", flush=True)


def write_array():
    """Write into an array."""
    array[:] = 0
    print("written", flush=True)


def pass_to_the_kernel():
    """Have the kernel read and write the memory: it refuses, and nothing is transferred."""
    reading, writing = os.pipe()
    for call in (lambda: os.write(writing, view), lambda: os.write(writing, array)):
        assert isinstance(refused(call), OSError)
    os.write(writing, b"x")
    assert isinstance(refused(lambda: os.readv(reading, [view])), OSError)


def call():
    """Call everything that uses the memory or the bookkeeping: each call says what is wrong and what helps."""
    for each in (
        pool.allocate,
        lambda: pool.allocate(timeout=1),
        lambda: pool.allocate_many(2),
        lambda: pool.zeros(10),
        pool.stats,
        pool.runs,
        pool.check,
        pool.recover,
        block.share,
        block.free,
        block.readonly,
        lambda: block.buf,
        lambda: block.array(8, "u1"),
    ):
        error = refused(each)
        assert type(error) is REFUSAL, (each, error)
        for word in WORDS:
            assert word in str(error), error
    for name_of_run in (handle, ticket):  # this would attach the pool, which is full
        error = refused(lambda name_of_run=name_of_run: bp.redeem(name_of_run))
        assert type(error) is bp.TooManyProcesses, error
        assert f"{MOST} processes attached, as many as it was created for" in str(error), error
    assert "no part" in repr(pool)


def attach():
    """Attach the pool again: there is no place; and then, once another process has left, there is one."""
    error = refused(lambda: bp.Pool.attach(name))
    assert type(error) is bp.TooManyProcesses
    assert f"{MOST} processes attached, as many as it was created for" in str(error), error
    os.write(leaving, b"x")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(bp.TooManyProcesses):
            again = bp.Pool.attach(name, on_fork="share")
            break
    assert bytes(bp.redeem(handle).buf) == b"\x07" * 4096
    assert again.stats().processes == MOST
    again.allocate().free()
    assert again.check().allocated == 2


def close():
    """Close the pool, drop what was inherited, and end normally."""
    global block, view, array  # noqa: PLW0603 - so that nothing refers to them
    pool.close()
    assert pool.closed
    block = view = array = None


def leave_by_exit():
    """End with everything that was inherited."""
    sys.exit(7)


def fork_again():
    """Fork a child in turn, which has no part either."""
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


FAULTS = (read, read_all, compute, write, write_array)
if on_fork == "detach":
    REFUSAL = bp.PoolClosed
    WORDS = "it was forked with on_fork='detach'", "attach the pool again"

# another process has the last place
is_there, say = steps()
waiting, leaving = os.pipe()
other = os.fork()
if other == 0:
    os.close(leaving)
    mine = bp.Pool.attach(name)  # if it has no part yet, it gets one
    say()
    os.read(waiting, 1)  # also if this program fails
    os._exit(0)
is_there()
assert pool.stats().processes == MOST
before = pool.runs()

reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    globals()[use]()
    if use in ("close", "attach"):
        sys.exit(0)
    os._exit(0)
os.close(writing)
assert len(messages) == (on_fork == "share"), messages
assert all(f"a forked child has no part in pool {name!r}: {MOST} processes" in message for message in messages)
said = b"".join(iter(lambda: os.read(reading, 4096), b"")).decode()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if globals()[use] in FAULTS:
    reason = (
        'it was forked with on_fork="detach"'
        if on_fork == "detach"
        else "when it was forked, as many processes were attached as can be"
    )
    assert said == (
        f"blockpool: this process used memory of the pool {name}, in which it has no part: {reason}. "
        "Attach the pool again.\n"
    ), said
    assert status == -signal.SIGSEGV, status
else:
    assert (status, said) == (7 if use == "leave_by_exit" else 0, ""), (status, said)
os.close(leaving)
os.waitpid(other, 0)
pool.recover()
assert bytes(view) == b"\x07" * 4096
assert (array == 3.5).all()
assert [run.index for run in pool.runs()] == [run.index for run in before]
assert all(run.holders == (os.getpid(),) for run in pool.runs())
assert pool.stats().processes == 1
