"""Start children that attach a segment by its name and by a pickle, and change it and a list.

Arguments: the start method, and a name that no segment has.
"""

import multiprocessing
import sys

from blockpool.shared_memory import ShareableList, SharedMemory


def child(name, sent, items):
    """Count up twice in the segment, and write to the list."""
    SharedMemory(name).buf[0] += 1
    sent.buf[0] += 1
    items[1] = "done"


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for name in (None, sys.argv[2]):
        made = SharedMemory(name, create=True, size=10)
        items = ShareableList([1, "todo"])
        for _ in range(2):
            process = context.Process(target=child, args=(made.name, made, items))
            process.start()
            process.join()
            assert process.exitcode == 0
        assert made.buf[0] == 4, made.buf[0]
        assert list(items) == [1, "done"]
        made.unlink()
        items.shm.unlink()
