"""Short runs of the programs that follow the kills in `make soak`. BLOCKPOOL_STRESS_SEED repeats one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = os.environ.get("BLOCKPOOL_SOAK_SECONDS", "5")


def run(program, *arguments):
    """Run a program of this folder; it prints its seed and its verdict. Return its process id."""
    seed = os.environ.get("BLOCKPOOL_STRESS_SEED")
    seeded = [f"--seed={seed}"] if seed and program != "leaks" else []
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name(f"{program}.py"), *arguments, *seeded],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=600)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, said
    return process.pid


@pytest.mark.stress
@pytest.mark.parametrize("threads", ["3", "4"])
def test_random_calls(threads):
    """Whatever threads call at once: typed errors only, no crash, and each pool has everything back in the end."""
    run("random_calls", f"--seconds={SECONDS}", f"--threads={threads}")


@pytest.mark.stress
def test_hostile_messages():
    """Handles, tickets and pickles with wrong fields are refused, or name the very run."""
    run("hostile_messages", "--messages=5000")


@pytest.mark.stress
def test_shared_memory_beside_that_of_the_standard_library():
    """Random calls have the same answers and errors as those of the standard library, and leave no segment behind."""
    pid = run("like_the_standard", "--calls=1000")
    assert not list(Path("/dev/shm").glob(f"*standard-{pid}-*"))  # noqa: S108


@pytest.mark.stress
@pytest.mark.parametrize("kind", ["private", "debug", "shared", "index"])
def test_nothing_leaks(kind):
    """Every operation, some hundred times over, leaves no memory, mapping or descriptor behind."""
    run("leaks", "--calls=300", "--seconds=1", kind)


@pytest.mark.stress
def test_the_end_of_programs():
    """Programs that hold something, somewhere, and end in some way end well, and give everything back."""
    run("shutdown", "--programs=30")
