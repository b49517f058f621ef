"""Requests that wait for room are counted in `stats()`: how many, and how long they waited in all."""

import asyncio
import threading
import time
from contextlib import suppress

import pytest

import blockpool as bp
from async_waits import run, waiting
from threads import together
from waits import await_true

WAYS = {
    "single": lambda pool, timeout: pool.allocate(timeout=timeout),
    "run": lambda pool, timeout: pool.allocate(blocks=2, timeout=timeout),
    "many": lambda pool, timeout: pool.allocate_many(3, timeout=timeout),
    "async": lambda pool, timeout: asyncio.run(pool.allocate_async(blocks=2, timeout=timeout)),
}
ROUNDED = 1e-6  # seconds: the times are summed up in whole nanoseconds
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def counted(pool):
    """Return how many requests waited, and how long."""
    stats = pool.stats()
    assert (type(stats.waits), type(stats.waited)) == (int, float)
    return stats.waits, stats.waited


class Timed:
    """How long the body of a `with` took."""

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, *error):
        self.seconds = time.monotonic() - self.began


def await_as_long(pool, wait, least):
    """Let `wait` wait, again and again, until one time counts at least that many seconds.

    A timeout begins when the call does, so a busy machine may take from the wait; but not each time.
    """

    def is_counted():
        _, before = counted(pool)
        wait()
        return counted(pool)[1] - before >= least - ROUNDED

    await_true(is_counted)


@ways
def test_without_a_wait(each, way):
    """What finds room at once did not wait, whatever its timeout, nor did what fails at once."""
    for timeout in (0, 1, 60):
        way(each, timeout)
    kept = each.allocate(blocks=16)
    with pytest.raises(bp.PoolExhausted):
        way(each, 0)
    assert counted(each) == (0, 0.0)
    del kept


@ways
def test_a_wait_that_gets_room(each, way, await_a_wait):
    """A request that waited until it got room counts as one, with the time that it waited."""
    kept = each.allocate(blocks=16)
    least = Timed()

    def free_soon(kept):
        await_a_wait(each)
        with least:
            time.sleep(0.1)
        kept.free()

    threading.Thread(target=free_soon, args=(kept,)).start()
    with Timed() as call:
        got = way(each, 60)
    waits, waited = counted(each)
    assert waits == 1
    assert least.seconds - ROUNDED <= waited <= call.seconds
    del got, kept
    way(each, 60)
    assert counted(each) == (waits, waited)


@ways
def test_a_wait_that_times_out(each, way):
    """A request that waited and got nothing counts as one, with the time that it waited."""
    kept = each.allocate(blocks=16)
    calls = 0

    def time_out():
        nonlocal calls
        calls += 1
        with pytest.raises(bp.PoolExhausted):
            way(each, 0.05)

    with Timed() as all_calls:
        await_as_long(each, time_out, 0.05)
        await_as_long(each, time_out, 0.05)
    waits, waited = counted(each)
    assert (waits, each.stats().failures) == (calls, calls)
    assert waited <= all_calls.seconds
    del kept


def test_cancelled_waits(each):
    """A cancelled request waited, until it was cancelled."""
    least = Timed()

    async def main():
        tasks = await waiting(each, {}, {}, {})
        with least:
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    kept = each.allocate(blocks=16)
    with Timed() as call:
        run(main())
    waits, waited = counted(each)
    assert waits == 3
    assert 3 * (least.seconds - ROUNDED) <= waited <= 3 * call.seconds
    del kept


def test_waits_of_threads_add_up(each):
    """What threads wait at the same time adds up."""
    kept = each.allocate(blocks=16)

    def wait(_):
        with suppress(bp.PoolExhausted):
            each.allocate(timeout=0.2)

    rounds = 0

    def wait_together():
        nonlocal rounds
        rounds += 1
        together(wait)

    await_as_long(each, wait_together, 4 * 0.2)
    assert counted(each)[0] == 4 * rounds
    del kept


def test_a_wait_that_ends_with_its_pool(each, await_a_wait):
    """When another thread closes the pool, the wait ends, and nothing breaks by counting it."""
    kept = each.allocate(blocks=16)
    ended = []

    def wait():
        try:
            each.allocate(timeout=60)
        except bp.PoolClosed as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    await_a_wait(each)
    each.close()
    thread.join(60)
    assert len(ended) == 1
    del kept


def test_waits_of_other_processes(shared, peer):
    """In a shared pool the waits of all processes count, and still do when they have ended."""
    kept = shared.allocate(blocks=16)
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        for _ in range(2):
            try:
                pool.allocate(timeout=0.1)
            except bp.PoolExhausted:
                pass
    """)
    waits, waited = counted(shared)
    assert waits == 2
    assert waited > 0
    assert peer("pool.stats().waits, pool.stats().waited") == (waits, waited)
    peer.kill()
    await_true(lambda: shared.recover().processes)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(timeout=0.1)
    again, longer = counted(shared)
    assert again == 3
    assert longer > waited
    del kept


def test_waits_of_a_forked_child(run_program):
    """A forked child's waits count in a shared pool; in a private pool they count in the child's copy only."""
    run_program("shared/waits_of_a_child.py", "wait_in_the_child")


@pytest.mark.parametrize("on_fork", ["share", "detach"])
def test_a_fork_during_a_wait(run_program, on_fork):
    """When a signal handler forks during a wait, parent and child end theirs, and counting it breaks neither."""
    run_program("shared/waits_of_a_child.py", "fork_while_waiting", on_fork)
