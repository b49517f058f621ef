"""Shared pools in programs of several processes.

Fork, spawn, forkserver, subprocess, queues, executors, threads, exits.
"""

import os
import subprocess
import sys
import textwrap

import pytest

import blockpool as bp

METHODS = ["fork", "spawn", "forkserver"]

# --- multiprocessing ---

CHANNELS = """
import multiprocessing.util, multiprocessing, sys
import blockpool as bp

COUNT, METHOD, CHANNEL, NAME = 1000, sys.argv[1], sys.argv[2], sys.argv[3] or None

def receive(get, answer):
    right = 0
    for i in range(COUNT):
        block = get()
        right += (block.nbytes, bytes(block.buf[:4])) == (100 + i % 50, i.to_bytes(4, "little"))
        if i % 2:
            block.release()
    del block
    answer.put(right)

if __name__ == "__main__":
    context = multiprocessing.get_context(METHOD)
    pool = bp.Pool.create(64, 96, name=NAME)
    answer = context.SimpleQueue()
    if CHANNEL == "Pipe":
        receiving, sending = context.Pipe(duplex=False)
        get, put = receiving.recv, sending.send
    else:
        queue = getattr(context, CHANNEL)()
        get, put = queue.get, queue.put
    child = context.Process(target=receive, args=(get, answer))
    child.start()
    for i in range(COUNT):
        with pool.allocate(nbytes=100 + i % 50, timeout=30) as block:
            block.buf[:4] = i.to_bytes(4, "little")
            put(block)
    assert answer.get() == COUNT
    child.join()
    assert child.exitcode == 0
    pool.recover()
    del block
    stats = pool.stats()
    assert (stats.allocated, stats.tickets, stats.processes) == (0, 0, 1), stats
    pool.check()
"""


@pytest.mark.parametrize(
    ("method", "channel"),
    [(method, "Queue") for method in METHODS] + [("fork", "Pipe"), ("spawn", "SimpleQueue"), ("fork", "JoinableQueue")],
)
def test_every_block_put_is_delivered(run_script, pool_name, method, channel):
    """A thousand times `with pool.allocate() as block: queue.put(block)`: each arrives, with its bytes.

    Nothing is left.
    """
    named = channel != "SimpleQueue"
    run_script(CHANNELS, method, channel, pool_name if named else "")


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_is_reached_from_children(run_script, method):
    """A pool without a name: as an argument itself, by a block, a ticket, a handle as text.

    In each the child can allocate.
    """
    run_script(
        """
        import multiprocessing, sys
        import blockpool as bp

        def work(pool, block, twin, ticket, text, queue):
            assert bytes(block.buf[:2]) == b"go" and twin.buf.readonly
            for name in (ticket, text):
                got = bp.redeem(name)
                assert bytes(got.buf[:2]) == b"go"
                assert got.pool.stats().processes == 2
                got.release()
            mine = pool.allocate(nbytes=70)
            mine.buf[:4] = b"back"
            queue.put(mine)
            block.buf[:2] = b"ok"

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            queue = context.Queue()
            with bp.Pool.create(64, 8) as pool:
                block = pool.allocate()
                block.buf[:2] = b"go"
                arguments = (pool, block, block.readonly(), block.share(), str(block.handle), queue)
                child = context.Process(target=work, args=arguments)
                child.start()
                back = queue.get()
                child.join()
                assert child.exitcode == 0
                assert (bytes(back.buf[:4]), back.nbytes, bytes(block.buf[:2])) == (b"back", 70, b"ok")
                del child, arguments
                pool.recover()
                assert pool.stats().processes == 1
                back.free()
                block.free()
                assert pool.check().allocated == 0
        """,
        method,
    )


