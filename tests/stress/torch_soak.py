"""Workers of DataLoaders that write batches into a pool are killed at random points, again and again.

    python tests/stress/torch_soak.py --kills 1000 --seed 1

Each round makes a loader, of a random kind, takes batches, each of which must be right, and kills workers at a random
time. PyTorch then ends the epoch, and the next round begins. A killed worker costs the batches of its epoch and nothing
else: after each round, what is allocated is what was in flight. Dropping that leaves an empty pool, which must pass its
audit. The exit status is 1 if anything was wrong.

A worker may die inside `multiprocessing.Event.is_set`, which PyTorch calls all the time, and hold that event's lock.
Then PyTorch hangs, with and without a pool. Such rounds are broken off and counted; a hang anywhere else is a fault.
"""

import argparse
import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import blockpool as bp
import blockpool.torch as bt

BATCH, BATCHES, SHAPE = 4, 40, (3, 64, 64)
PATIENCE = 60  # seconds for a round


class Hung(BaseException):
    """A round takes too long. Not an Exception, so that nothing but this program handles it."""


hangs = []  # for each: whether it was in a lock of multiprocessing's events


def break_off(_number, frame):
    """Note where a round hangs, and end it."""
    files = []
    while frame is not None:
        files.append((Path(frame.f_code.co_filename).name, frame.f_code.co_name))
        frame = frame.f_back
    hangs.append(("synchronize.py", "__enter__") in files and ("dataloader.py", "_shutdown_workers") in files)
    raise Hung


class Pictures(Dataset):
    """Pictures that know their number."""

    def __len__(self):
        return BATCH * BATCHES

    def __getitem__(self, number):
        return torch.full(SHAPE, float(number)), number


def children():
    """Return the processes that this one has started, zombies too."""
    return {int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


class Killer(threading.Thread):
    """Kill one of some workers after a random time, and count it."""

    def __init__(self, workers, after):
        super().__init__()
        self.workers = workers
        self.after = after
        self.killed = 0
        self.over = threading.Event()

    def run(self):
        """Wait, and kill."""
        self.over.wait(self.after)
        for worker in self.workers:
            try:
                ended = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
                os.kill(worker, signal.SIGKILL)
            except (ProcessLookupError, FileNotFoundError):
                continue
            self.killed += not ended


def is_right(batch, number):
    """Return whether all of a batch is that of its number."""
    pictures, numbers = batch
    expected = torch.arange(number * BATCH, (number + 1) * BATCH)
    return torch.equal(numbers, expected) and torch.equal(
        pictures, expected.float().view(-1, 1, 1, 1).expand(-1, *SHAPE)
    )


def one_round(pool, chance, faults):
    """Load until workers are killed, or the epoch is over; return how many were killed."""
    streamed, persistent = chance.random() < 0.5, chance.random() < 0.3
    collate = bt.collate(pool, on_full=chance.choice(["copy", "wait"]))
    loader = DataLoader(
        bt.streamed(Pictures(), collate) if streamed else Pictures(),
        BATCH,
        num_workers=chance.choice([1, 2, 3]),
        persistent_workers=persistent,
        prefetch_factor=chance.choice([1, 2, 4]),
        collate_fn=collate,
        multiprocessing_context="fork",
    )
    before = children()
    batches = iter(loader)
    workers = sorted(children() - before)
    chance.shuffle(workers)
    killer = Killer(workers[: chance.choice([1, len(workers)])], chance.random() ** 3 * 0.2)
    killer.start()
    try:
        for number, batch in enumerate(batches):
            if not is_right(batch, number):
                faults.append(f"batch {number} is wrong")
        killer.over.set()
    except RuntimeError as error:  # PyTorch's, for a worker that died
        if "DataLoader worker" not in str(error):
            faults.append(f"{type(error).__name__}: {error}")
    except Hung:
        pass
    killer.join()
    return killer.killed, workers


def end(workers):
    """Kill what PyTorch left, and wait for it."""
    for worker in children() & set(workers):
        os.kill(worker, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(worker, 0)


def look(pool, faults):
    """Look at the pool after a round, when nothing but lost messages can be left in it."""
    gc.collect()
    deadline = time.monotonic() + 60
    while pool.recover(tickets_older_than=0) and pool.stats().allocated and time.monotonic() < deadline:
        time.sleep(0.01)  # the last worker is ending
    stats = pool.stats()
    if stats.allocated or stats.tickets:
        faults.append(f"{stats.allocated} blocks and {stats.tickets} tickets are left: {pool.runs()[:3]}")
    pool.check()


def main():
    """Kill, and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="end after so long, however many were killed"
    )
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}, PyTorch {torch.__version__}", flush=True)
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.5  # PyTorch waits 5 s for each worker after an error
    torch.set_num_threads(1)
    chance = random.Random(seed)
    signal.signal(signal.SIGALRM, break_off)
    faults, killed, rounds, start = [], 0, 0, time.monotonic()
    with bp.Pool.create("64KiB", 128) as pool:
        while killed < given.kills and not faults and time.monotonic() - start < given.seconds:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
            count, workers = one_round(pool, chance, faults)
            with suppress(Hung):
                gc.collect()
            signal.setitimer(signal.ITIMER_REAL, 0)
            end(workers)
            killed += count
            rounds += 1
            look(pool, faults)
            if not all(hangs):
                faults.append("a round hung elsewhere")
            if rounds % 50 == 0:
                print(f"{killed} killed in {rounds} epochs, {time.monotonic() - start:.0f} s", flush=True)
    descriptors = sum("torch_" in str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    if descriptors:
        faults.append(f"{descriptors} descriptors of segments are left")
    print(f"hangs of PyTorch because of its own event: {sum(hangs)}")
    print(f"{killed} workers killed in {rounds} epochs, {time.monotonic() - start:.0f} s")
    print("\n".join(faults) or "nothing was lost")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
