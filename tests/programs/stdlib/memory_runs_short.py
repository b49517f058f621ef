"""Make a segment while memory runs short at the first, second, … allocation, until it succeeds."""

from _testcapi import remove_mem_hooks, set_nomemory

from blockpool import _segments
from blockpool.shared_memory import SharedMemory

SharedMemory(create=True, size=10).unlink()
pool = _segments._small[""]
failed, made = 0, None
while made is None:
    try:
        set_nomemory(failed, failed + 1)
        made = SharedMemory(create=True, size=10)
    except MemoryError:
        failed += 1
    finally:
        remove_mem_hooks()
    assert made is not None or (pool.stats().tickets, pool.stats().allocated) == (0, 0), failed
made.unlink()
assert failed > 5
