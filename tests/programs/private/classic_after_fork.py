"""Fork while a thread calls the classic functions: each child must be able to deallocate, and end soon."""

import os
import threading
import time

from blockpool.classic import allocate_memory_blocks, deallocate_memory_blocks, initialize_memory_allocator


def churn():
    """Allocate and deallocate until the program ends."""
    while True:
        deallocate_memory_blocks(allocate_memory_blocks())


def await_end(child):
    """Wait for the end of a child, which must be a good one."""
    deadline = time.monotonic() + 60
    pid = 0
    while not pid:
        assert time.monotonic() < deadline, f"child {child} hangs"
        time.sleep(0.001)
        pid, status = os.waitpid(child, os.WNOHANG)
    assert status == 0, status


initialize_memory_allocator()
block = allocate_memory_blocks()
threading.Thread(target=churn, daemon=True).start()
for _ in range(30):
    child = os.fork()
    if not child:
        deallocate_memory_blocks(block)
        os._exit(0)
    await_end(child)
deallocate_memory_blocks(block)
os._exit(0)
