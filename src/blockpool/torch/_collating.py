"""Batches that workers of a `DataLoader` write straight into a pool.

A batch takes one run, whatever it consists of. It is collated twice by PyTorch's own function: the first time only to
measure it, with tensors on the meta device, and then, when the run is there, to stack samples into it. So a worker that
waits for room holds none, and workers cannot wait for each other.

Small tensors, such as labels, are part of the message, see `_small`.
"""

from __future__ import annotations

import math

from blockpool.torch._library import torch
from blockpool.torch._making import is_plain, lies_in, on, padded
from blockpool.torch._room import Into
from blockpool.torch._small import SMALL, sent_by_value
from blockpool.torch._streaming import Rows, whole

# PyTorch documents the first two, and that programs may add to the table.
from torch.utils.data._utils.collate import collate as torch_collate  # isort: skip
from torch.utils.data._utils.collate import default_collate_fn_map  # isort: skip
from torch.utils.data import default_convert  # isort: skip
from torch.utils._pytree import tree_map_only  # isort: skip

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from blockpool._core import Pool
    from blockpool.torch._room import OnFull


def _is_even(samples: Any) -> bool:
    """Return whether samples can be stacked as they are, without a conversion, gradients or an error."""
    first = samples[0]
    return all(is_plain(each) and each.dtype == first.dtype and each.shape == first.shape for each in samples)


# --- the two passes ---


