"""Programs that end in every state: each must end well and say nothing, and its pool must have everything back.

    python tests/stress/shutdown.py [--rounds 1] [--seed 1]

A program is what it holds, where it holds it, and how it ends; all combinations run, in a random order. Each attaches
a permanent pool of this process's, in which nothing may be left of it afterwards.

Exit status 0: so it was.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys

import blockpool as bp

BEGIN = """
import atexit, gc, os, sys, threading, time, weakref
import blockpool as bp
private, debug = bp.Pool(64, 64, debug=False), bp.Pool(64, 64, debug=True)
named, unnamed = bp.Pool.attach(sys.argv[1]), bp.Pool.create(64, 64)
import logging; logging.disable(logging.CRITICAL)  # debug mode tells what was not freed
def hold(pool):
    block = pool.allocate(blocks=2)
    return HELD
"""
HELD = {
    "blocks": "[pool.allocate() for _ in range(5)], block",
    "views": "block.buf[3:], memoryview(block.buf)",
    "twins": "block.readonly(), block.readonly().buf",
    "an array": "pool.zeros((4, 4)), block.array(4)",
    "a cycle": "Cycle(block, pool)",
    "pools": "pool.allocate().pool, pool",
    "a context": "pool.numpy_allocator() if pool is private else None",
    "generators": "started(pool)",
}
WHERE = {
    "module globals": "kept = [hold(pool) for pool in (private, debug, named, unnamed)]",
    "builtins": "import builtins; builtins.kept = [hold(p) for p in (private, debug, named, unnamed)]",
    "sys": "sys.kept = {n: hold(p) for n, p in enumerate((private, debug, named, unnamed))}",
    "thread locals": "kept = threading.local(); kept.these = hold(private), hold(named), hold(debug)",
    "an atexit function": "atexit.register(lambda *these: None, hold(private), hold(named), hold(debug))",
    "a finalizer": "kept = Late(); weakref.finalize(kept, lambda *these: None, hold(named), hold(private))",
    "deleted pools": "kept = hold(named), hold(unnamed), hold(debug); del named, unnamed, private, debug",
    "closed pools": "kept = hold(named), hold(unnamed); named.close(); unnamed.close()",
}
HELPERS = """
class Cycle:
    def __init__(self, *held):
        self.held, self.itself = held, self

class Late:
    def __init__(self):
        self.made = hold(private), hold(unnamed)
    def __del__(self):  # called when the module has lost its names, or nearly
        made, self.made = self.made, None
        del made

def started(pool):
    def each():
        with pool.allocate() as block:
            yield block.buf
    running = each()
    next(running)
    return running

late = Late()
"""
ENDS = {
    "the last line": "",
    "sys.exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "a daemon thread that allocates": """
def allocate():
    while True:
        with private.allocate() as one, named.allocate() as other:
            one.buf[0] = other.buf[0] = 1
threading.Thread(target=allocate, daemon=True).start()
time.sleep(0.01)
""",
    "a daemon thread that waits": """
everything = [unnamed.allocate() for _ in range(unnamed.stats().free)]
threading.Thread(target=lambda: unnamed.allocate(timeout=None), daemon=True).start()
time.sleep(0.01)
""",
    "an atexit function that uses": """
atexit.register(lambda: (private.allocate(), named.allocate().buf, named.stats(), named.close()))
""",
    "a forked child": """
child = os.fork()
if child == 0:
    named.allocate().buf[0] = 1
else:
    assert os.waitpid(child, 0)[1] == 0
""",
}


def run(name, held, where, end):
    """Run a program; say what was wrong with its end."""
    code = BEGIN.replace("HELD", held) + HELPERS + where + "\n" + end
    deleted = "del named" in where
    if deleted and end and "exit(0)" not in end:
        return ""  # its end needs the pools
    if "named.close()" in where and "named." in end:
        return ""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-X", "faulthandler", "-c", code, name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it hangs"
    if (done.returncode, done.stderr, done.stdout) != (0, "", ""):
        return f"exit status {done.returncode}: {done.stdout}{done.stderr}"
    return ""


def main():
    """Run every program, and say which ended badly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--programs", type=int, default=10**6, help="so many of them at most")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    pool = bp.Pool.create(64, 256, name=f"shutdown-{os.getpid()}", permanent=True)
    programs = list(itertools.product(HELD, WHERE, ENDS)) * options.rounds
    random.Random(options.seed).shuffle(programs)
    failed = 0
    for held, where, end in programs[: options.programs]:
        wrong = run(pool.name, HELD[held], WHERE[where], ENDS[end])
        pool.recover()
        left = pool.check().allocated
        if wrong or left or pool.stats().tickets:
            failed += 1
            print(f"{held} in {where}, {end}: {wrong}; {left} blocks left", flush=True)
            pool.recover(tickets_older_than=0)
    pool.unlink()
    print(f"{len(programs[: options.programs])} programs, {failed} ended badly")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
