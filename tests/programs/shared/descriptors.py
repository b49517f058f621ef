"""Lose file descriptors: close those of a pool, or leave none free.

The arguments are a case, one of the functions here, and the arguments of that. The name of a pool may be empty: none.
"""

import contextlib
import errno
import itertools
import os
import pickle
import resource
import signal
import sys
import threading
from pathlib import Path

import blockpool as bp
from refusals import refused

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)

told, tell = os.pipe()
lives, live = os.pipe()


# --- what the cases have in common ---


def stay():
    """Wait until the parent is gone, or kills this process."""
    os.read(lives, 1)
    os._exit(1)


def numbers_in_use():
    """Return the numbers of the open files."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def close_others(*keep):
    """Close all other files, as daemons do, and give their numbers to files of the program's own."""
    closed = numbers_in_use() - {0, 1, 2, *keep}
    for number in closed:
        with contextlib.suppress(OSError):  # the one by which the directory was listed
            os.close(number)
    files = [os.memfd_create("log") for _ in closed]
    assert set(files) == closed
    return files


def are_usable(files):
    """Return whether all of these files can be written."""
    return all(os.write(file, b"log") == 3 for file in files)


def leave_descriptors(count):
    """Lower the limit so that just `count` more files can be opened."""
    free = (number for number in itertools.count() if not Path(f"/proc/self/fd/{number}").exists())
    limit = [next(free) for _ in range(count + 1)][-1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, HARD))


def restore_descriptors():
    """Restore the limit of open files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))


def assert_needs_descriptors(call, left=0):
    """Assert that a call fails while only `left` descriptors are free, with an error that says why and what to do."""
    before = numbers_in_use()
    leave_descriptors(left)
    try:
        error = refused(call)
    finally:
        restore_descriptors()
    assert isinstance(error, OSError), repr(error)
    assert error.errno == errno.EMFILE, repr(error)
    assert "descriptor" in str(error), error
    assert "ulimit -n" in str(error), error
    assert numbers_in_use() == before


class Holder:
    """A pool, and a child that holds all of its blocks until it is killed; as a `daemon` it closes all files."""

    def __init__(self, name, *, daemon=False):
        import blockpool.stats  # noqa: F401 - which the first answer would import

        self.pool = bp.Pool.create(64, 2, name=name or None)
        self.child = os.fork()
        if self.child == 0:
            os.close(live)
            blocks = self.pool.allocate_many(2)
            if daemon:
                files = close_others(tell, lives)
            os.write(tell, b"x")
            stay()
        assert os.read(told, 1) == b"x"

    def kill(self):
        """Kill the child, and wait for its end."""
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)


# --- the cases ---


def recover_the_dead_only(name):
    """Close all files, and recover while a child lives and after it was killed."""
    holder = Holder(name)
    pool = holder.pool
    files = close_others(live)
    assert pool.recover().processes == 0
    assert isinstance(refused(pool.allocate), bp.PoolExhausted)
    assert pool.stats().processes == 2
    holder.kill()
    assert pool.recover().processes == 1
    for block in pool.allocate_many(2):
        block.buf[:] = bytes(64)
    pool.check()
    del block
    pool.close()
    assert are_usable(files)


def recover_where_nothing_is_known():
    """Close all files in parent and child: no process has the pool's file open then."""
    holder = Holder("", daemon=True)
    pool = holder.pool
    files = close_others(live)
    for alive in (True, False):
        error = refused(pool.recover)
        assert type(error) is OSError, repr(error)
        assert error.errno == errno.ESTALE, repr(error)
        assert "closed the pool's file descriptor" in str(error)
        assert isinstance(refused(pool.allocate), bp.PoolExhausted)
        assert pool.stats().allocated == 2
        if alive:
            holder.kill()
    for call in (pool.check, lambda: pool.recover(tickets_older_than=0)):
        assert refused(call).errno == errno.ESTALE
    pool.close()
    other = bp.Pool.create(64, 1)
    other.allocate()
    assert are_usable(files)


def run_out(name):
    """Do all that needs a descriptor when none is free, or only one."""
    holder = Holder(name)
    pool = holder.pool
    second = f"{pool.name or 'test'}-{os.getpid()}"
    for left in range(2):
        assert_needs_descriptors(lambda: bp.Pool.create(64, 1), left)
        assert_needs_descriptors(lambda: bp.Pool.create(64, 1, name=second), left)
    assert_needs_descriptors(pool.check)
    assert_needs_descriptors(lambda: pool.recover(tickets_older_than=0))
    if pool.name:
        assert_needs_descriptors(pool.unlink)
    assert not (SHM / f"blockpool.{second}").exists()
    leave_descriptors(0)
    assert pool.recover().processes == 0
    restore_descriptors()
    holder.kill()
    leave_descriptors(0)
    assert isinstance(refused(pool.allocate), bp.PoolExhausted)
    restore_descriptors()
    assert_needs_descriptors(pool.recover)
    assert pool.stats().allocated == 2
    assert pool.recover().processes == 1
    block = pool.allocate()
    del block
    leave_descriptors(0)
    pool.close()
    restore_descriptors()
    error = refused(lambda: bp.Pool.attach(name or second))
    assert isinstance(error, bp.PoolNotFound), repr(error)