@pytest.mark.parametrize("method", METHODS)
def test_an_executor(run_script, pool_name, method):
    """Blocks as arguments and results of ProcessPoolExecutor; the workers end, and the results stay."""
    run_script(
        """
        import concurrent.futures, multiprocessing, sys
        import blockpool as bp

        def double(block):
            with bp.Pool.attach(sys.argv[2]) as pool:
                result = pool.allocate(nbytes=block.nbytes)
            result.buf[:] = bytes(2 * byte for byte in block.buf)
            return result

        if __name__ == "__main__":
            pool = bp.Pool.create(64, 256, name=sys.argv[2])
            context = multiprocessing.get_context(sys.argv[1])
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
                futures = []
                for i in range(60):
                    with pool.allocate(nbytes=10 + i) as block:
                        block.buf[:] = bytes([i]) * (10 + i)
                        futures.append(executor.submit(double, block))
            del block
            for i, future in enumerate(futures):
                assert bytes(future.result().buf) == bytes([2 * i]) * (10 + i)
            pool.recover()
            stats = pool.stats()
            assert (stats.processes, stats.tickets, stats.allocated) == (1, 0, 60 + sum(10 + i > 64 for i in range(60)))
            del futures, future
            assert pool.check().allocated == 0
        """,
        method,
        pool_name,
    )


def test_a_queue_at_the_end_of_the_program(run_script, pool_name, file_of):
    """What was put just before the end is delivered, in whatever order modules were imported.

    Nothing is left behind.
    """
    run_script(
        """
        import multiprocessing.util, multiprocessing, sys, time
        import blockpool as bp

        def receive(queue):
            time.sleep(0.3)
            assert [queue.get().buf[0] for _ in range(500)] == [i % 256 for i in range(500)]

        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            pool = bp.Pool.create(64, 512, name=sys.argv[1])
            queue = context.Queue()
            context.Process(target=receive, args=(queue,)).start()
            for i in range(500):
                with pool.allocate() as block:
                    block.buf[0] = i % 256
                    queue.put(block)
        """,
        pool_name,
    )
    assert not file_of(pool_name).exists()


def test_a_queue_reference_without_a_name(run_python):
    """A lone queue reference counts as the name: a documented limit.

    The block is then released, and pickling says so.
    """
    run_python("""
        import queue
        import pickle
        import blockpool as bp
        pool = bp.Pool.create(64, 8)
        waiting = queue.SimpleQueue()
        block = pool.allocate()
        waiting.put(block)
        manager = block.__exit__
        del block
        manager(None, None, None)
        kept = waiting.get()
        del manager
        try:
            pickle.dumps(kept)
        except bp.InvalidBlock as error:
            assert "released" in str(error)
    """)


def test_subprocesses(pool_name):
    """A ticket travels as text, on the command line or through a pipe; the pool is found with a name or without."""
    code = """
        import sys
        import blockpool as bp
        for text in (sys.argv[1], sys.stdin.read().strip()):
            with bp.redeem(text) as block:
                block.buf[:3] = bytes(block.buf[:3]).upper()
                print(block.pool.name, block.nbytes)
    """
    for name in (pool_name, None):
        pool = bp.Pool.create(64, 8, name=name)
        blocks = [pool.allocate(nbytes=n) for n in (3, 100)]
        for block in blocks:
            block.buf[:3] = b"abc"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(blocks[0].share())],
            input=f"{blocks[1].share()}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout, done.stderr) == (f"{name} 3\n{name} 100\n", "")
        assert [bytes(block.buf[:3]) for block in blocks] == [b"ABC"] * 2
        for block in blocks:
            block.free()
        assert (pool.stats().processes, pool.check().allocated) == (1, 0)


def test_an_exec_ends_the_membership(run_python):
    """What the process held comes back when it becomes another program."""
    run_python("""
        import os, sys
        import blockpool as bp
        pool = bp.Pool.create(64, 8)
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        child = os.fork()
        if child == 0:
            kept = pool.allocate(blocks=3)
            code = f"import os, time; os.write({writing}, b'x'); time.sleep(60)"
            os.execv(sys.executable, [sys.executable, "-c", code])
        os.read(reading, 1)
        assert pool.recover().processes == 1
        assert pool.stats().allocated == 0
        os.kill(child, 9)
        os.waitpid(child, 0)
    """)


