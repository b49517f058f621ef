"""CPython's own tests of the queues of multiprocessing, with our queues in the place of the standard ones.

They are the classes `_TestQueue` and `TestSimpleQueue` of the interpreter's package `test`. A module of its own, as the
processes that the tests start have to import the classes.
"""

import inspect
import multiprocessing
import textwrap
import unittest
from types import SimpleNamespace

from blockpool import multiprocessing as ours

try:
    from test import _test_multiprocessing as module
except (ImportError, unittest.SkipTest) as error:
    module, missing = None, str(error)

# Tests that are not run, by class, and why.
EXCLUDED = {
    "_TestQueue": {
        "test_queue_feeder_donot_stop_onexc": (
            "expects that put() returns for what cannot be pickled, and that a thread prints the error; ours raises it"
        ),
        "test_queue_feeder_on_queue_feeder_error": (
            "replaces the private method _on_queue_feeder_error, which the thread calls; ours raises the error in put()"
        ),
    },
    "TestSimpleQueue": {
        "test_closed": "looks at the private attributes _reader and _writer, the ends of a pipe",
    },
}

# Other names for our classes, in a program that a test writes.
REPLACED = {
    "    import multiprocessing\n": "    import blockpool.multiprocessing as multiprocessing\n",
}


class Multiprocessing:
    """The module multiprocessing with our queues."""

    Queue = ours.Queue
    JoinableQueue = ours.JoinableQueue
    SimpleQueue = ours.SimpleQueue
    queues = SimpleNamespace(Queue=ours.Queue)

    def __getattr__(self, name):
        return getattr(multiprocessing, name)


def source_of(what):
    """Return the code of a class or function, adapted to our classes."""
    source = textwrap.dedent(inspect.getsource(what))
    for theirs, our in REPLACED.items():
        source = source.replace(theirs, our)
    return source


class TestTheProcesses:
    """What the tests of queues use of the mixin for processes."""

    TYPE = "processes"
    Process = multiprocessing.Process
    Event = staticmethod(multiprocessing.Event)
    Queue = ours.Queue
    JoinableQueue = ours.JoinableQueue
    __test__ = False


def load():
    """Return our variants of the classes, by name."""
    names = {**vars(module), "multiprocessing": Multiprocessing(), "__name__": __name__}
    for what in (module.close_queue, module._TestQueue, module.TestSimpleQueue):
        exec(compile(source_of(what), module.__file__, "exec"), names)  # noqa: S102 - the interpreter's own
    queue = type("_TestQueue", (TestTheProcesses, names["_TestQueue"], unittest.TestCase), {"__module__": __name__})
    return {"_TestQueue": queue, "TestSimpleQueue": names["TestSimpleQueue"]}


CASES = {} if module is None else load()
globals().update(CASES)
NAMES = [(kind, name) for kind, case in CASES.items() for name in dir(case) if name.startswith("test")]


def run(kind, name):
    """Run one of the tests as unittest does; return what it said if it failed, or None."""
    result = unittest.TestResult()
    unittest.TestSuite([CASES[kind](name)]).run(result)
    assert result.testsRun == 1
    assert not result.skipped, result.skipped
    return "\n".join(text for _, text in [*result.errors, *result.failures]) or None
