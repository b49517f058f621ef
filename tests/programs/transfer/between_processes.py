"""Send arrays between processes with a pool installed, and print where they arrived and what was counted.

Arguments: the case, which is the name of a function at the end of this file, and for `everything` the start method.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier


def place(array):
    """Name what keeps the memory of an array: `_Lease` if it is in a pool."""
    return type(array.base).__name__


def double(array):
    """Double an array, and say where it came from.

    A task that came through the pool installed the pool in this process: its result goes the same way.
    """
    return array * 2, place(array)


def serve(pipe):
    """Answer each array with its sum, and write to it, until None comes."""
    while (array := pipe.recv()) is not None:
        pipe.send(float(array.sum()))
        array[:] = 1


def fill(queue, pool):
    """Put one array of a pool into a queue."""
    carrier.install(pool)
    queue.put({"array": pool.full(100_000, 3.0)})
    queue.close()
    queue.join_thread()


def made(n):
    """Make an array outside the pool."""
    return np.ones(n)


def show(array, queue):
    """Tell what a process was started with."""
    queue.put((float(array.sum()), place(array)))


def make_pool(blocks):
    """Make a pool, and have arrays travel through it."""
    pool = bp.Pool.create("64KiB", blocks)
    carrier.install(pool)
    return pool


def finish(pool):
    """Print how much is still allocated and in flight."""
    pool.recover()
    pool.check()
    print(pool.stats().allocated, pool.stats().tickets)


def through_pipe(context, pool):
    """Send an array of the pool, and one that is not in it, to a process that answers and writes to them."""
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,))
    server.start()
    kept = pool.full(100_000, 2.0)
    here.send(kept)
    assert here.recv() == 200_000
    here.send(np.ones(100_000))
    assert here.recv() == 100_000
    assert kept.sum() == 100_000, "the receiver wrote to the same memory"
    here.send(None)
    server.join()


def through_queue(context, pool):
    """Receive an array of the pool from a process that puts it into a queue."""
    queue = context.Queue()
    filler = context.Process(target=fill, args=(queue, pool))
    filler.start()
    array = queue.get()["array"]
    assert array.sum() == 300_000
    assert place(array) == "_Lease"
    filler.join()


def through_workers(context, pool):
    """Send tasks to the workers of a Pool and of an executor, and receive their results."""
    inputs = [np.full(100_000, i) for i in range(4)]
    with context.Pool(2) as workers:
        outputs = workers.map(double, inputs)
        workers.close()
        workers.join()
    with ProcessPoolExecutor(2, context) as executor:
        outputs += executor.map(double, inputs)
    check_doubled(outputs, 4)
    with context.Pool(2, carrier.install, (pool,)) as workers:  # these send before they receive
        results = workers.map(made, [100_000] * 4)
        workers.close()
        workers.join()
    assert {place(array) for array in results} == {"_Lease"}


def check_doubled(outputs, count):
    """Check what `double` returned for arrays filled with 0, 1, … up to the count, and with these again."""
    for i, (array, there) in enumerate(outputs):
        assert there == place(array) == "_Lease", i
        assert array[7] == i % count * 2


def everything(method):
    """Use a Pipe, a Queue, a Pool and an executor, with processes started by the method."""
    context = multiprocessing.get_context(method)
    pool = make_pool(1024)
    for way in (through_pipe, through_queue, through_workers):
        way(context, pool)
    print(carrier.stats().copied, carrier.stats().shared, carrier.stats().refused)
    finish(pool)


def arguments():
    """Start a process with an array as its argument."""
    context = multiprocessing.get_context("spawn")
    make_pool(128)
    queue = context.SimpleQueue()
    process = context.Process(target=show, args=(np.ones(100_000), queue))
    process.start()
    print(*queue.get(), carrier.stats().copied)
    process.join()


def manager():
    """Put an array into a manager's dict and take it out."""
    make_pool(128)
    with multiprocessing.get_context("spawn").Manager() as started:
        shelf = started.dict()
        shelf["a"] = np.full(100_000, 5)
        array = shelf["a"]
        print(array.sum(), place(array))


def with_loky():
    """Use loky's workers, also after this process has uninstalled the pool."""
    import loky

    pool = make_pool(1024)
    inputs = [np.full(200_000, i) for i in range(4)]
    check_doubled(loky.get_reusable_executor(2).map(double, inputs), 4)
    print(carrier.stats().copied)
    carrier.uninstall()
    array, there = loky.get_reusable_executor(2).submit(double, inputs[1]).result()
    assert place(array) == "_Lease", "the worker still sends so"
    assert there != "_Lease", "but not this process"
    loky.get_reusable_executor().shutdown()
    del array
    finish(pool)


def with_joblib():
    """Use joblib's workers, which are loky's."""
    import joblib
    import joblib.externals.loky

    pool = make_pool(1024)
    inputs = [np.full(200_000, i) for i in range(4)]
    check_doubled(joblib.Parallel(n_jobs=2)(joblib.delayed(double)(array) for array in inputs), 4)
    print(carrier.stats().copied)
    carrier.uninstall()
    joblib.externals.loky.get_reusable_executor().shutdown()
    finish(pool)


def declined():
    """Use a worker that uninstalled the pool before it received anything."""
    make_pool(128)
    with multiprocessing.get_context("spawn").Pool(1, carrier.uninstall) as workers:
        array, there = workers.apply(double, (np.ones(100_000),))
    print(there, place(array))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
