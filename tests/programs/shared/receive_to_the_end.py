"""Receive into a block in a daemon thread, without the GIL, while the process ends: it does so until stdin ends.

It prints the address of the block. When the interpreter is gone, stdout ends.

Arguments: the name of the pool, or nothing for a private pool; the descriptor of a socket. Nothing in Python keeps the
block for the thread, which has its address alone.
"""

import ctypes
import sys
import threading

import blockpool as bp

pool = bp.Pool.attach(sys.argv[1]) if sys.argv[1] else bp.Pool(64, 1)
block = pool.allocate()
libc = ctypes.CDLL(None)
MSG_WAITALL = 0x100
where = int(sys.argv[2]), ctypes.c_void_p(block.address), ctypes.c_size_t(64), MSG_WAITALL
threading.Thread(target=libc.recv, args=where, daemon=True).start()
at_exit = getattr(libc, "__cxa_atexit")
at_exit(libc.getchar, None, None)
at_exit(libc.close, ctypes.c_void_p(1), None)  # before the other, as it comes later
print(block.address, flush=True)
