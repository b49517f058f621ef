"""Put 500 blocks into a queue and end, before the child receives any.

Argument: the name of the pool.
"""

import multiprocessing
import multiprocessing.util
import sys
import time

import blockpool as bp


def receive(queue):
    """Begin late, and receive all."""
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
