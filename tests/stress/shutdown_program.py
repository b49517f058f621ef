"""A program that ends while it holds something of its pools; shutdown.py starts it.

Arguments: the name of a permanent pool; what it holds, where, and how it ends (keys of HELD, WHERE and ENDS).
"""

import atexit
import builtins
import logging
import os
import sys
import threading
import time
import weakref

import blockpool as bp


class Cycle:
    """An object that refers to itself."""

    def __init__(self, *held):
        self.held, self.itself = held, self


class Late:
    """Lets go in its destructor, which is called when the module has lost its names, or nearly."""

    def __init__(self):
        self.made = hold(private), hold(unnamed)

    def __del__(self):
        made, self.made = self.made, None
        del made


def started(pool):
    """Return a generator that is paused inside a `with`."""

    def each():
        with pool.allocate() as block:
            yield block.buf

    running = each()
    next(running)
    return running


HELD = {
    "blocks": lambda pool, block: ([pool.allocate() for _ in range(5)], block),
    "views": lambda _pool, block: (block.buf[3:], memoryview(block.buf)),
    "twins": lambda _pool, block: (block.readonly(), block.readonly().buf),
    "an array": lambda pool, block: (pool.zeros((4, 4)), block.array(4)),
    "a cycle": lambda pool, block: Cycle(block, pool),
    "pools": lambda pool, _block: (pool.allocate().pool, pool),
    "a context": lambda pool, _block: pool.numpy_allocator() if pool is private else None,
    "generators": lambda pool, _block: started(pool),
}


def hold(pool):
    """Allocate, and return what is to be held."""
    return HELD[what](pool, pool.allocate(blocks=2))


def in_every_pool():
    """Return what is to be held of each pool."""
    return [hold(pool) for pool in (private, debug, named, unnamed)]


def keep(thing):
    """Keep a thing as a global of this module."""
    globals()["kept"] = thing
    return thing


def in_a_thread_local():
    """Hold it in a thread local of the main thread."""
    keep(threading.local()).these = hold(private), hold(named), hold(debug)


def without_pools():
    """Hold it when the Pool objects have lost their names."""
    keep((hold(named), hold(unnamed), hold(debug)))
    for name in ("named", "unnamed", "private", "debug"):
        del globals()[name]


def with_closed_pools():
    """Hold it when the pools are closed."""
    keep((hold(named), hold(unnamed)))
    named.close()
    unnamed.close()


WHERE = {
    "module globals": lambda: keep(in_every_pool()),
    "builtins": lambda: setattr(builtins, "kept", in_every_pool()),
    "sys": lambda: setattr(sys, "kept", dict(enumerate(in_every_pool()))),
    "thread locals": in_a_thread_local,
    "an atexit function": lambda: atexit.register(lambda *_these: None, hold(private), hold(named), hold(debug)),
    "a finalizer": lambda: weakref.finalize(keep(Late()), lambda *_these: None, hold(named), hold(private)),
    "deleted pools": without_pools,
    "closed pools": with_closed_pools,
}


def allocate_all_the_time():
    """End while a daemon thread allocates."""

    def allocate():
        while True:
            with private.allocate() as one, named.allocate() as other:
                one.buf[0] = other.buf[0] = 1

    threading.Thread(target=allocate, daemon=True).start()
    time.sleep(0.01)


def wait_without_end():
    """End while a daemon thread waits."""
    globals()["everything"] = [unnamed.allocate() for _ in range(unnamed.stats().free)]
    threading.Thread(target=lambda: unnamed.allocate(timeout=None), daemon=True).start()
    time.sleep(0.01)


def fork():
    """End as two processes, the child first."""
    child = os.fork()
    if child == 0:
        named.allocate().buf[0] = 1
    else:
        assert os.waitpid(child, 0)[1] == 0


ENDS = {
    "the last line": lambda: None,
    "sys.exit": lambda: sys.exit(0),
    "os._exit": lambda: os._exit(0),
    "a daemon thread that allocates": allocate_all_the_time,
    "a daemon thread that waits": wait_without_end,
    "an atexit function that uses": lambda: atexit.register(
        lambda: (private.allocate(), named.allocate().buf, named.stats(), named.close())
    ),
    "a forked child": fork,
}
NEED_NO_POOL = {"the last line", "sys.exit", "os._exit"}


def possible(where, end):
    """Return whether a program can end so: some ends need pools that are open and have names."""
    return end in NEED_NO_POOL or where not in {"deleted pools", "closed pools"}


if __name__ == "__main__":
    _, name, what, where, end = sys.argv
    private, debug = bp.Pool(64, 64, debug=False), bp.Pool(64, 64, debug=True)
    named, unnamed = bp.Pool.attach(name), bp.Pool.create(64, 64)
    logging.disable(logging.CRITICAL)  # debug mode tells what was not freed
    late = Late()
    WHERE[where]()
    ENDS[end]()
