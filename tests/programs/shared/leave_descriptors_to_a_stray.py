"""Kill a process whose descriptors live on in a child that was forked without fork handlers, and recover."""

import ctypes
import os
import signal
from pathlib import Path

import blockpool as bp

pool = bp.Pool.create(64, 8)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    kept = pool.allocate_many(3)
    if ctypes.CDLL(None)._Fork() == 0:
        signal.pause()
    os.write(writing, b"x")
    signal.pause()
os.read(reading, 1)
stray = int(Path(f"/proc/{child}/task/{child}/children").read_text())
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
try:
    assert pool.recover().processes == 1
    assert pool.stats().allocated == 0
finally:
    os.kill(stray, signal.SIGKILL)
