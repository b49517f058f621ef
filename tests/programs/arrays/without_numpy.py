"""Ask for arrays where NumPy cannot be imported; print the messages of the errors, and check that all else works.

Arguments: how NumPy is missing, "not installed" or "blocked"; what is asked for, "arrays" or "allocator".
"""

import sys


class Absent:
    """Finds no NumPy."""

    @staticmethod
    def find_spec(name, _path, _target=None):
        """Raise the error that the import of a package that is not installed raises."""
        if name == "numpy":
            raise ModuleNotFoundError("No module named 'numpy'", name=name)


if sys.argv[1] == "blocked":
    sys.modules["numpy"] = None
else:
    sys.meta_path.insert(0, Absent)

import blockpool as bp  # noqa: E402 - from here on there is no NumPy


def say(call, *arguments):
    """Print the message of the ImportError that a call raises."""
    try:
        call(*arguments)
    except ImportError as error:
        print(error)


def arrays():
    """Ask for arrays in each way, twice, in a pool of each kind."""
    for pool in (bp.Pool(64, 4), bp.Pool.create(64, 4)):
        block = pool.allocate()
        block.buf[:2] = b"ok"
        calls = [pool.empty, pool.zeros, pool.asarray, block.array, lambda n, pool=pool: pool.full(n, 1)]
        for call in 2 * calls:
            say(call, 3)
        assert block.__dlpack_device__() == (1, 0)
        del block.__array_interface__["data"]
        block.__dlpack__()
        block.free()
        assert pool.stats().allocations == 1
        pool.check()


def allocator():
    """Ask for NumPy's arrays to be in a pool."""
    say(bp.Pool(64, 4, debug=False).numpy_allocator)


globals()[sys.argv[2]]()
