"""Pass a queue to children, by the start method that the argument names, and to others through a queue.

Each child sends what it was given by its arguments, and what it received.
"""

import multiprocessing
import sys

import blockpool as bp


def work(number, tasks, results):
    """Answer every task."""
    for block in tasks:
        results.put((number, block, bytes(block.buf[:4])))
    results.put(None)


def main():
    """Send blocks to three children and receive their answers."""
    context = multiprocessing.get_context(sys.argv[1])
    pool = bp.Pool.create("4KiB", 64)
    tasks, results = pool.queue(capacity=8), pool.queue(capacity=8)
    children = [context.Process(target=work, args=(number, tasks, results)) for number in range(3)]
    for child in children:
        child.start()
    for number in range(30):
        block = pool.allocate(nbytes=4)
        block.buf[:] = number.to_bytes(4, "little")
        tasks.put(block)
        del block
        if number >= 8:
            _, block, said = results.get(timeout=60)
            assert bytes(block.buf) == said
    tasks.shutdown()
    ended = 0
    while ended < 3:
        ended += results.get(timeout=60) is None
    for child in children:
        child.join(60)
        assert child.exitcode == 0, child
    assert (tasks.unfinished, results.unfinished) == (0, 0)
    block = said = None
    assert pool.stats().tickets == 0
    assert pool.stats().allocated == 0
    pool.check()
    print("well")


if __name__ == "__main__":
    main()
