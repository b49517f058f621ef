"""What programs that fork have in common; tests/programs imports it."""

import os
import traceback
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads is what some of these are about


def in_child(work):
    """Fork, and end the child with what `work` comes to; return the child."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it is, the child ends with it
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def await_child(child):
    """Wait for a child, which must end well."""
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def steps():
    """Return two functions: one that waits until the other is called, by any process."""
    reading, writing = os.pipe()
    return (lambda: os.read(reading, 1)), (lambda: os.write(writing, b"x"))
