"""CPython's own tests of queues pass with our queues, with each start method; see tests/support/cpython_queues.py."""

import json
from unittest.mock import patch

import pytest

import cpython_queues as tests
from blockpool import multiprocessing as ours
from programs import interpreter, run_quietly

if tests.module is None:
    pytest.skip(f"this Python has not its own tests: {tests.missing}", allow_module_level=True)

RUN = [f"{kind}.{name}" for kind, name in tests.NAMES if name not in tests.EXCLUDED[kind]]


@pytest.fixture(scope="module", params=["fork", "spawn", "forkserver"])
def said(request):
    """Run all tests with one start method; return what each of them said."""
    return json.loads(run_quietly(interpreter("stdlib/queue_tests.py", request.param)))


@pytest.mark.parametrize("name", RUN)
def test_of_cpython(said, name):
    """A test of CPython's passes with our queues."""
    assert said[name] is None, said[name]


def test_what_is_left_out_exists():
    """Each test that is left out is one of CPython's."""
    for kind, names in tests.EXCLUDED.items():
        assert {(kind, name) for name in names} <= set(tests.NAMES)


def test_many_are_left():
    """Nearly all tests are run."""
    assert len(RUN) >= 10


@pytest.mark.parametrize(
    ("method", "kind", "name"),
    [
        ("full", "_TestQueue", "test_put"),
        ("get", "_TestQueue", "test_timeout"),
        ("qsize", "_TestQueue", "test_qsize"),
        ("close", "_TestQueue", "test_closed_queue_put_get_exceptions"),
    ],
)
def test_the_tests_find_faults(method, kind, name):
    """CPython's tests, as run here, find a fault in our queues."""
    assert tests.run(kind, name) is None
    with patch.object(ours.Queue, method, lambda *_args, **_more: 17):
        assert tests.run(kind, name)
