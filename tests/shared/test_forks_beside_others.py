"""Forks beside what a program does meanwhile: pools that come and go, locks, signals, destructors, full tables."""

import os
import pickle
import subprocess
import sys

import pytest

import blockpool as bp


def test_a_child_inherits_no_lock_and_no_pool_that_comes_or_goes(run_forking, pool_name):
    """Beside threads that create and close pools: the child has no lock and nothing of those pools, and can attach."""
    run_forking(
        """
        bp.PoolStats                            # imported once, and not in each child
        kept = bp.Pool.create(64, 8, name=sys.argv[1])
        block = kept.allocate()
        stop = False
        def come_and_go():
            while not stop:
                one = bp.Pool.create(64, 8)
                del one
        def attach():
            while not stop:
                bp.Pool.create(64, 8, name=sys.argv[1] + "-other")
        sys.setswitchinterval(1000)     # so the threads are within a call when another one runs, and have no Pool
        threads = [threading.Thread(target=each, daemon=True) for each in (come_and_go, attach)]
        for thread in threads:
            thread.start()
        def work():
            pools = 0
            for number in os.listdir("/proc/self/fd"):
                try:
                    target = os.readlink(f"/proc/self/fd/{number}")
                    with open(f"/proc/self/fdinfo/{number}") as info:
                        told = info.read()
                except OSError:
                    continue                    # the one that listed them
                assert "lock:" not in told, (target, told)
                pools += "blockpool" in target or target.startswith("/dev/shm/")
            assert pools == 1, pools            # that of the pool which the child is meant to have
            with open("/proc/self/maps") as maps:
                assert "/memfd:blockpool" not in maps.read()
            bp.Pool.create(64, 8)
            assert os.getpid() in kept.runs()[0].holders
        for _ in range(100):
            await_child(in_child(work))
        stop = True
        for thread in threads:
            thread.join()
        kept.recover()
        assert kept.stats().processes == 1
        """,
        pool_name,
    )


def test_children_do_not_keep_the_memory_of_pools_that_come_and_go(run_forking):
    """Children that live on, forked while another thread makes and drops large pools, keep none of these."""
    run_forking("""
        stop = False
        def come_and_go():
            while not stop:
                bp.Pool.create("1MiB", 8)
        sys.setswitchinterval(1000)     # so the thread is within a call when another one runs, and has no Pool
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
        kept = 0
        for child in children:
            for number in os.listdir(f"/proc/{child}/fd"):
                kept += "/memfd:blockpool" in os.readlink(f"/proc/{child}/fd/{number}")
            with open(f"/proc/{child}/maps") as maps:
                kept += maps.read().count("/memfd:blockpool")
        os.close(writing)
        for child in children:
            os.waitpid(child, 0)
        assert kept == 0, kept
    """)


def test_a_destructor_under_a_lock_that_fork_takes(run_python, forking):
    """A thread drops blocks while it holds a lock that a hook, registered before blockpool, takes for a fork."""
    start, rest = forking.split("import blockpool as bp\n", 1)
    early = """
lock = threading.Lock()
os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
import blockpool as bp
"""
    body = """
pool = bp.Pool.create(4096, 64)
stop = False
def churn():
    while not stop:
        with lock:
            block = pool.allocate()
            time.sleep(0)
            del block
thread = threading.Thread(target=churn, daemon=True)
thread.start()
def work():
    pool.allocate().free()
for _ in range(300):
    await_child(in_child(work))
stop = True
thread.join()
pool.recover()
assert pool.check().allocated == 0
"""
    run_python(start + early + rest + body)


@pytest.mark.parametrize("first", ["async", "debug"])
def test_forks_beside_the_locks_of_the_package(run_forking, first):
    """Threads that hold the package's locks, one within the other: no fork waits for them; the child can use all."""
    run_forking(
        f"""
        import asyncio
        first = {first!r}
        if first == "async":
            import blockpool._async
        pool = bp.Pool(64, 8, debug=True)
        os.environ["BLOCKPOOL_DEBUG"] = "1"
        from blockpool import classic
        import blockpool.multiprocessing
        classic.initialize_memory_allocator(1024, 32)
        stop = False
        async def one():
            while not stop:
                block = await pool.allocate_async()
                await asyncio.sleep(0)
                del block
        async def many():
            await asyncio.gather(*[one() for _ in range(20)])
        def classics():
            while not stop:
                classic.deallocate_memory_blocks(classic.allocate_memory_blocks(2))
        threads = [
            threading.Thread(target=asyncio.run, args=(many(),), daemon=True),
            threading.Thread(target=classics, daemon=True),
        ]
        for thread in threads:
            thread.start()
        def work():
            signal.alarm(20)
            other = bp.Pool(64, 8, debug=True)
            other.allocate().free()
            classic.allocate_memory_blocks(1)
            blockpool.multiprocessing.uninstall()
            async def take():
                (await other.allocate_async()).free()
            asyncio.run(take())
        for _ in range(60):
            await_child(in_child(work))
        stop = True
        for thread in threads:
            thread.join()
        """
    )


