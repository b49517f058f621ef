"""Fixtures for the server of the page: its application, and the real server in a process."""

import asyncio
import json
import signal
import socket
import subprocess
from contextlib import contextmanager

import httpx
import pytest

from blockpool.web.server import Settings, create_app
from programs import environment, interpreter

HOST = "127.0.0.1:8765"

_SERVE = "from blockpool.cli.serve import serve; serve()"


@pytest.fixture
def settings(tmp_path):
    """Return settings of a server whose page has one line."""
    (tmp_path / "index.html").write_text('<meta name="blockpool-token" content="{{token}}">')
    (tmp_path / "some.js").write_text("export {};")
    return Settings(static=tmp_path, hosts=("pools.example",))


class Client:
    """Asks an application, without a server, as a browser on this machine does."""

    def __init__(self, settings):
        self.app = create_app(settings)

    def request(self, method, path, **more):
        """Return the answer."""

        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as asking:
                return await asking.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path, **more):
        """Return the answer to a GET."""
        return self.request("GET", path, **more)

    def post(self, path, **more):
        """Return the answer to a POST."""
        return self.request("POST", path, **more)


@pytest.fixture
def make_client():
    """Return the class of clients."""
    return Client


@pytest.fixture
def client(settings):
    """Return a client of the application."""
    return Client(settings)


@pytest.fixture
def token(settings):
    """Headers with the token of the server."""
    return {"X-Blockpool-Token": settings.token}


class Stream:
    """An open page: a connection that receives events."""

    def __init__(self, port, path, buffer=None):
        self._socket = socket.socket()
        self._socket.settimeout(60)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        self._file = self._socket.makefile("rb")

    def status(self):
        """Return the status of the answer, and pass over its headers."""
        status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass
        return status

    def chunks(self):
        """Yield the chunks of the answer until its end."""
        while size := int(self._file.readline(), 16):
            chunk = self._file.read(size)
            self._file.readline()
            yield chunk

    def events(self):
        """Yield (id, kind, data) of each event until the end."""
        for chunk in self.chunks():
            lines = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if line)
            if "event" in lines:
                yield int(lines.get("id", 0)), lines["event"], json.loads(lines["data"])

    def close(self):
        """Leave, as somebody does who closes the page."""
        self._file.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Serving:
    """A server in a process of its own."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            interpreter(_SERVE, "--port", "0", *arguments),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = self.process.stdout.readline()
        self.port = int(self.line.partition("  ")[0].rpartition(":")[2].strip("/"))

    def stream(self, pool, rate=10, buffer=None):
        """Open a page of a pool; return what it receives."""
        opened = Stream(self.port, f"/api/pools/{pool}/events?rate={rate}", buffer)
        assert opened.status() == 200
        return opened

    def looks_at(self, file):
        """Return whether the server has that pool's memory mapped."""
        with open(f"/proc/{self.process.pid}/maps") as maps:  # noqa: PTH123 - no file to pathlib
            return str(file) in maps.read()

    def end(self, number=signal.SIGINT):
        """Interrupt the server; return its exit status and what it said on stderr."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


@contextmanager
def _serving(*arguments):
    server = Serving(*arguments)
    try:
        yield server
        if server.process.returncode is None:
            assert server.end() == (0, "")
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


@pytest.fixture
def serving():
    """Run a server, which must end well after the test and say nothing on stderr."""
    with _serving() as server:
        yield server


@pytest.fixture
def serve():
    """Return a function that runs a server with these arguments, inside a `with`."""
    return _serving
