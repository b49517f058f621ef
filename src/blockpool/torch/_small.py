"""Small tensors, which workers send by value: not worth a block of a pool, nor a shared memory segment each.

Labels are such tensors. A program may keep them for longer than the batch that they came with.
"""

from __future__ import annotations

import ctypes
from multiprocessing.reduction import ForkingPickler

from blockpool.torch._library import torch
from blockpool.torch._making import is_plain, on

from torch.multiprocessing.reductions import reduce_tensor  # isort: skip
from torch.utils.data import get_worker_info  # isort: skip

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

SMALL = 16 << 10  # bytes; tensors of less are small


class Small(torch.Tensor):  # type: ignore[misc]
    """A tensor that is sent by value; what is computed from it is an ordinary tensor, and so is what is received."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # noqa: SLF001 - as PyTorch documents


def sent_by_value(tensor: Any) -> Any:
    """Return a small tensor as a worker sends it best; in the main process, the tensor itself."""
    if get_worker_info() is None or not is_plain(tensor) or not tensor.is_contiguous():
        return tensor
    return tensor.as_subclass(Small)


def receive(data: bytes, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Unpickle a small tensor; this is what pickles name."""
    return on(memoryview(bytearray(data)), shape, dtype) if data else torch.empty(shape, dtype=dtype)


def _reduce(small: Any) -> Any:
    if small.requires_grad or not small.is_contiguous():  # a program changed it in place
        return reduce_tensor(small.as_subclass(torch.Tensor))
    data = ctypes.string_at(small.data_ptr(), small.nbytes) if small.nbytes else b""
    return receive, (data, small.dtype, tuple(small.shape))


ForkingPickler.register(Small, _reduce)
