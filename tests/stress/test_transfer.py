"""A short soak of arrays in flight: see transfer_soak.py. BLOCKPOOL_STRESS_SEED repeats one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).with_name("transfer_soak.py")


@pytest.mark.stress
def test_senders_and_receivers_that_are_killed_lose_and_damage_nothing():
    """Wherever they are in a transfer: what is in the pool afterwards is what the survivor holds, unchanged."""
    seed = os.environ.get("BLOCKPOOL_STRESS_SEED")
    command = [sys.executable, "-W", "error", str(SOAK), "--json", "--kills=60", "--seconds=15"]
    command += [f"--seed={seed}"] if seed else []
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary["ok"]
    assert summary["kills"] > 5
    assert summary["epochs"] > 0
    assert summary["shared"] > 0
    assert summary["copied"] > 0
    assert summary["verified"] > 0
    assert summary["undelivered"] > 0
    assert summary["forks"] > 0
    assert summary["sweeps"] > 0
