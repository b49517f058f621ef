"""`blockpool top` in a real terminal: how it begins, and how it ends, whatever ends it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Self

pytest.importorskip("textual")

PROGRAM = """
import sys
from blockpool import cli
from blockpool.cli.app import app
from blockpool.cli.top import top
app.add_command(top, "top")
sys.exit(cli.main(["top", *sys.argv[1:]]))
"""
# The same, stopped and continued right after it gave the terminal back.
ENDING = """
import os, signal
from blockpool.top.terminal import Terminal
end = Terminal.stop_application_mode
def stop_application_mode(terminal):
    end(terminal)
    os.kill(os.getpid(), signal.SIGCONT)
Terminal.stop_application_mode = stop_application_mode
"""
PROMPT = 60.0  # seconds, however busy the machine is


def command(*arguments: str, before: str = "") -> list[str]:
    """Return what runs `blockpool top`, after these lines."""
    return [sys.executable, "-c", before + PROGRAM, *arguments]


class Terminal:
    """A terminal, with `blockpool top` in it."""

    def __init__(
        self, *arguments: str, size: tuple[int, int] = (80, 24), leader: bool = True, before: str = ""
    ) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        self.shown = b""
        take = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        program = command(*arguments, before=before)
        if leader:
            program = [sys.executable, "-c", take, *program]
        self.process = subprocess.Popen(
            program,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for end in (self.ours, self.theirs):
            with suppress(OSError):
                os.close(end)

    def read(self) -> None:
        """Read what there is, for a moment."""
        if select.select([self.ours], [], [], 0.05)[0]:
            with suppress(OSError):
                self.shown += os.read(self.ours, 1 << 16)

    def until(self, text: str) -> None:
        """Read until the text was written."""
        deadline = time.monotonic() + PROMPT
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            assert self.process.poll() is None, self.shown[-2000:]
            self.read()

    def write(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.ours, keys)

    def ended(self) -> int:
        """Wait for the end, and check that the terminal is as it was; return the exit status."""
        deadline = time.monotonic() + PROMPT
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read()
        while select.select([self.ours], [], [], 0)[0]:
            self.read()
        assert termios.tcgetattr(self.theirs) == self.before
        assert self.shown.rfind(b"\x1b[?1049l") > self.shown.rfind(b"\x1b[?1049h")
        assert self.shown.rfind(b"\x1b[?25h") > self.shown.rfind(b"\x1b[?25l")
        assert b"Traceback" not in self.shown
        return self.process.returncode


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
def test_it_shows_the_pool_and_q_ends_it(shared, size) -> None:
    """It shows the pool that it is given; q ends it with status 0, and the terminal is as before."""
    with Terminal(shared.name, size=size) as terminal:
        terminal.until("used")
        assert shared.name.encode() in terminal.shown
        terminal.write(b"q")
        assert terminal.ended() == 0


def test_without_a_pool_it_lists_all(shared) -> None:
    """Without an argument it lists the pools."""
    with Terminal() as terminal:
        terminal.until(shared.name)
        terminal.write(b"q")
        assert terminal.ended() == 0


def test_ctrl_c_ends_it(shared) -> None:
    """Ctrl-C ends it with status 130, and the terminal is as before."""
    with Terminal(shared.name) as terminal:
        terminal.until("used")
        terminal.write(b"\x03")
        assert terminal.ended() == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(shared, number) -> None:
    """A signal ends it with 128 and its number, and the terminal is as before."""
    with Terminal(shared.name) as terminal:
        terminal.until("used")
        terminal.process.send_signal(number)
        assert terminal.ended() == 128 + number


def test_it_goes_on_after_it_was_stopped(shared) -> None:
    """Stopped (SIGSTOP) and continued several times, it paints again, and still ends as it should."""
    with Terminal(shared.name) as terminal:
        terminal.until("used")
        for _ in range(3):
            terminal.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED)
            terminal.shown = b""
            terminal.process.send_signal(signal.SIGCONT)
            terminal.until("used")
        terminal.write(b"q")
        assert terminal.ended() == 0


def test_it_may_be_stopped_while_it_ends(shared) -> None:
    """Stopped and continued after it gave the terminal back, it does not take it again."""
    with Terminal(shared.name, before=ENDING) as terminal:
        terminal.until("used")
        terminal.write(b"q")
        assert terminal.ended() == 0


def test_ctrl_z_gives_the_terminal_back(shared) -> None:
    """Ctrl-Z restores the terminal and stops the process; when it goes on, it shows the pool again."""
    with Terminal(shared.name) as terminal:
        terminal.until("used")
        terminal.write(b"\x1a")
        deadline = time.monotonic() + PROMPT
        while os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
            assert time.monotonic() < deadline
            terminal.read()
        assert termios.tcgetattr(terminal.theirs) == terminal.before
        terminal.shown = b""
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until("used")
        terminal.write(b"q")
        assert terminal.ended() == 0


@pytest.mark.parametrize("leader", [True, False])
def test_a_terminal_that_goes_away_ends_it(shared, leader) -> None:
    """If the terminal is closed, it ends soon, with the signal of a hang-up or without."""
    with Terminal(shared.name, leader=leader) as terminal:
        terminal.until("used")
        os.close(terminal.theirs)
        os.close(terminal.ours)
        assert terminal.process.wait(PROMPT) in {1, 128 + signal.SIGHUP}


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_what_is_no_terminal_is_refused(shared, stream) -> None:
    """With a pipe for its input or output it says so, and names the command for that."""
    ours, theirs = pty.openpty()
    try:
        streams = {"stdin": theirs, "stdout": theirs} | {stream: subprocess.PIPE}
        done = subprocess.run(
            command(shared.name), stderr=subprocess.PIPE, env=os.environ | {"TERM": "xterm"}, check=False, **streams
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert f"use: blockpool watch {shared.name}" in done.stderr.decode()


def test_a_pool_that_does_not_exist_is_refused(pool_name) -> None:
    """If there is no such pool, there is one line about it, and no picture."""
    with Terminal(pool_name) as terminal:
        deadline = time.monotonic() + PROMPT
        while terminal.process.poll() is None:
            assert time.monotonic() < deadline
            terminal.read()
        terminal.read()
        assert terminal.process.returncode == 3
        assert pool_name.encode() in terminal.shown
        assert b"\x1b[?1049h" not in terminal.shown
