"""The end of a process that has shared pools: what it held comes back, not while a thread may still write there."""

import socket
import subprocess
import sys
import textwrap

import pytest

import blockpool as bp

# A daemon thread receives into a block, without the GIL; and the end of the process takes until stdin ends.
WRITER = """
import ctypes, os, sys, threading
import blockpool as bp
pool = bp.Pool.attach(sys.argv[1])
block = pool.allocate()
libc = ctypes.CDLL(None)
MSG_WAITALL = 0x100
receive = lambda: libc.recv(int(sys.argv[2]), ctypes.c_void_p(block.address), ctypes.c_size_t(64), MSG_WAITALL)
threading.Thread(target=receive, daemon=True).start()
getattr(libc, "__cxa_atexit")(libc.getchar, None, None)
print("ends", flush=True)
"""


def test_a_daemon_thread_that_writes_to_the_end(pool_name):
    """What its process held is nobody else's before the process is gone: the next owner sees no foreign byte."""
    pool = bp.Pool.create(64, 1, name=pool_name)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, pool_name, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        ) as process:
            assert process.stdout.readline() == b"ends\n"
            with pytest.raises(bp.PoolExhausted):
                pool.allocate(timeout=1.5)
            process.stdin.close()
            assert process.wait(60) == 0
        block = pool.allocate(timeout=60)
        block.buf[:] = bytes(64)
        ours.send(b"x" * 64)
        assert bytes(block.buf) == bytes(64)
    assert pool.stats().processes == 1
    pool.check()


def test_a_process_without_other_threads_gives_all_back_at_once(pool_name):
    """Once it has ended normally, nothing is left to recover, though it kept blocks to its last line."""
    pool = bp.Pool.create(64, 2, name=pool_name)
    code = """
        import sys, threading
        import blockpool as bp
        pool = bp.Pool.attach(sys.argv[1])
        blocks = pool.allocate_many(2)
        sys.kept = blocks, blocks[0].buf       # to the end of the interpreter
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), pool_name], check=True)
    assert pool.runs() == []
    assert pool.recover().processes == 0
    assert pool.stats().processes == 1


@pytest.mark.parametrize("thread", [False, True], ids=["alone", "beside a daemon thread"])
def test_the_last_process_removes_the_name(pool_name, file_of, thread):
    """Whether or not it has other threads at its end."""
    code = f"""
        import sys, threading, time
        import blockpool as bp
        pool = bp.Pool.create(64, 2, name=sys.argv[1])
        sys.kept = pool.allocate().buf
        if {thread}:
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), pool_name], check=True)
    assert not file_of(pool_name).exists()


def test_the_end_of_a_process_that_has_no_part(run_forking):
    """A child that is forked with on_fork="detach" ends normally with the inherited objects."""
    run_forking("""
        pool = bp.Pool.create(64, 2, on_fork="detach")
        sys.kept = pool.allocate(), pool.allocate().buf
        child = os.fork()
        if child == 0:
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert pool.stats().processes == 1
        assert len(pool.runs()) == 2
        assert os.getpid() in pool.runs()[0].holders
    """)
