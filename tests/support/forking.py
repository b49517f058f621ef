"""Helpers for programs that fork."""

import os
import traceback


def in_child(work):
    """Fork a child that does the work and ends, with status 1 if that raises; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - any error ends the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def await_child(child):
    """Wait for a child, whose exit status must be 0."""
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def logged():
    """Return the list of what the package logs from now on, which does not appear on stderr then."""
    messages = []

    import logging  # not before: an exception in its own fork hooks leaves its lock held

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logging.getLogger("blockpool").addHandler(Handler())
    return messages


def steps():
    """Return two functions: the first waits until the second is called, in any process."""
    reading, writing = os.pipe()
    return (lambda: os.read(reading, 1)), (lambda: os.write(writing, b"x"))
