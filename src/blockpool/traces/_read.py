"""Reads any kind of file that holds a trace; the file's content says which kind it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from blockpool.errors import TraceInvalid
from blockpool.traces._memray import MAGICS, read_memray
from blockpool.traces._parquet import MAGIC, read_parquet
from blockpool.traces._rmm import HEADER, read_rmm

if TYPE_CHECKING:
    from blockpool.traces.form import Trace

__all__ = ["read"]


def read(path: str | os.PathLike[str]) -> Trace:
    """Return the trace that a file holds.

    Parameters
    ----------
    path : str or path-like
        A file that `write` or a recording wrote, a capture of memray, or a CSV log of RMM.

    Returns
    -------
    Trace
        The events.

    Raises
    ------
    TraceInvalid
        If it is none of these files, is incomplete, or lacks what is needed. The message says what to do.
    OSError
        If the file cannot be read.
    ImportError
        If it is a capture of memray, and memray is missing.
    """
    file = Path(os.fsdecode(path))
    named = f"{str(file)!r}"
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise TraceInvalid(f"{named} is {what}, not a file; give the name of a file that holds a trace")
    with file.open("rb") as opened:
        head = opened.read(len(HEADER))
    if not head:
        raise TraceInvalid(f"{named} is empty; record the trace again")
    if head.startswith(MAGIC):
        return read_parquet(file)
    if head.startswith(MAGICS):
        return read_memray(file)
    if head.startswith(HEADER.split(b",")[0] + b","):
        return read_rmm(file)
    raise TraceInvalid(
        f"{named} is not a trace: neither a Parquet file of blockpool, nor a capture of memray, nor a CSV log of RMM"
    )
