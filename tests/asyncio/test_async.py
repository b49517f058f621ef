"""`await pool.allocate_async()`: waiting for room while the event loop goes on, and everything that ends the wait."""

import asyncio
import ctypes
import gc
import random
import threading
import time

import pytest

import blockpool as bp
from blockpool import _async, _core

IMPOSSIBLE = {
    "blocks=0": ValueError,
    "blocks='3'": TypeError,
    "blocks=1, nbytes=1": TypeError,
    "nbytes=-1": ValueError,
    "timeout=-1": ValueError,
    "timeout='1'": TypeError,
    "timeout=float('nan')": ValueError,
    "blocks=17": bp.PoolExhausted,
    "blocks=17, timeout=0": bp.PoolExhausted,
    "size=3": TypeError,
}


def waiters():
    """Return the threads that wait in the place of tasks."""
    return [thread for thread in threading.enumerate() if thread.name == "blockpool-waiter"]


def assert_at_rest(pool, allocated=0):
    """No more than that is allocated, the bookkeeping is right, and no thread waits any more."""
    gc.collect()
    deadline = time.monotonic() + 10
    while waiters() or pool.stats().allocated != allocated:
        assert time.monotonic() < deadline, (waiters(), pool.stats())
        time.sleep(0.005)
    pool.check()


def run(main, seconds=25):
    """Run a coroutine; a hang is a failure."""
    return asyncio.run(asyncio.wait_for(main, seconds))


async def waiting(pool, *requests):
    """Start tasks that allocate as each of the requests says; return them when all are in the queue."""
    tasks = [asyncio.create_task(pool.allocate_async(**request)) for request in requests]
    await asyncio.sleep(0)  # each runs up to its wait
    return tasks


def test_room_is_given_at_once(pool):
    """With room, the call returns what `allocate` would, without a thread, and without letting other tasks run."""

    async def main():
        others = []
        asyncio.get_running_loop().call_soon(others.append, 1)
        one = await pool.allocate_async()
        run_ = await pool.allocate_async(blocks=3, timeout=5)
        odd = await pool.allocate_async(nbytes=5000, timeout=0)
        assert not others
        assert [(block.blocks, block.nbytes) for block in (one, run_, odd)] == [
            (1, 4096),
            (3, 12288),
            (2, 5000),
        ]
        assert not waiters()

    run(main())
    assert_at_rest(pool)


def test_with_releases(pool):
    """A `with` around the call gives the memory back at its end, after a wait too."""

    async def main():
        for full in (False, True):
            if full:
                kept = pool.allocate(blocks=16)
                asyncio.get_running_loop().call_later(0.05, kept.free)
            with await pool.allocate_async() as block:
                block.buf[:] = bytes(4096)
            assert pool.stats().allocated == 0

    run(main())
    assert_at_rest(pool)


@pytest.mark.parametrize("give_back", ["free", "release", "drop", "view"])
@pytest.mark.parametrize("where", ["task", "thread"])
def test_a_task_is_woken(pool, give_back, where):
    """A waiting task gets the room as soon as it is given back, in whatever way; the loop goes on meanwhile."""

    async def main():
        kept = [pool.allocate(blocks=16)]
        view = [kept[0].buf] if give_back == "view" else []
        if view:
            kept.pop().release()
        (task,) = await waiting(pool, {"blocks": 4})
        await asyncio.sleep(0.02)
        assert not task.done()

        def end():
            if give_back in {"free", "release"}:
                getattr(kept[0], give_back)()
            kept.clear()
            view.clear()

        await (asyncio.to_thread(end) if where == "thread" else asyncio.sleep(0, end()))
        assert (await task).blocks == 4

    run(main())
    assert pool.stats().failures == 0
    assert_at_rest(pool)


def test_waking_is_prompt():
    """The free itself wakes the task; nobody looks from time to time only."""
    pool = bp.Pool(64, 1)

    async def main():
        waited = 0.0
        for _ in range(40):
            block = await pool.allocate_async()
            (task,) = await waiting(pool, {})
            await asyncio.sleep(0.005)
            began = time.monotonic()
            block.free()
            (await task).free()
            waited += time.monotonic() - began
        assert waited < 3

    run(main())
    assert_at_rest(pool)


