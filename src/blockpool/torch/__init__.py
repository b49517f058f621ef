"""PyTorch tensors in a pool: makers, batches for `DataLoader`, and sending without copies.

Importing this module is all it takes for tensors that lie in a shared pool to travel by reference through
`multiprocessing`, `torch.multiprocessing` and the workers of a `DataLoader`: the receiver gets a tensor of the same
memory. All other tensors travel as PyTorch sends them.

>>> import torch
>>> from torch.utils.data import DataLoader
>>> import blockpool, blockpool.torch
>>> pool = blockpool.Pool.create("1MiB", 64)
>>> frames = blockpool.torch.zeros(pool, 8, 3, 224, 224, dtype=torch.bfloat16)
>>> loader = DataLoader(dataset, 64, num_workers=4, collate_fn=blockpool.torch.collate(pool))  # doctest: +SKIP
"""

from __future__ import annotations

from blockpool import _sending
from blockpool.torch._collating import collate, convert
from blockpool.torch._making import asarray, empty, full, zeros
from blockpool.torch._storages import UntypedStorage, pack, send
from blockpool.torch._streaming import streamed

__all__ = ["asarray", "collate", "convert", "empty", "full", "streamed", "zeros"]

_sending.adapt(UntypedStorage, send, pack)

del annotations, UntypedStorage, pack, send
