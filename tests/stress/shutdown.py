"""Programs that end in every state: each must end well and print nothing, and all its blocks must come back.

    python tests/stress/shutdown.py [--rounds 1] [--seed 1]

A program (shutdown_program.py) is what it holds, where it holds it, and how it ends; all combinations run, in a random
order. Each attaches a permanent pool of this process, in which it may leave nothing.

Exit status 0: all did.
"""

import argparse
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

from shutdown_program import ENDS, HELD, WHERE, possible

import blockpool as bp

PROGRAM = Path(__file__).with_name("shutdown_program.py")


def run(name, held, where, end):
    """Run a program; return what was wrong with its end."""
    if not possible(where, end):
        return ""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-X", "faulthandler", PROGRAM, name, held, where, end],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it hangs"
    if (done.returncode, done.stderr, done.stdout) != (0, "", ""):
        return f"exit status {done.returncode}: {done.stdout}{done.stderr}"
    return ""


def main():
    """Run every program, and print which ended badly."""
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
        wrong = run(pool.name, held, where, end)
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
