"""Fill all slots of a pool with forked children, and try to get in by attach, by redeem and by fork.

Arguments: the name of the pool, and for how many processes it is to be; without that, as many as is usual.
"""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import blockpool as bp
from forking import await_child, logged
from refusals import refused

name = sys.argv[1]
MOST = int(sys.argv[2]) if sys.argv[2:] else 256
messages = logged()
pool = bp.Pool.create(64, 300, name=name, **({"processes": MOST} if sys.argv[2:] else {}))
block = pool.allocate()
reading, writing = os.pipe()
children = []


def try_from_outside():
    """Attach by name and by a ticket in another program, and return what it prints."""
    program = Path(__file__).with_name("attach_and_redeem.py")
    command = [sys.executable, program, name, str(block.share())]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def state():
    """Return what the pool says of itself, but for the age of the ticket, which goes on."""
    return dataclasses.replace(pool.stats(), oldest_ticket=None), pool.check()


for _ in range(MOST - 1):
    child = os.fork()
    if child == 0:
        os.close(writing)
        mine = pool.allocate()
        os.read(reading, 1)
        mine.free()
        os._exit(0)
    children.append(child)
while pool.stats().allocated < MOST:
    pass
assert pool.stats().processes == MOST
for line in try_from_outside().splitlines():
    assert line == (
        f"pool {name!r} has {MOST} processes attached, as many as it was created for; let one leave first, "
        "or create it with more (Pool.create(processes=…))"
    ), line

# a child for which there is no slot
before = state()
view, handle = block.buf, block.handle
child = os.fork()
if child == 0:
    error = refused(pool.allocate)
    assert isinstance(error, bp.TooManyProcesses), repr(error)
    assert f"{MOST} processes, as many as it was created for" in str(error), error
    assert "Pool.create(processes=…)" in str(error), error
    for call in (pool.stats, pool.check, pool.runs, pool.recover, lambda: bp.redeem(handle), lambda: block.buf):
        assert isinstance(refused(call), bp.TooManyProcesses)
    del block, view
    os._exit(0)
await_child(child)
assert len(messages) == 1
assert not any(view)
del view
assert state() == before

# one leaves, and there is room
os.kill(children[1], signal.SIGKILL)
os.waitpid(children.pop(1), 0)
assert try_from_outside().split() == ["in", "in"]
os.close(writing)
for child in children:
    await_child(child)
pool.recover()
assert pool.stats().processes == 1
pool.recover(tickets_older_than=0)
assert pool.check().allocated == 1
