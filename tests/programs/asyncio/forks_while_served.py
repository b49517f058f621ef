"""Fork again and again while the tasks of a thread are served: each child can wait for room, and no block is lost."""

import asyncio
import os
import threading
import time

import blockpool as bp
from forking import in_child

pool = bp.Pool.create(64, 2)
stop = threading.Event()


async def use():
    """Allocate and release until it is time to stop."""
    while not stop.is_set():
        with await pool.allocate_async(timeout=60):
            await asyncio.sleep(0)


async def use_in_tasks():
    """Do so in twenty tasks."""
    await asyncio.gather(*(use() for _ in range(20)))


def wait_in_child():
    """Wait for room in a pool of the child's own."""
    private = bp.Pool(64, 1)
    kept = private.allocate()

    async def wait():
        asyncio.get_running_loop().call_later(0.001, kept.free)
        (await private.allocate_async(timeout=60)).free()

    asyncio.run(wait())


def end_in_time(child):
    """Wait for a child, which must end well; kill it if it hangs."""
    deadline = time.monotonic() + 120
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            raise SystemExit("a child hangs")
        time.sleep(0.001)
    assert ended[1] == 0


thread = threading.Thread(target=asyncio.run, args=(use_in_tasks(),))
thread.start()
time.sleep(0.05)
for _ in range(30):
    end_in_time(in_child(wait_in_child))
stop.set()
thread.join()
pool.recover()
assert pool.stats().allocated == 0, pool.stats()
pool.check()
