"""Random calls of everything public, from several threads: only documented errors, no crash, and no block is lost.

    python tests/stress/random_calls.py [--seconds 60] [--threads 4] [--seed 1]

All threads choose among the same pools, blocks, views, arrays, tickets and messages, so that any call meets any other
on the same object: a block is freed while it is pickled, a pool closed while it is allocated from. Every pool is
audited again and again meanwhile. In the end everything is dropped, and every block must be free.

Exit status 0: they were. The seed repeats the choices, not their interleaving.
"""

import argparse
import array
import asyncio
import collections
import faulthandler
import gc
import logging
import os
import pickle
import random
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import classic
from blockpool.shared_memory import ShareableList, SharedMemory

# What a call may raise: PicklingError and AttributeError of what cannot be pickled.
TYPED = (bp.BlockPoolError, ValueError, TypeError, BufferError, MemoryError, OSError)
TYPED += (pickle.PicklingError, AttributeError)
PROBLEMS = (bp.PoolCorrupt, bp.BlockOverrun, bp.WriteAfterFree)
MOST = {
    "pools": 9,
    "blocks": 60,
    "views": 40,
    "arrays": 40,
    "messages": 30,
    "tickets": 30,
    "segments": 8,
}


class Evil:
    """A number that calls a function when it is asked for its value."""

    def __init__(self, value, does):
        self.value, self.does = value, does

    def __index__(self):
        self.does()
        return self.value

    def __float__(self):
        self.does()
        return float(self.value)


class Dying:
    """Garbage that calls a function when it is collected."""

    def __init__(self, does):
        self.does = does
        self.itself = self

    def __del__(self):
        with suppress(*TYPED):
            self.does()


class Things:
    """What all threads choose from; they change the lists at any time."""

    def __init__(self, seed):
        chosen = random.Random(seed)
        self.names = [f"random-calls-{os.getpid()}-{n}" for n in range(3)]
        self.pools = [new_pool(chosen, self.names, kind) for kind in ("private", "debug", "shared")]
        self.pools.append(bp.Pool.create(4096, 32, name=self.names[0]))
        self.blocks, self.views, self.arrays, self.segments = [], [], [], []
        self.tickets, self.messages = [], []
        self.ids = bp.IndexPool(300)

    def keep(self, kind, thing):
        """Add a thing, and drop others if there are too many."""
        things = getattr(self, kind)
        things.append(thing)
        while len(things) > MOST[kind]:
            self.take(random, kind)

    def pick(self, r, kind):
        """Choose a thing, or None if there is none."""
        things = getattr(self, kind)
        with suppress(IndexError, ValueError):
            return things[r.randrange(len(things))]
        return None

    def take(self, r, kind):
        """Choose a thing and remove it, or return None if there is none."""
        things = getattr(self, kind)
        with suppress(IndexError, ValueError):
            at = r.randrange(len(things))
            things[at], things[-1] = things[-1], things[at]
            return things.pop()
        return None


def new_pool(r, names, kind=None):
    """Make or attach a pool of any kind."""
    size, blocks = r.choice([8, 16, 64, 72, 256, 4096]), r.choice([1, 3, 64, 200, 700])
    makers = {
        "private": lambda: bp.Pool(size, blocks, debug=False),
        "debug": lambda: bp.Pool(size, blocks, debug=True),
        "borrowed": lambda: bp.Pool(size, buffer=bytearray(size * blocks + 8)),
        "large": lambda: bp.Pool(64, 70_000, debug=False),
        "shared": lambda: bp.Pool.create(size, blocks, on_fork=r.choice(["share", "detach"])),
        "named": lambda: bp.Pool.create(size, blocks, name=r.choice(names), exist_ok=True),
        "attached": lambda: bp.Pool.attach(r.choice(names)),
    }
    return makers[kind or r.choice(list(makers))]()


CALLS = []


def call(function):
    """Add a function of things, random choices and a pool to the calls."""
    CALLS.append(function)
    return function


