"""Every operation of a pool as a function of it, for programs that try each in turn.

`OPERATIONS[kind][name](pool)` with a pool from `make(kind)` leaves the pool as it was. What an operation needs it makes
between `memory.restore()` and `memory.fail()`, which do nothing unless a program replaces them.
"""

import array
import os
import pickle
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier

structured = np.dtype([("a", "i4"), ("b", "f8")])
SINGLE, LONG = 300, 1500  # an index call of up to 1024 allocates no memory


# `fail` makes Python's allocations fail, `restore` ends that; a program sets both, `restore` to what needs no memory.
memory = SimpleNamespace(fail=lambda: None, restore=lambda: None)


def within(pool):
    """Use a block in a `with`."""
    with pool.allocate() as block:
        block.buf[0] = 1


def numbers(pool):
    """Make a NumPy array whose memory comes from the pool."""
    with pool.numpy_allocator():
        np.ones(100)


def refused(error, call):
    """Return a function that makes a call which is refused."""

    def attempt(pool):
        with suppress(error):
            call(pool)

    return attempt


def busy(pool):
    """Free a block that has a view."""
    block = pool.allocate()
    view = block.buf
    with suppress(bp.BlockInUse):
        block.free()
    del view


def twice(pool):
    """Free a block twice."""
    block = pool.allocate()
    block.free()
    with suppress(bp.DoubleFree):
        block.free()


def stale(pool):
    """Redeem the handle of a block that was freed."""
    memory.restore()
    handle = pool.allocate().handle
    memory.fail()
    with suppress(bp.StaleHandle):
        bp.redeem(handle)


def without_a_spare_block(pool):
    """Allocate when Python has no freed Block object left to use again, so that a new one takes memory."""
    memory.restore()
    kept = bp.Pool(8, 300).allocate_many(300)
    memory.fail()
    pool.allocate(nbytes=100)
    memory.restore()
    del kept


def shared(pool):
    """Take a reference, and redeem it."""
    ticket = pool.allocate().share()
    memory.restore()
    bp.redeem(ticket)


def redeemed(kind):
    """Return a function that redeems a handle or ticket in one of its forms, and drops what is left."""

    def redeem(pool):
        memory.restore()
        block = pool.allocate()
        given = block.handle if kind is bp.Handle else block.share()
        given = given if kind in {bp.Handle, bp.Ticket} else kind(given)
        memory.fail()
        try:
            bp.redeem(given)
        finally:
            memory.restore()
            pool.recover(tickets_older_than=0)

    return redeem


def carried(make):
    """Return a function that sends and receives a message through the pool, and drops what is left in flight."""

    def carry(pool):
        memory.restore()
        carrier.install(pool, threshold=8)
        message = make(pool)
        memory.fail()
        try:
            pickle.loads(ForkingPickler.dumps(message))
        finally:
            memory.restore()
            carrier.uninstall()
            pool.recover(tickets_older_than=0)

    return carry


def taken(call):
    """Return a function that allocates indices by a single call, and frees them."""

    def take(ids):
        indices = call(ids)
        memory.restore()
        ids.free_many(indices)

    return take


def freed(make):
    """Return a function that frees indices by a single call, which must free all or none."""

    def free(ids):
        memory.restore()
        indices = make(ids)
        before = len(ids)
        memory.fail()
        try:
            ids.free_many(indices)
        except MemoryError:
            memory.restore()
            assert len(ids) == before
            ids.free_many(indices)
            raise

    return free


def single(ids):
    """Allocate an index, and return it in a list."""
    index = ids.allocate()
    memory.restore()
    return [index]


into = array.array("i", [0] * SINGLE)


def filled(ids):
    """Allocate indices into a buffer."""
    ids.allocate_into(into)
    return into


def noted(pool):
    """Set the note of a block and read it."""
    block = pool.allocate()
    block.note = memoryview(b"camera 3")
    return block.note