def import_the_answers():
    """Ask for a pool's first answers when no descriptor is free to import their module."""
    pool = bp.Pool.create(64, 2)
    for call in (pool.stats, pool.recover, pool.check, pool.residency):
        assert_needs_descriptors(call)
    assert "blockpool.stats" not in sys.modules
    assert pool.stats().blocks == 2
    leave_descriptors(0)
    assert pool.recover().processes == 0


def lack_the_answers():
    """Recover when the module of the answers cannot be imported, and again when it can."""
    holder = Holder("")
    pool = holder.pool
    holder.kill()
    kept, sys.modules["blockpool.stats"] = sys.modules["blockpool.stats"], None
    for call in (pool.recover, pool.check):
        try:
            call()
        except ImportError:
            continue
        raise AssertionError("it was not refused")
    sys.modules["blockpool.stats"] = kept
    assert pool.recover().processes == 1


def receive(name):
    """Redeem a ticket of another process when no descriptor is free, or only one, and again when all are."""
    import blockpool.stats  # noqa: F401 - which the first answer would import

    sender = os.fork()
    if sender == 0:
        os.close(live)
        pool = bp.Pool.create(64, 2, name=name or None)
        block = pool.allocate()
        block.buf[:8] = b"received"
        os.write(tell, str(block.share()).encode())
        stay()
    ticket = os.read(told, 1000).decode()
    for left in range(2):
        assert_needs_descriptors(lambda: bp.redeem(ticket), left)
        if name:
            assert_needs_descriptors(lambda: bp.Pool.attach(name), left)
    block = bp.redeem(ticket)
    assert bytes(block.buf[:8]) == b"received"
    assert block.pool.stats().tickets == 0
    os.kill(sender, signal.SIGKILL)
    os.waitpid(sender, 0)


def limit_address_space():
    """Create a pool that does not fit in the address space allowed, and one that does."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + (32 << 20), resource.RLIM_INFINITY))
    error = refused(lambda: bp.Pool.create("1MiB", 64))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    assert "address space (ulimit -v)" in str(error), error
    assert bp.Pool.create(64, 4).allocate().nbytes == 64


def use_files_in_a_thread(name, other):
    """Open and close files in a thread beside all that makes, attaches, looks at and closes pools."""
    pool = bp.Pool.create(64, 4, name=name)
    ended = threading.Event()
    failed = []

    def use_files():
        while not ended.is_set():
            reading, writing = os.pipe()
            try:
                os.write(writing, b"x")
                os.read(reading, 1)
                os.close(reading)
                os.close(writing)
            except OSError as error:
                failed.append(error)

    def use_pools():
        with bp.Pool.create(64, 1) as unnamed:
            ticket = unnamed.allocate().share()
            unnamed.check()
        with bp.Pool.create(64, 1, name=other):
            pass
        for call in (
            lambda: bp.Pool.create(64, 1, name=name),
            lambda: bp.Pool.attach(other),
            lambda: bp.redeem(ticket),
        ):
            error = refused(call)
            assert isinstance(error, (bp.PoolExists, bp.PoolNotFound)), repr(error)
        pool.recover(tickets_older_than=1000)

    thread = threading.Thread(target=use_files)
    thread.start()
    for _ in range(50):
        use_pools()
    ended.set()
    thread.join()
    assert not failed, failed[:3]


def close_the_streams(name, other):
    """Create, unpickle and use pools in a child without stdin, stdout and stderr, and write to their numbers."""
    pool = bp.Pool.create(64, 4, name=name or None)
    message = pickle.dumps(pool)
    stderr = os.dup(2)
    child = os.fork()
    if child == 0:
        pool.close()
        os.closerange(0, 3)
        try:
            second = bp.Pool.create(64, 4, name=other or None)
            again = pickle.loads(message)
            again.check()
            grandchild = os.fork()
            for number in range(3):
                error = refused(lambda number=number: os.write(number, b"written by a library in C" * 10))
                assert error.errno == errno.EBADF
            if grandchild:
                assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the child ends with it
            os.write(stderr, repr(failure).encode())
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    pool.check()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
