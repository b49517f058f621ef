"""Receive into a block in a daemon thread, without the GIL, while the process ends: it does so until stdin ends.

Arguments: the name of the pool, the descriptor of a socket.
"""

import ctypes
import sys
import threading

import blockpool as bp

pool = bp.Pool.attach(sys.argv[1])
block = pool.allocate()
libc = ctypes.CDLL(None)
MSG_WAITALL = 0x100


def receive():
    """Wait for all 64 bytes of the block."""
    libc.recv(int(sys.argv[2]), ctypes.c_void_p(block.address), ctypes.c_size_t(64), MSG_WAITALL)


threading.Thread(target=receive, daemon=True).start()
getattr(libc, "__cxa_atexit")(libc.getchar, None, None)
print("ends", flush=True)
