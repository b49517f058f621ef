"""What `import blockpool` brings, and what it does not."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import blockpool as bp


def test_only_the_standard_library(run_python):
    """`import blockpool` imports nothing but itself and the standard library; numpy, rich and click stay out."""
    out = run_python("""
        import sys
        before = set(sys.modules)
        import blockpool
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
    """)
    # Cython's modules share its types between extensions; they come with the extension and are no files
    strangers = {
        name
        for name in out.split()
        if name not in sys.stdlib_module_names and not name.startswith(("_cython_", "cython_runtime"))
    }
    assert strangers == {"blockpool"}


def test_importing_is_quick_about_it(run_python):
    """Statistics, and so dataclasses, are imported when they are used."""
    out = run_python("""
        import sys
        import blockpool
        assert "dataclasses" not in sys.modules
        assert "blockpool.stats" not in sys.modules
        print(blockpool.PoolStats.__name__, "blockpool.stats" in sys.modules)
    """)
    assert out == "PoolStats True\n"


def test_waiting_in_an_event_loop_imports_nothing_of_ours(run_python):
    """allocate_async() is there with the package: a child forked during a first import would wait for ever.

    asyncio itself is not imported until a loop runs.
    """
    run_python("""
        import sys
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
    """)


def test_numpy_is_imported_for_arrays_only(run_python):
    """Blocks, their views, sharing and DLPack do without; the first array imports it."""
    run_python("""
        import sys
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
    """)


def test_all_is_sorted_and_true():
    """`__all__` is sorted, constants first, without doubles, and each name exists."""
    assert bp.__all__ == sorted(set(bp.__all__), key=lambda name: (not name.isupper(), name))
    for name in bp.__all__:
        assert getattr(bp, name) is not None


def test_all_is_all():
    """Nothing public is missing from `__all__`, and `dir` shows all of it: the rest are the package's own modules."""
    shown = {name for name in dir(bp) if not name.startswith("_")}
    assert shown >= set(bp.__all__)
    for name in shown - set(bp.__all__):
        assert inspect.ismodule(getattr(bp, name))
        assert getattr(bp, name).__name__ == f"blockpool.{name}"


def test_import_star(run_python):
    """`from blockpool import *` gives what `__all__` says."""
    run_python("""
        from blockpool import *
        import blockpool
        assert set(blockpool.__all__) <= set(globals())
        Pool(64, 4).stats()
    """)


def test_an_unknown_name():
    """An unknown attribute is an AttributeError with its name."""
    with pytest.raises(AttributeError, match="'blockpool' has no attribute 'pol'"):
        bp.pol
    with pytest.raises(ImportError):
        from blockpool import pol  # noqa: F401


def test_version():
    """The version is a string of numbers."""
    assert all(part.isdigit() for part in bp.__version__.split("."))


@pytest.mark.parametrize("name", bp.__all__)
def test_every_public_name_has_a_docstring(name):
    """Each class, each of its public methods and properties says what it does."""
    thing = getattr(bp, name)
    if not inspect.isclass(thing):
        return
    assert inspect.getdoc(thing)
    if issubclass(thing, BaseException):
        return
    # plain fields are described in the docstring of the class
    for attribute, value in vars(thing).items():
        if not attribute.startswith("_"):
            in_a_list = re.search(rf"(^|, ) *{attribute}(,| :|$)", thing.__doc__, re.MULTILINE)
            assert inspect.getdoc(value) or in_a_list, attribute


