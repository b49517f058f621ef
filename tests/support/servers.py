"""Start the servers of docs/how-to as a user would, talk to them, and see what they leave behind."""

import contextlib
import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from deaths import await_death
from pages import page
from programs import environment
from waits import await_true

_numbers = itertools.count()
# Each has programs of its own.
PAGES = ("celery.md", "containers.md", "gevent.md", "gunicorn.md", "jupyter.md", "uvicorn.md")
PROGRAM = re.compile(r"^```\w+\n# (?P<file>[\w.]+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def write_programs(folder):
    """Write the pages' programs into a folder."""
    for name in PAGES:
        for program in PROGRAM.finditer(page(f"how-to/{name}").read_text(encoding="utf-8")):
            (folder / program["file"]).write_text(program["text"], encoding="utf-8")


def states_of(session):
    """Return the state of each living process of a session, by its id, as the letter that /proc has for it."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state != "Z":
                    found[int(entry.name)] = state
    return found


class Server:
    """A server that was started in a folder with the programs, in a session of its own.

    Its output is in the file `log`. At the end of a `with` nothing of it lives, whatever happened.
    """

    def __init__(self, command, folder, **environ):
        """Start it; `{socket}` in the command stands for the path of its socket."""
        self.folder = folder
        self.path = str(folder / "socket")
        self.log = folder / f"log-{next(_numbers)}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [part.replace("{socket}", self.path) for part in command],
                cwd=folder,
                env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"} | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def processes(self):
        """Return the ids of its processes."""
        return sorted(states_of(self.process.pid))

    def kill(self, pids):
        """Kill some of its processes, and return when pools know that they are dead."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            await_death(pid)

    def said(self):
        """Return what it has written so far, or the end of that."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-10_000:]

    def await_true(self, condition):
        """Return when the condition holds; fail with the server's output if it ends or takes too long."""

        def holds():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.said()}")
            return condition()

        try:
            await_true(holds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def await_rest(self):
        """Return when all its processes sleep: those that have answered everything are then out of the request too."""
        self.await_true(lambda: set(states_of(self.process.pid).values()) == {"S"})

    def connect(self):
        """Return a connection to its socket, as soon as it listens."""
        connection = http.client.HTTPConnection("localhost", timeout=60)

        def connected():
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(60)
            try:
                connection.sock.connect(self.path)
            except OSError:
                connection.sock.close()
                return False
            return True

        self.await_true(connected)
        return connection

    def ask(self, method, name, body=None):
        """Send a request; return the status, the body of the answer, and the id of the worker."""
        with contextlib.closing(self.connect()) as connection:
            try:
                connection.request(method, f"/{name}", body)
                answer = connection.getresponse()
                return answer.status, answer.read(), int(answer.headers.get("X-Worker", 0))
            except OSError as error:
                raise AssertionError(f"{method} {name}: {error!r}\n{self.said()}") from error

    def begin(self, name, body, size):
        """Send the start of a PUT whose body has `size` bytes; return the connection."""
        connection = self.connect()
        connection.putrequest("PUT", f"/{name}")
        connection.putheader("Content-Length", str(size))
        connection.endheaders(body)
        return connection

    def stop(self, how=signal.SIGTERM):
        """End it as its user would; no process may be left. Return its exit status."""
        self.process.send_signal(how)
        # uWSGI's master waits 60 s for a worker, and then kills it.
        status = self.process.wait(180)
        await_true(lambda: not self.processes())
        return status