def test_another_process_gives_room(shared, peer):
    """In a shared pool a task waits for what other processes hold, and is woken by their free."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate(blocks=16); pool.stats().allocated")

    async def main():
        (task,) = await waiting(shared, {"blocks": 2})
        await asyncio.sleep(0.05)
        assert not task.done()
        began = time.monotonic()
        await asyncio.to_thread(peer, "kept.free()")
        assert (await task).blocks == 2
        assert time.monotonic() - began < 5

    run(main())
    peer("pool.close()")
    assert_at_rest(shared)


def test_a_dead_process_gives_room(shared, peer):
    """What a process held when it was killed comes back to those who wait."""
    peer(f"kept = bp.Pool.attach({shared.name!r}).allocate(blocks=16); 0")

    async def main():
        (task,) = await waiting(shared, {})
        await asyncio.sleep(0.05)
        assert not task.done()
        peer.kill()
        await task

    run(main())
    assert_at_rest(shared)


def test_garbage_gives_room(pool):
    """Blocks in unreachable cycles come back to a call that waits without end, and to one whose time is over."""

    def leak():
        cycle = [pool.allocate(blocks=16)]
        cycle.append(cycle)

    async def main():
        for timeout in (None, 0.02):
            leak()
            (await pool.allocate_async(timeout=timeout)).free()

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()
    assert_at_rest(pool)


def test_what_becomes_garbage_during_the_wait_is_found(pool):
    """A block that ends in a cycle after the first collection still reaches a call that waits without end."""
    collected = threading.Event()

    def count(phase, info):
        if phase == "stop" and info["generation"] == 2:
            collected.set()

    def hold():
        cycle = [pool.allocate(blocks=16)]
        cycle.append(cycle)
        assert collected.wait(30)

    async def main():
        holder = threading.Thread(target=hold)
        holder.start()
        gc.callbacks.append(count)
        try:
            (await pool.allocate_async(blocks=16)).free()
        finally:
            gc.callbacks.remove(count)
            holder.join()

    gc.disable()
    try:
        gc.collect()
        run(main())
    finally:
        gc.enable()
    assert_at_rest(pool)


def test_the_time_runs_out(pool):
    """After `timeout` seconds, not before, PoolExhausted says what there is; each is counted once."""
    kept = pool.allocate(blocks=16)

    async def main():
        began = time.monotonic()
        tasks = await waiting(pool, *[{"timeout": 0.1}] * 20)
        for task in tasks:
            with pytest.raises(bp.PoolExhausted, match="asked for 1 block; 0 of 16 free"):
                await task
        assert 0.1 <= time.monotonic() - began < 5
        with pytest.raises(bp.PoolExhausted):
            await pool.allocate_async(timeout=0)

    run(main())
    assert pool.stats().failures == 21
    kept.free()
    assert_at_rest(pool)


def test_garbage_is_collected_once_for_many(pool):
    """A thousand calls whose time is over together do not collect garbage a thousand times."""
    kept = pool.allocate(blocks=16)
    collections = []

    def count(phase, info):
        if phase == "start" and info["generation"] == 2:
            collections.append(info)

    async def main():
        gc.callbacks.append(count)
        tasks = await waiting(pool, *[{"timeout": 0.05}] * 1000)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        gc.callbacks.remove(count)
        assert {type(result) for result in results} == {bp.PoolExhausted}

    run(main())
    assert len(collections) < 20
    kept.free()
    assert_at_rest(pool)


@pytest.mark.parametrize("arguments", IMPOSSIBLE)
def test_impossible_requests(pool, arguments):
    """What `allocate` refuses is refused with the same error, at the call itself, also when the pool is full."""
    kept = []
    for blocks in (1, 15):
        kept.append(pool.allocate(blocks=blocks))
        with pytest.raises(IMPOSSIBLE[arguments]) as mine:
            eval(f"pool.allocate_async({arguments})", {"pool": pool})  # noqa: S307
        with pytest.raises(IMPOSSIBLE[arguments]) as theirs:
            eval(f"pool.allocate({arguments})", {"pool": pool})  # noqa: S307
        assert str(mine.value).replace("allocate_async", "allocate") == str(theirs.value)
    kept.clear()
    assert_at_rest(pool)


def test_first_come_first_served():
    """A run that waits first is served first, single blocks that fit do not starve it, and then come in their order."""
    pool = bp.Pool(64, 4)

    async def main():
        kept = pool.allocate_many(4)
        tasks = await waiting(pool, {"blocks": 4}, {}, {}, {"blocks": 2})
        for block in kept[:3]:
            block.free()
            await asyncio.sleep(0.02)
            assert not any(task.done() for task in tasks)
        late = asyncio.create_task(pool.allocate_async())
        await asyncio.sleep(0.02)
        assert not late.done()  # there is room, but it is not its turn
        kept[3].free()
        (await tasks[0]).free()
        await asyncio.wait_for(asyncio.gather(*tasks[1:]), 10)
        await asyncio.sleep(0.02)
        assert not late.done()
        tasks[1].result().free()
        (await late).free()

    run(main())
    del main
    assert_at_rest(pool)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_who_gives_up_lets_the_next_ones_in(how, monkeypatch):
    """When the first in the queue gives up, those behind it get the room that was too little for it, without a free."""
    pool = bp.Pool(64, 4)
    over = threading.Event()  # until then, the thread does not look by itself
    monkeypatch.setattr(_async, "sleep_since", lambda *_: over.wait(20))

    async def main():
        kept = pool.allocate()
        first = {"blocks": 4, "timeout": 0.1 if how == "timeout" else None}
        task, *others = await waiting(pool, first, {}, {}, {})
        await asyncio.sleep(0.02)
        assert not any(other.done() for other in others)
        if how == "cancel":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, bp.PoolExhausted)):
            await task
        await asyncio.wait_for(asyncio.gather(*others), 10)
        kept.free()

    run(main())
    over.set()
    assert_at_rest(pool)


def test_cancelling_before_the_answer(pool):
    """A call that is cancelled while it waits takes nothing; what is freed later is there for others."""

    async def main():
        kept = pool.allocate(blocks=16)
        (task,) = await waiting(pool, {})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        kept.free()
        await asyncio.sleep(0.02)
        assert pool.stats().allocated == 0

    run(main())
    assert_at_rest(pool)


def test_cancelling_after_the_answer(pool):
    """A call that has its block, but is cancelled before it goes on, gives it back at once.

    Also while somebody keeps the error, and so the frames of the call.
    """

    async def main():
        kept = pool.allocate(blocks=16)
        (task,) = await waiting(pool, {})
        kept.free()
        deadline = time.monotonic() + 30
        while pool.stats().allocated != 1:  # the loop stands still: it cannot have gone on
            assert time.monotonic() < deadline
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as error:
            await task
        assert pool.stats().allocated == 0
        assert error.traceback

    run(main())
    assert_at_rest(pool)


@pytest.mark.parametrize("others_wait", [True, False])
def test_closing_the_loop_before_the_answer(pool, others_wait):
    """A loop that is closed with waiting tasks costs no block, no other loop its turn, and nobody waits for it."""
    kept = pool.allocate(blocks=16)
    loop = asyncio.new_event_loop()
    calls = [pool.allocate_async() for _ in range(3)]
    tasks = [loop.create_task(call) for call in calls]
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False

    async def main():
        (task,) = await waiting(pool, {})
        kept.free()
        (await task).free()

    if others_wait:
        run(main())
    else:
        assert_at_rest(pool, allocated=16)
        kept.free()
    for call in calls:
        call.close()
    del tasks, task
    assert_at_rest(pool)


def test_random_cancelling_loses_nothing():
    """Two hundred tasks on four blocks, cancelled at random: all blocks come back; who is not cancelled is served."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    pool = bp.Pool(64, 4)

    async def use(blocks):
        with await pool.allocate_async(blocks=blocks):
            await asyncio.sleep(chance.random() / 1000)

    async def main():
        for _ in range(5):
            tasks = [asyncio.create_task(use(chance.choice((1, 1, 1, 2, 4)))) for _ in range(200)]
            doomed = chance.sample(tasks, 100)
            for task in doomed:
                await asyncio.sleep(chance.choice((0, 0, 0.0005)))
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for task, result in zip(tasks, results, strict=True):
                assert result is None or (task in doomed and isinstance(result, asyncio.CancelledError))
        assert pool.stats().allocated == 0

    run(main())
    assert_at_rest(pool)


