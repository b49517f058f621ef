"""Keep blocks of a pool to the end of the interpreter.

Arguments: the name of the pool, and what threads there are besides: alone, a thread that ended, a daemon thread.
"""

import sys
import threading
import time
from pathlib import Path

import blockpool as bp
from waits import await_true

pool = bp.Pool.create(64, 2, name=sys.argv[1], exist_ok=True)
blocks = pool.allocate_many(2)
sys.kept = blocks, blocks[0].buf
if sys.argv[2] == "a thread that ended":
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    await_true(lambda: len(list(Path("/proc/self/task").iterdir())) == 1)  # it ends a moment later
elif sys.argv[2] == "a daemon thread":
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
