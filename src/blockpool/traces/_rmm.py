"""Reads the CSV logs that RMM's LoggingResourceAdaptor writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]

from blockpool.errors import TraceInvalid
from blockpool.traces._build import SLACK, build
from blockpool.traces.form import ALLOCATE, FREE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from blockpool.traces.form import Trace

__all__ = ["HEADER", "read_rmm"]

# With what a log begins; releases differ in what they write in the columns, but not in the columns.
HEADER = b"Thread,Time,Action,Pointer,Size,Stream"

_DAY = 86_400 * 10**9  # nanoseconds

_NAMES = HEADER.decode().split(",")
_COMMAS = len(_NAMES) - 1
_COLUMNS = ("time", "kind", "size", "key", "thread")
_LONGEST = 1 << 16  # bytes of a line
_AGAIN = "make the log with rmm.mr.LoggingResourceAdaptor"

# What a value looks like: releases write times with a point or a colon before the microseconds, pointers with 0x or
# without, and (nil) or 0 where an allocation failed.
_FORMS = {
    "Thread": r"^[0-9]{1,18}$",
    "Time": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.:][0-9]{6}$",
    "Action": r"^(allocate|free|allocate failure)$",
    "Pointer": r"^(0x)?[0-9a-fA-F]{1,16}$|^\(nil\)$",
    "Size": r"^[0-9]{1,18}$",
}


def read_rmm(path: Path) -> Trace:
    """Return the trace that a log of RMM holds.

    Requests that failed are left out. A log has times of day: where they go back, the next day has begun.

    Parameters
    ----------
    path : Path
        The log's name.

    Returns
    -------
    Trace
        What was allocated and freed. A last line that was cut is left out, and counted in `lost`.

    Raises
    ------
    TraceInvalid
        If it is not such a log; the message names the line.
    OSError
        If it cannot be read.
    """
    named = f"{str(path)!r}"
    parts = []
    lost = 0
    for line, lines, whole in _lines(path, named):
        if whole or lines.count(b",") == _COMMAS:
            parts.append(_columns(lines, line, named))
        else:
            lost += 1
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts] or [np.empty(0, np.int64)]) for name in _COLUMNS
    }
    thread, which = np.unique(columns.pop("thread"), return_inverse=True)
    return build(
        **columns | {"time": _since_midnight(columns["time"])},
        thread=which,
        threads=[str(each) for each in thread],
        source=f"RMM log {path}",
        lost=lost,
    )


def _lines(path: Path, named: str) -> Iterator[tuple[int, bytes, bool]]:
    """Return lines, many at a time: the number of the first, they, and whether the last has an end."""
    with path.open("rb") as file:
        if file.readline(len(HEADER) + 2).rstrip(b"\r\n") != HEADER:
            raise TraceInvalid(f"{named}, line 1: a log of RMM begins with {HEADER.decode()}; {_AGAIN}")
        line, rest = 2, b""
        while part := file.read(1 << 22):
            lines, newline, rest = (rest + part).rpartition(b"\n")
            lines += newline
            if lines:
                yield line, lines, True
                line += lines.count(b"\n")
            if len(rest) > _LONGEST:
                raise TraceInvalid(f"{named}, line {line:,}: is too long; {_AGAIN}")
        if rest:
            yield line, rest, False


def _columns(lines: bytes, line: int, named: str) -> dict[str, NDArray[Any]]:
    """Return the columns of some lines, numbered from `line`; requests that failed are left out."""
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(lines),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=_NAMES, block_size=len(lines) + 1),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_NAMES, pa.string())),
        ).combine_chunks()
    except pa.ArrowInvalid as error:
        for number, one in enumerate(lines.splitlines(), line):
            if one.count(b",") != _COMMAS or not one.isascii():
                raise TraceInvalid(
                    f"{named}, line {number:,}: has {one[:80]!r}, not {_COMMAS + 1} columns; {_AGAIN}"
                ) from None
        raise TraceInvalid(f"{named}, line {line:,} and after: {error!s:.200}; {_AGAIN}") from error
    for name, form in _FORMS.items():
        fits = pc.match_substring_regex(table[name], form).to_numpy()
        if not fits.all():
            row = int(np.argmin(fits))
            value = table[name][row].as_py()
            raise TraceInvalid(f"{named}, line {line + row:,}: {name} cannot be {value!r:.40}; {_AGAIN}")
    table = table.filter(pc.not_equal(table["Action"], "allocate failure")).combine_chunks()
    return {
        "time": _times(table["Time"]),
        "kind": np.where(pc.equal(table["Action"], "free").to_numpy(), FREE, ALLOCATE),
        "size": table["Size"].cast(pa.int64()).to_numpy(),
        "key": _pointers(table["Pointer"]),
        "thread": table["Thread"].cast(pa.int64()).to_numpy(),
    }


def _times(column: Any) -> NDArray[np.int64]:
    """Return times of day in nanoseconds."""
    hours, minutes, seconds, micros = (
        pc.utf8_slice_codeunits(column, start, stop).cast(pa.int64()).to_numpy()
        for start, stop in ((0, 2), (3, 5), (6, 8), (9, 15))
    )
    times: NDArray[np.int64] = (((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros) * 1_000
    return times


def _pointers(column: Any) -> NDArray[np.uint64]:
    """Return hexadecimal addresses as numbers."""
    digits = pc.replace_substring_regex(column, r"^0x|^\(nil\)$", "")
    padded = pc.utf8_lpad(digits, 16, "0").cast(pa.binary()).to_pylist()
    return np.frombuffer(bytes.fromhex(b"".join(padded).decode("ascii")), ">u8").astype(np.uint64)


def _since_midnight(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times of day as times since a midnight before the log began.

    A time that goes back by more than the slack is of the next day. One that goes on by nearly a day was written late,
    and is of the day before.
    """
    steps = np.diff(times, prepend=times[:1])
    days: NDArray[np.int64] = np.cumsum(steps < -SLACK) - np.cumsum(steps > _DAY - SLACK)
    return times + (days + 1) * _DAY
