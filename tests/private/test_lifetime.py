"""Ends: interpreters that exit with live blocks, objects destroyed in odd orders, programs that fork around it all."""

import gc
import itertools

import pytest

import blockpool as bp

ENDINGS = {
    "live blocks": "blocks = pool.allocate_many(3)",
    "live views": "views = [pool.allocate().buf for _ in range(3)]",
    "released with views": "block = pool.allocate(); view = block.buf; block.release()",
    "closed with views": "view = pool.allocate().buf; pool.close()",
    "inside with": "block = pool.allocate().__enter__()",
    "inside a generator": """
def work():
    with pool.allocate() as block:
        yield block.buf
paused = work()
view = next(paused)
""",
    "a reference cycle": "cycle = [pool, pool.allocate().buf]; cycle.append(cycle)",
    "in a builtin module": "import sys; sys.kept = [pool.allocate(), pool.allocate().buf, pool]",
    "numpy array": "import numpy as np; array = np.ndarray((8,), buffer=pool.allocate().buf)",
    "numpy and readonly": "import numpy as np; array = np.frombuffer(pool.allocate().readonly().buf)",
    "pyarrow": "import pyarrow as pa; buffer = pa.py_buffer(pool.allocate().buf)",
    "ctypes": "import ctypes; raw = (ctypes.c_char * 8).from_buffer(pool.allocate().buf)",
    "callers memory": "memory = bytearray(640); view = bp.Pool(64, buffer=memory).allocate().buf",
    "pool in a block": "inner = bp.Pool(8, buffer=pool.allocate().buf); view = inner.allocate().buf",
    "a finalizer that allocates": """
class Late:
    def __del__(self, pool=pool, BlockPoolError=bp.BlockPoolError):
        block = pool.allocate()
        block.buf[0] = 1
        block.free()
late = Late()
late.me = late
""",
    "atexit": """
import atexit
block = pool.allocate()
atexit.register(lambda: (block.free(), pool.check(), pool.close()))
""",
    "a waiting daemon thread": """
import gc, threading
kept = pool.allocate(blocks=8)
waits = threading.Event()
gc.callbacks.append(lambda phase, info: waits.set())
waits.clear()
threading.Thread(target=pool.allocate, kwargs={"timeout": None}, daemon=True).start()
waits.wait(30)
gc.callbacks.clear()
""",
    "three waiting daemon threads": """
import threading
kept = pool.allocate(blocks=8)
for _ in range(3):
    threading.Thread(target=pool.allocate_many, args=(2,), kwargs={"timeout": None}, daemon=True).start()
""",
    "a busy daemon thread": """
import threading
started = threading.Event()
def churn():
    while True:
        with pool.allocate() as block:
            block.buf[0] = 1
            started.set()
threading.Thread(target=churn, daemon=True).start()
started.wait(30)
""",
    "an exception's traceback": """
import sys
def fail():
    with pool.allocate() as block:
        view = block.buf
        raise KeyError
try:
    fail()
except KeyError as error:
    kept = error
""",
    "sys.exit inside with": "with pool.allocate() as block: view = block.buf; raise SystemExit(0)",
}


endings = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


@endings
def test_the_interpreter_exits_quietly(run_python, ending):
    """Whatever is alive, the exit code is 0 and nothing is printed."""
    run_python("import blockpool as bp\npool = bp.Pool(64, 8)\n" + ending)


@endings
def test_the_interpreter_exits_well_in_debug_mode(run_python, ending):
    """The same in debug mode, which has a report to print but no errors."""
    quiet = "import logging\nlogging.getLogger('blockpool').addHandler(logging.NullHandler())\n"
    run_python(
        quiet + "import blockpool as bp\npool = bp.Pool(64, 8, debug=True)\n" + ending,
        options=["-X", "dev"],
    )


ORDERS = list(itertools.permutations(["pool", "block", "twin", "view", "array"]))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_every_order_of_going(order):
    """Pool, block, twin, view and array may go in any order: each that is left works, and all comes back."""
    import numpy as np

    memory = bytearray(640)
    things = {"pool": bp.Pool(64, buffer=memory)}
    block = things["block"] = things["pool"].allocate()
    twin = things["twin"] = block.readonly()
    things["view"] = twin.buf
    things["array"] = np.ndarray((64,), np.uint8, buffer=block.buf)
    memory[:3] = b"abc"
    del block, twin
    for name in order:
        del things[name]
        for left, thing in things.items():
            if left in {"block", "twin"}:
                assert bytes(thing.buf[:3]) == b"abc"
            elif left == "pool":
                users = things.keys() - {"pool"}
                assert thing.stats().allocated == bool(users)
                thing.check()
            else:
                assert bytes(thing[:3]) == b"abc"
        thing = None
    memory.append(0)  # would raise BufferError if anything were left


def test_many_pools_come_and_go():
    """Pools are given back to the kernel: thousands can be made one after the other."""
    for number in range(3000):
        pool = bp.Pool(4096, 64)
        view = pool.allocate().buf
        view[0] = number % 256
        if number % 2:
            pool.close()
        del pool, view


def test_blocks_do_not_leak_objects():
    """Allocating, viewing and freeing leaves no objects behind."""
    import sys

    pool = bp.Pool(64, 64)

    def work():
        for _ in range(200):
            block = pool.allocate()
            view = block.buf
            twin = block.readonly()
            del view
            twin.release()
            block.free()
            with pool.allocate(nbytes=100) as block:
                block.buf[0] = 1
            pool.allocate_many(5)
            with pytest.raises(bp.PoolExhausted):
                pool.allocate(blocks=65)

    def count():
        gc.collect()
        return sys.getallocatedblocks()

    work()
    counts = []
    for _ in range(5):
        work()
        counts.append(count())
    assert min(counts[1:]) - counts[0] < 50, counts


def test_methods_of_bare_objects():
    """Objects made by __new__ alone answer every method with a typed error."""
    block = bp.Block.__new__(bp.Block)
    pool = bp.Pool.__new__(bp.Pool)
    for thing in (block, pool):
        repr(thing)
        for name in dir(thing):
            if name.startswith("__") and name not in {"__enter__", "__copy__", "__reduce_ex__"}:
                continue
            try:
                value = getattr(thing, name)
                if callable(value):
                    value(2) if name == "__reduce_ex__" else value()
            except (bp.BlockPoolError, TypeError, ValueError):
                pass
    block.__exit__(None, None, None)
    pool.__exit__(None, None, None)


def test_deeply_nested_pools(run_python):
    """Pools in blocks of pools, a thousand deep, go away without overflowing the stack."""
    run_python("""
        import blockpool as bp
        pool = bp.Pool(64, 1)
        for _ in range(1000):
            pool = bp.Pool(64, buffer=pool.allocate().buf)
        del pool
    """)
