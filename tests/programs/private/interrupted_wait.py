"""Wait for room in a full pool, and be interrupted as by Ctrl-C; the pool must stay as it was.

Argument: the call that waits (a key of CALLS).
"""

import dataclasses
import gc
import signal
import sys
import threading

import blockpool as bp
from bookkeeping import Bookkeeping

CALLS = {
    "allocate(timeout=None)": lambda: pool.allocate(timeout=None),
    "allocate(blocks=2, timeout=60)": lambda: pool.allocate(blocks=2, timeout=60),
    "allocate_many(2, timeout=None)": lambda: pool.allocate_many(2, timeout=None),
}

pool = bp.Pool(64, 2)
kept = pool.allocate(blocks=2)
before = pool.stats(), pool.runs()
words = Bookkeeping(pool)


def interrupt():
    """Interrupt the wait."""
    words.await_waiting()
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


gc.callbacks.clear()  # Python swallows an interrupt that comes while one runs
thread = threading.Thread(target=interrupt)
thread.start()
try:
    CALLS[sys.argv[1]]()
except KeyboardInterrupt:
    print("interrupted")
thread.join()
waited = pool.stats()
assert waited.waits == 1
assert waited.waited > 0
assert (dataclasses.replace(waited, waits=0, waited=0.0), pool.runs()) == before
pool.check()
kept.free()
pool.allocate(blocks=2).free()
