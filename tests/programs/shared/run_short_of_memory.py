"""Have memory run short at each allocation of a call that takes a reference to a block.

Argument: which call, a key of CALLS.
"""

import sys
from _testcapi import remove_mem_hooks, set_nomemory

import blockpool as bp
from blockpool import _core

pool = bp.Pool.create("4KiB", 4)
block = pool.allocate()
readonly, view, array = block.readonly(), block.buf, block.array(10)
CALLS = {
    "block.share()": block.share,
    "block.__reduce_ex__(5)": lambda: block.__reduce_ex__(5),
    "readonly.__reduce_ex__(5)": lambda: readonly.__reduce_ex__(5),
    "_core.send_block(block, [])": lambda: _core.send_block(block, []),
    "_core.send_array(array, False, 1, [])": lambda: _core.send_array(array, False, 1, []),  # noqa: FBT003 - readonly
    "_core.send_buffer(view, False, 1, [])": lambda: _core.send_buffer(view, False, 1, []),  # noqa: FBT003 - readonly
}
call = CALLS[sys.argv[1]]
call()
assert pool.recover(tickets_older_than=0).tickets == 1
failed, taken = 0, None
while taken is None:
    try:
        set_nomemory(failed, failed + 1)
        taken = call()
    except MemoryError:
        failed += 1
    finally:
        remove_mem_hooks()
    assert taken is not None or pool.stats().tickets == 0, failed
assert failed > 1
