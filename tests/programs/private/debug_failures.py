"""Raise an error at each step, in turn, of allocating in debug mode and giving back: no block may be lost.

Arguments: the error (KeyboardInterrupt or MemoryError), and how the block goes (free, release, drop, with, overrun or
many); with a third one, "shared", in a shared pool.
"""

import contextlib
import ctypes
import io
import sys

import blockpool as bp

ERRORS = {"KeyboardInterrupt": KeyboardInterrupt, "MemoryError": MemoryError}


class Fault:
    """A trace function that raises an error at one step of the code outside this file."""

    def __init__(self, error, step):
        self.error, self.left = error, step

    def __call__(self, frame, _event, _argument):
        """Count a step; trace what is outside this file."""
        if frame.f_globals is globals():
            return None
        self.left -= 1
        if self.left == -1:
            raise self.error
        return self


def call(pool, way):
    """Allocate, and give back in that way."""
    if way == "many":
        pool.allocate_many(3)
    elif way == "overrun":
        block = pool.allocate(nbytes=10)
        ctypes.memset(block.address + 10, 0, 1)
        block.free()
    elif way == "with":
        with pool.allocate(blocks=2):
            pass
    elif way == "drop":
        pool.allocate(blocks=2).buf
    else:
        getattr(pool.allocate(blocks=2), way)()


def fail_at(step, error, pool, way):
    """Raise the error at this step of a call; return whether there was such a step."""
    fault = Fault(error, step)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            sys.settrace(fault)
            call(pool, way)
    except (error, bp.BlockOverrun):
        pass
    finally:
        sys.settrace(None)
    held = len(pool.outstanding())
    assert (pool.stats().allocated, held) == (0, 0), (step, pool.stats(), pool.outstanding())
    pool.check()
    pool.allocate_many(16)
    return fault.left < 0


def main(error, way, kind="private"):
    """Fail at each step until there is none left."""
    pool = bp.Pool.create(64, 16, debug=True) if kind == "shared" else bp.Pool(64, 16, debug=True)
    sys.unraisablehook = lambda _unraisable: None
    steps = 0
    while fail_at(steps, ERRORS[error], pool, way):
        steps += 1
    print("done", steps > 20)


if __name__ == "__main__":
    main(*sys.argv[1:])