POOL = {
    "allocate": lambda pool: pool.allocate(),
    "run": lambda pool: pool.allocate(blocks=3),
    "nbytes": lambda pool: pool.allocate(nbytes=100),
    "no spare block": without_a_spare_block,
    "size as text": lambda pool: pool.allocate(nbytes="100 B", timeout=0.0),
    "many": lambda pool: pool.allocate_many(20),
    "buf": lambda pool: pool.allocate().buf[3:],
    "readonly": lambda pool: pool.allocate().readonly().buf,
    "note": noted,
    "free": lambda pool: pool.allocate().free(),
    "release": lambda pool: pool.allocate().release(),
    "with": within,
    "array": lambda pool: pool.allocate().array(8, "u1"),
    "empty": lambda pool: pool.empty((2, 3), structured),
    "zeros": lambda pool: pool.zeros((2, 3)),
    "full": lambda pool: pool.full(3, 1.5),
    "asarray": lambda pool: pool.asarray([1.0, 2.0]),
    # not numpy.asarray(block): NumPy keeps a reference for ever when it has no memory here
    "array interface": lambda pool: pool.allocate().__array_interface__,
    "dlpack": lambda pool: np.from_dlpack(pool.allocate()),
    "copied dlpack": lambda pool: pool.allocate().__dlpack__(copy=True),
    "exhausted": refused(bp.PoolExhausted, lambda pool: pool.allocate(blocks=60)),
    "exhausted later": refused(bp.PoolExhausted, lambda pool: pool.allocate(blocks=60, timeout=0.001)),
    "exhausted many": refused(bp.PoolExhausted, lambda pool: pool.allocate_many(60)),
    "busy": busy,
    "twice": twice,
    "wrong argument": refused(ValueError, lambda pool: pool.allocate(blocks=-1)),
    "stats": lambda pool: pool.stats(),
    "runs": lambda pool: pool.runs(),
    "check": lambda pool: pool.check(),
    "residency": lambda pool: pool.residency(),
    "recover": lambda pool: pool.recover(),
    "repr": lambda pool: (repr(pool), repr(pool.allocate())),
    "pool": lambda pool: pool.allocate().pool,
}
OPERATIONS = {
    "private": POOL
    | {
        "new": lambda pool: bp.Pool(64, 16).allocate().buf,
        "buffer": lambda pool: bp.Pool(64, buffer=bytearray(640)).allocate(),
        "numbers": numbers,
    },
    "debug": POOL
    | {
        "new": lambda pool: bp.Pool(64, 16, debug=True).allocate().buf,
        "outstanding": lambda pool: (pool.allocate(), pool.outstanding()),
    },
    "shared": POOL
    | {
        "create": lambda pool: bp.Pool.create(64, 4).allocate(),
        "attach": lambda pool: bp.Pool.attach(pool.name).close(),
        "handle": lambda pool: pool.allocate().handle,
        "share": shared,
        "redeem a handle": redeemed(bp.Handle),
        "redeem a ticket": redeemed(bp.Ticket),
        "redeem text": redeemed(str),
        "redeem bytes": redeemed(bytes),
        "stale": stale,
        "pickled pool": lambda pool: pickle.loads(pickle.dumps(pool)),
        "carried block": carried(lambda pool: pool.allocate()),
        "carried array": carried(lambda pool: pool.zeros(5)),
        "carried copy": carried(lambda pool: np.zeros(5)),
        "carried parts": carried(
            lambda pool: [
                pool.allocate(),
                pool.zeros(5),
                np.ones(9),
                pickle.PickleBuffer(bytes(99)),
            ]
        ),
    },
    "index": {
        "one": taken(single),
        "many": taken(lambda ids: ids.allocate_many(SINGLE)),
        "packed": taken(lambda ids: ids.allocate_many(SINGLE, packed=True)),
        "long": taken(lambda ids: ids.allocate_many(LONG)),
        "run": taken(lambda ids: ids.allocate_run(SINGLE)),
        "into": taken(filled),
        "free one": freed(lambda ids: [ids.allocate()]),
        "free a list": freed(lambda ids: ids.allocate_many(LONG)[::-1]),
        "free a range": freed(lambda ids: ids.allocate_run(LONG)),
        "free a buffer": freed(lambda ids: array.array("q", ids.allocate_many(LONG))),
        "outside": refused(bp.InvalidBlock, lambda ids: ids.free_many([5000, 1])),
        "not there": refused(bp.DoubleFree, lambda ids: ids.free(3999)),
        "exhausted": refused(bp.PoolExhausted, lambda ids: ids.allocate_run(3990)),
        "new": lambda ids: bp.IndexPool(100).allocate(),
        "contains": lambda ids: 5 in ids,
        "stats": lambda ids: ids.stats(),
        "check": lambda ids: ids.check(),
        "bitmap": lambda ids: ids.bitmap[0],
        "repr": repr,
    },
}


def make(kind):
    """Make a pool and allocate from it; return both."""
    if kind == "index":
        pool = bp.IndexPool(4000)
        # as many as there are small ints, for which there is memory already
        return pool, pool.allocate_many(300)
    if kind == "shared":
        pool = bp.Pool.create(64, 64, name=f"operations-{os.getpid()}")
    else:
        pool = bp.Pool(64, 64, debug=kind == "debug")
    return pool, [pool.allocate(blocks=4), *pool.allocate_many(3)]


def state(pool):
    """Audit a pool, and return what an operation must leave as it was."""
    if isinstance(pool, bp.IndexPool):
        return pool.check(), len(pool)
    stats = pool.stats()
    return pool.check().runs, stats.allocated, stats.tickets
