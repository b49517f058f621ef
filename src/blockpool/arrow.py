"""Arrow tables and pandas frames in a pool: `to_pool` copies them into one run, `from_pool` out of it.

A table or frame that lies in a pool is sent without another copy: through the pool's queues, with `blockpool.put`, and
after `blockpool.multiprocessing.install` through everything of `multiprocessing`. It needs the extra
`arrow`.

>>> import blockpool as bp, pyarrow as pa
>>> from blockpool import arrow
>>> pool = bp.Pool.create("64KiB", 16)
>>> table = arrow.to_pool(pa.table({"name": ["a", "b", None], "size": [1, 2, 3]}), pool)
>>> pool.stats().allocated
1
>>> queue = pool.queue()
>>> queue.put(table)                      # any process gets the same memory
>>> queue.get().equals(table)
True
"""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any, TypeVar

from blockpool._core import Pool, with_buffers_in
from blockpool._extras import install_command

_OLDEST = 17

try:
    import pyarrow as pa  # type: ignore[import-untyped]
except ImportError as error:
    raise ImportError(
        f"blockpool.arrow needs pyarrow {_OLDEST} or later ({error}); "
        f"install what it needs with: {install_command('arrow')}"
    ) from None
if int(pa.__version__.partition(".")[0]) < _OLDEST:
    raise ImportError(
        f"blockpool.arrow needs pyarrow {_OLDEST} or later, and this is pyarrow {pa.__version__}; "
        f"install what it needs with: {install_command('arrow')}"
    )

__all__ = ["from_pool", "to_pool"]

_T = TypeVar("_T")

# A slice refers to the whole buffers of what it was sliced from, and pickle takes all that is referred to. What refers
# to so many bytes more than it has is copied before that.
_SPARED = 4096


def to_pool(data: _T, pool: Pool, *, timeout: float | None = 0) -> _T:
    """Return a table or frame whose memory lies in a pool, in one run, which stays allocated as long as it is used.

    What lies in the pool already stays where it is, so a table that lies there as a whole is not copied at all. Of a
    slice of a table, only what it shows is copied. Types, null values, metadata and chunks are as before.

    Parameters
    ----------
    data : pyarrow.Table, RecordBatch, ChunkedArray or Array; pandas.DataFrame, Series or Index
        With columns of any types. Those of Python objects are copied, but not into the pool.
    pool : Pool
        A pool, shared or private.
    timeout : float or None
        How many seconds to wait for room; None waits for ever.

    Returns
    -------
    pyarrow.Table, RecordBatch, ChunkedArray or Array; pandas.DataFrame, Series or Index
        An equal one, of the same class.

    Raises
    ------
    PoolExhausted
        If there is no room for it, before the timeout is over.
    TypeError
        If an argument is of another type.
    ValueError
        If the data is in the memory of another device, such as a GPU, or `timeout` is less than 0.
    ImportError
        If the data is pandas', and pandas is older than 3.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).

    Notes
    -----
    May be called from any thread. Processes that share the data cannot disturb each other: Arrow's never changes, and
    pandas copies a column that was sent or received before it writes to it.
    """
    _require_data(data)
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
    moved: _T = with_buffers_in(_trimmed(data), pool, timeout)
    return moved


def from_pool(data: _T) -> _T:
    """Return a copy in this process's own memory, which no longer needs the pool.

    Parameters
    ----------
    data : pyarrow.Table, RecordBatch, ChunkedArray or Array; pandas.DataFrame, Series or Index
        With columns of any types, in a pool or not.

    Returns
    -------
    pyarrow.Table, RecordBatch, ChunkedArray or Array; pandas.DataFrame, Series or Index
        An equal one, of the same class. Of a slice of a table, only what it shows is copied.

    Raises
    ------
    TypeError
        If `data` is something else.
    ValueError
        If it is in the memory of another device, such as a GPU.
    ImportError
        If the data is pandas', and pandas is older than 3.

    Notes
    -----
    May be called from any thread.
    """
    _require_data(data)
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(_trimmed(data), protocol=5, buffer_callback=buffers.append)
    copied: _T = pickle.loads(pickled, buffers=[_copied(buffer.raw()) for buffer in buffers])  # noqa: S301 - our own
    return copied


def _copied(source: memoryview) -> Any:
    """Copy memory; what is copied is aligned, as Arrow wants it."""
    made = pa.allocate_buffer(source.nbytes)
    memoryview(made).cast("B")[:] = source
    return made


def _is_frame(data: object) -> bool:
    """Return whether the data is pandas'; then sees to it that it is sent as such."""
    if "pandas" not in sys.modules:
        return False
    import pandas as pd  # type: ignore[import-untyped]

    if not isinstance(data, (pd.DataFrame, pd.Series, pd.Index)):
        return False
    importlib.import_module("blockpool._frames")
    return True


def _require_data(data: object) -> None:
    """Raise TypeError or ValueError unless it can be copied."""
    if _is_frame(data):
        return
    if not isinstance(data, (pa.Table, pa.RecordBatch, pa.ChunkedArray, pa.Array)):
        raise TypeError(
            "a Table, RecordBatch, ChunkedArray or Array of pyarrow is needed, or a DataFrame, Series or Index of "
            f"pandas, not {type(data).__name__}; anything else goes into a pool with blockpool.put(obj, pool)"
        )
    if not _is_on_cpu(data):
        raise ValueError("the data is in the memory of a device, not of this machine; copy it first: copy_to(...)")


def _is_on_cpu(data: Any) -> bool:
    return bool(getattr(data, "is_cpu", True))  # pyarrow 17 has it for arrays only


def _trimmed(data: Any) -> Any:
    """Return the data without what slices refer to but do not show."""
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        columns = [_trimmed(column) for column in data.columns]
        return type(data).from_arrays(columns, schema=data.schema) if columns else data
    if not isinstance(data, (pa.ChunkedArray, pa.Array)) or not _is_wasteful(data):
        return data
    if isinstance(data, pa.ChunkedArray):
        return pa.chunked_array([_trimmed(chunk) for chunk in data.chunks], data.type)
    return pa.concat_arrays([data])


def _is_wasteful(data: Any) -> bool:
    """Return whether the data refers to more than it shows; false where pyarrow cannot say."""
    try:
        return bool(data.get_total_buffer_size() > data.nbytes + _SPARED)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):  # of views, for example, in pyarrow 17
        return False
