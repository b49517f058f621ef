"""End while calls wait for room. Argument: where they wait, in "tasks" of a loop that is over or in a "thread"."""

import asyncio
import sys
import threading
import time

import blockpool as bp

pool = bp.Pool(64, 1)
kept = pool.allocate()
tasks = []


def calls_wait():
    """Say whether the thread that waits for all calls runs."""
    return any(thread.name == "blockpool-waiter" for thread in threading.enumerate())


async def wait_in_tasks():
    """Let ten calls wait, and leave them."""
    tasks.extend(asyncio.create_task(pool.allocate_async()) for _ in range(10))
    await asyncio.sleep(0.05)


async def wait_for_ever():
    """Wait for room, which there will never be."""
    await pool.allocate_async()


if sys.argv[1] == "tasks":
    asyncio.run(wait_in_tasks())
else:
    threading.Thread(target=asyncio.run, args=(wait_for_ever(),), daemon=True).start()
    while not calls_wait():
        time.sleep(0.001)
