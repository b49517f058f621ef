"""Recordings of shared pools: a thread takes what all processes allocate and free, and in the end there is a trace."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from blockpool._core import begin_recording, id_of_pool
from blockpool.traces import write
from blockpool.traces._parquet import require_replaceable
from blockpool.traces._recorded import CELL, recorded

if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

    from blockpool._core import Pool
    from blockpool.stats import Run
    from blockpool.traces import Trace

__all__ = ["Recording"]

_SECONDS = 0.25  # between two looks of the thread, at most


class Recording:
    """A recording of a shared pool, from `Pool.record`.

    Use it in a `with`, or call `stop`. It may be stopped by any thread; a child that is forked meanwhile has no part in
    it. A recording that was not stopped when the interpreter ends is stopped then.

    Parameters
    ----------
    pool : Pool
        A shared pool.
    path : str or path, optional
        The file to write in the end.

    Attributes
    ----------
    path : pathlib.Path or None
        The file that is written in the end.
    """

    def __init__(self, pool: Pool, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None:
            require_replaceable(self.path)
        folder = None if self.path is None else self.path.parent
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".blockpool-")  # noqa: SIM115 - closed in _end
        try:
            self._before = pool.runs()
            self._began = time.monotonic_ns()
            self._recorder = begin_recording(pool)
        except BaseException:
            self._spool.close()
            raise
        self._source = (
            f"recording of pool {pool.name or id_of_pool(pool)}, {pool.blocks:,} blocks of {pool.block_size:,} bytes"
        )
        self._process = os.getpid()
        self._error: Exception | None = None
        self._trace: Trace | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="blockpool-recorder", daemon=True)
        self._ended = threading.Event()
        try:
            self._live: list[Run] = pool.runs()
            self._thread.start()
            atexit.register(self._at_exit)
        except BaseException:  # no thread can be started, or Ctrl-C: nobody else would end the recording
            self._halt()
            self._end()
            raise

    def _run(self) -> None:
        """Take events until somebody stops the recording."""
        try:
            while not self._ended.is_set():
                self._spool.write(self._recorder.collect(_SECONDS))
        except Exception as error:  # noqa: BLE001 - it is raised by stop
            self._error = error
            self._recorder.stop()

    @property
    def running(self) -> bool:
        """Whether events are still taken."""
        return self._thread.is_alive() and self._process == os.getpid()

    def stop(self) -> Trace:
        """End the recording, and write its file.

        Returns
        -------
        blockpool.traces.Trace
            What was recorded; the same at each call. Its `lost` counts events for which there was no room.

        Raises
        ------
        OSError
            If there was no room on the disk, or the file cannot be written.
        RuntimeError
            In a forked child.
        PoolClosed
            If this process lost its part in the pool.
        TraceInvalid
            If something wrote over the events in the segment.
        """
        if self._process != os.getpid():
            raise RuntimeError(f"the recording belongs to process {self._process}, from which this one was forked")
        with self._lock:
            if self._trace is None:
                self._trace = self._finish()
            return self._trace

    def _finish(self) -> Trace:
        """Take the last events, make the trace, and write it."""
        self._halt()
        try:
            trace = self._made()
        except Exception as error:
            self._error = error
            self._end()
            raise
        self._end()  # not after an interrupt: the next call of stop makes the trace from what was spooled
        return trace

    def _halt(self) -> None:
        """Record nothing more, and wait for the thread."""
        self._ended.set()
        self._recorder.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _end(self) -> None:
        """Let others record, and forget what was spooled."""
        self._spool.close()
        self._recorder.end()
        atexit.unregister(self._at_exit)

    def _made(self) -> Trace:
        if self._error is not None:  # in the thread, or in an earlier call
            raise self._error
        self._spool.seek(0, os.SEEK_END)
        while rest := self._recorder.collect(0):  # all lanes may hold more than one call takes
            self._spool.write(rest)
        self._spool.seek(0)
        cells = np.frombuffer(self._spool.read(), CELL)
        trace = recorded(cells, self._began, self._live, self._source, before=self._before)
        if self.path is not None:
            write(trace, self.path)
        return trace

    def _at_exit(self) -> None:
        if self._process == os.getpid():
            self.stop()

    def __enter__(self) -> Self:
        """Return the recording."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop it, unless this is a forked child."""
        if self._process == os.getpid():
            self.stop()


Recording.__module__ = "blockpool"