def of_block(function):
    """Add a function that takes a block instead of the pool, and is not called without one."""

    def on_a_block(t, r, _):
        block = t.pick(r, "blocks")
        if block is not None:
            function(t, r, block)

    on_a_block.__name__ = function.__name__
    return call(on_a_block)


@call
def allocate(t, r, pool):
    """Allocate a block or a run."""
    t.keep("blocks", pool.allocate())
    count = r.choice([1, 2, 5, 70, True, np.int64(3), -1, 2**70, "2", Evil(2, lambda: gc.collect(0))])
    t.keep("blocks", pool.allocate(blocks=count))


@call
def allocate_by_size(t, r, pool):
    """Allocate bytes, with any timeout."""
    nbytes = r.choice([1, 63, 64, 65, 1000, "1 KiB", 2**62, -1, 0])
    t.keep("blocks", pool.allocate(nbytes=nbytes, timeout=r.choice([0, 0.001, 0.0, 1e-9, -1])))


@call
def allocate_many(t, r, pool):
    """Allocate several blocks at once."""
    for block in pool.allocate_many(r.choice([1, 3, 20, 100, 0]), timeout=r.choice([0, 0.001])):
        t.keep("blocks", block)


@call
def closing_index(_, r, pool):
    """Allocate with a count that closes the pool when it is asked for its value."""
    if r.random() < 0.05:
        pool.allocate(blocks=Evil(1, pool.close))


@call
def free(t, r, _):
    """Free a block that others may be using."""
    block = t.take(r, "blocks")
    if block is not None:
        block.free()


@of_block
def release(_, __, block):
    """Free or release a block that stays among the things."""
    block.release()


@call
def drop(t, r, _):
    """Drop things."""
    t.take(r, r.choice(["blocks", "views", "arrays", "tickets", "messages"]))


@of_block
def view(t, r, block):
    """Make views of a block, and of views."""
    t.keep("views", block.buf)
    seen = t.pick(r, "views")
    t.keep("views", seen[r.randrange(10) :])


@of_block
def twin(t, _, block):
    """Make a read-only block of the same memory."""
    t.keep("blocks", block.readonly())


@of_block
def note(_, r, block):
    """Set and read the note of a block."""
    block.note = r.choice([b"", b"x", b"y" * 120, bytearray(7), b"z" * 121, "text"])
    assert len(block.note) <= 120


@of_block
def array_of_block(t, r, block):
    """Make an array in a block."""
    t.keep("arrays", block.array(r.choice([1, 4, (2, 2), 0]), r.choice(["u1", "f4", ">i2", None])))


@call
def write(t, r, _):
    """Write through a view and an array."""
    seen = t.pick(r, "views")
    if seen is not None and not seen.readonly and len(seen):
        seen[0], seen[-1] = 1, 2
    numbers = t.pick(r, "arrays")
    if numbers is not None and numbers.ndim and numbers.size and numbers.flags.writeable:
        if numbers.dtype.kind in "fiu":
            numbers[...] = 7
        t.keep("arrays", numbers[..., ::-1])


@call
def array_of_pool(t, r, pool):
    """Make arrays in a pool."""
    shape = r.choice([3, (4, 5), (100,), (2, 0), (3, 2**61), -1])
    dtype = r.choice(["f8", "u1", "M8[s]", [("a", "i4"), ("b", "f8")], "?", object])
    t.keep("arrays", pool.zeros(shape, dtype, order=r.choice("CF")))
    source = r.choice([[1, 2, 3], np.ones((3, 4)).T, np.arange(10)[::2], "text", [None]])
    t.keep("arrays", pool.asarray(source))
    numbers = t.pick(r, "arrays")
    if numbers is not None:
        t.keep("arrays", pool.asarray(numbers))


@of_block
def share(t, r, block):
    """Make tickets and handles."""
    t.keep("tickets", block.share(r.choice([1, 1, 2, 9000])))
    t.keep("tickets", block.handle)


@call
def redeem(t, r, _):
    """Redeem a ticket or handle, in any form."""
    ticket = t.pick(r, "tickets")
    if ticket is not None:
        t.keep("blocks", bp.redeem(r.choice([ticket, str(ticket), bytes(ticket)])))


