"""Traces of allocations and frees: from a memray capture, an RMM log or a recording, in memory and on disk.

>>> from blockpool.traces import build, peak
>>> trace = build(kind=[0, 0, 1], size=[100, 200, 0], key=[0x7F00, 0x7F80, 0x7F00])
>>> trace.id
array([0, 1, 0], dtype=int32)
>>> peak(trace)
300
"""

from __future__ import annotations

from blockpool._extras import install_command
from blockpool.errors import TraceInvalid
from blockpool.traces.form import ALLOCATE, FREE, Frame, Trace


def _lack(error: ModuleNotFoundError) -> ImportError:
    """Return an error that says what to install."""
    return ImportError(f"blockpool.traces needs {error.name}; install what it needs with: {install_command('advise')}")


try:
    from blockpool.traces._build import build
    from blockpool.traces._check import check
    from blockpool.traces._look import live, peak, select
    from blockpool.traces._parquet import write
    from blockpool.traces._read import read
except ModuleNotFoundError as _error:
    if (_error.name or "").partition(".")[0] not in {"numpy", "pyarrow"}:
        raise
    raise _lack(_error) from _error

__all__ = [
    "ALLOCATE",
    "FREE",
    "Frame",
    "Trace",
    "TraceInvalid",
    "build",
    "check",
    "live",
    "peak",
    "read",
    "select",
    "write",
]

for _name in ("build", "check", "live", "peak", "read", "select", "write"):
    globals()[_name].__module__ = "blockpool.traces"
del _name
