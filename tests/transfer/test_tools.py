"""What goes through the pool by each tool that runs tasks in processes: each row of docs/how-to/processes.md.

Those of multiprocess and pathos are in tests/engines/processes.
"""

import pytest

ROWS = {
    "multiprocessing.Pool, fork": ("pool", "fork", "frames"),
    "multiprocessing.Pool, spawn": ("pool", "spawn"),
    "multiprocessing.Pool, forkserver": ("pool", "forkserver"),
    "ProcessPoolExecutor, fork": ("executor", "fork"),
    "ProcessPoolExecutor, spawn": ("executor", "spawn"),
    "ProcessPoolExecutor, forkserver": ("executor", "forkserver"),
    "joblib, loky": ("joblib", "loky", "frames"),
    "joblib, multiprocessing": ("joblib", "multiprocessing", "frames"),
    "loky": ("loky",),
    "blockpool.Executor": ("blockpool",),
}


@pytest.mark.parametrize("row", ROWS)
def test_arguments_and_results(run_program, row):
    """After one line in the parent, all arguments and results go through the pool, and nothing is left in it."""
    said = run_program("transfer/tools.py", *ROWS[row], timeout=600)
    frames = "8 of 8 frames, " if "frames" in ROWS[row] else ""
    assert said.splitlines() == [f"8 of 8 results, 8 of 8 arguments, 8 of 8 answers, {frames}0 refused", "0 0"]


def test_threads_of_joblib(run_program):
    """Joblib's backend "threading" sends nothing, so nothing is copied or shared."""
    said = run_program("""
        import joblib
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        carrier.install(bp.Pool.create("64KiB", 64))
        array = np.ones(100_000)
        same = joblib.Parallel(2, backend="threading")(joblib.delayed(lambda a: a)(array) for _ in range(2))
        print(same[0] is array, same[1] is array, carrier.stats().copied)
    """)
    assert said.split() == ["True", "True", "0"]


def test_mapped_files_of_joblib(run_program, tmp_path):
    """An array that maps a file is sent by joblib as the name of that file, and not copied into the pool."""
    said = run_program(
        """
        import sys
        import joblib
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        carrier.install(bp.Pool.create("64KiB", 64))
        np.save(sys.argv[1], np.arange(100_000))
        mapped = np.load(sys.argv[1], mmap_mode="r")
        for array in (mapped, np.asarray(mapped)[5:]):
            kinds = joblib.Parallel(2)(joblib.delayed(lambda a: (type(a).__name__, int(a[7])))(array) for _ in range(2))
            print(*kinds[1])
        print(carrier.stats().copied)
        joblib.externals.loky.get_reusable_executor().shutdown()
        """,
        str(tmp_path / "array.npy"),
        timeout=600,
    )
    assert said.split() == ["memmap", "7", "memmap", "12", "0"]


def test_a_reducer_that_the_program_gives_loky(run_program):
    """A reducer of arrays that the program gives an executor of loky is used, and nothing goes through the pool."""
    said = run_program(
        """
        import loky
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        if __name__ == "__main__":
            carrier.install(bp.Pool.create("64KiB", 64))
            executor = loky.ProcessPoolExecutor(1, job_reducers={np.ndarray: lambda array: (list, ([array.size],))})
            print(executor.submit(lambda array: array, np.ones(100_000)).result(), carrier.stats().copied)
            executor.shutdown()
        """,
        timeout=600,
    )
    assert said.split() == ["[100000]", "0"]