def test_ctrl_c_in_the_middle_of_forks(run_forking):
    """An exception that a signal raises anywhere in a fork leaves nothing locked, in the parent or in the child."""
    run_forking("""
        bp.PoolStats                            # imported once, and not in each child
        pools = [bp.Pool.create(64, 16) for _ in range(2)]
        kept = [pool.allocate() for pool in pools]
        sys.unraisablehook = lambda _: None          # one in the hooks of other modules
        class Interrupt(Exception):
            pass
        parent = os.getpid()
        def interrupt(*_):
            raise Interrupt
        signal.signal(signal.SIGALRM, interrupt)
        def use():
            for pool in pools:
                block = pool.allocate()
                bp.redeem(block.handle)
        def fork():
            child = os.fork()
            if child == 0:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(20)
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
                    os._exit(7)                     # a child, interrupted before it could do anything
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        for what in (use, fork):
            children = []
            thread = threading.Thread(target=what, daemon=True)
            thread.start()
            thread.join(30)
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
    """)


def test_a_fork_from_a_signal_handler_within_a_fork(run_forking):
    """Neither uses up places, and the pool goes on."""
    run_forking("""
        bp.PoolStats                            # imported once, and not in each child
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
        thread.join(30)
        assert not thread.is_alive()
        for pool, block in zip(pools, kept):
            pool.recover()
            assert pool.runs()[0].holders == (os.getpid(),)
            assert pool.stats().processes == 1
    """)


def test_a_fork_without_a_free_descriptor(run_forking):
    """The child has no part, says why, and does not touch what others have there by now; then it can attach."""
    run_forking("""
        import resource
        pool = bp.Pool.create(64, 1)
        block = pool.allocate()
        block.buf[:5] = b"first"
        await_child_, go = steps()
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
            await_child_()
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
        assert bytes(other.buf[:6]) == b"second"
        assert pool.stats().processes == 1
    """)


def test_threads_that_attach_one_pool_at_once_are_one_membership(run_python, shared):
    """However many threads attach a pool at the same time, the process takes one place, and its Pools are of one."""
    run_python(
        """
        import os, sys, threading
        import blockpool as bp
        sys.setswitchinterval(1e-6)
        for _ in range(300):
            got, start = [], threading.Barrier(4)
            def attach():
                start.wait()
                got.append(bp.Pool.attach(sys.argv[1]))
            threads = [threading.Thread(target=attach) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert got[0].stats().processes == 2
            assert len({pool.address for pool in got}) == 1
            pool = thread = None
        """,
        shared.name,
    )


def test_sixty_forked_workers_and_places_for_forty_six(run_forking):
    """Those without a place say so at their first call; the others, and the parent, work on."""
    told = run_forking("""
        pool = bp.Pool.create(64, 64)
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
                os.read(reading, 1)             # until all were forked
                os._exit(code)
            children.append(child)
        os.close(writing)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(codes.count(7), codes.count(8))
        assert bytes(block.buf[:4]) == b"work"
        pool.recover()
        assert pool.stats().processes == 1
        block.free()
    """)
    assert told == "46 14\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_that_crash(run_script, method):
    """However workers are started, and however they die, what they held comes back and others go on."""
    run_script(
        f"""
        import multiprocessing, os, signal, sys
        import blockpool as bp

        def work(pool, block, n):
            own = pool.allocate()
            again = bp.redeem(block.handle)
            if n % 3 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if n % 3 == 1:
                os._exit(3)

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            pool = bp.Pool.create(64, 8)
            block = pool.allocate()
            for n in range(6):
                process = context.Process(target=work, args=(pool, block, n))
                process.start()
                process.join()
                assert process.exitcode == (-9, 3, 0)[n % 3], process.exitcode
            pool.recover(tickets_older_than=0)
            assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
            assert pool.stats().processes == 1
            assert len(pool.allocate_many(7)) == 7
        """
    )


def test_subprocesses_with_a_function_before_exec(shared):
    """A program that is started by way of a forked child holds nothing, though the child used the pool."""
    block = shared.allocate()

    def use():
        shared.allocate().free()
        assert os.getpid() in shared.runs()[0].holders

    for _ in range(60):
        subprocess.run([sys.executable, "-c", ""], preexec_fn=use, check=True)
    shared.recover()
    assert shared.runs()[0].holders == (os.getpid(),)
    assert shared.stats().processes == 1
    block.free()


@pytest.mark.parametrize("kind", ["Pool(64, 1)", "Pool.create(64, 1)"])
def test_a_fork_within_a_wait(run_forking, kind):
    """A signal's handler forks while the thread waits for a block: parent and child each go on waiting, and get one."""
    run_forking(f"""
        pool = bp.{kind}
        held = [pool.allocate()]
        children = []
        def handler(*_):
            child = os.fork()
            if child:
                children.append(child)
            else:
                signal.alarm(30)
                # in a child of its own process, what another thread would do: give the block back
                threading.Timer(0.2, held.clear).start()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        threading.Timer(0.6, held.clear).start()
        me = os.getpid()
        block = pool.allocate(timeout=30)
        block.free()
        if os.getpid() != me:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
        pool.recover()
        assert pool.check().allocated == 0
    """)


