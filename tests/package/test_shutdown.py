"""The end of the interpreter: what is called when nothing can be imported and modules have lost their names."""

import importlib
import types

import pytest

# The last object to go is one of `builtins`; its destructor makes the calls, with nothing but what it holds.
LAST = """
import builtins, os, sys
import blockpool as bp

class Last:
    def __init__(self, calls):
        self.calls = calls
        self.write = os.write
        self.finalizing = sys.is_finalizing

    def __del__(self):
        assert self.finalizing()
        for name, call, expected in self.calls:
            try:
                found = call()
            except BaseException as error:
                found = error
            if type(found) is not expected and found is not expected:
                text = f"{name}: {type(found).__name__} {found}, not {expected}"
                self.write(2, text.encode() + bytes([10]))
        self.write(1, b"%d calls" % len(self.calls))

def at_the_end(calls):
    last = Last(calls)
    last.me = last  # so that it goes with the builtins, not before
    builtins.last = last

PRELOAD = sys.argv[2] == "used"
"""

POOLS = """
kind = sys.argv[1]
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
if PRELOAD:
    pool.stats(), pool.runs(), pool.check(), pool.recover(), pool.residency()

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
    ("a wrong pool", lambda: bp_Pool(63, 4), ValueError),
    ("a wrong name", lambda: bp_Pool.create(64, 4, name="a/b"), ValueError),
    ("no such pool", lambda: bp_Pool.attach("never-made-by-this-test"), bp.PoolNotFound),
    ("too large", lambda: bp_Pool(64, 2**50), bp.PoolExhausted),
    ("a copy", lambda: held.__copy__(), TypeError),
    ("a new pool", lambda: bp_Pool(64, 4, debug=False), bp.Pool),
    ("a new shared pool", lambda: bp_Pool.create(64, 4), bp.Pool),
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
bp_Pool, redeem = bp.Pool, bp.redeem
at_the_end(calls)
"""

INDICES = """
ids = bp.IndexPool(8)
taken = ids.allocate()
if PRELOAD:
    ids.stats()
at_the_end([
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
])
"""


@pytest.mark.parametrize("kind", ["private", "shared", "debug"])
@pytest.mark.parametrize("reports", ["used", "unused"])
def test_calls_at_the_end_of_the_interpreter_answer_as_always(run_python, kind, reports):
    """Every call works, or is refused by the same error as at any time, when the interpreter has lost its modules."""
    out = run_python(LAST + POOLS, kind, reports)
    assert out.endswith(" calls")


@pytest.mark.parametrize("reports", ["used", "unused"])
def test_index_pools_at_the_end_of_the_interpreter(run_python, reports):
    """Every call of an IndexPool works, or is refused by the same error as at any time."""
    assert run_python(LAST + INDICES, "index", reports) == "13 calls"


def test_blocks_in_use_by_a_child_at_the_end(run_python):
    """A block that a forked child holds is refused, and pools are full, at the end as at any time."""
    out = run_python(
        LAST
        + """
import signal

pool = bp.Pool.create(64, 4)
block = pool.allocate()
child = os.fork()
if child == 0:
    signal.pause()
kill, wait = os.kill, os.waitpid
at_the_end([
    ("free", block.free, bp.BlockInUse),
    ("allocate", lambda: pool.allocate(blocks=4), bp.PoolExhausted),
    ("end the child", lambda: kill(child, 9) or wait(child, 0), tuple),
    ("free then", block.free, None),
])
""",
        "shared",
        "unused",
    )
    assert out == "4 calls"


# What is called while the core is imported, and never after.
AT_IMPORT = {"copyreg", "os", "RLock"}


@pytest.mark.parametrize("name", ["_core", "_index"])
def test_what_calls_need_are_no_names_of_the_module(name):
    """A module's names become None when the interpreter ends, so those of other modules are variables of C."""
    module = importlib.import_module(f"blockpool.{name}")
    strangers = {
        key
        for key, value in vars(module).items()
        if isinstance(value, (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType))
        and (isinstance(value, types.ModuleType) or value.__module__ not in {module.__name__, None})
        and not key.startswith("__")
    }
    assert strangers <= AT_IMPORT
