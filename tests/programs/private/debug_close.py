"""Free blocks in the middle of the `close` of a pool in debug mode, from what the argument names.

`signal`: one at each step of Python code, as a signal handler might; `collector`: those in garbage.
"""

import gc
import sys

import blockpool as bp


def signal():
    """Free a block at each step of `close`, until none is held."""
    pool = bp.Pool(64, 400, debug=True)
    for block in pool.allocate_many(40):
        block.free()
    del block
    held = pool.allocate_many(300)

    def free_one(_frame, _event, _argument):
        if held:
            held.pop()
        return free_one

    sys.settrace(free_one)
    pool.close()
    sys.settrace(None)
    assert not held


class Node:
    """Part of a reference cycle."""


def collector():
    """Let the collector free blocks in reference cycles during `close`."""
    gc.disable()
    for _ in range(20):
        pool = bp.Pool(64, 400, debug=True)
        for block in pool.allocate_many(100):
            block.free()
        for _ in range(50):
            node = Node()
            node.me = node
            node.block = pool.allocate(blocks=2)
        del node, block
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        gc.enable()
        pool.close()
        gc.disable()
        gc.set_threshold(*threshold)


{"signal": signal, "collector": collector}[sys.argv[1]]()
