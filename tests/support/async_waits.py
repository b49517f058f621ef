"""How tests wait for room with tasks: start them, run them, and see that nothing is left of them."""

import asyncio
import gc
import random
import threading
import time


def waiters():
    """Return the threads that wait on behalf of tasks."""
    return [thread for thread in threading.enumerate() if thread.name == "blockpool-waiter"]


def assert_at_rest(pool, allocated=0):
    """Check that soon no more than that is allocated and no thread waits, and that the bookkeeping is right."""
    gc.collect()
    deadline = time.monotonic() + 60
    while waiters() or pool.stats().allocated != allocated:
        assert time.monotonic() < deadline, (waiters(), pool.stats())
        time.sleep(0.005)
    pool.check()


def run(main, seconds=600):
    """Run a coroutine; a hang is a failure."""
    return asyncio.run(asyncio.wait_for(main, seconds))


async def waiting(pool, *requests):
    """Start tasks that allocate as each of the requests says; return them when all are in the queue."""
    tasks = [asyncio.create_task(pool.allocate_async(**request)) for request in requests]
    await asyncio.sleep(0)  # each runs up to its wait
    return tasks


def take_and_give(pool, seed, end):
    """Allocate and free without asyncio until the time `end`."""
    chance = random.Random(seed)
    while time.monotonic() < end:
        with pool.allocate(blocks=chance.randint(1, 8), timeout=60):
            time.sleep(chance.random() / 1000)
