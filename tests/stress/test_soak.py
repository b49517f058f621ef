"""A short soak: see soak.py. BLOCKPOOL_SOAK_SECONDS says how long (5 without it), BLOCKPOOL_STRESS_SEED repeats one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("BLOCKPOOL_SOAK_SECONDS", "5"))
SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.stress
def test_killed_processes_lose_and_damage_nothing():
    """Three pools, workers killed at random, whole groups too: what survivors say is what the pool says."""
    seed = os.environ.get("BLOCKPOOL_STRESS_SEED")
    command = [sys.executable, str(SOAK), "--json", f"--seconds={SECONDS}", "--group-kill-every=2"]
    command += [f"--seed={seed}"] if seed else []
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary["ok"]
    assert summary["kills"] > 20
    assert summary["epochs"] > 3
    assert summary["redeemed"] > 0
