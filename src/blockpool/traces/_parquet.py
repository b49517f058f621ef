"""Traces on disk: a Parquet file with a column for each of a trace, and names and counts as JSON in its metadata."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from blockpool.errors import TraceInvalid
from blockpool.traces._build import set_read_only
from blockpool.traces._check import COLUMNS, MOST_EVENTS, check
from blockpool.traces.form import Frame, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["MAGIC", "read_parquet", "write"]

MAGIC = b"PAR1"  # with which a Parquet file begins, and ends

_METADATA = b"blockpool.trace"
_VERSION = 1
_ROWS = 1 << 20  # of a row group
_METADATA_LIMIT = 1 << 30  # bytes of names


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace to a Parquet file, which `read` reads.

    The file appears when it is complete, and replaces one of that name.

    Parameters
    ----------
    trace : Trace
        The events.
    path : str or path-like
        The file's name.

    Raises
    ------
    TypeError
        If it is not a Trace.
    TraceInvalid
        If the trace contradicts itself (see `check`).
    OSError
        If the file cannot be written.
    """
    check(trace)
    require_replaceable(Path(os.fsdecode(path)))
    output = _Output(path)
    try:
        for start in range(0, len(trace), _ROWS):
            output.put({name: getattr(trace, name)[start : start + _ROWS] for name in COLUMNS})
        names = ("threads", "stacks", "source", "timed", "unmatched", "lost")
        output.end(_described(**{name: getattr(trace, name) for name in names}))
    finally:
        output.drop()


def require_replaceable(path: Path) -> None:
    """Refuse a name that no trace may be written to.

    Parameters
    ----------
    path : Path
        The name of a file that exists or not.

    Raises
    ------
    IsADirectoryError
        If it is a folder.
    FileExistsError
        If it is a device, pipe or socket: the file would take its place, and /dev/null would be gone.
    OSError
        If that cannot be found out.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file in it")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is a device, pipe or socket; give the name of a file")


class _Output:
    """A Parquet file that is being written beside the place where it will be."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(os.fsdecode(path))
        self._unfinished = self._path.with_name(f".{self._path.name[:64]}.{secrets.token_hex(4)}.unfinished")
        fields = [pa.field(each, pa.from_numpy_dtype(dtype), nullable=False) for each, dtype in COLUMNS.items()]
        self._schema = pa.schema(fields)
        self._file = self._unfinished.open("xb")
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            use_dictionary=["kind", "size", "thread", "stack"],
            store_schema=False,
            write_page_checksum=True,
        )

    def put(self, columns: dict[str, NDArray[Any]]) -> None:
        """Write rows."""
        # not pa.array(), which imports pandas if it is there: that takes long, and fails while the interpreter ends
        arrays = [_arrow(columns[name]) for name in self._schema.names]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema), row_group_size=_ROWS)

    def end(self, described: bytes) -> None:
        """Write the names, and give the file its name."""
        self._writer.add_key_value_metadata({_METADATA: described})
        self._writer.close()
        self._file.flush()
        self._file.close()
        self._unfinished.replace(self._path)

    def drop(self) -> None:
        """Remove the file unless it has its name."""
        with suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()
        with suppress(OSError):
            self._file.close()
        self._unfinished.unlink(missing_ok=True)


def _arrow(column: NDArray[Any]) -> Any:
    """Return a column as an Arrow array of the same memory."""
    column = np.ascontiguousarray(column)
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(column)])


def _described(*, stacks: Iterable[Iterable[tuple[str, str, int]]], **said: Any) -> bytes:
    """Return names and counts as JSON; each frame is there once."""
    numbers: dict[tuple[object, ...], int] = {}
    calls = [[numbers.setdefault(tuple(frame), len(numbers)) for frame in one] for one in stacks]
    said |= {"version": _VERSION, "frames": list(numbers), "stacks": calls}
    return json.dumps(said, separators=(",", ":")).encode("ascii")


