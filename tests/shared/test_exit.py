"""The end of a process that has shared pools: what it held comes back, but not while a thread may still write it."""

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest

import blockpool as bp
from programs import PROGRAMS, interpreter, run_command


@contextlib.contextmanager
def receiving_to_the_end(name):
    """Run a process that ends while a thread still receives into a block; give the process, the address and a socket.

    Its interpreter is gone. It goes on when the caller leaves.
    """
    ours, theirs = socket.socketpair()
    with (
        ours,
        theirs,
        subprocess.Popen(
            interpreter("shared/receive_to_the_end.py", name, str(theirs.fileno())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        ) as process,
    ):
        address = int(process.stdout.readline())
        assert process.stdout.read() == b""
        yield process, address, ours
        process.stdin.close()
        assert process.wait(60) == 0


def is_mapped(process, address):
    """Whether a process has memory at an address."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    return any(start <= address < end for start, end in ranges)


def test_a_daemon_thread_that_writes_to_the_end(pool_name):
    """A block into which a daemon thread still receives is given to no other process until its own is gone."""
    pool = bp.Pool.create(64, 1, name=pool_name)
    with receiving_to_the_end(pool_name) as (process, address, ours):
        assert is_mapped(process, address)
        with pytest.raises(bp.PoolExhausted):
            pool.allocate(timeout=0.5)
        ours_kept = ours.dup()
    with ours_kept:
        block = pool.allocate(timeout=60)
        block.buf[:] = bytes(64)
        with contextlib.suppress(ConnectionError):
            ours_kept.send(b"x" * 64)
        assert bytes(block.buf) == bytes(64)
    assert pool.stats().processes == 1
    pool.check()


def test_a_daemon_thread_that_writes_into_a_private_pool_to_the_end():
    """The memory of a private pool into which a daemon thread still receives is there until the process is gone."""
    with receiving_to_the_end("") as (process, address, _):
        assert is_mapped(process, address)


@pytest.mark.parametrize("thread", ["a thread that ended", "a thread of a library"])
def test_a_process_without_other_threads_of_python_gives_all_back_at_once(run_program, pool_name, thread):
    """A process gives its blocks back as it ends, though it kept them to its last line, and a library has threads."""
    pool = bp.Pool.create(64, 2, name=pool_name)
    run_program("shared/keep_to_the_end.py", pool_name, thread)
    assert pool.runs() == []
    assert pool.recover().processes == 0
    assert pool.stats().processes == 1


@pytest.mark.parametrize("thread", [False, True], ids=["alone", "beside a daemon thread"])
def test_the_last_process_removes_the_name(run_program, pool_name, file_of, thread):
    """The last process removes the pool's name as it ends, with or without other threads."""
    run_program("shared/keep_to_the_end.py", pool_name, "a daemon thread" if thread else "alone")
    assert not file_of(pool_name).exists()


def test_the_end_of_a_process_that_has_no_part(run_program):
    """A child forked under on_fork="detach" ends normally with the objects it inherited."""
    run_program("shared/children_without_a_part.py", "end_normally")


ENDINGS = [
    "live blocks",
    "live views",
    "released with views",
    "closed with views",
    "inside with",
    "a reference cycle",
    "in a builtin module",
    "numpy array",
    "tickets",
    "two pools",
    "unlinked",
    "attached twice",
    "redeemed only",
    "a finalizer that allocates",
    "atexit",
    "a thread that waits",
    "a thread at work",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_interpreter_exit(run_program, pool_name, file_of, ending):
    """Whatever is alive in a parent and its child, both exit with 0, print nothing and remove the pool's file."""
    run_program("shared/exit_with.py", pool_name, ending.replace(" ", "_"))
    assert not file_of(pool_name).exists()


def test_exit_by_a_signal_or_an_error(pool_name, file_of):
    """A process that ends by sys.exit with a code, an exception or Ctrl-C leaves its pools."""
    ends = {"exit": 3, "error": 1, "signal": -2}
    for end, code in ends.items():
        _, done = run_command(interpreter("shared/end_by.py", end, pool_name))
        assert done.returncode == code
        assert "blockpool" not in done.stderr.replace(str(PROGRAMS), "")
        assert not file_of(pool_name).exists()
