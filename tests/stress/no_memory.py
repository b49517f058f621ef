"""Operations whose allocations fail, one after the other: they raise MemoryError or do without, and lose nothing.

    python tests/stress/no_memory.py shared ["carried block"…]

Each operation (operations.py) runs in its own process, as most faults found here are crashes. After each attempt the
pool is audited, and must have the same blocks allocated as before. Exit status 0: it had, after every attempt.
"""

import _testcapi
import faulthandler
import gc
import os
import pickle
import sys
import traceback

from operations import OPERATIONS, make, memory, state

QUIET = 30  # after this many attempts without a failure the last allocation was passed
# SystemError: without memory, Python 3.11 fails to call a Python function and sets no error.
FAILURES = (MemoryError, SystemError, pickle.PicklingError)


def sweep(kind, name):
    """Fail each allocation of an operation in turn; return how often the operation failed."""
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
    """Try an operation in a child; return whether the child ended well."""
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
    """Try the named operations of a kind of pool, or all."""
    faulthandler.enable()
    return sum(not ends_well(kind, name) for name in names or OPERATIONS[kind]) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