def read_parquet(path: Path) -> Trace:
    """Return the trace of a Parquet file that `write` wrote.

    Parameters
    ----------
    path : Path
        The file's name.

    Returns
    -------
    Trace
        The events.

    Raises
    ------
    TraceInvalid
        If it is not such a file, is incomplete, was changed, or was written by a newer release.
    OSError
        If it cannot be read.
    """
    named = f"{str(path)!r}"
    with path.open("rb") as file:
        if not _has_end(file):
            raise TraceInvalid(
                f"{named} has no end: it was cut, or its writer did not come to its end; record it again"
            )
        try:
            return _read(file)
        except TraceInvalid as error:
            raise TraceInvalid(f"{named}: {error}") from error
        except (pa.ArrowException, OSError, OverflowError, UnicodeError) as error:
            said = str(error).partition("\n")[0]
            raise TraceInvalid(f"{named} is damaged: {said:.200}; record it again") from error


def _has_end(file: Any) -> bool:
    """Return whether the file ends as Parquet does."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - len(MAGIC), len(MAGIC)))
    end = file.read()
    file.seek(0)
    return bool(end == MAGIC)


def _read(file: Any) -> Trace:
    """Return the trace of an open file."""
    parquet = pq.ParquetFile(file, page_checksum_verification=True, thrift_string_size_limit=_METADATA_LIMIT)
    described = (parquet.metadata.metadata or {}).get(_METADATA)
    if described is None:
        raise TraceInvalid("this is a Parquet file, but not a trace; give one that blockpool.traces.write wrote")
    said = _said(described)
    schema = parquet.schema_arrow
    wanted = {name: pa.from_numpy_dtype(dtype) for name, dtype in COLUMNS.items()}
    if {field.name: field.type for field in schema} != wanted or len(schema) != len(wanted):
        found = ", ".join(f"{field.name}: {field.type}" for field in schema)
        needed = ", ".join(f"{name}: {dtype}" for name, dtype in COLUMNS.items())
        raise TraceInvalid(f"the columns are {found[:200]!r}, but a trace has {needed!r}")
    rows = parquet.metadata.num_rows
    if not 0 <= rows <= MOST_EVENTS:
        raise TraceInvalid(f"there are {rows:,} events; at most {MOST_EVENTS:,} can be read: record for a shorter time")
    arrays: dict[str, Any] = {name: _array(parquet, name, dtype) for name, dtype in COLUMNS.items()}
    trace = Trace(**arrays, **said)
    set_read_only(trace)
    check(trace)
    return trace


def _array(parquet: Any, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a column as an array of its own."""
    column = parquet.read(columns=[name], use_threads=False).column(0)
    if column.null_count:
        raise TraceInvalid(f"column {name} lacks {column.null_count:,} values; a trace has a value in each row")
    parts = [chunk.to_numpy() for chunk in column.chunks]
    return np.concatenate(parts, dtype=dtype) if parts else np.empty(0, dtype)


def _said(described: bytes) -> dict[str, Any]:
    """Return names and counts from their JSON."""
    try:
        said = json.loads(described)
        version = said["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TraceInvalid(f"the names cannot be read: {error!s:.100}; record it again") from error
    if version != _VERSION:
        raise TraceInvalid(
            f"the trace is of version {version!r:.20}, but this release reads version {_VERSION}; "
            "read it with the release that wrote it, or a later one"
        )
    try:
        frames = [Frame(*frame) for frame in said["frames"]]
        stacks = tuple(tuple(frames[number] for number in one) for one in said["stacks"])
        return {
            "threads": tuple(said["threads"]),
            "stacks": stacks,
            "source": said["source"],
            "timed": said["timed"],
            "unmatched": said["unmatched"],
            "lost": said["lost"],
        }
    except (KeyError, TypeError, IndexError) as error:
        raise TraceInvalid(f"the names have another form than a trace's: {error!s:.100}; record it again") from error