def test_threads_in_several_processes(shared, peers):
    """Threads of three processes allocate, fill, pass on by ticket and free, all at once.

    Nobody sees another's bytes.
    """
    several = [peers() for _ in range(2)]
    for each in several:
        each.start(f"""
            import random
            pool = bp.Pool.attach({shared.name!r})
            wrong = []
            def work(mark):
                chosen = random.Random(mark)
                for i in range(150):
                    block = pool.allocate(blocks=chosen.randrange(1, 4), timeout=30)
                    view = block.buf
                    view[:] = bytes([mark]) * len(view)
                    if i % 3 == 0:
                        again = pickle.loads(pickle.dumps(block))
                        block.release()
                        block = again
                    if bytes(view) != bytes([mark]) * len(view):
                        wrong.append(i)
                    del view
                    block.free() if i % 2 else block.release()
            threads = [threading.Thread(target=work, args=(os.getpid() % 100 + n,)) for n in range(3)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            wrong
        """)
    for _ in range(150):
        with shared.allocate(blocks=2, timeout=30) as block:
            block.buf[:] = b"m" * 8192
            assert bytes(block.buf) == b"m" * 8192
    for each in several:
        assert each.answer() == []
    assert shared.check().allocated == 0


# --- fork ---


@pytest.mark.parametrize("first", ["parent", "child"])
@pytest.mark.parametrize("end", ["free", "release", "drop"])
def test_parent_and_child_have_a_share_each(run_forking, first, end):
    """Whoever ends his use first, the other's data stays; the memory is back after both."""
    run_forking(f"""
        pool = bp.Pool.create(64, 8)
        block = pool.allocate(blocks=2)
        block.buf[:4] = b"both"
        def end():
            global block
            if {end!r} == "free":
                try:
                    block.free()
                except bp.BlockInUse:
                    block.release()
            elif {end!r} == "release":
                block.release()
            block = None
        await_parent, tell_child = steps()
        await_first, tell_parent = steps()
        def work():
            if {first!r} == "parent":
                await_parent()
            else:
                end()
                tell_parent()
                await_parent()
                return
            assert bytes(block.buf[:4]) == b"both"
            assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
            assert len(pool.allocate_many(6)) == 6
            end()
            assert pool.stats().allocated == 0
        child = in_child(work)
        if {first!r} == "parent":
            end()
            tell_child()
            await_child(child)
        else:
            await_first()
            assert [run.holders for run in pool.runs()] == [(os.getpid(),)]
            assert len(pool.allocate_many(6)) == 6
            assert bytes(block.buf[:4]) == b"both"
            end()
            tell_child()
            await_child(child)
        pool.recover()
        assert (pool.stats().allocated, pool.stats().processes) == (0, 1)
        pool.check()
    """)


def test_many_blocks_and_views_across_a_fork(run_forking):
    """Blocks, runs, views, slices, arrays, twins and second references: each side ends its own in its own order."""
    run_forking("""
        import random
        import numpy as np
        pool = bp.Pool.create(64, 4096)
        kept = []
        for i in range(300):
            block = pool.allocate(blocks=1 + i % 3)
            block.buf[:4] = i.to_bytes(4, "little")
            kept.append([
                block, block.buf[:4], block.readonly(), np.ndarray(1, "i4", buffer=block.buf), bp.redeem(block.handle),
            ][: 1 + i % 5] if i % 2 else [block.buf[:4]])
            del block
        before = pool.stats().allocated
        def finish(seed):
            chosen = random.Random(seed)
            order = list(range(300))
            chosen.shuffle(order)
            for i in order:
                things = kept[i]
                while things:
                    thing = things[chosen.randrange(len(things))]
                    memory = thing.buf if isinstance(thing, bp.Block) else memoryview(thing).cast("B")
                    assert bytes(memory[:4]) == i.to_bytes(4, "little")
                    del memory
                    things.pop(next(n for n, each in enumerate(things) if each is thing))
                    del thing
                if i % 10 == 0:
                    fresh = pool.allocate(blocks=2)
                    fresh.buf[:4] = b"new!"
                    del fresh
        children = [in_child(lambda seed=seed: finish(seed)) for seed in range(3)]
        finish(99)
        for child in children:
            await_child(child)
        pool.recover()
        assert pool.stats().allocated == 0
        pool.check()
    """)


