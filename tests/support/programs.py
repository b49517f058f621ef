"""Start programs in fresh interpreters: files of tests/programs, and short ones that stand in a test.

A program must end well and say nothing on stderr. It can import the modules of tests/support.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent
PROGRAMS = SUPPORT.with_name("programs")
HANGS = 600  # seconds: what takes longer hangs, as a busy machine may take fifty times as long as an idle one

# Programs fork with threads, of their own and of NumPy. That warning is no error: from Python 3.15 on, the parent would
# lose its child.
WARNINGS = ("-W", "error", "-W", "ignore:This process (pid=:DeprecationWarning")


def environment():
    """Return the environment of a program: tests/support comes first in its PYTHONPATH."""
    paths = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def interpreter(program, *arguments, options=()):
    """Return the command that starts a program: a file of tests/programs if it ends in .py, else code."""
    start = [PROGRAMS / program] if program.endswith(".py") else ["-c", textwrap.dedent(program)]
    return [sys.executable, *WARNINGS, *options, *start, *arguments]


def run_command(command, timeout=HANGS):
    """Run a command; return its process id, and what came of it with its output as text."""
    with subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return process.pid, subprocess.CompletedProcess(command, process.returncode, out, err)


def run_quietly(command, timeout=HANGS):
    """Run a command, which must end well and say nothing on stderr, and return its stdout."""
    _, done = run_command(command, timeout)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def run_mounted(mounts, command):
    """Run a command quietly in a new mount namespace, after the shell commands `mounts`.

    The test is skipped where mounting is not permitted.
    """
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("mounting takes root and unshare(1)")
    _, done = run_command([unshare, "-m", "sh", "-c", f'{{ {mounts}; }} || exit 77; exec "$@"', "sh", *command])
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("mounting is not permitted here: " + done.stderr.strip())
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.fixture
def run_python():
    """Run a few lines of code in a fresh interpreter, and return what they print."""
    return lambda code, *arguments, options=(): run_quietly(interpreter(code, *arguments, options=options))


@pytest.fixture
def run_program():
    """Run a file of tests/programs in a fresh interpreter, and return what it prints."""

    def run(path, *arguments, options=(), timeout=HANGS):
        return run_quietly(interpreter(path, *arguments, options=options), timeout)

    return run


@pytest.fixture
def run_in_small_shm():
    """Run a program in a fresh interpreter whose /dev/shm has a few MiB, and return what it prints.

    `program` is a file of tests/programs, or a few lines of code. The test is skipped where mounting is not permitted.
    """

    def run(program, mebibytes, *arguments):
        mount = f"mount -t tmpfs -o size={mebibytes}m tmpfs /dev/shm"
        return run_mounted(mount, interpreter(program, *arguments))

    return run
