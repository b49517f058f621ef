"""Import blockpool in a fresh interpreter and see what that brings.

Argument: a function below. Nothing but `sys` is imported before it runs.
"""

import sys


def standard_library():
    """Print the top-level packages that `import blockpool` imports."""
    before = set(sys.modules)
    import blockpool  # noqa: F401 - what it brings is the question

    print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))


def statistics():
    """Dataclasses and blockpool.stats are imported with the first use of PoolStats."""
    import blockpool

    assert "dataclasses" not in sys.modules
    assert "blockpool.stats" not in sys.modules
    print(blockpool.PoolStats.__name__, "blockpool.stats" in sys.modules)


def without_the_gil():
    """Each module that can be imported here leaves the GIL off, in a build of Python that can do without."""
    import importlib
    import pkgutil

    import blockpool

    assert not sys._is_gil_enabled()
    for module in pkgutil.walk_packages(blockpool.__path__, "blockpool.", onerror=str):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # it needs a library that is not installed
                continue
            assert not sys._is_gil_enabled(), module.name


def event_loop():
    """blockpool._async is imported with blockpool, asyncio is not; waiting imports nothing more."""
    import blockpool as bp

    assert "blockpool._async" in sys.modules
    assert not {"asyncio", "threading"} & set(sys.modules)
    import asyncio

    async def main():
        pool = bp.Pool(64, 1)
        block = await pool.allocate_async()
        before = set(sys.modules)
        asyncio.get_running_loop().call_later(0.01, block.free)
        del block
        (await pool.allocate_async()).free()
        assert set(sys.modules) == before, set(sys.modules) - before

    asyncio.run(main())


def numpy():
    """NumPy is imported with the first array, not by blocks, views, sharing, DLPack or reports."""
    import blockpool

    pool = blockpool.Pool.create(64, 4)
    block = pool.allocate()
    block.buf[0] = 1
    blockpool.redeem(block.share()).release()
    block.__dlpack__(), block.__array_interface__
    pool.stats(), pool.runs(), pool.check()
    assert "numpy" not in sys.modules
    block.array(3)
    assert "numpy" in sys.modules


def star():
    """`from blockpool import *` gives all names in `__all__`, and they work."""
    names = {}
    exec("from blockpool import *", names)  # noqa: S102 - only a module may say it in plain code
    import blockpool

    assert set(blockpool.__all__) <= set(names)
    names["Pool"](64, 4).stats()


def reloading():
    """Reload blockpool, and import it once more after it was removed from sys.modules; its objects still work."""
    import importlib

    import blockpool

    pool = blockpool.Pool(64, 4)
    block = pool.allocate()
    importlib.reload(blockpool)
    assert blockpool.Pool is type(pool)
    for name in [name for name in sys.modules if name.split(".")[0] == "blockpool"]:
        del sys.modules[name]
    try:
        import blockpool as again
    except ImportError as error:
        print(error)
    else:
        other = again.Pool(64, 4)
        other.allocate().buf[0] = 1
    block.buf[0] = 1
    block.free()
    assert pool.stats().frees == 1


globals()[sys.argv[1]]()
