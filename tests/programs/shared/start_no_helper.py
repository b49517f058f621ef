"""Use a shared pool without importing multiprocessing and without a helper process."""

import os
import sys
from pathlib import Path

import blockpool as bp

pool = bp.Pool.create(64, 8)
block = pool.allocate()
assert not [name for name in sys.modules if "multiprocessing" in name]
assert not Path(f"/proc/self/task/{os.getpid()}/children").read_text()
