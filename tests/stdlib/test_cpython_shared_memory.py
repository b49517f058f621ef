"""CPython's own tests of shared memory, run against `blockpool.shared_memory`.

They are the class `_TestSharedMemory` of the interpreter's package `test`, with our classes in the place of the
standard library's, in the programs that the tests start as well. What else uses shared memory there
(`TestResourceTracker`) tests the tracker, and there is none here.
"""

import ast
import inspect
import os
import sys
import textwrap
import unittest
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from blockpool import shared_memory
from segments import segments_with

# Tests that cannot be run: the version of Python that added the test, and why it is left out.
EXCLUDED = {
    "test_shared_memory_recreate": (
        (3, 11),
        "replaces the private function _make_filename, and looks at the private attribute _name",
    ),
    "test_shared_memory_tracking": (
        (3, 13),
        "expects that the resource tracker destroys a segment when a process that attached it exits",
    ),
}

# Statements left out of tests that are run: the version that added it, how it begins, and why it is left out.
CUT = {
    "test_shared_memory_name_with_embedded_null": (
        (3, 13),
        "if shared_memory._USE_POSIX:",
        "sets the private attribute _name",
    ),
    "test_shared_memory_basics": (
        (3, 11),
        "with unittest.mock.patch('multiprocessing.shared_memory._make_filename')",
        "replaces the private function _make_filename, and looks at the private attribute _name",
    ),
    "test_shared_memory_cleaned_after_process_termination": (
        (3, 11),
        "if os.name == 'posix':",
        "expects what the resource tracker prints",
    ),
}

# Other names for our classes, also in the programs that tests start; these need PYTHONPATH, so they run without -E.
REPLACED = {
    "from multiprocessing import shared_memory": "from blockpool import shared_memory",
    "from multiprocessing.shared_memory import": "from blockpool.shared_memory import",
    "from multiprocessing.managers import SharedMemoryManager": (
        "from blockpool.shared_memory import SharedMemoryManager"
    ),
    "multiprocessing.managers.SharedMemoryManager": "shared_memory.SharedMemoryManager",
    "sys.executable, '-E', '-c'": "sys.executable, '-c'",
}


class Cutter(ast.NodeTransformer):
    """Replaces the statements that begin with a given text by `pass`."""

    def __init__(self, beginning):
        self.beginning = beginning

    def visit(self, node):
        """Return what takes the place of the node."""
        if isinstance(node, ast.stmt) and ast.unparse(node).startswith(self.beginning):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)


def adapted(test_class):
    """Return the tree of the class, adapted to our classes and without what is cut."""
    lines, first = inspect.getsourcelines(test_class)
    source = "".join(lines)
    for theirs, ours in REPLACED.items():
        source = source.replace(theirs, ours)
    tree = ast.parse(textwrap.dedent(source))
    for method in tree.body[0].body:
        if isinstance(method, ast.FunctionDef) and method.name in CUT:
            Cutter(CUT[method.name][1]).visit(method)
    return ast.increment_lineno(tree, first - 1)


def load():
    """Return the test module, the tree of the class, and the class; or None, None and the reason why there is none."""
    try:
        from test import _test_multiprocessing as module
    except (ImportError, unittest.SkipTest) as error:
        return None, None, str(error)
    tree = adapted(module._TestSharedMemory)
    ours = {name: getattr(shared_memory, name) for name in shared_memory.__all__}
    names = {**vars(module), "shared_memory": SimpleNamespace(**ours, _USE_POSIX=True)}
    exec(compile(tree, module.__file__, "exec"), names)  # noqa: S102 - the interpreter's own
    kinds = (names["_TestSharedMemory"], module.ProcessesMixin, unittest.TestCase)
    return module, tree, type("TestSharedMemory", kinds, {"__test__": False})


MODULE, TREE, CASES = load()
if MODULE is None:
    pytest.skip(f"this Python has not its own tests: {CASES}", allow_module_level=True)
NAMES = [name for name in dir(CASES) if name.startswith("test")]


def run(name):
    """Run one of the tests as unittest does; return the result."""
    result = unittest.TestResult()
    # Otherwise programs would be started isolated, and would not find a blockpool that is on PYTHONPATH.
    with patch.object(MODULE.script_helper, "interpreter_requires_environment", lambda: True):
        unittest.TestSuite([CASES(name)]).run(result)
    return result


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXCLUDED])
def test_of_cpython(name):
    """A test of CPython's passes with our classes, and leaves nothing in /dev/shm."""
    before = segments_with(os.getpid())
    result = run(name)
    said = [text for _, text in [*result.errors, *result.failures]]
    assert not said, "\n".join(said)
    assert result.testsRun == 1
    assert segments_with(os.getpid()) <= before
    if result.skipped:
        pytest.skip(result.skipped[0][1])


@pytest.mark.parametrize("name", [*EXCLUDED, *CUT])
def test_what_is_left_out_exists(name):
    """Each test or statement that is left out exists in CPython since the stated version, and is left out."""
    since = (EXCLUDED | CUT)[name][0]
    if sys.version_info < since and name not in NAMES:
        pytest.skip(f"since Python {since[0]}.{since[1]}")
    assert name in NAMES
    if name in CUT:
        before = ast.unparse(ast.parse(inspect.getsource(getattr(MODULE._TestSharedMemory, name)).strip()))
        after = ast.unparse(next(node for node in TREE.body[0].body if getattr(node, "name", "") == name))
        assert CUT[name][1] in before
        assert CUT[name][1] not in after


def test_the_tests_see_our_classes_only():
    """CPython's tests, as run here, do not mention the standard library's module, and find a fault in our classes."""
    for node in TREE.body[0].body:
        if getattr(node, "name", None) not in EXCLUDED:
            assert "multiprocessing.shared_memory" not in ast.unparse(node)
            assert "multiprocessing.managers" not in ast.unparse(node)
    with patch.object(shared_memory.SharedMemory, "size", 1):
        assert run("test_shared_memory_basics").failures
    with patch.object(shared_memory.SharedMemoryManager, "start", int):
        assert run("test_shared_memory_SharedMemoryManager_basics").errors


def test_no_resource_tracker_is_started(run_program):
    """Using each class of blockpool.shared_memory starts no resource tracker."""
    assert run_program("stdlib/each_class.py", f"tracked{os.getpid()}") == "None\n"
