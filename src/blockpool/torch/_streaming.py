"""Samples that are moved to their place in a batch one by one, so that a worker never has a list of them.

A `DataLoader` lets a dataset make all samples of a batch at once (``__getitems__``). `streamed` uses this: the first
sample tells what the batch needs, and each sample's tensors become rows of tensors in the pool. `collate` finds
out that all rows of a tensor are there, in order, and takes that tensor. It trusts lists from here only: rows of a pool
in another list may be somebody's who goes on using them.
"""

from __future__ import annotations

import math

from blockpool.torch._library import torch
from blockpool.torch._making import is_plain, lies_in, on, padded
from blockpool.torch._room import Into
from blockpool.torch._small import SMALL

# Not public, but in all versions since 2.6; the public torch.utils.pytree is newer.
from torch.utils._pytree import tree_flatten, tree_unflatten  # isort: skip
from torch.utils.data import Dataset  # isort: skip

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from blockpool._core import Pool


class Rows(list):  # type: ignore[type-arg]
    """Samples whose larger tensors are rows of tensors in a pool."""


def whole(pool: Pool, rows: Any) -> Any:
    """Return the tensor in a pool whose rows these are, all of them and in order; None if there is none."""
    first = rows[0]
    start, step, storage = first.data_ptr(), first.nbytes, first.untyped_storage()
    if not lies_in(pool, first) or storage.nbytes() != len(rows) * step or storage.data_ptr() != start:
        return None
    if any(each.data_ptr() != start + i * step or not each.is_contiguous() for i, each in enumerate(rows)):
        return None
    return torch.empty(0, dtype=first.dtype).set_(storage, 0, (len(rows), *first.shape))


class _Streamed(Dataset):  # type: ignore[misc]
    """What `streamed` returns."""

    def __init__(self, dataset: Any, into: Any) -> None:
        if not isinstance(into, Into):
            raise TypeError(f"streamed needs what collate(pool) returned, not {type(into).__name__}")
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(
                f"streamed needs a dataset with __getitem__ and __len__, not {type(dataset).__name__}; "
                "give any other to the DataLoader as it is"
            )
        if hasattr(dataset, "__getitems__"):
            raise TypeError(
                f"{type(dataset).__name__} makes all samples of a batch at once, in __getitems__; use it as it is"
            )
        self.dataset = dataset
        self.into = into

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Any) -> Any:
        return self.dataset[key]

    def __getitems__(self, keys: Sequence[Any]) -> list[Any]:
        """Return the samples of a batch; without room, as the dataset makes them."""
        samples: list[Any] = Rows()
        tensors: list[Any] = []
        for number, key in enumerate(keys):
            leaves, structure = tree_flatten(self.dataset[key])
            if number == 0:
                tensors = self._tensors_for(leaves, len(keys))
            placed = [_placed(leaf, tensor, number) for leaf, tensor in zip(leaves, tensors, strict=False)]
            samples.append(tree_unflatten(placed + leaves[len(placed) :], structure))
        return samples

    def _tensors_for(self, leaves: list[Any], count: int) -> list[Any]:
        """Make tensors for `count` samples like the first one; None for each leaf that is no tensor or is small."""
        needed = [_bytes_of(leaf, count) for leaf in leaves]
        memory = self.into.room(sum(padded(each) for each in needed))
        if memory is None:
            return []
        tensors: list[Any] = []
        start = 0
        for leaf, nbytes in zip(leaves, needed, strict=True):
            first = torch.as_tensor(leaf) if nbytes else None
            tensors.append(
                first if first is None else on(memory[start : start + nbytes], (count, *first.shape), first.dtype)
            )
            start += padded(nbytes)
        return tensors


def _tensor_of(leaf: Any) -> Any:
    """Return the tensor that a leaf is, or that its array is; None if it is nothing that can be moved."""
    if type(leaf).__module__ == "numpy" and type(leaf).__name__ == "ndarray" and leaf.dtype.kind in "biufc":
        leaf = torch.as_tensor(leaf)
    return leaf if is_plain(leaf) else None


def _bytes_of(leaf: Any, count: int) -> int:
    """Return how many bytes a leaf of each of `count` samples needs in the pool."""
    tensor = _tensor_of(leaf)
    nbytes = 0 if tensor is None else math.prod((count, *tensor.shape)) * tensor.element_size()
    return nbytes if nbytes >= SMALL else 0


def _placed(leaf: Any, tensor: Any, number: int) -> Any:
    """Move a leaf to its place, if it fits there."""
    if tensor is None:
        return leaf
    source, row = _tensor_of(leaf), tensor[number]
    if source is None or source.dtype != row.dtype or source.shape != row.shape:
        return leaf
    return row.copy_(source)


def streamed(dataset: Any, collate_fn: Any) -> Any:
    """Make a dataset for a `DataLoader` whose samples go to their place in the batch one by one.

    Otherwise a worker has a list of all samples of a batch before it stacks them, which takes as much memory as the
    batch. The tensors and arrays of a sample are found in dicts, tuples and lists. For samples that are not alike it
    changes nothing.

    Parameters
    ----------
    dataset : Dataset
        With ``__getitem__`` and ``__len__``, and without ``__getitems__``.
    collate_fn : callable
        What `collate` returned. Give it to the `DataLoader` too. It says what happens when the pool has no room.

    Returns
    -------
    torch.utils.data.Dataset
        It can be pickled if `dataset` can.

    Raises
    ------
    TypeError
        If `collate_fn` is something else, or the dataset has not what is needed.
    """
    return _Streamed(dataset, collate_fn)
