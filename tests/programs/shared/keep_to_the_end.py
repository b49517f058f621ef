"""Keep blocks of a pool to the end of the interpreter.

Arguments: the name of the pool, and what threads there are besides: alone, a thread that ended, a daemon thread, a
thread of a library; beside that, Python drops the blocks at its end.
"""

import ctypes
import sys
import threading
import time
from pathlib import Path

import blockpool as bp
from waits import await_true

pool = bp.Pool.create(64, 2, name=sys.argv[1], exist_ok=True)
blocks = pool.allocate_many(2)
kept = blocks, blocks[0].buf
if sys.argv[2] == "a thread of a library":
    libc = ctypes.CDLL(None)
    assert libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.pause, None) == 0
else:
    sys.kept = kept
if sys.argv[2] == "a thread that ended":
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    await_true(lambda: len(list(Path("/proc/self/task").iterdir())) == 1)  # it ends a moment later
elif sys.argv[2] == "a daemon thread":
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
