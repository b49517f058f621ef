"""A short soak of recordings: see recording_soak.py."""

import pytest

from stress_programs import SECONDS, run_soak


@pytest.mark.stress
def test_traces_are_whole_whoever_is_killed():
    """Recorders and recorded processes are killed at random; traces agree with the counts, and nothing is left."""
    figures = run_soak("recording_soak.py", f"--seconds={SECONDS}")
    assert figures["epochs"] > 0
    assert figures["calm_events"] > 0
