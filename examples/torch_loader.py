"""Train a small network with PyTorch, on batches that the workers of a DataLoader write straight into a pool.

    python examples/torch_loader.py        (needs PyTorch and NumPy)

The data is made up: pictures of noise with a bright square in one of four corners, and the network learns to tell the
corner. Nothing differs from a program without a pool but the five lines that are marked. Every batch is looked at: does
it lie in the pool?

Then a worker is killed in the middle of an epoch. PyTorch ends that epoch with an error, and the program starts it
again. What was in flight then comes back by itself when the pool needs the room, as the pool was made with
`ticket_lifetime`; the example does not wait for that, and asks for it at the end. The exit status is 0 if the network
learned something, and all memory came back.
"""

import multiprocessing
import warnings
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import blockpool
import blockpool.torch  # 1: from here on, tensors in a pool travel by reference

SAMPLES, BATCH, SIDE, WORKERS = 512, 32, 32, 2
ACCIDENT = 2  # batches into the epoch


class Corners(Dataset[Any]):
    """Pictures with a bright square in one of four corners."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        corner = number % 4
        picture = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(number))
        row, column = SIDE // 2 * (corner // 2), SIDE // 2 * (corner % 2)
        picture[:, row : row + SIDE // 2, column : column + SIDE // 2] += 0.5
        return picture, corner


def train(network: nn.Module, loader: DataLoader[Any], pool: blockpool.Pool, *, accident: bool) -> tuple[int, int, int]:
    """Take an epoch; return how many batches there were, how many in the pool, and how many pictures were right."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    batches = in_pool = right = 0
    for pictures, corners in loader:
        batches += 1
        in_pool += pool.address <= pictures.data_ptr() < pool.address + pool.nbytes
        scores = network(pictures)
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, corners).backward()
        optimizer.step()
        right += int((scores.argmax(1) == corners).sum())
        if accident and batches == ACCIDENT:
            multiprocessing.active_children()[0].kill()
    return batches, in_pool, right


def main() -> None:
    """Train for three epochs, one of them twice."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # on machines with one processor
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    batch_bytes = BATCH * 3 * SIDE * SIDE * 4
    # 2: room for what the workers have ready, for what the program uses, and for what is lost with a worker
    with blockpool.Pool.create("64KiB", 20 * (batch_bytes >> 16), ticket_lifetime=60) as pool:
        collate = blockpool.torch.collate(pool)  # 3
        loader = DataLoader(
            blockpool.torch.streamed(Corners(), collate),  # 4
            BATCH,
            shuffle=True,
            num_workers=WORKERS,
            collate_fn=collate,  # 5
        )
        right = 0
        for epoch in range(3):
            try:
                batches, in_pool, right = train(network, loader, pool, accident=epoch == 1)
            except RuntimeError as error:
                print("epoch 1: a worker was killed; the epoch starts again")
                if "DataLoader worker" not in str(error):
                    raise
                batches, in_pool, right = train(network, loader, pool, accident=False)
            print(f"epoch {epoch}: {batches} batches, {in_pool} of them in the pool, {right / SAMPLES:.0%} right")
        pool.recover(tickets_older_than=0)
        pool.check()  # raises if anything is wrong
        print(f"blocks not back: {pool.stats().allocated}")
        if right < SAMPLES * 0.9 or pool.stats().allocated:
            raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
