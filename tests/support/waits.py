"""Wait for something that happens soon, however busy the machine is."""

import time


def await_true(condition, seconds=60):
    """Return when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)
