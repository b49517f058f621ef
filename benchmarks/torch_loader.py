"""How many batches a second does a DataLoader hand out through a pool, and in how much memory?

Four workers make batches of 64 x 3 x 224 x 224 float32, with equal work: each sample is one of 64 images that its
worker has, a little changed, so almost all work is to collate and to hand out. This is done by PyTorch's own sharing,
by ``collate(pool)``, and by ``collate(pool)`` with a `streamed` dataset. The loaders stay, and take an epoch
each in turn. The program looks at one number of each page of every batch, as a training step that reads them would.

Memory is measured while each kind of loader runs alone, the images being made for each sample (a worker that decodes
has no images of its own), and the program taking its time: what private pages the program and its workers have, and
all shared memory segments that any of them has open. The latter counts batches in flight too, which no process has
mapped. What the program had before is subtracted, once.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import _measure
import torch
from torch.utils.data import DataLoader, Dataset

import blockpool
import blockpool.torch

BATCH, SHAPE, WORKERS, AHEAD = 64, (3, 224, 224), 4, 2
BATCH_BYTES = BATCH * 3 * 224 * 224 * 4
PAGE_FLOATS = 1024
PAUSE = 0.1  # seconds that the program takes for a batch while memory is measured
KINDS = ("own", "collated", "streamed")


class Samples(Dataset):  # type: ignore[misc]
    """Images that cost almost nothing: from a few that each worker has, or made for each sample."""

    def __init__(self, batches: int, *, made: bool = False) -> None:
        self.batches = batches
        self.made = made
        self.images: list[Any] = []

    def __len__(self) -> int:
        return self.batches * BATCH

    def __getitem__(self, number: int) -> tuple[Any, int]:
        if self.made:
            return torch.full(SHAPE, float(number)), number
        if not self.images:
            self.images = [torch.full(SHAPE, float(i)) for i in range(BATCH)]
        image = self.images[number % BATCH]
        image[0, 0, 0] = number
        return image, number


def memory_of(processes: list[int]) -> int:
    """Return the bytes that some processes have together, private and in shared memory."""
    private, segments = 0, {}
    for process in processes:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in {"Pss_Anon", "Pss_File"}:
                private += int(value.split()[0]) << 10
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if any(kind in str(descriptor.readlink()) for kind in ("/dev/shm/", "/memfd:")):  # noqa: S108
                    found = descriptor.stat()
                    segments[found.st_dev, found.st_ino] = found.st_blocks * 512
    return private + sum(segments.values())


class Most:
    """The most memory that this process and its workers have within a `with`."""

    def __init__(self, processes: list[int]) -> None:
        self.processes = processes
        self.bytes = 0

    def __enter__(self) -> Self:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def look(self) -> None:
        """Look again and again."""
        while not self.over.wait(0.01):
            self.bytes = max(self.bytes, memory_of(self.processes))


def loader(kind: str, batches: int, pool: blockpool.Pool, *, made: bool = False) -> Any:
    """Make a loader of a kind, whose workers stay."""
    dataset: Any = Samples(batches, made=made)
    collate = blockpool.torch.collate(pool, on_full="wait")
    if kind == "streamed":
        dataset = blockpool.torch.streamed(dataset, collate)
    return DataLoader(
        dataset,
        BATCH,
        num_workers=WORKERS,
        prefetch_factor=AHEAD,
        persistent_workers=True,
        collate_fn=None if kind == "own" else collate,
    )


def epoch(batches: Any, pause: float = 0) -> float:
    """Take an epoch; return nanoseconds a batch."""
    start, count = time.perf_counter(), 0
    for images, numbers in batches:
        sums = images.view(-1)[::PAGE_FLOATS].sum()
        assert images[5, 0, 0, 0] == numbers[5]
        del sums, images
        count += 1
        time.sleep(pause)
    return (time.perf_counter() - start) / count * 1e9


def most_memory(kind: str, batches: int) -> int:
    """Return the bytes that a loader of a kind takes at most, with its pool if it has one."""
    before = memory_of([os.getpid()])
    pool = a_pool()
    alone, children = loader(kind, batches, pool, made=True), set(processes())
    iter(alone)  # starts the workers
    with Most([os.getpid(), *(set(processes()) - children)]) as most:
        epoch(alone, PAUSE)
        epoch(alone, PAUSE)
    del alone
    pool.close()
    return most.bytes - before


def processes() -> list[int]:
    """Return the processes that this one has started."""
    return [int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def a_pool() -> blockpool.Pool:
    """Make a pool with room for what is requested ahead, and for the batch that the program uses."""
    return blockpool.Pool.create("1MiB", (WORKERS * AHEAD + 1) * (BATCH_BYTES // 2**20 + 1))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=40, help="batches an epoch")
    parser.add_argument("--pairs", type=int, default=9, help="epochs of each kind")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message="This DataLoader will create 4 worker processes")
    torch.set_num_threads(1)
    _measure.PAIRS = given.pairs
    memory = {kind: most_memory(kind, given.batches) for kind in KINDS}
    pool = a_pool()
    loaders = {kind: loader(kind, given.batches, pool) for kind in KINDS}
    ns: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for each in loaders.values():
        epoch(each)  # the workers start
    for _ in range(given.pairs):
        for kind, each in loaders.items():
            ns[kind].append(epoch(each))
    own = "PyTorch's own sharing"
    rows = [
        _measure.of_pairs("collate(pool)", ns["collated"], own, ns["own"], limit=3, faster=True),
        _measure.of_pairs("collate(pool), streamed", ns["streamed"], own, ns["own"], limit=3, faster=True),
    ]
    _measure.report(
        f"A DataLoader with {WORKERS} workers, a batch of {BATCH_BYTES >> 20} MiB; an epoch of each in a pair",
        rows,
        {
            "PyTorch": torch.__version__,
            "processors": os.cpu_count(),
            **{f"memory, {kind}": f"{memory[kind] / 2**20:.0f} MiB" for kind in KINDS},
            **{
                f"memory, {kind} / own (wanted: at most 0.6)": f"{memory[kind] / memory['own']:.2f}"
                for kind in KINDS[1:]
            },
        },
    )


if __name__ == "__main__":
    main()
