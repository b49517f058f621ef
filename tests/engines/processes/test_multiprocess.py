"""multiprocess and pathos, whose pickler is dill's: arguments and results go through the pool. See tests/transfer."""

import pytest

pytest.importorskip("multiprocess")
pytest.importorskip("pathos")

ROWS = {
    "multiprocess.Pool, fork": ("multiprocess", "fork", "frames"),
    "multiprocess.Pool, spawn": ("multiprocess", "spawn"),
    "multiprocess.Pool, forkserver": ("multiprocess", "forkserver"),
    "pathos": ("pathos",),
}


@pytest.mark.parametrize("row", ROWS)
def test_arguments_and_results(run_program, row):
    """After one line in the parent, all arguments and results go through the pool, and nothing is left in it."""
    said = run_program("transfer/tools.py", *ROWS[row], timeout=600)
    frames = "8 of 8 frames, " if "frames" in ROWS[row] else ""
    assert said.splitlines() == [f"8 of 8 results, 8 of 8 arguments, 8 of 8 answers, {frames}0 refused", "0 0"]


def test_functions_of_the_main_module(run_program):
    """A function that only dill can pickle is sent in the same message as an array that goes through the pool."""
    said = run_program(
        """
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        carrier.install(bp.Pool.create("64KiB", 64))
        import multiprocess

        factor = 3
        with multiprocess.get_context("fork").Pool(1) as workers:
            array = np.ones(100_000)
            print(workers.map(lambda given: float(given.sum()) * factor, [array]), carrier.stats().copied)
        carrier.uninstall()
        """,
        timeout=600,
    )
    assert said.split() == ["[300000.0]", "1"]


def test_a_reader_that_is_gone(run_program):
    """A send that fails because nobody reads leaves nothing in flight and nothing allocated."""
    said = run_program(
        """
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier

        pool = bp.Pool.create("64KiB", 64)
        carrier.install(pool)
        import multiprocess

        here, there = multiprocess.Pipe()
        there.close()
        for message in (pool.allocate(), np.ones(100_000), [np.ones(100_000), {"a": pool.allocate()}]):
            try:
                here.send(message)
            except BrokenPipeError:
                print("broken", pool.stats().tickets)
        del message
        print(pool.stats().allocated)
        """
    )
    assert said.split() == ["broken", "0"] * 3 + ["0"]