def test_a_fork_beside_threads_that_allocate_and_drop(run_forking):
    """Forks in the middle of other threads' calls leave both sides whole.

    In a pool that takes a while to look through.
    """
    run_forking("""
        pool = bp.Pool.create(8, 1 << 20)
        mine = pool.allocate_many(50)
        for i, block in enumerate(mine):
            block.buf[0] = i
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                kept = pool.allocate_many(40) + [pool.allocate(blocks=2) for _ in range(5)]
                tickets = [block.share() for block in kept[:5]]
                kept += [bp.redeem(ticket) for ticket in tickets] + [pickle.loads(pickle.dumps(kept[7]))]
                while kept:
                    kept.pop()
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        def work():
            assert [block.buf[0] for block in mine] == list(range(50))
            more = pool.allocate_many(20)
            for block in more:
                block.free()
            mine.clear()
        for _ in range(12):
            await_child(in_child(work))
        stop.set()
        for thread in threads:
            thread.join()
        assert [block.buf[0] for block in mine] == list(range(50))
        pool.recover()
        stats = pool.stats()
        assert (stats.allocated, stats.tickets, stats.processes) == (50, 0, 1), stats
        pool.check()
    """)


def test_a_fork_while_others_wait_attach_and_leave(run_forking, pool_name):
    """The child has neither their threads nor their turns."""
    run_forking(
        """
        pool = bp.Pool.create(64, 8, name=sys.argv[1])
        kept = pool.allocate(blocks=8)
        got = []
        waiters = [threading.Thread(target=lambda: got.append(pool.allocate(timeout=None))) for _ in range(2)]
        stop = threading.Event()
        def come_and_go():
            while not stop.is_set():
                other = bp.Pool.create(64, 8)
                other.allocate().free()
                other.check()
                other.close()
                del other
        churner = threading.Thread(target=come_and_go)
        for thread in (*waiters, churner):
            thread.start()
        def work():
            assert pool.stats().free == 0
            try:
                pool.allocate(timeout=0.02)
            except bp.PoolExhausted:
                pass
            bp.Pool.create(64, 8).check()
            pool.check()
        for _ in range(20):
            await_child(in_child(work))
        kept.release()
        for thread in waiters:
            thread.join(30)
        assert len(got) == 2
        stop.set()
        churner.join()
        pool.recover()
        assert (pool.stats().allocated, pool.stats().processes) == (2, 1)
    """,
        pool_name,
    )


def test_forks_of_forks(run_forking):
    """The same at every generation."""
    run_forking("""
        pool = bp.Pool.create(64, 16)
        kept = []
        def descend(generation):
            kept.append(pool.allocate())
            kept[-1].buf[0] = generation
            if generation < 5:
                await_child(in_child(lambda: descend(generation + 1)))
            assert [block.buf[0] for block in kept] == list(range(generation + 1))
            pool.recover()
            assert pool.stats().processes == generation + 1
            assert [len(run.holders) for run in pool.runs()] == list(range(generation + 1, 0, -1))
        descend(0)
        pool.check()
    """)


def test_a_parent_killed_right_after_the_fork(run_forking):
    """Its child goes on with its share; only the parent's comes back."""
    run_forking("""
        pool = bp.Pool.create(64, 64)
        for round_ in range(15):
            await_answer, answer = steps()
            await_word, word = steps()
            def parent():
                mine = pool.allocate_many(3)
                for block in mine:
                    block.buf[:4] = b"mine"
                if os.fork() == 0:
                    await_word()
                    assert [bytes(block.buf[:4]) for block in mine] == [b"mine"] * 3
                    pool.allocate().free()
                    answer()
                    await_word()
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)
            middle = os.fork()
            if middle == 0:
                parent()
            assert os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) == -9
            assert pool.recover().processes == 1
            assert [len(run.holders) for run in pool.runs()] == [1, 1, 1]
            rest = pool.allocate_many(61)
            for block in rest:
                block.buf[:4] = b"rest"
            rest.pop()
            del rest, block
            word()
            await_answer()
            assert pool.recover().processes == 0
            word()
            while pool.stats().allocated:
                pool.recover()
        pool.check()
    """)


