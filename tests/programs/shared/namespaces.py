"""Use pools in PID namespaces, as process 1 of one.

The arguments are a case, one of the functions here, and the name of a pool.
"""

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import blockpool as bp
from refusals import refused
from unsharing import unshare

SHM = Path("/dev/shm")  # noqa: S108 - where pools are


def start(case, name, *options):
    """Start a case in namespaces of its own, with pipes to and from it."""
    return subprocess.Popen(
        [*unshare(*options), sys.executable, "-W", "error", __file__, case, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process):
    """End the input of such a program, which must end well then."""
    process.communicate(timeout=60)
    assert process.returncode == 0


# --- what is started beside a case ---


def hold(name):
    """Create a pool and hold both of its blocks until the input ends; print the number of this process."""
    pool = bp.Pool.create(64, 2, name=name)
    blocks = pool.allocate_many(2)
    for block in blocks:
        block.buf[:] = b"holder's" * 8
    print(os.getpid(), flush=True)
    sys.stdin.read()
    assert all(bytes(block.buf) == b"holder's" * 8 for block in blocks)
    assert (SHM / f"blockpool.{pool.name}").exists()


def await_blocks(name):
    """Print how many processes have the pool; after a line of input take the blocks of the one that was killed."""
    with bp.Pool.attach(name) as pool:
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


# --- the cases ---


def use_pools(name):
    """Use pools with and without a name, and fork."""
    assert os.getpid() == 1
    for given in (name, None):
        with bp.Pool.create(64, 2, name=given) as pool:
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
    assert not (SHM / f"blockpool.{name}").exists()


def attach_beside_another_process_1(name):
    """Attach a pool of the process 1 of an inner namespace, in which /proc still belongs to this one."""
    with tempfile.TemporaryFile() as stranger:
        for number in range(10, 40):  # whichever number the pool's descriptor gets in there
            os.dup2(stranger.fileno(), number)
        holder = start("hold", name)
        assert holder.stdout.readline() == "1\n"
        assert os.getpid() == 1  # and here, to which /proc belongs
        with bp.Pool.attach(name) as pool:
            assert pool.recover().processes == 0
            assert (pool.stats().processes, pool.stats().allocated) == (2, 2)
            end(holder)
            assert (pool.stats().processes, pool.stats().allocated) == (1, 0)


def share_memory(name):
    """Kill a process in one namespace while one in another namespace waits for its blocks."""
    holder = start("hold", name, "--mount-proc")
    assert holder.stdout.readline() == "1\n"
    other = start("await_blocks", name, "--mount-proc")
    assert other.stdout.readline() == "2\n"
    holder.kill()
    holder.wait()
    assert holder.stdout.read() == ""  # so it is gone too
    holder.communicate()
    end(other)
    assert not (SHM / f"blockpool.{name}").exists()


def lose_proc(name):
    """Make, attach and redeem after /proc was covered by an empty directory."""
    holder = start("hold", name)
    assert holder.stdout.readline()
    ticket = f"blockpool-ticket:{'0' * 32}:0:1:1:"
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        end(holder)
        os._exit(0)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/proc"], check=True)  # noqa: S607 - wherever it is
    calls = [
        lambda: bp.Pool.create(64, 1),
        lambda: bp.Pool.create(64, 1, name=f"{name}-new"),
        lambda: bp.Pool.attach(name),
        lambda: bp.redeem(ticket),
        bp.Pool(64, 1).residency,
    ]
    for call in calls:
        error = refused(call)
        assert type(error) is OSError, repr(error)
        assert error.errno == errno.ENOSYS, repr(error)
        assert "/proc" in str(error)
    os._exit(0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