def test_a_fork_without_a_part_within_a_wait(run_forking):
    """A callback of the collector forks in the midst of a wait: in the child that ends with the error that says why."""
    run_forking("""
        pool = bp.Pool.create(64, 1, on_fork="detach")
        block = pool.allocate()
        parent, children = os.getpid(), []

        def fork(phase, info):
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
    """)


@pytest.mark.parametrize("on_fork", ["share", "detach"])
@pytest.mark.parametrize("named", [True, False])
def test_a_fork_in_the_midst_of_create(run_forking, pool_name, on_fork, named):
    """A signal's handler forks while a pool's memory is reserved: the child makes its own, if nobody has the name.

    Its files stay as they are, though they have the numbers that its parent's pool had.
    """
    run_forking(
        """
        name, on_fork = sys.argv[1] or None, sys.argv[2]
        parent, children, files = os.getpid(), [], []

        def fork(*_):
            signal.setitimer(signal.ITIMER_REAL, 0)
            children.append(os.fork())
            if not children[0]:
                files.extend(os.memfd_create("log") for _ in range(8))

        signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            pool = bp.Pool.create(4096, 3 << 13, name=name, on_fork=on_fork)  # 96 MiB: signals are let in after 64
            blocks = pool.allocate_many(2)
            for block in blocks:
                block.buf[:] = bytes(4096)
            assert pool.check().allocated == 2
        except bp.PoolExists:
            assert name
        if os.getpid() != parent:
            sizes = [os.fstat(file).st_size for file in files]
            os._exit(0 if sizes == [0] * 8 else 1)
        while not children:  # create was quicker than the signal
            time.sleep(0.01)
        await_child(children.pop())
        """,
        pool_name if named else "",
        on_fork,
    )


def test_a_fork_is_not_held_up_by_a_stopped_process(run_forking, pool_name):
    """While a stopped process has the gate of the pool, a forked child has its part at once."""
    run_forking(
        """
        import fcntl, struct
        pool = bp.Pool.create(64, 4, name=sys.argv[1])
        block = pool.allocate()
        stopped = os.fork()
        if stopped == 0:
            gate = os.open(f"/dev/shm/blockpool.{pool.name}", os.O_RDWR)
            lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, (1 << 60) + 63, 1, 0)
            fcntl.fcntl(gate, fcntl.F_OFD_SETLK, lock)
            os.kill(os.getpid(), signal.SIGSTOP)
        os.waitpid(stopped, os.WUNTRACED)
        def work():
            pool.allocate().free()
            assert os.getpid() in pool.runs()[0].holders
        began = time.monotonic()
        await_child(in_child(work))
        assert time.monotonic() - began < 4     # the gate is waited for five seconds
        os.kill(stopped, signal.SIGKILL)
        os.waitpid(stopped, 0)
        """,
        pool_name,
    )


ON_FORK = """
import os, pickle, sys
import blockpool as bp
how, given = sys.argv[1], bytes.fromhex(sys.argv[2])
got = pickle.loads(given)
if isinstance(got, bp.Handle):
    got = bp.redeem(got)
pool = got if isinstance(got, bp.Pool) else got.pool
child = os.fork()
if child == 0:
    try:
        pool.allocate()
        os._exit(7)
    except bp.PoolClosed as error:
        os._exit(8 if "detach" in str(error) else 9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {"share": 7, "detach": 8}[how]
"""


@pytest.mark.parametrize("what", ["pool", "block", "handle", "ticket"])
@pytest.mark.parametrize("how", ["share", "detach"])
def test_on_fork_travels_with_what_is_pickled(run_python, how, what):
    """A process that gets a pool, by whatever, forks as the pool was made to."""
    pool = bp.Pool.create(64, 4, on_fork=how)
    block = pool.allocate()
    sent = {"pool": pool, "block": block, "handle": block.handle, "ticket": block.share()}[what]
    run_python(ON_FORK, how, pickle.dumps(sent).hex())


def test_on_fork_of_a_pool_that_the_process_has_already(pool_name):
    """What contradicts it is refused and changes nothing; without it, what is stays."""
    pool = bp.Pool.create(64, 4, name=pool_name, on_fork="detach")
    for attach in (
        lambda: bp.Pool.attach(pool_name, on_fork="share"),
        lambda: bp.Pool.create(64, 4, name=pool_name, exist_ok=True, on_fork="share"),
    ):
        with pytest.raises(ValueError, match=f"{pool_name}.*already.*'detach'.*'share'"):
            attach()
    for again in (
        bp.Pool.attach(pool_name),
        bp.Pool.attach(pool_name, on_fork="detach"),
        bp.Pool.create(64, 4, name=pool_name, exist_ok=True),
    ):
        assert again.address == pool.address
    with pytest.raises(ValueError, match="on_fork"):
        bp.Pool.attach(pool_name, on_fork="copy")