@call
def send(t, r, _):
    """Pickle blocks, arrays and other things, as multiprocessing does."""
    block, numbers = t.pick(r, "blocks"), t.pick(r, "arrays")
    outside = {"a": np.ones((30, 30)), "b": pickle.PickleBuffer(bytes(5000))}
    message = r.choice([block, numbers, [block, numbers], np.ones(2000), outside, [block, print, send]])
    t.keep("messages", bytes(ForkingPickler.dumps(message)))


@call
def receive(t, r, _):
    """Unpickle a message, once."""
    message = t.take(r, "messages")
    if message is None:
        return
    got = pickle.loads(message)
    for thing in got if isinstance(got, list) else [got]:
        if isinstance(thing, bp.Block):
            t.keep("blocks", thing)
        elif isinstance(thing, np.ndarray):
            t.keep("arrays", thing)


@call
def switch(_, r, pool):
    """Change how arrays are sent."""
    if r.random() < 0.3:
        carrier.uninstall()
    else:
        carrier.install(pool, threshold=r.choice([1, 100, 5000]), readonly=r.random() < 0.2)


@call
def pools_come_and_go(t, r, _):
    """Close a pool, and make another."""
    if r.random() < 0.3:
        closed = t.take(r, "pools")
        if closed is not None and len(t.pools) > 2:
            closed.close()
    if len(t.pools) < MOST["pools"]:
        t.keep("pools", new_pool(r, t.names))


@call
def pickled_pool(t, _, pool):
    """Pickle and unpickle a pool."""
    t.keep("pools", pickle.loads(pickle.dumps(pool)))


@call
def opened_again(_, __, pool):
    """Try to open an open pool again."""
    pool.__init__(64, 4)


@of_block
def other_libraries(t, _, block):
    """Use DLPack, the array interface, and copies."""
    t.keep("arrays", np.from_dlpack(block))
    block.__dlpack__(copy=True)
    block.__dlpack__(max_version=(1, 0))
    t.keep("arrays", np.asarray(block))


@call
def look(_, __, pool):
    """Ask a pool for statistics, runs and text."""
    repr(pool)
    pool.stats()
    pool.runs()
    pool.residency()


@of_block
def look_at_a_block(_, __, block):
    """Ask a block for all its attributes."""
    repr(block)
    assert block == block  # noqa: PLR0124 - of all comparisons the only one there is
    hash(block)
    _ = block.index, block.blocks, block.nbytes, block.address, block.pool.closed


@call
def check(_, __, pool):
    """Audit a pool while others use it."""
    pool.check()


@call
def recover(_, r, pool):
    """Recover a pool, perhaps with its tickets."""
    pool.recover(tickets_older_than=r.choice([None, None, 0, 1]))


@call
def collect(_, r, __):
    """Collect garbage."""
    gc.collect(r.randrange(3))


@call
def garbage(t, r, pool):
    """Make garbage that releases and allocates when it is collected."""
    block = t.pick(r, "blocks")
    Dying(lambda: (block and block.release(), pool.allocate()))


@call
def numbers_of_numpy(t, r, pool):
    """Have NumPy allocate from a pool."""
    with pool.numpy_allocator():
        t.keep("arrays", np.ones(r.choice([10, 1000, 5000])) * 2)


@call
def within(_, __, pool):
    """Use a block in a `with`."""
    with pool.allocate() as block:
        block.buf[0] = 1


@call
def indices(t, r, _):
    """Call an IndexPool, rightly and wrongly."""
    t.ids.free_many(t.ids.allocate_many(r.choice([1, 50, 400]), packed=r.random() < 0.5))
    t.ids.free_many(t.ids.allocate_run(r.choice([1, 7])))
    buffer = array.array(r.choice("iqIQ"), [0] * r.choice([0, 5, 60]))
    t.ids.allocate_into(buffer)
    t.ids.free_many(buffer)
    t.ids.check()
    t.ids.stats()
    t.ids.free_many([t.ids.allocate(), r.choice([310, -1, "x"])])


