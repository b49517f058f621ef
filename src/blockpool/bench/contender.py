"""A contender's process, as the one that measures sees it: started, asked, ended, and tidied up after, whatever it did.

It is the leader of a session of its own, so Ctrl-C does not reach it, and all that it starts can be ended with it. What
it mapped from /dev/shm and did not have when it began is removed if it did not do so itself; so is its folder for
temporary files.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blockpool.bench.peers._peer import OWN_NAME
from blockpool.bench.tasks import Declined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Contender", "Failed", "Hung"]

# The import path first: where this very blockpool is, for an interpreter of another environment too.
_PROGRAM = """\
import json, sys
fd, path, first = json.loads(sys.argv[1])
sys.path[:] = path if first else sys.path + path
from blockpool.bench.worker import main
main(fd)
"""
_SHARED = Path("/dev/shm")  # noqa: S108 - where shared memory is
_START_SECONDS = 60.0
_END_SECONDS = 3.0
# Of what a process says before it dies, this much stands in the report.
_LAST_WORDS = 300
_NUMBERS = itertools.count(1)


class Failed(Exception):
    """A contender crashed, hung or raised an exception; the message says what happened."""


class Hung(Failed):
    """It did not answer in time."""


class Contender:
    """A process that takes turns.

    Parameters
    ----------
    python : str
        The interpreter.
    path : sequence of str
        What is to be imported from: all of it if `alone`, else after the interpreter's own path.
    alone : bool
        Whether `path` takes the place of the interpreter's own.
    environment : mapping of str to str
        What its environment has besides this process's.
    """

    def __init__(
        self, python: str, path: Sequence[str], *, alone: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        self._before = _entries()
        self._mapped: set[str] = set()
        self._folder = tempfile.mkdtemp(prefix="blockpool-bench-")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as the process lives
        # short, as some peers take no name of more than 28 characters
        self._name = f"bp-bench-{os.getpid()}-{next(_NUMBERS)}-"
        ours, theirs = socket.socketpair()
        surroundings = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, or that of the peers
                [python, "-W", "ignore", "-c", _PROGRAM, json.dumps([theirs.fileno(), list(path), alone])],
                env=surroundings | {"TMPDIR": self._folder, OWN_NAME: self._name} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            self._tidy()
            raise
        finally:
            theirs.close()
        self._connection: Connection[bytes, bytes] = Connection(ours.detach())

    def ask(self, request: Sequence[Any], seconds: float = _START_SECONDS) -> Any:
        """Make a request, and return the answer.

        Raises
        ------
        Declined
            If the contender has no part in this.
        Failed
            If it raised an exception, if it died, or, as `Hung`, if it did not answer in time. It is gone after the
            last two.
        KeyboardInterrupt
            As it comes; the contender is gone then, too.
        """
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if not self._connection.poll(seconds):
                self.kill()
                raise Hung(f"hung: no answer within {seconds:g} seconds")
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise Failed(self._death()) from None
        except KeyboardInterrupt:
            self.kill()  # half of an answer may have been read, or of the request been sent
            raise
        if "declined" in answer:
            raise Declined(answer["declined"])
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]

    @property
    def alive(self) -> bool:
        """Whether requests can still be made."""
        return not self._connection.closed

    def close(self) -> None:
        """Have it end, and see to it that it does."""
        if self._connection.closed:
            return
        self._connection.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
                self._wait_for_others()
        finally:  # after Ctrl-C too
            self._end()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if not self._connection.closed:
            self._connection.close()
            self._end()

    def _end(self) -> None:
        """Stop all of its processes, so that what they have mapped stays as it is; note that, and kill them."""
        self._signal(signal.SIGSTOP)
        self.note_mapped()
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._tidy()

    def _death(self) -> str:
        """Say how it died."""
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_END_SECONDS)
            self._wait_for_others()
        self._said.seek(0)
        words = self._said.read().decode(errors="replace").strip()[-_LAST_WORDS:]
        self.kill()
        if status is None:
            how = "closed its connection"
        else:
            how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{how}: {words}" if words else how

    def _wait_for_others(self) -> None:
        """Give what it started a moment to tidy up: the resource tracker of multiprocessing."""
        end = time.monotonic() + _END_SECONDS
        while time.monotonic() < end and any(True for _ in _session(self._process.pid)):
            time.sleep(0.01)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def note_mapped(self) -> None:
        """Note what it has mapped by now, and what it started, as it may be gone without having removed that."""
        for pid in _session(self._process.pid):
            self._mapped.update(_mapped(pid))

    def _tidy(self) -> None:
        self._said.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        there = _entries()
        left = {path for path in there if self._name in path} | there & self._mapped - self._before
        for path in _unmapped(left) if left else ():
            with suppress(OSError):
                Path(path).unlink()


def _entries() -> set[str]:
    with suppress(OSError):
        return {str(entry) for entry in _SHARED.iterdir()}
    return set()


def _session(leader: int) -> Iterator[int]:
    """Yield the processes of a session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError):
                if os.getsid(int(entry.name)) == leader:
                    yield int(entry.name)


def _unmapped(paths: set[str]) -> set[str]:
    """Return those that no process has mapped; a killed one may take a moment to be gone."""
    end = time.monotonic() + 1
    while True:
        mapped = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                mapped |= paths & set(_mapped(int(entry.name)))
        if not mapped or time.monotonic() > end:
            return paths - mapped
        time.sleep(0.02)


def _mapped(pid: int) -> Iterator[str]:
    """Yield what a process has mapped from /dev/shm, by names that are still there."""
    with suppress(OSError), Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as maps:
        for line in maps:
            at = line.find(f" {_SHARED}/")
            if at >= 0 and not line.endswith(" (deleted)\n"):
                yield line[at + 1 : -1]
