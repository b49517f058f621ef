"""What `import blockpool` brings, and what it does not."""

import importlib
import inspect
import re
import sys
import sysconfig

import pytest

import blockpool as bp

IMPORTING = "package/importing.py"


def test_only_the_standard_library(run_program):
    """`import blockpool` imports nothing but itself and the standard library: no NumPy, rich or click."""
    out = run_program(IMPORTING, "standard_library")
    # Cython's modules share its types between extensions; they come with the extension and are no files
    strangers = {
        name
        for name in out.split()
        if name not in sys.stdlib_module_names and not name.startswith(("_cython_", "cython_runtime"))
    }
    assert strangers == {"blockpool"}


def test_importing_is_quick_about_it(run_program):
    """Statistics, and so dataclasses, are imported when they are first used."""
    assert run_program(IMPORTING, "statistics") == "PoolStats True\n"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this build of Python needs its GIL")
def test_the_gil_stays_off(run_program):
    """In a build of Python that can do without its GIL, no module of the package turns it on."""
    run_program(IMPORTING, "without_the_gil")


def test_waiting_in_an_event_loop_imports_nothing_of_ours(run_program):
    """allocate_async() is imported with the package, as a child forked during a first import would wait for ever.

    asyncio itself is not imported until a loop runs.
    """
    run_program(IMPORTING, "event_loop")


def test_numpy_is_imported_for_arrays_only(run_program):
    """NumPy is imported by the first array, not by blocks, their views, sharing or DLPack."""
    run_program(IMPORTING, "numpy")


def test_all_is_sorted_and_true():
    """`__all__` is sorted, constants first, has no name twice, and each name exists."""
    assert bp.__all__ == sorted(set(bp.__all__), key=lambda name: (not name.isupper(), name))
    for name in bp.__all__:
        assert getattr(bp, name) is not None


def test_all_is_all():
    """`dir(blockpool)` shows the names in `__all__`, and besides them only the package's own modules."""
    shown = {name for name in dir(bp) if not name.startswith("_")}
    assert shown >= set(bp.__all__)
    for name in shown - set(bp.__all__):
        assert inspect.ismodule(getattr(bp, name))
        assert getattr(bp, name).__name__ == f"blockpool.{name}"


def test_import_star(run_program):
    """`from blockpool import *` gives what `__all__` says."""
    run_program(IMPORTING, "star")


def test_an_unknown_name():
    """An unknown attribute of the package raises an AttributeError with its name."""
    with pytest.raises(AttributeError, match="'blockpool' has no attribute 'pol'"):
        bp.pol
    with pytest.raises(ImportError):
        from blockpool import pol  # noqa: F401


def test_version():
    """The version of the package is numbers with dots between."""
    assert all(part.isdigit() for part in bp.__version__.split("."))


@pytest.mark.parametrize("name", bp.__all__)
def test_every_public_name_has_a_docstring(name):
    """Each public class, method and property has a docstring."""
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
    bp.Pool.check: "(self, /, *, repair=True)",
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
    """inspect, and so help(), sees the real signatures, and docstrings do not begin with a second one."""
    assert str(inspect.signature(thing)) == signature
    assert not (thing.__doc__ or "").lstrip().startswith(f"{thing.__name__}(")


def test_bound_signatures(pool):
    """Bound methods have the real signatures, without self."""
    assert str(inspect.signature(pool.allocate)) == "(*, blocks=None, nbytes=None, timeout=0)"
    assert str(inspect.signature(pool.allocate_many)) == "(count, *, timeout=0)"


def test_internal_types_are_not_to_be_had():
    """The only classes that can be imported from the extension module are those that the package has."""
    core = importlib.import_module("blockpool._core")
    classes = {name for name, value in vars(core).items() if inspect.isclass(value)}
    assert {name for name in classes if getattr(core, name).__module__ == core.__name__} == {
        "Pool",
        "Block",
        "Inspector",
        "Latest",
        "Message",
        "Queue",
        "Sample",
        "Subscription",
        "Surveyor",
        "Topic",
    }


def test_reloading(run_program):
    """Reloading the package is harmless, and so is importing it again after it was removed from sys.modules."""
    run_program(IMPORTING, "reloading")


def run_subinterpreters(run_program, *arguments):
    """Run the program, or skip the test if this Python has no module for subinterpreters."""
    out = run_program("package/subinterpreters.py", *arguments)
    if out == "none\n":
        pytest.skip("this Python has no module for subinterpreters")
    assert out == "done\n"


@pytest.mark.parametrize("number", [1, 3])
def test_subinterpreters(run_program, number):
    """In a subinterpreter the import works or raises ImportError, and the main interpreter goes on either way."""
    run_subinterpreters(run_program, "after", str(number))


def test_a_subinterpreter_that_imports_first(run_program):
    """In a subinterpreter the first import raises an ImportError that says why; the main one can import afterwards."""
    run_subinterpreters(run_program, "before", "3")
