"""A short soak of arrays in flight: see transfer_soak.py."""

import pytest

from stress_programs import run_soak

SEEN = ("epochs", "shared", "copied", "verified", "undelivered", "forks", "sweeps")


@pytest.mark.stress
def test_senders_and_receivers_that_are_killed_lose_and_damage_nothing():
    """Wherever senders and receivers are killed, the pool then holds what the survivor holds, unchanged."""
    figures = run_soak(
        "transfer_soak.py", "--kills=60", "--seconds=300", f"--see={','.join(SEEN)}", options=["-W", "error"]
    )
    assert figures["kills"] > 5
    for name in SEEN:
        assert figures[name] > 0, name