def test_a_child_that_exits_at_once(run_forking):
    """It costs nothing that recovery does not bring back."""
    run_forking("""
        pool = bp.Pool.create(64, 64)
        kept = pool.allocate_many(20)
        for _ in range(100):                    # more than there are slots
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        assert pool.stats().processes <= 47     # a fork that finds no place looks for the dead
        pool.recover()
        assert pool.stats().processes == 1
        for block in kept:
            block.free()
        assert pool.check().allocated == 0
    """)


def test_a_fork_that_fails(run_forking):
    """The place taken for the child comes back, and the parent goes on."""
    if os.geteuid() != 0:
        pytest.skip("to become a user without other processes takes root")
    run_forking("""
        import resource
        bp.PoolStats, bp.Recovered, bp.Audit
        os.setgroups([]); os.setgid(54321); os.setuid(54321)
        pool = bp.Pool.create(64, 8)
        block = pool.allocate()
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        for _ in range(60):
            try:
                child = os.fork()
            except BlockingIOError:
                continue
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            sys.exit("forked")
        second = pool.allocate()
        assert pool.recover().processes >= 1
        assert [run.holders for run in pool.runs()] == [(os.getpid(),)] * 2
        block.free()
        second.free()
        assert pool.check().allocated == 0
    """)


@pytest.mark.parametrize("how", ["create", "attach"])
def test_detached_children(run_forking, pool_name, how):
    """With on_fork="detach" a child has nothing: PoolClosed, and no memory; but it may attach the pool itself."""
    run_forking(
        """
        name = sys.argv[1]
        made = bp.Pool.create(64, 8, name=name, on_fork="detach")
        pool = bp.Pool.attach(name, on_fork="detach") if sys.argv[2] == "attach" else made
        block = pool.allocate()
        view = block.buf
        view[:4] = b"mine"
        def work():
            for call in (
                pool.allocate, lambda: pool.allocate(timeout=1), pool.stats, pool.check, pool.recover, pool.unlink,
                lambda: block.pool.allocate_many(2), lambda: pickle.dumps(pool), block.share, block.free,
                lambda: block.buf, lambda: block.handle, lambda: block.address, block.readonly, block.__enter__,
                lambda: block.__array_interface__, block.__dlpack__, lambda: memoryview(view.obj), pool.runs,
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
            assert "detach" in told and told.count("\\n") == 1, told
        assert bytes(view[:5]) == b"mine" + bytes(1)
        del view
        block.free()
        assert pool.stats().processes == 1
    """,
        pool_name,
        how,
    )


@pytest.mark.parametrize("forks", [1, 2])
def test_a_fault_is_explained_once(run_forking, forks):
    """With faulthandler enabled between two forks, it and the pool each tell once of a fault without a part."""
    run_forking(
        """
        import faulthandler
        pools, views = [], []
        reading, writing = os.pipe()

        def fault():
            os.dup2(writing, 2)
            views[-1][0] = 1

        def fork(left):
            pools.append(bp.Pool.create(64, 1, on_fork="detach"))
            views.append(pools[-1].allocate().buf)
            child = in_child(lambda: fork(left - 1) if left > 1 else fault())
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        def enable():
            faulthandler.enable()
            assert fork(int(sys.argv[1])) == (-signal.SIGSEGV if sys.argv[1] == "1" else 0)

        first = bp.Pool.create(64, 1, on_fork="detach")
        await_child(in_child(enable))
        told = os.read(reading, 100_000).decode()
        assert told.count("blockpool: this process used") == 1, told
        assert told.count("Fatal Python error") == 1, told
        """,
        str(forks),
    )


