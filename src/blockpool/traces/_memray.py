"""Reads captures of memray: each record in order, and times from the snapshots of memory between them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from blockpool._extras import install_command
from blockpool.errors import TraceInvalid
from blockpool.traces._build import build
from blockpool.traces._memray_child import LAYOUT
from blockpool.traces.form import ALLOCATE, FREE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from blockpool.traces.form import Trace

__all__ = ["MAGICS", "read_memray"]

# With what a capture begins: its own magic, or that of LZ4, with which `memray run` compresses it.
MAGICS = (b"memray\0", b"\x04\x22\x4d\x18")

# The kinds of records, by memray's number.
_FREES = (1, 5)  # pymalloc_free, free
_MAPS = (14, 15)  # mmap, munmap

_HEADER = re.compile(
    rb"HEADER magic=memray .*?file_format=(?P<format>\w+) n_allocations=(?P<records>\d{1,18}) .*?"
    rb"start_time=(?P<start>-?\d{1,18}) end_time=(?P<end>-?\d{1,18}) "
)
_RECORD = b"\nALLOCATION address="
_SNAPSHOT = re.compile(rb"\nMEMORY_RECORD time=(\d{1,18}) ")
_AGAIN = "python -m memray run -o CAPTURE PROGRAM"
# How memray names its own program if run with -m.
_MEMRAY = re.compile(r"^\S*/memray/__main__\.py(?= )")


def read_memray(path: Path) -> Trace:
    """Return the trace that a capture of memray holds.

    Parameters
    ----------
    path : Path
        The capture's name.

    Returns
    -------
    Trace
        What was allocated and freed by malloc and the like, and by Python's allocators if these were captured too.

    Raises
    ------
    TraceInvalid
        If it is not a capture, was aggregated, has no end, or is damaged.
    OSError
        If it cannot be read.
    ImportError
        If memray is missing.
    """
    if find_spec("memray") is None:
        command = install_command("advise")
        raise ImportError(f"captures need memray, which cannot be imported; install what they need with: {command}")
    named = f"{str(path)!r}"
    with path.open("rb") as capture:
        text = _text(capture, named)
        if text.aggregated:
            raise TraceInvalid(
                f"{named} is an aggregated capture, which does not have each allocation; "
                f"capture all (ALL_ALLOCATIONS), that is without --aggregate: {_AGAIN}"
            )
        if not text.complete:
            raise TraceInvalid(
                f"{named} has no end: the program still runs, or was killed, or the file was cut; "
                f"let the program come to its end: {_AGAIN}"
            )
        if text.records != text.records_said:
            raise TraceInvalid(
                f"{named} is damaged: it has {text.records:,} records, but says that there are {text.records_said:,}; "
                f"capture again: {_AGAIN}"
            )
        records, names = _records(capture, named, text.records)
    return _trace(records, names, text)


@dataclass(slots=True)
class _Text:
    """What memray prints of a capture: of each snapshot, its time and how many records there are before it."""

    aggregated: bool = False
    complete: bool = False
    records: int = 0
    records_said: int = 0
    start: int = 0
    end: int = 0
    snapshots: list[tuple[int, int]] = field(default_factory=list)


def _text(capture: IO[bytes], named: str) -> _Text:
    """Return what memray prints of a capture: only there are snapshots between the records."""
    text = _Text()
    begin, lines, rest = b"", b"", b"\n"
    with _child("text", capture, named) as output:
        while part := output.read(1 << 20):
            begin = begin or part
            lines, _, tail = (rest + part).rpartition(b"\n")
            rest = b"\n" + tail
            _count(lines, text)
    header = _HEADER.match(begin)
    if header is None:
        raise TraceInvalid(f"{named} cannot be read: what memray prints of it, {begin[:60]!r}, is not known here")
    text.aggregated = header["format"] != b"ALL_ALLOCATIONS"
    text.records_said, text.start, text.end = int(header["records"]), int(header["start"]), int(header["end"])
    text.complete = lines.endswith(b"\nTRAILER") and text.end > 0
    return text


def _count(lines: bytes, text: _Text) -> None:
    """Count the records in some lines, and note where among them the snapshots are."""
    before, *others = _SNAPSHOT.split(lines)
    text.records += before.count(_RECORD)
    for time, after in zip(others[::2], others[1::2], strict=True):
        text.snapshots.append((text.records, int(time)))
        text.records += after.count(_RECORD)


def _records(capture: IO[bytes], named: str, expected: int) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the records as a structured array, and the names that go with them; refuse another number of records."""
    records = np.empty(expected, LAYOUT)
    room = records.view(np.uint8)
    filled = 0
    with _child("records", capture, named) as output:
        while length := int.from_bytes(output.read(8), "little"):
            part = output.read(length)
            room[filled : filled + length] = np.frombuffer(part, np.uint8)  # fails if there are more or fewer
            filled += length
        names = output.read()
    if filled < len(room):
        raise TraceInvalid(
            f"{named} is damaged: {filled // records.itemsize:,} of {expected:,} records can be read; {_AGAIN}"
        )
    return records, json.loads(names)


@contextmanager
def _child(what: str, capture: IO[bytes], named: str) -> Iterator[IO[bytes]]:
    """Run memray in a process of its own, and refuse the capture if that does not come to its end."""
    child = Path(__file__).with_name("_memray_child.py")
    handle = capture.fileno()
    command = [sys.executable, "-P", str(child), what, f"/proc/self/fd/{handle}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("PYTHONUNBUFFERED", None)  # memray would make a system call for each word that it prints
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 this interpreter runs a program of ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, pass_fds=[handle], env=environment
        ) as process,
    ):
        output = process.stdout
        assert output is not None  # noqa: S101 for mypy: it is a pipe
        failed: Exception | None = None
        try:
            try:
                yield output
            except (ValueError, OSError) as error:
                failed = error
            output.close()
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()  # after an interrupt, the end of the `with` does not
            raise
        if status or failed:
            errors.seek(0)
            said = errors.read().decode(errors="backslashreplace").strip().rpartition("\n")[2] or f"status {status}"
            raise TraceInvalid(
                f"{named} is damaged or was cut, or memray cannot read it: {said!s:.200}; capture again: {_AGAIN}"
            ) from failed


def _trace(records: NDArray[Any], names: dict[str, Any], text: _Text) -> Trace:
    """Return the trace of records."""
    rows = np.flatnonzero(~np.isin(records["allocator"], _MAPS)).astype(np.int32)
    frames = [tuple(frame) for frame in names["frames"]]
    columns: dict[str, Any] = {name: records[name][rows] for name in ("size", "thread", "stack")}
    return build(
        **columns,
        time=_times(text)[rows],
        kind=np.where(np.isin(records["allocator"], _FREES), FREE, ALLOCATE)[rows].astype(np.uint8),
        key=records["address"][rows],
        threads=names["threads"],
        stacks=[[frames[each] for each in one] for one in names["stacks"]],
        source=f"memray capture of {_MEMRAY.sub('python -m memray', names['command'])}",
    )


def _times(text: _Text) -> NDArray[np.int64]:
    """Return the time of each record, in nanoseconds: they lie evenly between two snapshots."""
    counts = np.array([0, *(count for count, _ in text.snapshots), text.records])
    times = np.array([text.start, *(time for _, time in text.snapshots), text.end])
    times = np.maximum.accumulate(times - text.start)  # the clock of the machine may have been set back
    between: NDArray[np.float64] = np.interp(np.arange(text.records) + 0.5, counts, times)
    return (between * 1e6).astype(np.int64)
