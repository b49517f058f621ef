"""Fork a child without a part while another thread is in a handler of the log, and needs the lock of `logging`."""

import importlib
import os
import threading

import blockpool as bp
from forking import await_child, in_child

logging = importlib.import_module("logging")  # after blockpool
emitting, forking = threading.Event(), threading.Event()


class Handler(logging.Handler):
    """Logs nothing; the first record makes it wait for the fork, and then ask for a logger."""

    def emit(self, record):  # noqa: ARG002
        """Ask for a logger, which takes the lock of `logging`."""
        if not emitting.is_set():
            emitting.set()
            forking.wait()
            threading.Event().wait(0.3)  # by then the fork waits for this handler, if ever it does
            logging.getLogger("another")


pool = bp.Pool.create(64, 8, processes=1)
logging.getLogger().addHandler(Handler())
thread = threading.Thread(target=logging.getLogger("program").warning, args=("first",))
thread.start()
emitting.wait()
os.register_at_fork(before=forking.set)
await_child(in_child(lambda: None))
thread.join()
