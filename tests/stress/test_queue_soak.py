"""Short soaks of queues: see queue_soak.py."""

import pytest

from stress_programs import SECONDS, run_soak


@pytest.mark.stress
@pytest.mark.parametrize("redeliver", ["off", "on"])
def test_killed_senders_and_receivers_lose_and_double_nothing(redeliver):
    """Wherever senders and receivers are killed or stopped, a queue keeps its promises, and nothing stays behind."""
    names = ["kills", "stops", "items", "received", "kept", "passed on", "died within put", "died within get"]
    names += ["again"] * (redeliver == "on")
    way, seen = f"--redeliver={redeliver}", f"--see={','.join(names)}"
    figures = run_soak("queue_soak.py", way, "--kills=100", f"--seconds={SECONDS}", seen)
    counts = figures[f"redeliver {redeliver}"]
    for name in names:
        assert counts[name] > 0, name
    assert (counts.get("again", 0) > 0) is (redeliver == "on")


@pytest.mark.stress
def test_killed_idle_receivers_hold_nobody_up():
    """Receivers that sleep are killed; the others receive everything, at once."""
    figures = run_soak("queue_soak.py", "--redeliver=on", "--idle-kills=40", f"--seconds={SECONDS}")
    counts = figures["redeliver on"]
    assert counts["kills"] > 5
    assert counts["missing"] == 0
