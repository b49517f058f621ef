"""Forks beside what a program does meanwhile: pools that come and go, full tables, stopped processes.

The arguments are a case, one of the functions here, and the arguments of that.
"""

import contextlib
import importlib
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import blockpool as bp
from forking import await_child, in_child, logged, steps
from gates import shut_gate
from waits import await_true, seconds_of

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
WITH_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def find_nothing_inherited(name):
    """Fork beside threads that create and close pools, and look for their locks and files in the child."""
    bp.PoolStats  # imported once, and not in each child
    kept = bp.Pool.create(64, 8, name=name)
    block = kept.allocate()
    stop = False

    def come_and_go():
        while not stop:
            one = bp.Pool.create(64, 8)
            del one

    def attach():
        while not stop:
            with contextlib.nullcontext() if WITH_GIL else contextlib.suppress(bp.PoolExists):
                bp.Pool.create(64, 8, name=f"{name}-other")

    # So the threads are within a call when another one runs, and have no Pool in a variable, which a child inherits.
    # Without the GIL they may be stopped anywhere: then the child may have a few, and keep their names for a moment.
    sys.setswitchinterval(1000)
    most = 1 if WITH_GIL else 3
    threads = [threading.Thread(target=each, daemon=True) for each in (come_and_go, attach)]
    for thread in threads:
        thread.start()

    def work():
        pools = 0
        for link in list(Path("/proc/self/fd").iterdir()):
            try:
                target = str(link.readlink())
                told = Path(f"/proc/self/fdinfo/{link.name}").read_text()
            except OSError:
                continue  # the one that listed them
            assert "lock:" not in told, (target, told)
            pools += "blockpool" in target or target.startswith(f"{SHM}/")
        assert 1 <= pools <= most, pools  # that of the pool which the child is meant to have
        assert most > 1 or "/memfd:blockpool" not in Path("/proc/self/maps").read_text()
        bp.Pool.create(64, 8)
        assert os.getpid() in kept.runs()[0].holders

    for _ in range(100):
        await_child(in_child(work))
    stop = True
    for thread in threads:
        thread.join()
    kept.recover()
    assert kept.stats().processes == 1


def keep_no_memory():
    """Fork beside a thread that makes and drops large pools, and look for these in the children that live on."""
    stop = False

    def come_and_go():
        while not stop:
            bp.Pool.create("1MiB", 8)

    sys.setswitchinterval(1000)  # so the thread is within a call when another one runs, and has no Pool
    thread = threading.Thread(target=come_and_go, daemon=True)
    thread.start()
    reading, writing = os.pipe()
    await_ready, is_ready = steps()
    children = []
    for _ in range(30):
        child = os.fork()
        if child == 0:
            os.close(writing)
            is_ready()
            os.read(reading, 1)
            os._exit(0)
        await_ready()
        children.append(child)
    stop = True
    thread.join()
    kept = []
    for child in children:
        opened = [str(link.readlink()) for link in Path(f"/proc/{child}/fd").iterdir()]
        mapped = Path(f"/proc/{child}/maps").read_text()
        kept.append(len(set(re.findall(r"/memfd:blockpool-\w+", mapped + " ".join(opened)))))
    os.close(writing)
    for child in children:
        os.waitpid(child, 0)
    # Without the GIL the thread may be stopped while it has a pool, which its child inherits, but not those before.
    assert max(kept) <= (0 if WITH_GIL else 1), kept


def attach_in_threads(name):
    """Attach one pool in four threads at once, 300 times."""
    sys.setswitchinterval(1e-6)

    def attach_at_once():
        got, start = [], threading.Barrier(4)

        def attach():
            start.wait()
            got.append(bp.Pool.attach(name))

        threads = [threading.Thread(target=attach) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got[0].stats().processes == 2
        assert len({pool.address for pool in got}) == 1

    for _ in range(300):
        attach_at_once()


def fork_sixty_workers():
    """Fork sixty workers, and print how many of them can use the pool and how many are told that it is full."""
    messages = logged()
    pool = bp.Pool.create(64, 64, processes=47)
    block = pool.allocate()
    block.buf[:4] = b"work"
    reading, writing = os.pipe()
    children = []
    for _ in range(60):
        child = os.fork()
        if child == 0:
            os.close(writing)
            try:
                assert bytes(block.buf[:4]) == b"work"
                pool.allocate().free()
                code = 7
            except bp.TooManyProcesses as error:
                assert "47" in str(error)
                code = 8
            os.read(reading, 1)  # until all were forked
            os._exit(code)
        children.append(child)
    os.close(writing)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(codes.count(7), codes.count(8))
    assert len(messages) == codes.count(8)
    assert bytes(block.buf[:4]) == b"work"
    pool.recover()
    assert pool.stats().processes == 1
    block.free()


def fork_beside_a_stopped_process(name):
    """Fork while a stopped process holds the gate of the pool."""
    pool = bp.Pool.create(64, 4, name=name)
    block = pool.allocate()
    stopped = os.fork()
    if stopped == 0:
        gate = shut_gate(SHM / f"blockpool.{pool.name}")
        os.kill(os.getpid(), signal.SIGSTOP)
    os.waitpid(stopped, os.WUNTRACED)

    def work():
        pool.allocate().free()
        assert os.getpid() in pool.runs()[0].holders

    await_true(lambda: seconds_of(lambda: await_child(in_child(work))) < 4)  # a wait for the gate takes five seconds
    os.kill(stopped, signal.SIGKILL)
    os.waitpid(stopped, 0)


def fork_in_threads(*modules):
    """Fork 80 times in two threads, and print how the children ended and how many processes are attached.

    `modules` are imported first, for the fork hooks they have.
    """
    for module in modules:
        importlib.import_module(module)

    pool = bp.Pool.create(64, 1 << 14)
    kept = pool.allocate_many(5000)
    ends = []

    def go():
        for _ in range(40):
            child = os.fork()
            if child == 0:
                try:
                    kept[0].buf[0] = 1
                    pool.allocate().free()
                    os._exit(7)
                finally:
                    os._exit(1)
            ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sorted(set(ends)), len(ends))
    kept.pop().free()
    pool.recover()
    pool.check()
    print(pool.stats().processes)


def fork_beside_debug_mode():
    """Fork 30 times beside a thread at work in a pool in debug mode; print whether a child hangs."""
    pool = bp.Pool(64, 4096, debug=True)
    done = threading.Event()

    def work():
        while not done.is_set():
            held = [pool.allocate() for _ in range(8)]

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(30):
        child = os.fork()
        if child == 0:
            pool.allocate().free()
            os._exit(7)
        until = time.monotonic() + 60
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                os.kill(child, 9)
                print("a child hangs")
                break
            time.sleep(0.001)
    done.set()
    thread.join()


def fill_the_slots_beside_a_sweeper(name):
    """Attach and fork up to the last slot of a pool while another process sweeps."""
    pool = bp.Pool.create(64, 64, name=name, processes=47)
    waits, go = steps()
    idle = [in_child(waits) for _ in range(45)]
    sweeper = os.fork()
    if sweeper == 0:
        pool.close()
        pool = None
        while True:
            bp.sweep()
    deadline = time.monotonic() + 60
    while pool.stats().processes > 46 and time.monotonic() < deadline:
        pool.recover()
    assert pool.stats().processes == 46
    for _ in range(100):
        await_child(in_child(lambda: pool.allocate().free()))
    os.kill(sweeper, signal.SIGKILL)
    os.waitpid(sweeper, 0)
    for _ in idle:
        go()
    for child in idle:
        await_child(child)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
