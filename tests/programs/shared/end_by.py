"""End with a view of a shared pool alive.

Arguments: how, which is exit, error or signal, and the name of the pool.
"""

import os
import signal
import sys
import time

import blockpool as bp

view = bp.Pool.create(64, 8, name=sys.argv[2]).allocate().buf
if sys.argv[1] == "exit":
    sys.exit(3)
elif sys.argv[1] == "error":
    1 / 0
else:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
