"""Storages over memory of a pool, and how they are sent: a tensor is what PyTorch makes of its storage on both sides.

PyTorch pickles a tensor as its storage with a dtype, an offset, a size and strides, for `multiprocessing` and for
nothing else. So only the storage is replaced here. Everything else stays PyTorch's own: parameters, gradients, sparse
and nested tensors, tensors that share a storage within one message, and what it refuses to send. A storage that is not
in a shared pool is moved into a shared memory segment of its own.

A storage does not know which Python object its memory comes from, so the run is found by its address.
"""

from __future__ import annotations

from pickle import PickleBuffer

from blockpool._core import _receive_memory, memory_in_a_pool, send_memory
from blockpool.torch._library import torch

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

UntypedStorage = torch.UntypedStorage


def storage_of(memory: memoryview) -> Any:
    """Return a storage that is the memory of a view, and keeps it allocated. The view must not be empty."""
    return torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()


def send(storage: Any, sent: list[tuple[Any, ...]]) -> tuple[Any, ...] | None:
    """Return what to pickle in place of a storage that lies in a shared pool; None for any other."""
    if storage.device.type != "cpu":
        return None
    parts = send_memory(storage.data_ptr(), storage.nbytes(), False, sent)  # noqa: FBT003 - PyTorch knows no read-only
    return None if parts is None else (receive, parts)


def pack(storage: Any) -> tuple[Any, ...] | None:
    """Return the same for the pool's queues and `put`, which carry the memory themselves."""
    if storage.device.type != "cpu":
        return None
    memory = memory_in_a_pool(storage.data_ptr(), storage.nbytes())
    return None if memory is None else (storage_of, (PickleBuffer(memory),))


def receive(*parts: Any) -> Any:
    """Unpickle a storage that came through a pool; this is what pickles name."""
    return storage_of(_receive_memory(*parts))
