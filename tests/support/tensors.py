"""Datasets and functions for tests of PyTorch, in a module that spawned workers can import."""

import multiprocessing
import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

import blockpool.torch as bt
from waits import await_true

COUNT, BATCH = 12, 4
SHAPE = (3, 64, 64)  # 48 KiB of float32: large


class Pictures(Dataset):
    """Samples with tensors, arrays, numbers and strings, nested; each knows its number."""

    def __len__(self):
        return COUNT

    def __getitem__(self, number):
        return {
            "picture": torch.full(SHAPE, float(number)),
            "mask": np.full((70, 70), number, np.int16),
            "label": number,
            "more": (number / 2, f"picture {number}", torch.tensor([number, -number])),
        }


class Fragile(Pictures):
    """Pictures whose worker dies at one of them, as if it was killed; no picture is made after that."""

    def __getitem__(self, number):
        if number == BATCH * 2 + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(number)


class Whole(Dataset):
    """Samples that are batches already, for batch_size=None."""

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return {"picture": torch.full(SHAPE, float(number)), "names": ("a", [number, np.full((70, 70), number)])}


def open_segments():
    """Return the files in memory that this process has open, one for each descriptor.

    Other descriptors may come and go: Ray's, if its tests ran in this process before, has connections.
    """
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            found.append(str(each.readlink()))
    return [each for each in found if each.startswith(("/dev/shm/", "/memfd:"))]  # noqa: S108 - where PyTorch's are


def await_workers(pool):
    """Return when no worker is left in the pool: a loader tells them to end, and does not wait for long."""
    await_true(lambda: not multiprocessing.active_children() and pool.stats().processes == 1)


def is_right(batch, numbers):
    """Return whether a batch of pictures has these numbers, everywhere, with the types of default_collate."""
    numbers = torch.as_tensor(list(numbers))
    return (
        type(batch["picture"]) is type(batch["mask"]) is type(batch["label"]) is torch.Tensor
        and torch.equal(batch["picture"], numbers.float().view(-1, 1, 1, 1).expand(-1, *SHAPE))
        and torch.equal(batch["mask"], numbers.to(torch.int16).view(-1, 1, 1).expand(-1, 70, 70))
        and torch.equal(batch["label"], numbers)
        and torch.equal(batch["more"][0], numbers / 2)
        and batch["more"][0].dtype is torch.float64
        and list(batch["more"][1]) == [f"picture {n}" for n in numbers.tolist()]
        and torch.equal(batch["more"][2], torch.stack([numbers, -numbers], 1))
    )


def lies_in(pool, tensor):
    """Return whether a tensor lies in a pool."""
    return pool.address <= tensor.data_ptr() < pool.address + pool.nbytes


def add_one(pool, tasks, answers):
    """Add one to tensors that come, in place, and answer with a tensor of their sum in the pool, until None comes."""
    while (tensor := tasks.get()) is not None:
        with torch.no_grad():
            tensor += 1
        answers.put((bt.full(pool, (100,), float(tensor.sum())), tensor.requires_grad, type(tensor).__name__))
        del tensor
