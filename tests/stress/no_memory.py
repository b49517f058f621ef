"""Operations, each of whose allocations fails in turn: they raise MemoryError or do without, and lose nothing.

    python tests/stress/no_memory.py shared ["carried block"…]

Each operation (operations.py) has a process of its own, as what goes wrong here is mostly a crash. After each attempt
the pool is audited, and must have allocated what it had before. Exit status 0: so it was, for all.
"""

import _testcapi
import faulthandler
import gc
import os
import pickle
import sys
import traceback

from operations import OPERATIONS, make, memory, state

QUIET = 30  # so many attempts without a failure: the last allocation was passed
# SystemError: Python 3.11 cannot call a function written in Python then, and forgets to say why.
FAILURES = (MemoryError, SystemError, pickle.PicklingError)


def sweep(kind, name):
    """Run one operation until none of its allocations is left to fail; return how often it failed."""
    turn = 10**9
    memory.restore = _testcapi.remove_mem_hooks
    memory.fail = lambda: _testcapi.set_nomemory(turn, turn + 1)
    operation = OPERATIONS[kind][name]
    gc.disable()
    pool, kept = make(kind)
    for _ in range(5):
        operation(pool)
    memory.restore()
    before = state(pool)
    failures = quiet = turn = 0
    while quiet < QUIET:
        memory.fail()
        try:
            operation(pool)
            quiet += 1
        except FAILURES:
            failures += 1
            quiet = 0
        finally:
            memory.restore()
        assert state(pool) == before, f"allocation {turn}: {state(pool)}, before {before}"
        turn += 1
    del kept
    return failures


def ends_well(kind, name):
    """Try one operation in a process of its own; say whether that ended well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            print(f"{kind}, {name}: {sweep(kind, name)} failures", flush=True)
            status = 0
        except BaseException:  # noqa: BLE001 - the process ends here
            traceback.print_exc()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print(f"{kind}, {name}: exit status {status}", flush=True)
    return status == 0


def main(kind, *names):
    """Try the operations of a kind of pool, all if none is named."""
    faulthandler.enable()
    return sum(not ends_well(kind, name) for name in names or OPERATIONS[kind]) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