def test_a_fork_without_python(run_forking, pool_name):
    """A child of a bare clone() has no part: PoolClosed, destructors do nothing, nothing else is unmapped.

    It may attach the pool itself.
    """
    run_forking(
        """
        import ctypes, mmap
        libc = ctypes.CDLL(None)
        pool = bp.Pool.create(64, 8, name=sys.argv[1])
        unnamed = bp.Pool.create(64, 8)
        blocks = [pool.allocate(), pool.allocate(blocks=2), unnamed.allocate()]
        blocks[0].buf[:4] = b"mine"
        view, handle = blocks[0].buf, blocks[0].handle
        before = pool.stats(), pool.runs(), pool.check(), unnamed.runs()
        child = libc._Fork()                    # runs no handlers
        if child == 0:
            try:
                others = [mmap.mmap(-1, 4096) for _ in range(20)]   # where something of the parent's was perhaps
                for call in (
                    pool.allocate, lambda: pool.allocate_many(2), lambda: pool.allocate(timeout=0.1), pool.check,
                    pool.recover, pool.unlink, blocks[0].share, blocks[1].free, unnamed.allocate,
                    lambda: blocks[0].buf, lambda: memoryview(view.obj),
                ):
                    try:
                        call()
                    except bp.PoolClosed:
                        continue
                    raise AssertionError(call)
                again = bp.Pool.attach(pool.name)
                assert again.allocate().index == 3
                assert bytes(bp.redeem(handle).buf[:4]) == b"mine"
                del blocks, view, unnamed
                pool.close()
                gc.collect()
                del pool
                gc.collect()
                for other in others:
                    other[:] = b"o" * 4096
                again.check()
                await_child(in_child(lambda: again.allocate().free()))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        await_child(child)
        pool.recover()
        assert (pool.stats().allocated, pool.runs(), pool.check(), unnamed.runs()) == (before[0].allocated, *before[1:])
        assert bytes(view[:4]) == b"mine"
        del view
        for block in blocks:
            block.free()
    """,
        pool_name,
    )


def test_a_fork_by_other_code(run_forking):
    """A child of a fork() that C code calls is like any other: it holds what its parent holds."""
    run_forking("""
        import ctypes
        libc = ctypes.CDLL(None)
        pool = bp.Pool.create(64, 8)
        block = pool.allocate()
        block.buf[:4] = b"mine"
        parent = os.getpid()
        child = libc.fork()
        if child == 0:
            assert pool.runs()[0].holders == (parent, os.getpid())
            assert bytes(block.buf[:4]) == b"mine"
            pool.allocate().free()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        block.free()
        assert pool.stats().processes == 1
    """)


def test_a_process_forked_without_python_forks(run_forking):
    """Its children have no part either, and say so."""
    run_forking("""
        import ctypes
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
    """)


@pytest.mark.parametrize("early", [True, False], ids=["before import", "after import"])
@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_drops_in_fork_hooks(hook, early, forking):
    """A user's hook drops blocks, by name and by the garbage collector.

    Each side keeps what it still has, nothing is lost.
    """
    code = """
        import os
        blocks, cycles, told = [], [], []
        def hook():
            if not told:
                return
            blocks.clear()
            cycles.clear()
            import gc
            gc.collect()
        EARLY
        import blockpool as bp
        LATE
        pool = bp.Pool.create(64, 32)
        other = bp.Pool.create(64, 32)
        for i in range(8):
            block = (pool if i % 2 else other).allocate(blocks=1 + i % 3)
            block.buf[:4] = b"data"
            blocks.append(block)
            if i % 4 == 3:
                blocks.append(bp.redeem(block.handle))
            cycle = [(pool if i % 2 else other).allocate()]
            cycle.append(cycle)
            cycles.append(cycle)
        del block, cycle
        told.append(True)
        parent, (await_parent, tell_child) = os.getpid(), steps()
        def work():
            await_parent()
            assert all(bytes(block.buf[:4]) == b"data" for block in blocks)
            assert len(blocks) == (0 if HOOK in ("before", "after_in_child") else 10)
            for each in (pool, other):
                held = sum(os.getpid() in run.holders for run in each.runs())
                assert held == (8 if blocks else 0), each.runs()
            blocks.clear(), cycles.clear(), gc.collect()
            assert not any(os.getpid() in run.holders for each in (pool, other) for run in each.runs())
        child = in_child(work)
        fill = [each.allocate_many(each.stats().free) for each in (pool, other)]
        for block in sum(fill, []):
            block.buf[:4] = b"fill"
        del block
        fill.clear()
        tell_child()
        await_child(child)
        for each in (pool, other):
            each.recover()
            assert sum(parent in run.holders for run in each.runs()) == (0 if not blocks else 8)
        blocks.clear(), cycles.clear(), gc.collect()
        assert (pool.check().allocated, other.check().allocated) == (0, 0)
    """
    register = f"os.register_at_fork({hook}=hook)"
    code = textwrap.dedent(code).replace("EARLY", register if early else "").replace("LATE", "" if early else register)
    code = code.replace("HOOK", repr(hook))
    start, rest = code.split("import blockpool as bp\n", 1)
    run_forking_early = start + forking + rest
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", run_forking_early],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done


