"""How waits of `pool.allocate_async()` end without a block: by cancelling, closing, forks and the end of a process."""

import asyncio
import gc
import random
import threading
import time

import pytest

import blockpool as bp
from async_waits import assert_at_rest, run, waiters, waiting
from blockpool import _async


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_giving_up_lets_the_next_ones_in(how, monkeypatch):
    """If the first call in the queue gives up, those behind it get the room that was too little for it."""
    pool = bp.Pool(64, 4)
    over = threading.Event()  # until then, the thread does not look by itself
    monkeypatch.setattr(_async, "sleep_since", lambda *_: over.wait(120))

    async def main():
        kept = pool.allocate()
        first = {"blocks": 4, "timeout": 0.1 if how == "timeout" else None}
        began = time.monotonic()
        task, *others = await waiting(pool, first, {}, {}, {})
        await asyncio.sleep(0.02)
        in_time = how == "cancel" or time.monotonic() < began + 0.1
        assert not (in_time and any(other.done() for other in others))
        if how == "cancel":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, bp.PoolExhausted)):
            await task
        await asyncio.wait_for(asyncio.gather(*others), 60)
        kept.free()

    run(main())
    over.set()
    assert_at_rest(pool)


def test_cancelling_before_the_answer(pool):
    """A call that is cancelled while it waits takes no block, and what is freed later stays free."""

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
    """A call that is cancelled after it got its block frees it at once, even while the error is kept."""

    async def main():
        kept = pool.allocate(blocks=16)
        (task,) = await waiting(pool, {})
        kept.free()
        deadline = time.monotonic() + 60
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
    """Tasks of a closed loop cost no block and do not hold up the tasks of another loop, or any thread."""
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
    """Of 200 tasks on four blocks those that are not cancelled are served, and all blocks come back."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    pool = bp.Pool(64, 4)

    async def use(blocks):
        with await pool.allocate_async(blocks=blocks):
            await asyncio.sleep(chance.random() / 1000)

    async def main():
        enough = time.monotonic() + 30
        for round_ in range(5):
            if round_ and time.monotonic() > enough:
                break  # a busy machine takes minutes for each
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
    """A task group that fails cancels thousands of waiting calls quickly, and nothing is left of them."""
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
        assert time.monotonic() - began < 60

    run(main())
    kept.free()
    assert_at_rest(pool)


def test_closing_the_pool_ends_the_wait(pool):
    """Closing the pool raises PoolClosed in all calls that wait and in later ones."""

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
    """Closing one of two Pool objects of a pool ends only the calls that were made through it."""

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
    """A waiting call keeps its pool alive."""

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


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_fork_while_waiting(run_program, kind):
    """After a fork the child's calls are served by a thread of its own, and the parent's calls go on."""
    out = run_program("asyncio/fork_while_waiting.py", kind)
    assert out == "0 0\n"


def test_forking_while_others_are_served(run_program):
    """Children that are forked while a thread's tasks are served can themselves wait for room; no block is lost."""
    run_program("asyncio/forks_while_served.py", timeout=600)


def test_exit_with_waiting_calls(run_program):
    """A program can end while calls wait: it does not hang and prints nothing."""
    for where in ("tasks", "thread"):
        run_program("asyncio/exit_while_waiting.py", where)
