"""Make calls when the interpreter has lost its modules, and print how many; what a call answers wrongly goes to stderr.

Arguments: the kind of pool (private, shared, debug or index) or `child` for a shared one whose block a child holds;
`used` to call before what imports something at its first use, else `unused`.
"""

import builtins
import os
import signal
import sys

import blockpool as bp


class Last:
    """The last object to go: one of `builtins`. Its destructor makes the calls, with nothing but what it holds."""

    def __init__(self, calls):
        self.calls = calls
        self.write = os.write
        self.finalizing = sys.is_finalizing

    def __del__(self):
        assert self.finalizing()
        for name, call, expected in self.calls:
            try:
                found = call()
            except BaseException as error:  # noqa: BLE001 - it may be what is expected
                found = error
            if type(found) is not expected and found is not expected:
                text = f"{name}: {type(found).__name__} {found}, not {expected}"
                self.write(2, text.encode() + bytes([10]))
        self.write(1, b"%d calls" % len(self.calls))


def at_the_end(calls):
    """Have calls made at the end: each has a name, and a result or its type, or that of its error."""
    last = Last(calls)
    last.me = last  # so that it goes with the builtins, not before
    builtins.last = last


def calls_of_pools(kind, preload):
    """Return calls of a pool and its blocks in every state."""
    pool = bp.Pool.create(64, 8) if kind == "shared" else bp.Pool(64, 8, debug=kind == "debug")
    closed = bp.Pool(64, 2, debug=False)
    closed.close()
    held = pool.allocate()
    view = held.buf
    free = pool.allocate()
    twice = pool.allocate()
    twice.free()
    released = pool.allocate()
    released.release()
    if preload:
        pool.stats(), pool.runs(), pool.check(), pool.recover(), pool.residency()
    make, redeem = bp.Pool, bp.redeem

    def with_block():
        with pool.allocate() as block:
            block.buf[0] = 1

    calls = [
        ("free in use", held.free, bp.BlockInUse),
        ("free", free.free, None),
        ("free twice", twice.free, bp.DoubleFree),
        ("buf of a freed one", lambda: twice.buf, bp.InvalidBlock),
        ("buf of a released one", lambda: released.buf, bp.InvalidBlock),
        ("release again", released.release, None),
        ("allocate", pool.allocate, bp.Block),
        ("allocate and leave", with_block, None),
        ("allocate more than free", lambda: pool.allocate(blocks=8), bp.PoolExhausted),
        ("allocate more than there is", lambda: pool.allocate(blocks=9), bp.PoolExhausted),
        ("allocate many", lambda: pool.allocate_many(8), bp.PoolExhausted),
        ("wait", lambda: pool.allocate(blocks=8, timeout=0.01), bp.PoolExhausted),
        ("no blocks", lambda: pool.allocate(blocks=0), ValueError),
        ("blocks of the wrong kind", lambda: pool.allocate(blocks="3"), TypeError),
        ("a wrong size", lambda: pool.allocate(nbytes="3 apples"), ValueError),
        ("a wrong timeout", lambda: pool.allocate(timeout="1"), TypeError),
        ("a closed pool", closed.allocate, bp.PoolClosed),
        ("a wrong pool", lambda: make(63, 4), ValueError),
        ("a wrong name", lambda: make.create(64, 4, name="a/b"), ValueError),
        ("no such pool", lambda: make.attach("never-made-by-this-test"), bp.PoolNotFound),
        ("too large", lambda: make(64, 2**50), bp.PoolExhausted),
        ("a copy", held.__copy__, TypeError),
        ("a new pool", lambda: make(64, 4, debug=False), bp.Pool),
        ("a new shared pool", lambda: make.create(64, 4), bp.Pool),
        ("redeem nonsense", lambda: redeem("nonsense"), ValueError),
        ("redeem nothing", lambda: redeem(None), TypeError),
        ("repr", lambda: repr(pool) and repr(held), str),
        ("read only", held.readonly, bp.Block),
        ("write", lambda: view.__setitem__(0, 1), None),
        ("the processes", lambda: pool.stats().processes, int),
        ("the runs", lambda: pool.runs()[0].index, int),
        ("the audit", lambda: pool.check().allocated, int),
        ("recovery", lambda: pool.recover().processes, int),
        ("residency", lambda: pool.residency().resident_bytes, int),
        ("asyncio", pool.allocate_async, RuntimeError),
        ("close", pool.close, None),
    ]
    if kind == "shared":
        gone = pool.allocate()
        stale = gone.handle
        gone.free()
        other = bp.Pool.create(64, 1)
        lost = other.allocate().handle
        other.close()
        del other
        calls[1:1] = [
            ("handle", lambda: held.handle, bp.Handle),
            ("share", held.share, bp.Ticket),
            ("reduce", lambda: held.__reduce_ex__(4), tuple),
            ("redeem a stale one", lambda: redeem(stale), bp.StaleHandle),
            ("redeem of a pool that is gone", lambda: redeem(lost), bp.PoolNotFound),
        ]
    else:
        calls += [
            ("handle", lambda: held.handle, TypeError),
            ("share", held.share, TypeError),
            ("pickle", lambda: held.__reduce_ex__(4), TypeError),
        ]
    return calls


def calls_of_indices(preload):
    """Return calls of an IndexPool."""
    ids = bp.IndexPool(8)
    taken = ids.allocate()
    if preload:
        ids.stats()
    return [
        ("allocate", ids.allocate, int),
        ("free", lambda: ids.free(taken), None),
        ("free again", lambda: ids.free(taken), bp.DoubleFree),
        ("free outside", lambda: ids.free(8), bp.InvalidBlock),
        ("free the wrong kind", lambda: ids.free("1"), TypeError),
        ("free many of the wrong kind", lambda: ids.free_many(3), TypeError),
        ("free many twice", lambda: ids.free_many([1, 1]), bp.DoubleFree),
        ("allocate too many", lambda: ids.allocate_many(8), bp.PoolExhausted),
        ("allocate more than there are", lambda: ids.allocate_many(9), bp.PoolExhausted),
        ("allocate a run", lambda: ids.allocate_run(8), bp.PoolExhausted),
        ("allocate none", lambda: ids.allocate_many(0), ValueError),
        ("the state", lambda: ids.stats().allocated, int),
        ("the audit", ids.check, int),
    ]


def calls_of_a_block_in_a_child():
    """Return calls of a block that a child holds, too, and of its pool."""
    pool = bp.Pool.create(64, 4)
    block = pool.allocate()
    child = os.fork()
    if child == 0:
        signal.pause()
    kill, wait = os.kill, os.waitpid
    return [
        ("free", block.free, bp.BlockInUse),
        ("allocate", lambda: pool.allocate(blocks=4), bp.PoolExhausted),
        ("end the child", lambda: kill(child, 9) or wait(child, 0), tuple),
        ("free then", block.free, None),
    ]


def main(kind, reports):
    """Choose the calls."""
    preload = reports == "used"
    if kind == "child":
        at_the_end(calls_of_a_block_in_a_child())
    elif kind == "index":
        at_the_end(calls_of_indices(preload))
    else:
        at_the_end(calls_of_pools(kind, preload))


if __name__ == "__main__":
    main(*sys.argv[1:])
