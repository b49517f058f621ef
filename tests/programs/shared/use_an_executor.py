"""Pass blocks to the workers of a ProcessPoolExecutor, which answer with blocks of their own.

Arguments: the start method, the name of the pool.
"""

import concurrent.futures
import multiprocessing
import sys

import blockpool as bp


def double(block):
    """Return a block with the bytes of that one doubled."""
    with bp.Pool.attach(sys.argv[2]) as pool:
        result = pool.allocate(nbytes=block.nbytes)
    result.buf[:] = bytes(2 * byte for byte in block.buf)
    return result


if __name__ == "__main__":
    pool = bp.Pool.create(64, 256, name=sys.argv[2])
    context = multiprocessing.get_context(sys.argv[1])
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        futures = []
        for i in range(60):
            with pool.allocate(nbytes=10 + i) as block:
                block.buf[:] = bytes([i]) * (10 + i)
                futures.append(executor.submit(double, block))
    del block
    for i, future in enumerate(futures):
        assert bytes(future.result().buf) == bytes([2 * i]) * (10 + i)
    pool.recover()
    stats = pool.stats()
    assert (stats.processes, stats.tickets, stats.allocated) == (1, 0, 60 + sum(10 + i > 64 for i in range(60)))
    del futures, future
    assert pool.check().allocated == 0
