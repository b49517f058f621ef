"""Fork while tasks wait for room: the child's own call is served by a thread of its own, the parent's calls go on.

Argument: the kind of the pool, private or shared. Prints how much is allocated in the end, by stats and by check.
"""

import asyncio
import sys
import threading

import blockpool as bp
from forking import await_child, in_child, steps

pool = bp.Pool(64, 2) if sys.argv[1] == "private" else bp.Pool.create(64, 2)
await_step, step = steps()


async def wait_in_child(kept):
    """Wait for room while the parent's calls wait for it too, release the child's blocks, and be served."""
    assert not [thread for thread in threading.enumerate() if thread.name == "blockpool-waiter"]
    task = asyncio.create_task(pool.allocate_async(timeout=60))
    await asyncio.sleep(0.01)
    assert not task.done()
    kept.release()
    step()
    (await task).free()


async def main():
    """Wait with four calls, fork, and serve them when the child has released its blocks."""
    kept = pool.allocate(blocks=2)
    tasks = [asyncio.create_task(pool.allocate_async()) for _ in range(4)]
    await asyncio.sleep(0.05)
    child = in_child(lambda: asyncio.run(wait_in_child(kept)))
    assert await_step()
    kept.free()
    for task in tasks:
        (await task).free()
    await_child(child)


asyncio.run(main())
print(pool.stats().allocated, pool.check().allocated)
