"""`await pool.allocate_async()`: a task waits for room while its event loop goes on."""

import asyncio
import ctypes
import gc
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import blockpool as bp
from async_waits import assert_at_rest, run, take_and_give, waiters, waiting
from blockpool import _async, _core
from collecting import collect_quickly

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


def test_room_is_given_at_once(pool):
    """With room the call returns what `allocate` would, without a thread and without letting other tasks run."""

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
    """A `with` around the call releases the block at its end, whether or not the call had to wait."""

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
    """A waiting task gets its blocks once they are given back, in any way and by any thread, and the loop goes on."""

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
    """A free wakes the task at once; the task does not have to wait until the thread next looks by itself."""
    pool = bp.Pool(64, 1)

    async def main():
        prompt, deadline = 0, time.monotonic() + 60
        while prompt < 40:
            assert time.monotonic() < deadline, f"only {prompt} were prompt"
            block = await pool.allocate_async()
            (task,) = await waiting(pool, {})
            await asyncio.sleep(0.005)
            began = time.monotonic()
            block.free()
            (await task).free()
            prompt += time.monotonic() - began < 0.1

    run(main())
    assert_at_rest(pool)


def test_another_process_gives_room(shared, peer):
    """In a shared pool a task gets the blocks that another process frees."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate(blocks=16); pool.stats().allocated")

    async def main():
        (task,) = await waiting(shared, {"blocks": 2})
        await asyncio.sleep(0.05)
        assert not task.done()
        await asyncio.to_thread(peer, "kept.free()")
        assert (await task).blocks == 2

    run(main())
    peer("pool.close()")
    assert_at_rest(shared)


def test_a_dead_process_gives_room(shared, peer):
    """In a shared pool a waiting task gets the blocks of a process that was killed."""
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
    """Blocks in unreachable cycles are collected for calls without a timeout and for calls whose time is over."""

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
    """A block that becomes garbage after the first collection still reaches a call that waits without a timeout."""
    held, collected = threading.Event(), threading.Event()

    def count(phase, info):
        if phase == "stop" and info["generation"] == 2:
            collected.set()

    def hold():
        cycle = [pool.allocate(blocks=16)]
        cycle.append(cycle)
        held.set()
        assert collected.wait(60)

    async def main():
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        gc.callbacks.append(count)
        try:
            (await pool.allocate_async(blocks=16)).free()
        finally:
            gc.callbacks.remove(count)
            holder.join()

    gc.disable()
    try:
        collect_quickly()
        run(main())
    finally:
        gc.enable()
    assert_at_rest(pool)


def test_the_time_runs_out(pool):
    """A call raises PoolExhausted after `timeout` seconds and not before, and each is counted as one failure."""
    kept = pool.allocate(blocks=16)

    async def main():
        began = time.monotonic()
        tasks = await waiting(pool, *[{"timeout": 0.1}] * 20)
        for task in tasks:
            with pytest.raises(bp.PoolExhausted, match="asked for 1 block; 0 of 16 free"):
                await task
        assert 0.1 <= time.monotonic() - began < 60
        with pytest.raises(bp.PoolExhausted):
            await pool.allocate_async(timeout=0)

    run(main())
    assert pool.stats().failures == 21
    kept.free()
    assert_at_rest(pool)


def test_garbage_is_collected_once_for_many(pool):
    """A thousand calls that time out together do not collect garbage a thousand times."""
    kept = pool.allocate(blocks=16)
    began, ended = [], []

    def note(phase, info):
        if info["generation"] == 2:
            (began if phase == "start" else ended).append(time.monotonic())

    async def main():
        gc.callbacks.append(note)
        start = time.monotonic()
        tasks = await waiting(pool, *[{"timeout": 0.05}] * 1000)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        took = time.monotonic() - start
        gc.callbacks.remove(note)
        assert {type(result) for result in results} == {bp.PoolExhausted}
        # Where all takes long, there is time for more of them.
        assert len(began) < 20 or sum(ended) - sum(began) < took / 10

    run(main())
    kept.free()
    assert_at_rest(pool)


@pytest.mark.parametrize("arguments", IMPOSSIBLE)
def test_impossible_requests(pool, arguments):
    """What `allocate` refuses raises the same error at the call itself, with room and without."""
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
    """A run that waits first is served first, though single blocks behind it would fit, and the others in order."""
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
        await asyncio.wait_for(asyncio.gather(*tasks[1:]), 60)
        await asyncio.sleep(0.02)
        assert not late.done()
        tasks[1].result().free()
        (await late).free()

    run(main())
    del main
    assert_at_rest(pool)


def test_one_thread_a_pool():
    """One daemon thread a pool waits for all tasks, and ends when none waits."""
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
    """While nothing is freed the thread looks for room a few times a second, however many tasks wait."""
    kept = pool.allocate(blocks=16)
    looks = []
    monkeypatch.setattr(_async, "free_sequence", lambda mapping: looks.append(1) or moment(mapping))
    moment = _core.free_sequence

    async def main():
        tasks = await waiting(pool, *[{"timeout": 0.5}] * 50)
        await asyncio.gather(*tasks, return_exceptions=True)

    began = time.monotonic()
    run(main())
    assert 1 <= len(looks) < 20 + 4 * (time.monotonic() - began)
    kept.free()
    assert_at_rest(pool)


def test_loops_in_several_threads(pool):
    """Event loops in several threads wait in one queue of the pool, with one thread."""
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
    deadline = time.monotonic() + 60
    while sum(len(waiter.queue) for waiter in list(_async.waiters.values())) < 12:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert len(waiters()) == 1
    kept.free()
    for thread in threads:
        thread.join()
    assert len(served) == 600
    assert_at_rest(pool)


def test_errors_of_debug_mode_reach_a_caller():
    """In debug mode a write after free raises WriteAfterFree in the call that waits for that block."""
    pool = bp.Pool(64, 1, debug=True)

    async def main():
        kept = pool.allocate()
        address = kept.address
        (task,) = await waiting(pool, {})
        with _async.async_lock:  # the thread that serves tasks does not look before the write
            kept.free()
            ctypes.memset(address, 1, 4)
        with pytest.raises(bp.WriteAfterFree):
            await task
        (await pool.allocate_async()).free()

    run(main())
    assert_at_rest(pool)


def test_importing_blockpool_does_not_import_asyncio(run_python):
    """Importing and using blockpool without `await` does not import asyncio."""
    run_python("""
        import sys, blockpool
        blockpool.Pool(64, 1).allocate()
        assert "asyncio" not in sys.modules
    """)


@pytest.mark.stress
def test_stress(shared, run_program):
    """Tasks, threads and another process allocate and free, tasks are cancelled, and all blocks come back."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    end = time.monotonic() + 2

    async def use(number):
        block = await shared.allocate_async(blocks=chance.randint(1, 16), timeout=chance.choice((None, 0.01, 60)))
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
        while time.monotonic() < end or served <= 20 or not other.done():
            tasks = [asyncio.create_task(use(number + i)) for i in range(50)]
            number += 50
            for task in chance.sample(tasks, 20):
                await asyncio.sleep(chance.choice((0, 0, 0, 0.001)))
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                assert result is None or isinstance(result, (asyncio.CancelledError, bp.PoolExhausted))
            served += results.count(None)

    loop = None
    other = ThreadPoolExecutor(1).submit(run_program, "asyncio/take_and_give.py", shared.name, str(seed), "2")
    threads = [threading.Thread(target=take_and_give, args=(shared, seed + number, end)) for number in range(2)]
    for each in threads:
        each.start()
    run(main())
    for each in threads:
        each.join()
    other.result()
    assert_at_rest(shared)
