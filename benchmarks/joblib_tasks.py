"""How long do tasks of joblib with large arrays take, with one line of `install` and without?

Eight tasks for two workers of the default backend: each is given an array of 16 MB and doubles it, or makes one. The
two take turns, each in a process of its own with workers of its own, which are started before anything is timed.
Without `install`, joblib writes the arguments to files in /dev/shm, and pickles the results.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import _measure
import joblib
import numpy as np

import blockpool
import blockpool.multiprocessing as carrier

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASKS = 8
ELEMENTS = 2_000_000  # of 8 bytes
WORKERS = 2
PAIRS = 11


def doubled(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Double an array."""
    return array * 2


def made(number: int) -> NDArray[np.float64]:
    """Make an array."""
    return np.full(ELEMENTS, float(number))


def serve(blocks: int) -> None:
    """Run the tasks whenever their name comes on stdin, and answer how many nanoseconds they took.

    They go through a pool of so many blocks, or without one if there are none.
    """
    if blocks:
        carrier.install(blockpool.Pool.create("1MiB", blocks, prefault=True), on_full="raise")
    given = [made(i) for i in range(TASKS)]
    with joblib.Parallel(WORKERS) as parallel:
        for what in map(str.strip, sys.stdin):
            began = time.perf_counter_ns()
            if what == "given":
                results = parallel(joblib.delayed(doubled)(array) for array in given)
            else:
                results = parallel(joblib.delayed(made)(i) for i in range(TASKS))
            took = time.perf_counter_ns() - began
            assert [array[-1] for array in results] == [i * (1 + (what == "given")) for i in range(TASKS)]
            del results
            print(took, flush=True)
    joblib.externals.loky.get_reusable_executor().shutdown()


def main() -> None:
    """Compare both kinds of tasks."""
    sizes = 3 * TASKS * ELEMENTS * 8 // 2**20, 0
    servers = [
        subprocess.Popen(
            [sys.executable, __file__, str(blocks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for blocks in sizes
    ]
    rows = []
    for what, name in (("given", "8 tasks, 16 MB there and back"), ("made", "8 tasks, 16 MB back")):
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(PAIRS + 1):
            for server, taken in zip(servers, times, strict=True):
                assert server.stdin is not None
                assert server.stdout is not None
                print(what, file=server.stdin, flush=True)
                took = float(server.stdout.readline())
                if turn:  # the first starts the workers
                    taken.append(took)
        rows.append(_measure.of_pairs(name, times[0], "without install", times[1], faster=True))
    for server in servers:
        server.communicate()
    _measure.report("joblib with install", rows, {"joblib": joblib.__version__, "workers": WORKERS, "pairs": PAIRS})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        main()
