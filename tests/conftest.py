"""What every test needs: the settings of Hypothesis, Ctrl-C, the collector, and the fixtures of tests/support."""

import gc
import os
import signal

import hypothesis
import pytest

import blockpool as bp

pytest_plugins = ["programs", "pools", "arrays", "peers"]
# Helpers without fixtures: their asserts, too, show the values.
pytest.register_assert_rewrite("bookkeeping", "indices", "stress_programs", "threads", "traces_made", "waits")

# In CI the examples are the same each time; elsewhere new ones are tried, and a failure prints how to repeat it.
hypothesis.settings.register_profile(
    "local",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # the machine may be busy
    print_blob=True,
    max_examples=60,
    stateful_step_count=40,
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("local"), derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    """Ignore a warning of Hypothesis that what was frozen below makes a false one, from Python 3.14 on.

    It asks the collector who refers to its random numbers. That is a dictionary made at import, which is out of sight.
    """
    config.addinivalue_line(
        "filterwarnings", "ignore:It looks like `register_random`:hypothesis.errors.HypothesisWarning"
    )


def pytest_sessionstart():
    """Let the main thread be the first to allocate: it then gets the lowest blocks, whatever order the tests run in.

    Threads are numbered by their first allocation, and the number chooses where in a pool a thread begins to search.
    """
    bp.IndexPool(1).allocate()


def pytest_collection_finish():
    """Take what was imported so far out of the collector's sight: a full pool runs it, in thousands of tests."""
    gc.collect()
    gc.freeze()