def test_cancelling_a_group_of_thousands():
    """A task group that fails cancels thousands of waiting calls in a moment, and nothing is left of them."""
    pool = bp.Pool(64, 2)
    kept = pool.allocate(blocks=2)

    async def fail():
        await asyncio.sleep(0.05)
        raise LookupError

    async def group():
        async with asyncio.TaskGroup() as tasks:
            for _ in range(5000):
                tasks.create_task(pool.allocate_async())
            tasks.create_task(fail())

    async def main():
        began = time.monotonic()
        with pytest.raises(ExceptionGroup):
            await group()
        assert time.monotonic() - began < 20

    run(main())
    kept.free()
    assert_at_rest(pool)


def test_one_thread_a_pool():
    """However many tasks wait, one thread a pool waits for them, a daemon; it ends when nobody waits any more."""
    pools = [bp.Pool(64, 1), bp.Pool(64, 1)]

    async def main():
        for expected, pool in enumerate(pools, start=1):
            kept = pool.allocate()
            tasks = await waiting(pool, *[{}] * 50)
            await asyncio.sleep(0.05)
            assert len(waiters()) == expected
            assert all(thread.daemon for thread in waiters())
            held.append((kept, tasks))
        for kept, tasks in held:
            kept.free()
            for task in tasks:
                (await task).free()

    held = []
    run(main())
    for pool in pools:
        assert_at_rest(pool)


