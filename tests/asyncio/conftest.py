"""What tests of waits in event loops have in common."""

import pytest

from async_waits import waiters
from waits import await_true


@pytest.fixture(autouse=True)
def _no_thread_waits():
    """Begin when no thread waits any more on behalf of tasks: one of an earlier test may be about to end."""
    await_true(lambda: not waiters())
