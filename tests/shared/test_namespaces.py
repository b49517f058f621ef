"""Containers: PID namespaces with a /proc of their own, of another namespace, or none; shared memory in common."""

import os
import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import errno, os, subprocess, sys, tempfile, textwrap, time
import blockpool as bp

def refused(call):
    try:
        call()
    except (OSError, bp.BlockPoolError) as error:
        return error
    raise AssertionError("it was not refused")

def start(code, *options):
    # a program in namespaces of its own, with which one talks line by line
    return subprocess.Popen(
        [*UNSHARE, *options, sys.executable, "-W", "error", "-c", BEGIN + code, *sys.argv[1:]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

def end(process):
    process.communicate(timeout=60)
    assert process.returncode == 0
"""

# A program that holds both blocks of a pool until its input ends.
HOLDER = """
pool = bp.Pool.create(64, 2, name=sys.argv[1])
blocks = pool.allocate_many(2)
for block in blocks:
    block.buf[:] = b"holder's" * 8
print(os.getpid(), flush=True)
sys.stdin.read()
assert all(bytes(block.buf) == b"holder's" * 8 for block in blocks)
assert os.path.exists(f"/dev/shm/blockpool.{pool.name}")
"""


@pytest.fixture
def run_apart(pool_name):
    """Run code in namespaces of its own, where it is process 1, with the name of a pool; further options say which."""
    unshare = ["unshare", "--fork", "--pid", "--kill-child"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    tried = subprocess.run([*unshare, "--mount-proc", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no right to make namespaces: {tried.stderr.strip()}")

    def run(code, *options):
        begin = f"UNSHARE = {unshare}\nBEGIN = {BEGIN!r}\nHOLDER = {HOLDER!r}\n{BEGIN}"
        done = subprocess.run(
            [
                *unshare,
                *options,
                sys.executable,
                "-W",
                "error",
                "-c",
                begin + textwrap.dedent(code),
                pool_name,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done

    return run


@pytest.mark.parametrize("options", [[], ["--mount-proc"]], ids=["proc-of-outside", "proc-of-its-own"])
def test_process_1(run_apart, options):
    """A pool works in a PID namespace, also where /proc shows the processes of the one outside."""
    run_apart(
        """
        assert os.getpid() == 1
        for name in (sys.argv[1], None):
            with bp.Pool.create(64, 2, name=name) as pool:
                block = pool.allocate()
                ticket = block.share()
                assert bp.redeem(ticket).index == block.index
                child = os.fork()
                if child == 0:
                    pool.allocate().buf[:5] = b"child"
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
                assert pool.recover().processes == 1
                pool.check()
                del block
        assert not os.path.exists(f"/dev/shm/blockpool.{sys.argv[1]}")
        """,
        *options,
    )


def test_a_stranger_of_the_same_number(run_apart):
    """A process of whose number /proc shows another one locks its pool, and no file of the other.

    Who attaches meanwhile from outside finds the pool in use, and leaves it so.
    """
    run_apart(
        """
        stranger = tempfile.TemporaryFile()
        for number in range(10, 40):  # whichever number the pool's descriptor gets in there
            os.dup2(stranger.fileno(), number)
        holder = start(HOLDER)
        assert holder.stdout.readline() == "1\\n"
        assert os.getpid() == 1  # and here, to which /proc belongs
        with bp.Pool.attach(sys.argv[1]) as pool:
            assert pool.recover().processes == 0
            assert (pool.stats().processes, pool.stats().allocated) == (2, 2)
            end(holder)
            assert (pool.stats().processes, pool.stats().allocated) == (1, 0)
        stranger.close()
        """,
        "--mount-proc",
    )


def test_containers_that_share_memory(run_apart):
    """Processes of several PID namespaces see which of them live; what a killed one held comes back."""
    run_apart(
        """
        holder = start(HOLDER, "--mount-proc")
        assert holder.stdout.readline() == "1\\n"
        code = '''
        with bp.Pool.attach(sys.argv[1]) as pool:
            assert pool.recover().processes == 0
            assert isinstance(refused(pool.allocate), bp.PoolExhausted)
            print(pool.stats().processes, flush=True)
            sys.stdin.readline()
            while pool.recover().processes == 0:  # it dies a moment after the program that started it
                time.sleep(0.001)
            for block in pool.allocate_many(2):
                block.buf[:] = bytes(64)
            pool.check()
            del block
        '''
        other = start(textwrap.dedent(code), "--mount-proc")
        assert other.stdout.readline() == "2\\n"
        holder.kill()
        holder.wait()
        assert holder.stdout.read() == ""  # so it is gone too
        holder.communicate()
        end(other)
        assert not os.path.exists(f"/dev/shm/blockpool.{sys.argv[1]}")
        """,
        "--mount-proc",
    )


def test_without_proc(run_apart):
    """Without /proc, making, attaching, receiving and residency are an OSError that says what is missing."""
    run_apart(
        """
        holder = start(HOLDER)
        assert holder.stdout.readline()
        ticket = f"blockpool-ticket:{'0' * 32}:0:1:1:"
        if os.fork():
            os.wait()
            end(holder)
            os._exit(0)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/proc"], check=True)
        calls = [
            lambda: bp.Pool.create(64, 1),
            lambda: bp.Pool.create(64, 1, name=sys.argv[1] + "-new"),
            lambda: bp.Pool.attach(sys.argv[1]),
            lambda: bp.redeem(ticket),
            bp.Pool(64, 1).residency,
        ]
        for call in calls:
            error = refused(call)
            assert type(error) is OSError and error.errno == errno.ENOSYS, repr(error)
            assert "/proc" in str(error)
        os._exit(0)
        """,
        "--mount",
    )
