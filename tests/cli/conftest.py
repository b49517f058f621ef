"""Run commands in this process, in others and in terminals, and make a pool that has something of everything."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, NamedTuple

import pytest

import blockpool as bp
from deaths import await_death
from programs import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = "evil\x1b[31m\x07\n[bold]\x9b<b>"


class Ran(NamedTuple):
    """What came of a command."""

    status: int
    out: str
    err: str


class Busy(NamedTuple):
    """A pool that has something of everything: its name and id, a dead process, and one with a hostile command."""

    name: str
    pool_id: str
    dead: int
    living: int
    pool: bp.Pool


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Return a function that runs a command in this process."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from blockpool.cli import main

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        status = main([*map(str, arguments)])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def command() -> Callable[..., list[str]]:
    """Return a function that gives the command line for a process of its own."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    return lambda *arguments: [sys.executable, "-W", "error", "-m", "blockpool", *map(str, arguments)]


@pytest.fixture
def in_terminal(command: Callable[..., list[str]]) -> Callable[..., str]:
    """Return a function that runs a command in a terminal of so many columns, and returns what it shows."""

    def run(columns: int, *arguments: object, **variables: str) -> str:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        inherited = {
            name: value
            for name, value in environment().items()
            if name not in {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM"}
        }
        settings = inherited | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | variables
        with subprocess.Popen(command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=settings) as process:
            os.close(theirs)
            shown = b""
            try:
                while chunk := os.read(ours, 1 << 16):
                    shown += chunk
            except OSError:  # the other end is closed
                pass
            finally:
                os.close(ours)
            assert process.wait(60) == 0, shown
        return shown.decode().replace("\r\n", "\n")

    return run


@pytest.fixture
def busy(pool_name: str) -> Iterator[Busy]:
    """Make a pool with runs of several holders, a queue, a topic, a name, a ticket, and a dead process."""
    pool = bp.Pool.create("4KiB", 256, name=pool_name)
    queue = pool.queue("frames", 16, redeliver=True)
    topic = pool.topic("news")
    for _ in range(4):
        queue.put(pool.allocate(blocks=2))
    kept = pool.allocate(blocks=20)
    pool.keep("model", kept)
    kept.release()
    lost = pool.allocate(blocks=4)
    lost.share()
    lost.release()
    own = pool.allocate(nbytes=5000)
    workers = []
    for argument in ("worker", HOSTILE):  # one after the other, so that they take their places in this order
        started = subprocess.Popen(
            [sys.executable, "-m", "holder", pool_name, argument],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(started)
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
    workers[0].kill()
    workers[0].wait()
    await_death(workers[0].pid)
    yield Busy(pool_name, own.handle.pool_id, workers[0].pid, workers[1].pid, pool)
    for each in workers:
        each.communicate(timeout=60)
    del own, topic, queue
    pool.close()