def test_allocating_in_fork_hooks(run_forking):
    """What a hook allocates before the fork, both sides have; hooks of the child and the parent may allocate too."""
    run_forking("""
        made, at = {}, []
        def hook(where):
            def run():
                if at:
                    made.setdefault(where, []).append(at[0].allocate())
            return run
        names = ("before", "after_in_parent", "after_in_child")
        os.register_at_fork(**{name: hook(name) for name in names})
        pool = bp.Pool.create(64, 32)
        at.append(pool)
        def work():
            assert {name: len(blocks) for name, blocks in made.items()} == {"before": 1, "after_in_child": 1}
            assert [os.getpid() in run.holders for run in pool.runs() if run.index == made["before"][0].index] == [True]
            made.clear()
        await_child(in_child(work))
        assert {name: len(blocks) for name, blocks in made.items()} == {"before": 1, "after_in_parent": 1}
        made["before"].clear()
        pool.recover()
        assert pool.stats().allocated == 1
        made.clear()
        pool.check()
    """)


def test_allocating_in_a_hook_inside_the_fork(run_python):
    """So also in a hook that runs between blockpool's own and the fork: the child has its share of that block."""
    run_python("""
        import os
        at, made = [], []
        os.register_at_fork(before=lambda: made.extend([each.allocate() for each in at]))
        import blockpool as bp
        at.append(bp.Pool.create(64, 8))
        pool = at[0]
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            made[0].buf[:3] = b"abc"
            assert [run.holders for run in pool.runs() if run.index == made[0].index] == [(os.getpid(),)]
            made.clear()
            assert [run for run in pool.runs() if os.getpid() in run.holders] == []
            os._exit(0)
        made.clear()
        kept = pool.allocate()
        assert kept.index == 1
        os.write(writing, b"x")
        assert os.waitpid(child, 0)[1] == 0
        assert not any(kept.buf)
        kept.free()
        pool.recover()
        assert pool.check().allocated == 0
    """)


def test_daemons(run_python, pool_name, file_of):
    """A program that forks twice and ends, as daemons do, hands the pool over to its grandchild."""
    out = run_python(
        """
        import os, sys, time
        import blockpool as bp
        pool = bp.Pool.create(64, 8, name=sys.argv[1])
        block = pool.allocate()
        block.buf[:2] = b"ok"
        reading, writing = os.pipe()
        if os.fork():
            os.close(writing)
            assert os.read(reading, 1) == b"x"
            sys.exit(0)
        os.setsid()
        if os.fork():
            os._exit(0)
        while pool.stats().processes > 1:
            pool.recover()
            if pool.stats().processes == 2:
                os.write(writing, b"x")
        assert bytes(block.buf[:2]) == b"ok"
        print(pool.recover().processes, pool.stats().processes)
    """,
        pool_name,
    )
    assert out.split() == ["0", "1"]
    assert not file_of(pool_name).exists()


# --- ends ---

