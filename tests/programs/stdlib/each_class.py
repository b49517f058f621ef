"""Use each class of blockpool.shared_memory; print the process id of the resource tracker, which is None without one.

Argument: a name that no segment has.
"""

import sys
from multiprocessing import resource_tracker

from blockpool.shared_memory import ShareableList, SharedMemory, SharedMemoryManager

if __name__ == "__main__":
    made = SharedMemory(sys.argv[1], create=True, size=10)
    ShareableList(range(3)).shm.unlink()
    with SharedMemoryManager() as manager:
        manager.SharedMemory(10)
    made.unlink()
    print(resource_tracker._resource_tracker._pid)
