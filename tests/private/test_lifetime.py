"""Ends: interpreters that exit with live blocks, and objects that go in odd orders."""

import gc
import itertools
import re

import pytest

import blockpool as bp

# Each is a function of tests/programs/private/endings.py, named with underscores.
ENDINGS = [
    "live blocks",
    "live views",
    "released with views",
    "closed with views",
    "inside with",
    "inside a generator",
    "a reference cycle",
    "in a builtin module",
    "numpy array",
    "numpy and readonly",
    "pyarrow",
    "ctypes",
    "callers memory",
    "pool in a block",
    "a finalizer that allocates",
    "atexit",
    "a waiting daemon thread",
    "three waiting daemon threads",
    "a busy daemon thread",
    "an exception's traceback",
    "sys.exit inside with",
]
endings = pytest.mark.parametrize("ending", ENDINGS)


def function_of(ending):
    """Return the name of the function for an ending."""
    return re.sub(r"\W", "_", ending.replace("'", ""))


@endings
def test_the_interpreter_exits_quietly(run_program, ending):
    """Whatever of a pool is alive when the interpreter ends, the exit code is 0 and nothing is printed."""
    run_program("private/endings.py", function_of(ending))


@endings
def test_the_interpreter_exits_well_in_debug_mode(run_program, ending):
    """Whatever of a pool in debug mode is alive when the interpreter ends, the exit code is 0."""
    run_program("private/endings.py", function_of(ending), "debug", options=["-X", "dev"])


ORDERS = list(itertools.permutations(["pool", "block", "twin", "view", "array"]))


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_every_order_of_going(order):
    """Pool, block, twin, view and array may go in any order: those that are left work, and the memory comes back."""
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
    """Thousands of pools can be made one after the other: their memory goes back to the kernel."""
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
    """Every method of a Block or Pool made by __new__ alone answers or raises one of the documented errors."""
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


def test_deeply_nested_pools(run_program):
    """Pools in blocks of pools, a thousand deep, go away without overflowing the stack."""
    run_program("private/nested_pools.py")