@call
def wait(t, r, pool):
    """Wait for room in tasks, and cancel some of them."""
    if r.random() > 0.2:
        return

    async def several():
        timeouts = [r.choice([0, 0.001, 0.01]) for _ in range(5)]
        tasks = [asyncio.ensure_future(pool.allocate_async(timeout=seconds)) for seconds in timeouts]
        for task in tasks:
            if r.random() < 0.3:
                task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    for got in asyncio.run(several()):
        if isinstance(got, bp.Block):
            t.keep("blocks", got)


@call
def segments(t, r, _):
    """Use SharedMemory and ShareableList."""
    if r.random() < 0.3:
        t.keep("segments", SharedMemory(create=True, size=r.choice([1, 5000, 100_000])))
    other = t.pick(r, "segments")
    if other is not None:
        t.keep("segments", SharedMemory(other.name))
        if other.buf is not None:
            t.keep("views", other.buf[:])
        if r.random() < 0.5:
            other.close()
            other.unlink()
    items = ShareableList([1, "abc", 2.5, None])
    items[0] = 5
    items.shm.close()
    items.shm.unlink()


@call
def classic_calls(_, r, __):
    """Make the three classic calls."""
    if r.random() < 0.1:
        classic.initialize_memory_allocator(1024, 32)
    run = classic.allocate_memory_blocks(r.choice([1, 2, 40]))
    classic.deallocate_memory_blocks(r.choice([run, run.address, 5]))


class Caller(threading.Thread):
    """A thread that makes random calls until the time is over or there is a problem."""

    def __init__(self, things, seed, end, problems):
        super().__init__()
        self.things, self.end, self.problems = things, end, problems
        self.random = random.Random(seed)
        self.calls, self.refused = collections.Counter(), collections.Counter()

    def run(self):
        """Make random calls."""
        while time.monotonic() < self.end and not self.problems:
            chosen = self.random.choice(CALLS)
            pool = self.things.pick(self.random, "pools")
            if pool is None:
                continue
            self.calls[chosen.__name__] += 1
            try:
                chosen(self.things, self.random, pool)
            except PROBLEMS:
                self.problems.append(traceback.format_exc())
            except TYPED as error:
                self.refused[type(error).__name__] += 1
            except BaseException:  # noqa: BLE001 - whatever it is, it is told
                self.problems.append(traceback.format_exc())
            del pool


def settle(things, problems):
    """Drop everything, and check that every block of every pool is free."""
    pools = [pool for pool in things.pools if not pool.closed]
    for segment in things.segments:
        with suppress(bp.BlockPoolError):
            segment.unlink()
    for kind in MOST:
        getattr(things, kind).clear()
    while gc.collect():  # garbage whose end makes other garbage
        pass
    for pool in pools:
        pool.recover(tickets_older_than=0)
        stats = pool.stats()
        if pool.check().allocated or stats.allocated or stats.tickets:
            problems.append(f"left in {pool}: {pool.runs()[:5]}")
        pool.close()


def main():
    """Make random calls for a while, and print how many."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    faulthandler.enable()
    faulthandler.dump_traceback_later(options.seconds + 600, exit=True)  # a thread waits for ever
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)  # debug mode tells what is allocated when a pool is closed
    sys.setswitchinterval(1e-5)
    problems = []
    sys.unraisablehook = lambda what: (
        isinstance(what.exc_value, PROBLEMS) and problems.append(f"in a destructor: {what.exc_value!r}")
    )
    things = Things(options.seed)
    end = time.monotonic() + options.seconds
    callers = [Caller(things, f"{options.seed}/{n}", end, problems) for n in range(options.threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    carrier.uninstall()
    if not problems:
        settle(things, problems)
    calls = sum((caller.calls for caller in callers), collections.Counter())
    refused = sum((caller.refused for caller in callers), collections.Counter())
    print(f"{calls.total()} calls, {refused.total()} refused: {dict(refused.most_common())}")
    never = {function.__name__ for function in CALLS} - set(calls)
    if never:
        print(f"never called: {', '.join(sorted(never))}")
    for problem in problems[:5]:
        print(problem)
    return len(problems) > 0


if __name__ == "__main__":
    sys.exit(main())
