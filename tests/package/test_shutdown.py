"""The end of the interpreter: what is called when nothing can be imported and modules have lost their names."""

import importlib
import types

import pytest

AT_THE_END = "package/at_the_end.py"


@pytest.mark.parametrize("kind", ["private", "shared", "debug"])
@pytest.mark.parametrize("reports", ["used", "unused"])
def test_calls_at_the_end_of_the_interpreter_answer_as_always(run_program, kind, reports):
    """When the interpreter has lost its modules, every call still works, or raises the same error as before."""
    assert run_program(AT_THE_END, kind, reports).endswith(" calls")


@pytest.mark.parametrize("reports", ["used", "unused"])
def test_index_pools_at_the_end_of_the_interpreter(run_program, reports):
    """When the interpreter has lost its modules, calls of an IndexPool still work, or raise the same errors."""
    assert run_program(AT_THE_END, "index", reports) == "13 calls"


def test_blocks_in_use_by_a_child_at_the_end(run_program):
    """When the interpreter has lost its modules, a block that a forked child holds still cannot be freed."""
    assert run_program(AT_THE_END, "child", "unused") == "4 calls"


# What is called while the core is imported, and never after.
AT_IMPORT = {"atexit", "copyreg", "os", "RLock"}


@pytest.mark.parametrize("name", ["_core", "_index"])
def test_what_calls_need_are_no_names_of_the_module(name):
    """Calls need no name of an extension module from another module, as these become None when the interpreter ends."""
    module = importlib.import_module(f"blockpool.{name}")
    strangers = {
        key
        for key, value in vars(module).items()
        if isinstance(value, (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType))
        and (isinstance(value, types.ModuleType) or value.__module__ not in {module.__name__, None})
        and not key.startswith("__")
    }
    assert strangers <= AT_IMPORT
