"""Fork a child of a process with a shared pool in debug mode; both overrun a block that they share."""

import ctypes
import os
import re

import blockpool as bp


def give_back(who, block):
    """Give the block back, and print what was found."""
    try:
        block.release()
    except bp.BlockOverrun as error:
        print(f"{who}: {re.search('at byte [0-9]+', str(error))[0]}", flush=True)


pool = bp.Pool.create(64, 8, debug=True)
shared = pool.allocate(nbytes=10)
child = os.fork()
if child == 0:
    own = pool.allocate(nbytes=20)
    own.free()
    ctypes.memset(shared.address + 10, 1, 1)
    give_back("child", shared)
    os._exit(0)
os.waitpid(child, 0)
give_back("parent", shared)
print(pool.stats().allocated, "allocated")