SIGNATURES = {
    bp.Pool: "(block_size, blocks=None, *, buffer=None, prefault=False, huge_pages=False, debug=None)",
    bp.Pool.allocate: "(self, /, *, blocks=None, nbytes=None, timeout=0)",
    bp.Pool.allocate_async: "(self, /, *, blocks=None, nbytes=None, timeout=None)",
    bp.Pool.allocate_many: "(self, /, count, *, timeout=0)",
    bp.Pool.empty: "(self, /, shape, dtype=None, *, order='C', timeout=0)",
    bp.Pool.zeros: "(self, /, shape, dtype=None, *, order='C', timeout=0)",
    bp.Pool.full: "(self, /, shape, fill_value, dtype=None, *, order='C', timeout=0)",
    bp.Pool.asarray: "(self, /, source, dtype=None, *, order='K', timeout=0)",
    bp.Pool.stats: "(self, /)",
    bp.Pool.runs: "(self, /)",
    bp.Pool.check: "(self, /)",
    bp.Pool.residency: "(self, /)",
    bp.Pool.outstanding: "(self, /)",
    bp.Pool.close: "(self, /)",
    bp.Pool.__exit__: "(self, kind, value, traceback, /)",
    bp.Block.free: "(self, /)",
    bp.Block.release: "(self, /)",
    bp.Block.readonly: "(self, /)",
    bp.Block.array: "(self, /, shape, dtype=None, *, order='C')",
    bp.Block.__dlpack__: "(self, /, *, stream=None, max_version=None, dl_device=None, copy=None)",
    bp.Block.__dlpack_device__: "(self, /)",
    bp.Block.__exit__: "(self, kind, value, traceback, /)",
}


@pytest.mark.parametrize(("thing", "signature"), SIGNATURES.items(), ids=lambda it: getattr(it, "__qualname__", ""))
def test_signatures(thing, signature):
    """help() and editors see the real signatures, and docstrings do not begin with a second one."""
    assert str(inspect.signature(thing)) == signature
    assert not (thing.__doc__ or "").lstrip().startswith(f"{thing.__name__}(")


def test_bound_signatures(pool):
    """So do bound methods."""
    assert str(inspect.signature(pool.allocate)) == "(*, blocks=None, nbytes=None, timeout=0)"
    assert str(inspect.signature(pool.allocate_many)) == "(count, *, timeout=0)"


def test_internal_types_are_not_to_be_had():
    """The extension module offers Pool and Block; what stands behind them cannot be imported."""
    core = importlib.import_module("blockpool._core")
    classes = {name for name, value in vars(core).items() if inspect.isclass(value)}
    assert {name for name in classes if getattr(core, name).__module__ == core.__name__} == {
        "Pool",
        "Block",
    }


def test_reloading(run_python):
    """Reloading the package is harmless; so is importing it anew after it was thrown out of sys.modules."""
    run_python("""
        import importlib, sys
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
    """)


@pytest.mark.parametrize("number", [1, 3])
def test_subinterpreters(number):
    """In a subinterpreter the import works or is an ImportError; the main interpreter goes on either way."""
    code = f"""
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("none")
        raise SystemExit
import blockpool

pool = blockpool.Pool(64, 4)
block = pool.allocate()
script = '''
try:
    import blockpool
    pool = blockpool.Pool(64, 2)
    view = pool.allocate().buf
    view[0] = 1
except ImportError:
    pass
'''
for _ in range({number}):
    interpreter = interpreters.create()
    interpreters.run_string(interpreter, script)
    interpreters.destroy(interpreter)
block.buf[0] = 1
block.free()
pool.check()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if done.stdout == "none\n":
        pytest.skip("this Python has no module for subinterpreters")
    assert done.stdout == "done\n"


def test_a_subinterpreter_that_imports_first():
    """In a subinterpreter the import is an ImportError that says so; the main interpreter can import afterwards."""
    code = """
try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        print("none")
        raise SystemExit
script = '''
for name in "blockpool", "blockpool._core", "blockpool._index", "blockpool.classic":
    try:
        __import__(name)
    except ImportError as error:
        assert "main interpreter" in str(error) or "subinterpreters" in str(error), error
    else:
        raise AssertionError(name)
'''
for _ in range(3):
    interpreter = interpreters.create()
    answer = interpreters.run_string(interpreter, script)
    assert answer is None, answer
    interpreters.destroy(interpreter)
import blockpool
blockpool.Pool(64, 4).allocate().buf[0] = 1
blockpool.IndexPool(64).allocate()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if done.stdout == "none\n":
        pytest.skip("this Python has no module for subinterpreters")
    assert done.stdout == "done\n"
