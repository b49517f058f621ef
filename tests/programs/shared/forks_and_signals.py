"""Forks that a signal interrupts, and forks that a signal or the garbage collector starts inside something else.

The arguments are a case, one of the functions here, and the arguments of that.
"""

import contextlib
import gc
import os
import signal
import sys
import threading
from pathlib import Path

import blockpool as bp
from forking import await_child


def interrupt():
    """Raise an exception from a signal handler at 300 different moments of a fork."""
    bp.PoolStats  # imported once, and not in each child
    pools = [bp.Pool.create(64, 16) for _ in range(2)]
    kept = [pool.allocate() for pool in pools]
    sys.unraisablehook = lambda _: None  # one in the hooks of other modules

    class Interrupt(Exception):
        pass

    parent = os.getpid()

    def raise_it(*_):
        raise Interrupt

    signal.signal(signal.SIGALRM, raise_it)

    def use():
        for pool in pools:
            block = pool.allocate()
            bp.redeem(block.handle)

    def fork():
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            use()
            for pool in pools:
                assert os.getpid() in pool.runs()[0].holders
            os._exit(7)
        children.append(child)

    def interrupted(n):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.00001 * (n % 60))
            fork()
            fork()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    for n in range(300):
        children = []
        try:
            interrupted(n)
        except Interrupt:
            if os.getpid() != parent:
                os._exit(7)  # a child, interrupted before it could do anything
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    for what in (use, fork):
        children = []
        thread = threading.Thread(target=what, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), what
    os.waitpid(children[0], 0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    for pool in pools:
        pool.recover()
        assert pool.stats().processes == 1


def nest():
    """Fork from a signal handler while another fork is under way."""
    bp.PoolStats  # imported once, and not in each child
    pools = [bp.Pool.create(64, 16) for _ in range(2)]
    kept = [pool.allocate() for pool in pools]
    sys.unraisablehook = lambda _: None

    def child():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    inside = []

    def handler(*_):
        if not inside:
            inside.append(1)
            child()
            inside.clear()

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    for _ in range(300):
        child()
    signal.setitimer(signal.ITIMER_REAL, 0)

    def use():
        for pool in pools:
            block = pool.allocate()
            bp.redeem(block.handle)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    for pool in pools:
        pool.recover()
        assert pool.runs()[0].holders == (os.getpid(),)
        assert pool.stats().processes == 1


def fork_within_a_wait(kind):
    """Fork in a signal handler while the thread waits for a block; `kind` is private or shared."""
    pool = bp.Pool(64, 1) if kind == "private" else bp.Pool.create(64, 1)
    held = [pool.allocate()]
    children = []

    def handler(*_):
        child = os.fork()
        if child:
            children.append(child)
        else:
            signal.alarm(60)
        # what another thread would do: give the block back, first in the child
        threading.Timer(0.6 if child else 0.2, held.clear).start()

    me = os.getpid()
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)  # last: a child of a fork before here would not know what it is
    block = pool.allocate(timeout=60)
    block.free()
    if os.getpid() != me:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
    pool.recover()
    assert pool.check().allocated == 0


def fork_without_a_part_within_a_wait():
    """Fork in a callback of the garbage collector while the thread waits for a block, with on_fork="detach"."""
    pool = bp.Pool.create(64, 1, on_fork="detach")
    block = pool.allocate()
    parent, children = os.getpid(), []

    def fork(*_):
        gc.callbacks.clear()
        children.append(os.fork())

    gc.disable()  # but for the wait, which collects after a quarter of a second
    gc.callbacks.append(fork)
    try:
        pool.allocate(timeout=1)
    except (bp.PoolExhausted, bp.PoolClosed) as error:
        if os.getpid() != parent:
            os._exit(0 if type(error) is bp.PoolClosed else 1)
        assert type(error) is bp.PoolExhausted
    await_child(children.pop())
    assert not children


def fork_within_create(name, on_fork):
    """Fork in a signal handler while a pool's memory is reserved; an empty `name` is none.

    A signal comes every millisecond, also before and after. Only the file tells the handler that the time has come.
    """
    name = name or None
    nbytes = 96 << 20  # signals are let in after 64 MiB, or where one interrupted the kernel
    parent, forks, children, files = os.getpid(), [], [], []

    def is_reserving():
        for descriptor in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(FileNotFoundError):  # the one that listed them
                file = descriptor.stat()
                if file.st_size >= nbytes > 512 * file.st_blocks:
                    return True
        return False

    def fork(*_):
        if not is_reserving() or forks:  # in this order: the next signal may come in the meantime
            return
        forks.append(True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        children.append(os.fork())
        if not children[0]:
            files.extend(os.memfd_create("log") for _ in range(8))

    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while not children:  # again, if no signal came in time
            pool = None
            pool = bp.Pool.create(4096, nbytes // 4096, name=name, on_fork=on_fork)
        blocks = pool.allocate_many(2)
        for block in blocks:
            block.buf[:] = bytes(4096)
        assert pool.check().allocated == 2
    except bp.PoolExists:
        assert name
    if os.getpid() != parent:
        sizes = [os.fstat(file).st_size for file in files]
        os._exit(0 if sizes == [0] * 8 else 1)
    await_child(children.pop())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
