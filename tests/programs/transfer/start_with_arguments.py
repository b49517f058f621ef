"""Start processes with an array and a block as arguments; print what each received, then the references in flight."""

import multiprocessing

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier


def show(array, block, answers):
    """Tell what arrived."""
    answers.send((int(array.sum()), block.buf[0]))


if __name__ == "__main__":
    pool = bp.Pool.create("16KiB", 64)
    carrier.install(pool)
    for method in ("spawn", "forkserver"):
        block = pool.allocate()
        block.buf[0] = 7
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context(method).Process(target=show, args=(np.ones(100_000), block, there))
        process.start()
        there.close()
        print(*here.recv(), end=" ")
        process.join()
    pool.recover()
    print(pool.stats().tickets)
