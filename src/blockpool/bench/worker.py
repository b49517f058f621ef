"""The process of a contender: it prepares what it is told, takes a turn when it is told, and answers.

A request and its answer are a JSON array and a JSON object. It ends when the other end of the connection is closed.
"""

from __future__ import annotations

import json
import os
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from blockpool.bench.partners import die_with_parent
from blockpool.bench.tasks import Declined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blockpool.bench.tasks import Task

__all__ = ["main"]


def main(fd: int) -> None:
    """Answer requests until nobody is there to make any."""
    die_with_parent()
    connection: Connection[bytes, bytes] = Connection(fd)
    worker = _Worker()
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            break
        try:
            answer: dict[str, Any] = {"value": getattr(worker, request[0])(*request[1:])}
        except Declined as error:
            answer = {"declined": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.send_bytes(json.dumps(answer).encode())
    worker.close()
    os._exit(0)  # some peers have threads that never end


class _Worker:
    """What can be asked for; each method is a request."""

    def __init__(self) -> None:
        self._task: Task | None = None

    def version(self, module: str) -> str:
        """Return the version of a peer, after importing it."""
        found: str = import_module(module).version()
        return found

    def prepare(self, question: str, peer: str, settings: Mapping[str, Any]) -> None:
        """Prepare a case of a question; what was prepared before ends."""
        self.close()
        self._task = import_module(question).prepare(import_module(peer), **settings)

    def turn(self) -> Any:
        """Take a turn."""
        if self._task is None:
            raise RuntimeError("nothing was prepared")
        return self._task.turn()

    def close(self) -> None:
        """End what was prepared."""
        task, self._task = self._task, None
        if task is not None:
            task.close()
