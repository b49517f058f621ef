"""Forked children that have no part in their parent's pool, and what they are told.

The arguments are a case, one of the functions here, and the arguments of that.
"""

import ctypes
import faulthandler
import gc
import mmap
import os
import pickle
import resource
import signal
import sys
import traceback

import blockpool as bp
from forking import await_child, in_child, logged, steps


def detach(name, how):
    """Fork with on_fork="detach", set at create or, if `how` is attach, at attach."""
    made = bp.Pool.create(64, 8, name=name, on_fork="detach")
    pool = bp.Pool.attach(name, on_fork="detach") if how == "attach" else made
    block = pool.allocate()
    view = block.buf
    view[:4] = b"mine"

    def work():
        for call in (
            pool.allocate,
            lambda: pool.allocate(timeout=1),
            pool.stats,
            pool.check,
            pool.recover,
            pool.unlink,
            lambda: block.pool.allocate_many(2),
            lambda: pickle.dumps(pool),
            block.share,
            block.free,
            lambda: block.buf,
            lambda: block.handle,
            lambda: block.address,
            block.readonly,
            block.__enter__,
            lambda: block.__array_interface__,
            block.__dlpack__,
            lambda: memoryview(view.obj),
            pool.runs,
        ):
            try:
                call()
            except bp.PoolClosed as error:
                assert "on_fork='detach'" in str(error), error
            else:
                raise AssertionError(call)
        assert "no part" in repr(pool)
        again = bp.Pool.attach(name, on_fork="share")
        assert again.stats().processes == 2
        other = again.allocate()
        assert other.index == 1
        assert bytes(bp.redeem(again_handle).buf[:4]) == b"mine"
        other.free()

        def grandchild():
            again.allocate().free()

        await_child(in_child(grandchild))

    again_handle = block.handle
    before = pool.runs()
    await_child(in_child(work))
    assert bytes(view[:5]) == b"mine" + bytes(1)
    pool.recover()
    assert pool.runs() == before
    reading, writing = os.pipe()
    for use in (lambda: bytes(view), lambda: view.__setitem__(0, 1)):
        child = os.fork()
        if child == 0:
            os.dup2(writing, 2)
            use()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
        told = os.read(reading, 1000).decode()
        assert f"memory of the pool {name}, in which it has no part: " in told, told
        assert "detach" in told, told
        assert told.count("\n") == 1, told
    assert bytes(view[:5]) == b"mine" + bytes(1)
    view = None
    block.free()
    assert pool.stats().processes == 1


def fault_once(forks):
    """Touch memory without a part, `forks` forks after faulthandler was enabled."""
    pools, views = [], []
    reading, writing = os.pipe()

    def touch():
        os.dup2(writing, 2)
        views[-1][0] = 1

    def fork(left):
        pools.append(bp.Pool.create(64, 1, on_fork="detach"))
        views.append(pools[-1].allocate().buf)
        child = in_child(lambda: fork(left - 1) if left > 1 else touch())
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def enable():
        faulthandler.enable()
        assert fork(int(forks)) == (-signal.SIGSEGV if forks == "1" else 0)

    first = bp.Pool.create(64, 1, on_fork="detach")
    await_child(in_child(enable))
    told = os.read(reading, 100_000).decode()
    assert told.count("blockpool: this process used") == 1, told
    assert told.count("Fatal Python error") == 1, told


def clone(name):
    """Fork without any fork handler, as a bare clone does."""
    libc = ctypes.CDLL(None)
    pool = bp.Pool.create(64, 8, name=name)
    unnamed = bp.Pool.create(64, 8)
    blocks = [pool.allocate(), pool.allocate(blocks=2), unnamed.allocate()]
    blocks[0].buf[:4] = b"mine"
    view, handle = blocks[0].buf, blocks[0].handle
    before = pool.stats(), pool.runs(), pool.check(), unnamed.runs()
    child = libc._Fork()  # runs no handlers
    if child == 0:
        try:
            others = [mmap.mmap(-1, 4096) for _ in range(20)]  # where something of the parent's was perhaps
            for call in (
                pool.allocate,
                lambda: pool.allocate_many(2),
                lambda: pool.allocate(timeout=0.1),
                pool.check,
                pool.recover,
                pool.unlink,
                blocks[0].share,
                blocks[1].free,
                unnamed.allocate,
                lambda: blocks[0].buf,
                lambda: memoryview(view.obj),
            ):
                try:
                    call()
                except bp.PoolClosed:
                    continue
                raise AssertionError(call)  # noqa: TRY301 - all that fails ends below
            again = bp.Pool.attach(pool.name)
            assert again.allocate().index == 3
            assert bytes(bp.redeem(handle).buf[:4]) == b"mine"
            blocks = view = unnamed = None
            pool.close()
            gc.collect()
            pool = None
            gc.collect()
            for other in others:
                other[:] = b"o" * 4096
            again.check()
            await_child(in_child(lambda: again.allocate().free()))
        except BaseException:  # noqa: BLE001 - whatever it is, the child ends with it
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    await_child(child)
    pool.recover()
    assert (pool.stats().allocated, pool.runs(), pool.check(), unnamed.runs()) == (before[0].allocated, *before[1:])
    assert bytes(view[:4]) == b"mine"
    view = None
    for block in blocks:
        block.free()


def fork_a_clone():
    """Fork from a child that was itself forked without fork handlers."""
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    child = ctypes.CDLL(None)._Fork()
    if child == 0:

        def work():
            try:
                pool.allocate()
            except bp.PoolClosed:
                return
            os._exit(3)

        await_child(in_child(work))
        os._exit(0)
    await_child(child)
    block.free()


def lack_a_descriptor():
    """Fork when no file descriptor is free for the child's part."""
    messages = logged()
    pool = bp.Pool.create(64, 1)
    block = pool.allocate()
    block.buf[:5] = b"first"
    await_parent, go = steps()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    hoard = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
    try:
        while True:
            hoard.append(os.open("/dev/null", 0))
    except OSError:
        pass
    child = os.fork()
    for each in hoard:
        os.close(each)
    if child == 0:
        await_parent()
        for call in (lambda: block.buf, block.share, block.readonly, lambda: memoryview(block.buf), pool.allocate):
            try:
                call()
            except bp.PoolClosed as error:
                assert "no file descriptor is free" in str(error), error
            else:
                os._exit(1)
        os._exit(0)
    block.free()
    other = pool.allocate()
    other.buf[:6] = b"second"
    go()
    await_child(child)
    assert len(messages) == 1
    assert bytes(other.buf[:6]) == b"second"
    assert pool.stats().processes == 1


def end_normally():
    """End a child normally, with the objects that it inherited under on_fork="detach"."""
    pool = bp.Pool.create(64, 2, on_fork="detach")
    sys.kept = pool.allocate(), pool.allocate().buf
    child = os.fork()
    if child == 0:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert pool.stats().processes == 1
    assert len(pool.runs()) == 2
    assert os.getpid() in pool.runs()[0].holders


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
