"""Fixtures that start peers: other processes, which run what a test tells them."""

import pickle
import select
import signal
import subprocess
import sys
import textwrap

import pytest

from deaths import await_death
from programs import PROGRAMS, environment


class Peer:
    """Another process that runs what it is told: tests/programs/peer.py.

    `peer("code")` returns the value of the last expression of the code, or raises its error.
    """

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", PROGRAMS / "peer.py"],  # short: a pool keeps the beginning of it
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.doomed = False

    def start(self, code):
        """Send the code to the process and return at once; `answer` waits for what comes of it."""
        pickle.dump(textwrap.dedent(code), self.process.stdin)
        self.process.stdin.flush()

    def answers(self, seconds):
        """Return whether there is an answer before so many seconds are over."""
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def answer(self):
        """Return the value of the code that was started, or raise its error."""
        assert self.answers(60), "no answer"
        well, value = pickle.load(self.process.stdout)
        if not well:
            raise value
        return value

    def __call__(self, code):
        """Run the code in the process; return its value, or raise its error."""
        self.start(code)
        return self.answer()

    def kill(self, number=signal.SIGKILL):
        """Kill the process, and return when pools know that it is dead."""
        self.doomed = True
        self.process.send_signal(number)
        self.process.wait(60)
        await_death(self.pid)

    def end(self):
        """Let the process exit; unless it was killed, it must end well and say nothing on stderr."""
        if self.process.stdin.closed:
            return
        try:
            _, said = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
        assert self.doomed or (self.process.returncode, said) == (0, b""), said.decode()


@pytest.fixture
def peers():
    """Return a function that starts a peer; all peers end after the test."""
    started = []

    def start():
        started.append(Peer())
        return started[-1]

    yield start
    for peer in started:
        peer.end()


@pytest.fixture
def peer(peers):
    """Start a peer, which ends after the test."""
    return peers()
