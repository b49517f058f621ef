"""End with something of a pool alive, which must disturb nothing.

Arguments: the function below that makes what is alive; `debug` for a pool in debug mode, whose report goes nowhere.
What the function returns becomes global, and so lives until the modules go.
"""

import gc
import logging
import sys
import threading
from atexit import register

import blockpool as bp


def live_blocks(pool):
    """Leave blocks."""
    return {"blocks": pool.allocate_many(3)}


def live_views(pool):
    """Leave views without their blocks."""
    return {"views": [pool.allocate().buf for _ in range(3)]}


def released_with_views(pool):
    """Leave a released block and its view."""
    block = pool.allocate()
    view = block.buf
    block.release()
    return {"block": block, "view": view}


def closed_with_views(pool):
    """Leave a view of a closed pool."""
    view = pool.allocate().buf
    pool.close()
    return {"view": view}


def inside_with(pool):
    """Leave a block whose `with` does not end."""
    return {"block": pool.allocate().__enter__()}


def inside_a_generator(pool):
    """Leave a generator that is paused inside a `with`, and a view of its block."""

    def work():
        with pool.allocate() as block:
            yield block.buf

    paused = work()
    return {"paused": paused, "view": next(paused)}


def a_reference_cycle(pool):
    """Leave a pool and a view in a reference cycle."""
    cycle = [pool, pool.allocate().buf]
    cycle.append(cycle)
    return {"cycle": cycle}


def in_a_builtin_module(pool):
    """Leave block, view and pool in a module that goes last."""
    sys.kept = [pool.allocate(), pool.allocate().buf, pool]
    return {}


def numpy_array(pool):
    """Leave an array in a block."""
    import numpy as np

    return {"array": np.ndarray((8,), buffer=pool.allocate().buf)}


def numpy_and_readonly(pool):
    """Leave an array in a read-only block."""
    import numpy as np

    return {"array": np.frombuffer(pool.allocate().readonly().buf)}


def pyarrow(pool):
    """Leave a buffer of Arrow in a block."""
    import pyarrow as pa

    return {"buffer": pa.py_buffer(pool.allocate().buf)}


def ctypes(pool):
    """Leave an array of ctypes in a block."""
    import ctypes

    return {"raw": (ctypes.c_char * 8).from_buffer(pool.allocate().buf)}


def callers_memory(_pool):
    """Leave a view of a pool in a bytearray."""
    memory = bytearray(640)
    return {"memory": memory, "view": bp.Pool(64, buffer=memory).allocate().buf}


def pool_in_a_block(pool):
    """Leave a pool in a block of another, and its view."""
    inner = bp.Pool(8, buffer=pool.allocate().buf)
    return {"inner": inner, "view": inner.allocate().buf}


def a_finalizer_that_allocates(pool):
    """Leave an object that allocates when it is finalized."""

    class Late:
        def __del__(self, pool=pool):
            block = pool.allocate()
            block.buf[0] = 1
            block.free()

    late = Late()
    late.me = late
    return {"late": late}


def atexit(pool):
    """Leave a function for the exit that frees, checks and closes."""
    block = pool.allocate()
    register(lambda: (block.free(), pool.check(), pool.close()))
    return {"block": block}


def a_waiting_daemon_thread(pool):
    """Leave a thread that waits for room without end."""
    kept = pool.allocate(blocks=8)
    waits = threading.Event()
    gc.callbacks.append(lambda _phase, _info: waits.set())
    waits.clear()
    threading.Thread(target=pool.allocate, kwargs={"timeout": None}, daemon=True).start()
    waits.wait(60)
    gc.callbacks.clear()
    return {"kept": kept, "waits": waits}


def three_waiting_daemon_threads(pool):
    """Leave three threads that wait for room without end, or are about to."""
    kept = pool.allocate(blocks=8)
    for _ in range(3):
        threading.Thread(target=pool.allocate_many, args=(2,), kwargs={"timeout": None}, daemon=True).start()
    return {"kept": kept}


def a_busy_daemon_thread(pool):
    """Leave a thread that allocates and frees all the time."""
    started = threading.Event()

    def churn():
        while True:
            with pool.allocate() as block:
                block.buf[0] = 1
                started.set()

    threading.Thread(target=churn, daemon=True).start()
    started.wait(60)
    return {"started": started, "churn": churn}


def an_exceptions_traceback(pool):
    """Leave an exception whose traceback has a block and a view."""

    def fail():
        with pool.allocate() as block:
            view = block.buf
            raise KeyError(len(view))

    kept = []
    try:
        fail()
    except KeyError as error:
        kept.append(error)
    return {"kept": kept}


def sys_exit_inside_with(pool):
    """Exit inside a `with`."""
    with pool.allocate() as block:
        globals()["view"] = block.buf
        raise SystemExit(0)


if __name__ == "__main__":
    debug = sys.argv[2:] == ["debug"]
    if debug:
        logging.getLogger("blockpool").addHandler(logging.NullHandler())
    pool = bp.Pool(64, 8, debug=True) if debug else bp.Pool(64, 8)
    globals().update(globals()[sys.argv[1]](pool))
