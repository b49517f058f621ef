"""Short runs of the programs that follow the kills in `make soak`."""

from pathlib import Path

import pytest

from stress_programs import SECONDS, run_stress


@pytest.mark.stress
@pytest.mark.parametrize("threads", ["3", "4"])
def test_random_calls(threads):
    """Random calls from several threads raise only documented errors, and in the end every block is free."""
    run_stress("random_calls.py", f"--seconds={SECONDS:g}", f"--threads={threads}")


@pytest.mark.stress
def test_hostile_messages():
    """Handles, tickets and pickles with wrong fields are refused, or give the run that they name."""
    run_stress("hostile_messages.py", "--messages=5000")


@pytest.mark.stress
def test_shared_memory_beside_that_of_the_standard_library():
    """Random calls of shared memory answer and fail like those of the standard library, and leave no segment behind."""
    pid, _ = run_stress("like_the_standard.py", "--calls=1000")
    assert not list(Path("/dev/shm").glob(f"*standard-{pid}-*"))  # noqa: S108


@pytest.mark.stress
@pytest.mark.parametrize("kind", ["private", "debug", "shared", "index"])
def test_nothing_leaks(kind):
    """Every operation, repeated some hundred times, leaves no memory, mapping or descriptor behind."""
    run_stress("leaks.py", "--calls=300", "--seconds=1", kind, seeded=False)


@pytest.mark.stress
def test_the_end_of_programs():
    """Programs end well, and give everything back, whatever they hold, wherever they hold it and however they end."""
    run_stress("shutdown.py", "--programs=30")
