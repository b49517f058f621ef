"""Put a thousand blocks into a queue or pipe, letting go of each at once, and receive them in a child.

Arguments: the start method, the channel (a class of queues, or Pipe), and the pool's name or nothing.
"""

import multiprocessing
import multiprocessing.util
import sys

import blockpool as bp

COUNT, METHOD, CHANNEL, NAME = 1000, sys.argv[1], sys.argv[2], sys.argv[3] or None


def receive(get, answer):
    """Count the blocks that arrive with their bytes."""
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
        with pool.allocate(nbytes=100 + i % 50, timeout=60) as block:
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
