"""Run eight tasks by a tool whose workers were started after `install`, and print what went through the pool.

Arguments: the name of the tool and its method; "frames" behind them adds tasks that return a DataFrame. The library of
the tool is imported after `install`. Prints how many of eight results came by the pool from tasks without arrays, how
many of eight arrays that tasks were given, and of eight that they returned, how many were refused by this process, and
what is left allocated and in flight.
"""

import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier

LARGE = 200_000  # elements: more than joblib's max_nbytes, from which on it maps files


def is_in_pool(array):
    """Return whether the memory of an array is in a pool."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return type(array.base).__name__ == "_Lease" or (
        isinstance(array.base, memoryview) and type(array.base.obj).__name__ == "_Lease"
    )


def made(i):
    """Make an array outside the pool."""
    return np.full(LARGE, float(i))


def framed(i):
    """Make a DataFrame whose columns are outside the pool."""
    import pandas as pd  # takes long, and most tools run without it

    return pd.DataFrame({"a": made(i), "b": made(i + 1)})


def doubled(message):
    """Double the array in a message; say whether it came by the pool."""
    return {"came": is_in_pool(message["array"]), "array": message["array"] * 2, "number": message["number"]}


def lent(message):
    """Return a message as it came, with the sum of its block's bytes."""
    return sum(message["block"].buf[:10]), message["array"], message["block"]


@contextmanager
def workers_of_pool(method):
    """Give the map of a Pool of multiprocessing."""
    with get_context(method).Pool(1) as workers:
        yield lambda task, items: workers.map(task, items, 1)
        workers.close()
        workers.join()


@contextmanager
def workers_of_executor(method):
    """Give the map of an executor of concurrent.futures."""
    with ProcessPoolExecutor(1, get_context(method)) as executor:
        yield lambda task, items: list(executor.map(task, items))


@contextmanager
def workers_of_joblib(backend):
    """Give a map by joblib."""
    import joblib

    with joblib.Parallel(2, backend=backend) as parallel:
        yield lambda task, items: parallel(joblib.delayed(task)(item) for item in items)
    if backend == "loky":
        joblib.externals.loky.get_reusable_executor().shutdown()


@contextmanager
def workers_of_loky():
    """Give the map of loky's executor."""
    import loky

    executor = loky.get_reusable_executor(1)
    yield lambda task, items: list(executor.map(task, items))
    executor.shutdown()


@contextmanager
def workers_of_multiprocess(method):
    """Give the map of a Pool of multiprocess."""
    from multiprocess import get_context as context_of

    with context_of(method).Pool(1) as workers:
        yield lambda task, items: workers.map(task, items, 1)
        workers.close()
        workers.join()


@contextmanager
def workers_of_pathos():
    """Give the map of a pool of pathos."""
    from pathos.pools import ProcessPool

    workers = ProcessPool(1)
    yield workers.map
    workers.close()
    workers.join()
    workers.clear()


@contextmanager
def workers_of_blockpool():
    """Give the map of this package's own executor."""
    with bp.Executor(1, pool=carrier.default_pool()) as executor:
        yield lambda task, items: list(executor.map(task, items))


def use(tool, *how):
    """Run the tasks and print what went through the pool."""
    with_frames = "frames" in how
    how = [word for word in how if word != "frames"]
    heard = logging.StreamHandler()  # whatever it shows is a failure of this program
    # workers that are killed at the end, as those of some tools are, do not leave the pool
    heard.addFilter(lambda record: record.blockpool_event != "recovered")
    logging.getLogger("blockpool").addHandler(heard)
    pool = bp.Pool.create("64KiB", 2048)
    carrier.set_default_pool(pool)
    carrier.install(pool)
    block = pool.allocate(nbytes=10)
    block.buf[:10] = bytes(range(10))
    with globals()[f"workers_of_{tool}"](*how) as run:
        results = list(run(made, range(8)))
        assert [array[7] for array in results] == list(range(8))
        print(f"{sum(map(is_in_pool, results))} of 8 results", end=", ")
        given = [{"array": made(i), "number": i} for i in range(8)]
        answers = list(run(doubled, given))
        assert [answer["array"][7] for answer in answers] == [2 * i for i in range(8)]
        print(f"{sum(answer['came'] for answer in answers)} of 8 arguments", end=", ")
        print(f"{sum(is_in_pool(answer['array']) for answer in answers)} of 8 answers", end=", ")
        if with_frames:
            frames = list(run(framed, range(8)))
            print(f"{sum(is_in_pool(frame['b'].to_numpy()) for frame in frames)} of 8 frames", end=", ")
            del frames
        inside = pool.full(LARGE, 5.0)
        total, array, same = run(lent, [{"array": inside, "block": block}])[0]
        array[0] = 7
        assert (total, inside[0], same.index) == (45, 7, block.index)
        del results, given, answers, inside, array, same, block
    print(f"{carrier.stats().refused} refused")
    carrier.uninstall()
    pool.recover()
    pool.check()
    print(pool.stats().allocated, pool.stats().tickets)


if __name__ == "__main__":
    use(*sys.argv[1:])
