"""Pass a block of a pool without a name to processes of each start method, and try to create one with a name.

Argument: that name. Prints what each process and the last create say.
"""

import multiprocessing
import sys

import blockpool as bp


def add(connection):
    """Receive a block, and add one to its first byte."""
    with connection.recv() as block:
        block.buf[0] += 1
    connection.send("done")


if __name__ == "__main__":
    pool = bp.Pool.create("1MiB", 80)
    block = pool.allocate(blocks=40)
    for method in ("fork", "spawn", "forkserver"):
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context(method).Process(target=add, args=(there,))
        process.start()
        here.send(block)
        print(here.recv())
        process.join()
    print(block.buf[0])
    try:
        bp.Pool.create("1MiB", 80, name=sys.argv[1])
    except (bp.PoolExhausted, OSError) as error:
        print("refused")