def test_waiting_costs_no_time(pool, monkeypatch):
    """While nothing is freed, the thread looks for room a few times a second, however many wait."""
    kept = pool.allocate(blocks=16)
    looks = []
    monkeypatch.setattr(_async, "free_sequence", lambda mapping: looks.append(1) or moment(mapping))
    moment = _core.free_sequence

    async def main():
        tasks = await waiting(pool, *[{"timeout": 0.5}] * 50)
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())
    assert 1 <= len(looks) < 20
    kept.free()
    assert_at_rest(pool)


def test_closing_the_pool_ends_the_wait(pool):
    """All that wait in a pool that is closed get PoolClosed, and so do later calls."""

    async def main():
        kept = pool.allocate(blocks=16)
        tasks = await waiting(pool, {}, {"blocks": 2}, {"timeout": 60})
        pool.close()
        for task in tasks:
            with pytest.raises(bp.PoolClosed):
                await task
        with pytest.raises(bp.PoolClosed):
            await pool.allocate_async()
        kept.free()

    run(main())
    assert_at_rest(bp.Pool(64, 1))


def test_one_of_two_pool_objects_is_closed(shared):
    """Of two Pool objects of one pool, closing one ends its own calls alone, though they stand in one queue."""

    async def main():
        other = bp.Pool.attach(shared.name)
        kept = shared.allocate(blocks=16)
        (first,) = await waiting(shared, {})
        (closed,) = await waiting(other, {})
        (last,) = await waiting(shared, {})
        other.close()
        with pytest.raises(bp.PoolClosed):
            await closed
        assert len(waiters()) == 1
        assert not first.done()
        kept.free()
        for task in (first, last):
            (await task).free()

    run(main())
    assert_at_rest(shared)


def test_dropping_the_pool_while_waiting():
    """The call itself keeps its pool."""

    async def main():
        pool = bp.Pool(64, 1)
        kept = pool.allocate()
        (task,) = await waiting(pool, {})
        del pool
        gc.collect()
        kept.free()
        block = await task
        assert block.pool.blocks == 1

    run(main())


def test_loops_in_several_threads(pool):
    """Event loops in several threads wait in one pool, in one queue, with one thread."""
    kept = pool.allocate(blocks=16)
    served = []

    async def use():
        for _ in range(50):
            with await pool.allocate_async(blocks=8) as block:
                served.append(block.index)
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(use() for _ in range(4)))

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert len(waiters()) == 1
    kept.free()
    for thread in threads:
        thread.join(60)
    assert len(served) == 600
    assert_at_rest(pool)


def test_errors_of_debug_mode_reach_a_caller():
    """In debug mode a write after free is found when the block is to be used again, by the call that waits for it."""
    pool = bp.Pool(64, 1, debug=True)

    async def main():
        kept = pool.allocate()
        address = kept.address
        (task,) = await waiting(pool, {})
        kept.free()
        ctypes.memset(address, 1, 4)
        with pytest.raises(bp.WriteAfterFree):
            await task
        (await pool.allocate_async()).free()

    run(main())
    assert_at_rest(pool)


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_fork_while_waiting(run_python, kind):
    """A child has none of the queue: its own calls are served by a thread of its own; the parent's go on."""
    make = "bp.Pool(64, 2)" if kind == "private" else "bp.Pool.create(64, 2)"
    out = run_python(f"""
        import asyncio, os, threading, time, traceback, warnings
        import blockpool as bp

        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads is what this is about
        pool = {make}
        reading, writing = os.pipe()

        async def child(kept):
            assert not [t for t in threading.enumerate() if t.name == "blockpool-waiter"]
            task = asyncio.create_task(pool.allocate_async(timeout=20))
            await asyncio.sleep(0.01)
            assert not task.done()
            began = time.monotonic()
            kept.release()
            os.write(writing, b"!")
            (await task).free()
            assert time.monotonic() - began < 10

        async def main():
            kept = pool.allocate(blocks=2)
            tasks = [asyncio.create_task(pool.allocate_async()) for _ in range(4)]
            await asyncio.sleep(0.05)
            pid = os.fork()
            if pid == 0:
                try:
                    asyncio.run(child(kept))
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            assert os.read(reading, 1)
            kept.free()
            for task in tasks:
                (await task).free()
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

        asyncio.run(main())
        print(pool.stats().allocated, pool.check().allocated)
    """)
    assert out == "0 0\n"


