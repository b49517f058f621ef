"""Run the programs of tests/stress. BLOCKPOOL_SOAK_SECONDS says how long, BLOCKPOOL_STRESS_SEED repeats a run."""

import json
import os
import sys
from pathlib import Path

from programs import run_command

STRESS = Path(__file__).parents[1] / "stress"
SECONDS = float(os.environ.get("BLOCKPOOL_SOAK_SECONDS", "5"))
SEED = os.environ.get("BLOCKPOOL_STRESS_SEED")


def run_stress(program, *arguments, seeded=True, options=()):
    """Run a program of tests/stress, which must end well; return its process id and what came of it."""
    seed = [f"--seed={SEED}"] if SEED and seeded else []
    command = [sys.executable, *options, STRESS / program, *arguments, *seed]
    pid, done = run_command(command, timeout=SECONDS + 900)
    assert done.returncode == 0, done.stdout + done.stderr
    return pid, done


def run_soak(program, *arguments, options=()):
    """Run a soak, which must say nothing on stderr and find nothing wrong; return its figures."""
    _, done = run_stress(program, "--json", *arguments, options=options)
    assert done.stderr == ""
    figures = json.loads(done.stdout)
    assert figures["ok"]
    return figures
