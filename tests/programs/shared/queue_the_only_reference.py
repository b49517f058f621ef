"""Leave the `with` of a block whose only reference is in a queue: the block is released."""

import pickle
import queue

import blockpool as bp

pool = bp.Pool.create(64, 8)
waiting = queue.SimpleQueue()
block = pool.allocate()
waiting.put(block)
manager = block.__exit__
del block
manager(None, None, None)
kept = waiting.get()
del manager
try:
    pickle.dumps(kept)
except bp.InvalidBlock as error:
    assert "released" in str(error), error
else:
    raise AssertionError("a released block was pickled")