def test_forking_while_others_are_served(run_python):
    """Forks in the middle of it all: no child hangs, and in the end every block is back."""
    run_python("""
        import asyncio, os, threading, time, warnings
        import blockpool as bp

        warnings.simplefilter("ignore", DeprecationWarning)
        pool = bp.Pool.create(64, 2)

        async def one():
            (await pool.allocate_async(timeout=30)).release()

        async def use(stop):
            while not stop.is_set():
                with await pool.allocate_async(timeout=30):
                    await asyncio.sleep(0)

        async def main(stop):
            await asyncio.gather(*(use(stop) for _ in range(20)))

        stop = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(main(stop),))
        thread.start()
        time.sleep(0.05)
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    private = bp.Pool(64, 1)
                    kept = private.allocate()
                    async def look():
                        asyncio.get_running_loop().call_later(0.001, kept.free)
                        (await private.allocate_async(timeout=20)).free()
                    asyncio.run(look())
                    code = 0
                finally:
                    os._exit(code)
            deadline = time.monotonic() + 40
            while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(pid, 9)
                    raise SystemExit("a child hangs")
                time.sleep(0.001)
            assert ended[1] == 0
        stop.set()
        thread.join()
        pool.recover()
        assert pool.stats().allocated == 0, pool.stats()
        pool.check()
    """)


def test_exit_with_waiting_calls(run_python):
    """A program may end while calls wait: nothing hangs and nothing is said."""
    began = time.monotonic()
    run_python("""
        import asyncio
        import blockpool as bp

        pool = bp.Pool(64, 1)
        kept = pool.allocate()

        async def main():
            global tasks
            tasks = [asyncio.create_task(pool.allocate_async()) for _ in range(10)]
            await asyncio.sleep(0.05)

        asyncio.run(main())
    """)
    run_python("""
        import asyncio, os, threading, time
        import blockpool as bp

        pool = bp.Pool(64, 1)
        kept = pool.allocate()

        async def main():
            await pool.allocate_async()

        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        time.sleep(0.2)
    """)
    assert time.monotonic() - began < 30


def test_importing_blockpool_does_not_import_asyncio(run_python):
    """Only who awaits pays for asyncio."""
    run_python("""
        import sys
        import blockpool
        blockpool.Pool(64, 1).allocate()
        assert "asyncio" not in sys.modules
    """)


def take_and_give(pool, seed, end):
    """Allocate and free in a thread, without asyncio, until that time."""
    chance = random.Random(seed)
    while time.monotonic() < end:
        with pool.allocate(blocks=chance.randint(1, 8), timeout=30):
            time.sleep(chance.random() / 1000)


@pytest.mark.stress
def test_stress(shared, peer):
    """Tasks, threads and another process take and free at random, and tasks are cancelled; all blocks come back."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    end = time.monotonic() + 2
    peer.start(f"""
        import random
        chance = random.Random({seed})
        pool = bp.Pool.attach({shared.name!r})
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with pool.allocate(blocks=chance.randint(1, 8), timeout=30):
                time.sleep(chance.random() / 1000)
        pool.close()
    """)

    async def use(number):
        block = await shared.allocate_async(blocks=chance.randint(1, 16), timeout=chance.choice((None, 0.01, 30)))
        try:
            block.buf[:4] = number.to_bytes(4, "little")
            await asyncio.sleep(chance.random() / 1000)
            assert bytes(block.buf[:4]) == number.to_bytes(4, "little")
        finally:  # the error of a cancelled task keeps this frame
            if chance.random() < 0.1:
                loop.run_in_executor(None, block.release)
            else:
                block.release()

    async def main():
        nonlocal loop
        loop = asyncio.get_running_loop()
        served = number = 0
        while time.monotonic() < end:
            tasks = [asyncio.create_task(use(number + i)) for i in range(50)]
            number += 50
            for task in chance.sample(tasks, 20):
                await asyncio.sleep(chance.choice((0, 0, 0, 0.001)))
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                assert result is None or isinstance(result, (asyncio.CancelledError, bp.PoolExhausted))
            served += results.count(None)
        assert served > 20

    loop = None
    threads = [threading.Thread(target=take_and_give, args=(shared, seed + number, end)) for number in range(2)]
    for each in threads:
        each.start()
    run(main())
    for each in threads:
        each.join(60)
    peer.answer()
    assert_at_rest(shared)
