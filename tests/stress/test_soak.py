"""A short soak of shared pools: see soak.py."""

import pytest

from stress_programs import SECONDS, run_soak


@pytest.mark.stress
def test_killed_processes_lose_and_damage_nothing():
    """Workers, and whole groups of them, are killed at random; then the pools say exactly what the survivors say."""
    least = "--least-kills=21", "--least-epochs=4", "--see=redeemed"
    figures = run_soak("soak.py", f"--seconds={SECONDS}", *least, "--group-kill-every=2")
    assert figures["kills"] > 20
    assert figures["epochs"] > 3
    assert figures["redeemed"] > 0


@pytest.mark.stress
def test_a_crowd_loses_and_damages_nothing():
    """A hundred processes pass blocks on in one pool and are killed at random; the pool says what the others say."""
    least = "--kills=60", "--least-kills=21", "--see=redeemed,waits"
    figures = run_soak("crowd_soak.py", "--processes=100", f"--seconds={SECONDS}", *least, "--wide=100000")
    assert figures["kills"] > 20
    assert figures["redeemed"] > 0
    assert figures["waits"] > 0
    assert len(figures["recover_ms"]) > 10