def _table(run: _Measure | _Fill) -> dict[Any, Any]:
    """Make PyTorch's table of what collates what, for one pass."""

    def finished(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda samples, *, collate_fn_map=None: run.finish(function(samples, collate_fn_map=collate_fn_map))

    return {kind: finished(each) for kind, each in default_collate_fn_map.items()} | {torch.Tensor: run.stack}


class _Measure:
    """The first pass over a batch: how many bytes it needs in the pool."""

    def __init__(self, pool: Pool, *, rows: bool) -> None:
        self.pool = pool
        self.rows = rows
        self.nbytes = 0

    def stack(self, samples: Any, *, collate_fn_map: Any = None) -> Any:  # noqa: ARG002 - PyTorch passes it
        """Measure samples that will be stacked."""
        if not _is_even(samples):
            return None  # PyTorch's own function gets these in the second pass, or raises its error
        placed = whole(self.pool, samples) if self.rows else None
        if placed is not None:
            return placed
        return self.need(torch.empty((len(samples), *samples[0].shape), dtype=samples[0].dtype, device="meta"))

    def finish(self, result: Any) -> Any:
        """Measure what a function of PyTorch's table made, unless it came from here."""
        return self.need(result) if is_plain(result) and not lies_in(self.pool, result) else result

    def need(self, result: Any) -> Any:
        if result.nbytes >= SMALL:
            self.nbytes += padded(result.nbytes)
        return result


class _Fill:
    """The second pass: the tensors, in their run; without a run, as PyTorch makes them."""

    def __init__(self, pool: Pool, memory: memoryview | None, *, rows: bool) -> None:
        self.pool = pool
        self.rows = rows
        self.memory = memory
        self.used = 0

    def stack(self, samples: Any, *, collate_fn_map: Any = None) -> Any:
        """Stack samples."""
        if not _is_even(samples):
            return default_collate_fn_map[torch.Tensor](samples, collate_fn_map=collate_fn_map)
        placed = whole(self.pool, samples) if self.rows else None
        if placed is not None:
            return placed
        shape, dtype = (len(samples), *samples[0].shape), samples[0].dtype
        if len(samples) * samples[0].nbytes < SMALL:
            return sent_by_value(torch.stack(samples))
        if self.memory is None:
            return default_collate_fn_map[torch.Tensor](samples, collate_fn_map=collate_fn_map)
        return torch.stack(samples, out=self.take(shape, dtype))

    def finish(self, result: Any) -> Any:
        """Put what a function of PyTorch's table made into the run, unless it came from here."""
        if not is_plain(result) or lies_in(self.pool, result):
            return result
        if result.nbytes < SMALL:
            return sent_by_value(result)
        return result if self.memory is None else self.take(result.shape, result.dtype).copy_(result)

    def take(self, shape: Any, dtype: Any) -> Any:
        """Return the next tensor of the run."""
        assert self.memory is not None  # noqa: S101
        nbytes = math.prod(shape) * dtype.itemsize
        made = on(self.memory[self.used : self.used + nbytes], shape, dtype)
        self.used += padded(nbytes)
        return made


# --- what a DataLoader calls ---


class _Collate(Into):
    """What `collate` returns."""

    def __call__(self, samples: Any) -> Any:
        if not isinstance(samples, (list, tuple)):
            raise TypeError(
                f"collate(pool) makes a batch of a list of samples, not of {type(samples).__name__}; "
                "with batch_size=None use convert(pool)"
            )
        rows = isinstance(samples, Rows)
        measure = _Measure(self.pool, rows=rows)
        torch_collate(samples, collate_fn_map=_table(measure))
        fill = _Fill(self.pool, self.room(measure.nbytes), rows=rows)
        return torch_collate(samples, collate_fn_map=_table(fill))


class _Convert(Into):
    """What `convert` returns."""

    def __call__(self, sample: Any) -> Any:
        converted = default_convert(sample)
        measure = _Measure(self.pool, rows=False)
        tree_map_only(torch.Tensor, measure.finish, converted)
        fill = _Fill(self.pool, self.room(measure.nbytes), rows=False)
        return tree_map_only(torch.Tensor, fill.finish, converted)


def collate(pool: Pool, *, on_full: OnFull = "copy", timeout: float | None = None) -> Callable[[Any], Any]:
    """Make a `collate_fn` for `DataLoader` that stacks the samples of a batch straight into a pool.

    Batches are what ``torch.utils.data.default_collate`` makes: of tensors, NumPy arrays, numbers, and dicts, tuples
    and lists of these. Their tensors of 16 KiB or more share one run of the pool, and smaller ones are part of the
    message. Tensors that cannot be stacked as they are (subclasses, of unequal dtypes, on other devices, or with
    gradients) are collated and sent as without this.

    Parameters
    ----------
    pool : Pool
        A shared pool. Workers of every start method attach it.
    on_full : {"copy", "wait", "raise"}
        What a worker does when the pool has no room, or is closed. "copy": the batch goes PyTorch's own way, through a
        shared memory segment for each tensor, and the first such batch of each process makes a record for the logger
        ``blockpool``. "wait": it waits for room. That needs room for `prefetch_factor` times `num_workers` batches
        and for those that the program uses, as batches are handed out in order. "raise": it raises, and so does the
        loader.
    timeout : float or None
        How long "wait" waits, in seconds. None is forever.

    Returns
    -------
    callable
        It can be pickled, and used by several loaders and threads at once. Its calls raise PoolExhausted, PoolClosed,
        TooManyProcesses and PoolBusy as said above; "wait" also raises PoolExhausted for a batch that is larger than
        the pool.

    Raises
    ------
    TypeError
        If `pool` is not a Pool.
    ValueError
        If the pool is private, `on_full` is something else, or there is a `timeout` without "wait".
    """
    return _Collate(pool, on_full, timeout)


def convert(pool: Pool, *, on_full: OnFull = "copy", timeout: float | None = None) -> Callable[[Any], Any]:
    """Make a `collate_fn` for a `DataLoader` with ``batch_size=None``: it copies the tensors of a sample into a pool.

    The rest is as ``torch.utils.data.default_convert`` makes it.

    Parameters
    ----------
    pool : Pool
        A shared pool.
    on_full : {"copy", "wait", "raise"}
        See `collate`.
    timeout : float or None
        In seconds; see `collate`.

    Returns
    -------
    callable
        See `collate`.

    Raises
    ------
    TypeError, ValueError
        See `collate`.
    """
    return _Convert(pool, on_full, timeout)