ENDINGS = {
    "live blocks": "blocks = pool.allocate_many(3)",
    "live views": "views = [pool.allocate().buf for _ in range(3)]",
    "released with views": "block = pool.allocate(); view = block.buf; block.release()",
    "closed with views": "view = pool.allocate().buf; pool.close()",
    "inside with": "block = pool.allocate().__enter__()",
    "a reference cycle": "cycle = [pool, pool.allocate().buf]; cycle.append(cycle)",
    "in a builtin module": "sys.kept = [pool.allocate(), pool.allocate().buf, pool]",
    "numpy array": "import numpy as np; array = np.ndarray((8,), buffer=pool.allocate().buf)",
    "tickets": "block = pool.allocate(); ticket = block.share(3)",
    "two pools": "other = bp.Pool.create(64, 8); kept = [pool.allocate(), other.allocate().readonly()]",
    "unlinked": "block = pool.allocate(); pool.unlink() if child else None",
    "attached twice": "again = bp.Pool.attach(pool.name); block = again.allocate(); again.close()",
    "redeemed only": "block = bp.redeem(pool.allocate().share()); pool.close(); del pool",
    "a finalizer that allocates": """
class Late:
    def __del__(self, pool=pool):
        block = pool.allocate()
        block.buf[0] = 1
        block.free()
late = Late()
late.me = late
""",
    "atexit": """
import atexit
kept = pool.allocate()
atexit.register(lambda: (len(kept.buf), pool.allocate().free(), pool.check(), kept.free()))
""",
    "a thread that waits": """
kept = pool.allocate_many(7)
threading.Thread(target=pool.allocate, kwargs={"timeout": None}, daemon=True).start()
time.sleep(0.05)
""",
    "a thread at work": """
def churn():
    while True:
        with pool.allocate() as block:
            block.buf[0] = 1
threading.Thread(target=churn, daemon=True).start()
time.sleep(0.02)
""",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_interpreter_exit(run_forking, pool_name, file_of, ending):
    """Whatever is alive, in a parent and in its child: exit code 0, not a word on stderr, nothing in /dev/shm."""
    run_forking(
        f"""
pool = bp.Pool.create(64, 8, name=sys.argv[1])
both = pool.allocate()
child = os.fork()
if child:
    await_child(child)
{ENDINGS[ending]}
""",
        pool_name,
    )
    assert not file_of(pool_name).exists()


def test_exit_by_a_signal_or_an_error(pool_name, file_of):
    """sys.exit with a code, an exception, and Ctrl-C end the membership too."""
    start = f"""
import blockpool as bp, os, sys, time
view = bp.Pool.create(64, 8, name={pool_name!r}).allocate().buf
"""
    ends = {"sys.exit(3)": 3, "1 / 0": 1, "os.kill(os.getpid(), 2); time.sleep(5)": -2}
    for end, code in ends.items():
        done = subprocess.run([sys.executable, "-c", start + end], capture_output=True, timeout=60, check=False)
        assert done.returncode == code
        assert b"blockpool" not in done.stderr
        assert not file_of(pool_name).exists()


def test_a_view_is_taken_while_a_free_waits_for_a_fork(run_python):
    """A free that waits for another thread's fork holds nobody up, not even who takes a view of the block meanwhile."""
    out = run_python("""
        import os, threading, time
        inside, forks = threading.Event(), threading.Event()

        def hook():  # registered before blockpool's own, so it runs after them: within the fork
            if forks.is_set():
                inside.set()
                time.sleep(0.3)

        os.register_at_fork(before=hook)
        import blockpool as bp

        pool = bp.Pool.create(64, 8)
        block = pool.allocate()

        def fork():
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)

        def free():
            try:
                block.free()
            except bp.BlockInUse:  # the child had its share
                pass

        def look():
            try:
                block.buf
            except bp.InvalidBlock:
                pass

        forks.set()
        threads = [threading.Thread(target=target) for target in (fork, free, look)]
        threads[0].start()
        inside.wait()
        for thread in threads[1:]:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        print("done")
    """)
    assert out == "done\n"
