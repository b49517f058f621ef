"""What killed programs leave, beside other programs: any of them may sweep it, and does so at its first create."""

import os
from contextlib import ExitStack, contextmanager

import blockpool as bp
from gates import shut_gate
from waits import await_true


@contextmanager
def unswept(*paths):
    """Let nobody sweep the pools in these files meanwhile: their gates are shut. Enter it before the last one dies."""
    with ExitStack() as stack:
        for path in paths:
            stack.callback(os.close, shut_gate(path))
        yield


def sweep_away(*paths):
    """Sweep, and return when these files are gone. A sweep passes over what another program is just removing."""
    bp.sweep()
    await_true(lambda: not any(path.exists() for path in paths))
