"""Tensors that are made in a pool; each keeps its run allocated while any tensor has its storage."""

from __future__ import annotations

from blockpool._core import Pool
from blockpool.torch._library import torch
from blockpool.torch._storages import storage_of

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


_ALIGNMENT = 64  # bytes: a cache line


def require_pool(pool: Any) -> Pool:
    """Return the pool; raise TypeError if it is something else."""
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
    return pool


def on(memory: memoryview, size: Sequence[int], dtype: Any) -> Any:
    """Return a contiguous tensor that is the memory of a view, which is not empty and has its size."""
    return torch.empty(0, dtype=dtype).set_(storage_of(memory), 0, size)


def empty(pool: Pool, *size: int | Sequence[int], dtype: Any = None, timeout: float | None = 0) -> Any:
    """Make a contiguous tensor in a pool, without setting its elements.

    Parameters
    ----------
    pool : Pool
        Private or shared. Only tensors in a shared pool are sent by reference.
    *size : int
        The shape, as integers or as one sequence of them. A tensor without elements takes no block.
    dtype : torch.dtype, optional
        Any but quantized ones. By default that of ``torch.get_default_dtype()``.
    timeout : float or None
        How long to wait for room, in seconds. None is forever.

    Returns
    -------
    torch.Tensor
        On the CPU, contiguous, without gradients.

    Raises
    ------
    TypeError
        If `pool` is not a Pool, the size is not of integers, or the dtype is none or is quantized.
    RuntimeError
        If a dimension is negative, or the size overflows.
    PoolExhausted
        If there is no room, or none came in time.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it.

    Notes
    -----
    May be called from any thread.
    """
    require_pool(pool)
    like = torch.empty(*size, dtype=dtype, device="meta")  # PyTorch's own checks of both
    if like.is_quantized:
        raise TypeError(f"a tensor of {like.dtype} cannot be made in a pool; make one of its int_repr()")
    nbytes = like.numel() * like.element_size()
    if not nbytes:
        return torch.empty(like.shape, dtype=like.dtype)
    return on(pool.allocate(nbytes=nbytes, timeout=timeout).buf, like.shape, like.dtype)


def zeros(pool: Pool, *size: int | Sequence[int], dtype: Any = None, timeout: float | None = 0) -> Any:
    """Make a tensor of zeros in a pool.

    Parameters
    ----------
    pool, *size, dtype, timeout
        See `empty`.

    Returns
    -------
    torch.Tensor
        On the CPU, contiguous, without gradients.

    Raises
    ------
    TypeError, RuntimeError, PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy
        See `empty`.
    """
    return empty(pool, *size, dtype=dtype, timeout=timeout).zero_()


def full(
    pool: Pool, size: int | Sequence[int], fill_value: Any, *, dtype: Any = None, timeout: float | None = 0
) -> Any:
    """Make a tensor in a pool whose elements all have one value.

    Parameters
    ----------
    pool : Pool
        See `empty`.
    size : int or sequence of int
        The shape.
    fill_value : number
        The value.
    dtype : torch.dtype, optional
        See `empty`. By default what ``torch.full`` makes of `fill_value`.
    timeout : float or None
        In seconds; see `empty`.

    Returns
    -------
    torch.Tensor
        On the CPU, contiguous, without gradients.

    Raises
    ------
    TypeError, RuntimeError, PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy
        See `empty`.
    """
    kind = torch.full((), fill_value, dtype=dtype).dtype
    return empty(pool, size, dtype=kind, timeout=timeout).fill_(fill_value)


def asarray(pool: Pool, source: Any, *, dtype: Any = None, timeout: float | None = 0) -> Any:
    """Return a tensor in a pool: `source` itself if it is one of that dtype, otherwise a contiguous copy.

    Parameters
    ----------
    pool : Pool
        See `empty`.
    source : array_like
        A tensor of any device, an array, a number, or anything else that ``torch.as_tensor`` takes. An array in the
        pool becomes a tensor of the same memory.
    dtype : torch.dtype, optional
        See `empty`. By default that of `source`.
    timeout : float or None
        In seconds; see `empty`.

    Returns
    -------
    torch.Tensor
        On the CPU, without gradients.

    Raises
    ------
    TypeError
        If `pool` is not a Pool, or `source` is sparse, quantized, nested, on the meta device, or nothing that makes a
        tensor.
    ValueError
        If `source` needs gradients.
    RuntimeError, PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy
        See `empty`; PyTorch raises RuntimeError also for what it cannot convert.
    """
    require_pool(pool)
    tensor = torch.as_tensor(source)
    why = why_not(tensor)
    if why is not None:
        raise TypeError(f"{why} cannot be copied into a pool; convert it first")
    if tensor.requires_grad:
        raise ValueError("a tensor that needs gradients cannot be copied into a pool; pass tensor.detach()")
    if tensor.device.type == "cpu" and (dtype is None or tensor.dtype == dtype) and lies_in(pool, tensor):
        return tensor
    return empty(pool, tensor.shape, dtype=dtype or tensor.dtype, timeout=timeout).copy_(tensor)


def why_not(tensor: Any) -> str | None:
    """Say what a tensor is if its elements are not bytes in strides; None if they are."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout is not torch.strided:
        return f"a tensor with the layout {tensor.layout}"
    if tensor.is_quantized:
        return "a quantized tensor"
    return "a tensor on the meta device, which has no elements," if tensor.is_meta else None


def is_plain(tensor: Any) -> bool:
    """Return whether an object is a tensor and nothing but elements on the CPU."""
    return (
        type(tensor) is torch.Tensor
        and tensor.device.type == "cpu"
        and why_not(tensor) is None
        and not tensor.requires_grad
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def padded(nbytes: int) -> int:
    """Return how many bytes a tensor takes in a run that has several."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def lies_in(pool: Pool, tensor: Any) -> bool:
    """Return whether a tensor of the CPU that has elements lies in a pool."""
    storage = tensor.untyped_storage()
    if pool.closed or not storage.nbytes():
        return False
    return bool(0 <= storage.data_ptr() - pool.address <= pool.nbytes - storage.nbytes())
