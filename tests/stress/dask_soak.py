"""Dask soak: workers are killed under their nannies while they exchange arrays; results stay right, nothing is left.

    python tests/stress/dask_soak.py --kills 1000 --seed 1 [--numpy]

Tasks make arrays on one worker and add them up on others; meanwhile the soak kills one worker after the other. Data
that is lost is computed again by Dask. In the end, when the lifetime of references is over, the pool must be empty; and
it must be gone when the cluster is.

Exit status 0: every sum was right, no worker hung, nothing was left. The seed repeats the choices, not the timing.
"""

import argparse
import gc
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.utils import get_mp_context

import blockpool.dask
import dask_clusters as on
from blockpool.dask._plugin import TICKET_LIFETIME, pool_name
from dask_clusters import pools_named

WORKERS = 3
NBYTES = 128 << 20
HANG = 300  # seconds without a result
SPARE = 60  # seconds without a result after which nobody is killed, as workers may die faster than they can start


class Killer(threading.Thread):
    """Kills a worker every now and then, once it is a member of the pool."""

    def __init__(self, cluster, kills, rng):
        super().__init__(daemon=True)
        self.cluster, self.kills, self.rng = cluster, kills, rng
        self.killed = 0
        self.round_began = time.monotonic()

    def run(self):
        """Kill until there were as many as wanted."""
        before = {}  # whom each nanny lost last: it may not know yet; an old number may come again for another process
        while self.killed < self.kills:
            time.sleep(self.rng.uniform(0.05, 0.5))
            if time.monotonic() - self.round_began > SPARE:
                continue
            members = self.cluster.scheduler.workers  # those that have come so far as to take part
            alive = [
                (nanny, nanny.process.pid)
                for nanny in list(self.cluster.workers.values())
                # a nanny gives up if its worker dies before it has said that it runs
                if nanny.status == Status.running and nanny.process is not None and nanny.worker_address in members
            ]
            alive = [(nanny, pid) for nanny, pid in alive if pid not in (None, before.get(nanny.id))]
            if len(alive) < 2:
                continue  # one worker is to go on
            nanny, pid = self.rng.choice(alive)
            before[nanny.id] = pid
            os.kill(pid, signal.SIGKILL)
            self.killed += 1


def exchange(client, rng):
    """Run some tasks whose arrays cross between workers; raise if a sum is wrong."""
    sizes = [rng.randrange(1, 4 << 17) for _ in range(12)]
    made = [client.submit(rng.choice([on.ones, on.ones_in_pool_or_not]), n, pure=False, retries=1000) for n in sizes]
    moved = [client.submit(on.itself, x, pure=False, retries=1000) for x in made]
    sums = [
        client.submit(on.sum_of_all, a, b, pure=False, retries=1000) for a, b in zip(made, moved[::-1], strict=True)
    ]
    expected = [float(a + b) for a, b in zip(sizes, sizes[::-1], strict=True)]
    found = client.gather(sums)
    if found != expected:
        raise AssertionError(f"wrong sums: {found}, not {expected}")


def main():
    """Run the soak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--numpy", action="store_true", help="tasks take NumPy's arrays from the pool")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    rng = random.Random(given.seed)
    dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 10**6,
            # a cluster gives up nannies whose worker is away at the wrong moment
            "distributed.deploy.lost-worker-timeout": "10 hours",
            # A new worker is a fork of a process that has imported everything: a kill costs a third of what it does
            # with "spawn".
            "distributed.worker.multiprocessing-method": "forkserver",
        }
    )
    get_mp_context().set_forkserver_preload(["distributed", "numpy", "blockpool.dask", "dask_clusters"])
    began = time.monotonic()
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        name = pool_name(client.scheduler_info()["id"], NBYTES)
        blockpool.dask.install(client, nbytes=NBYTES, numpy=given.numpy)
        killer = Killer(cluster, given.kills, rng)
        killer.start()
        rounds, last = 0, 0.0
        watch = threading.Timer(HANG, _hung)
        while killer.is_alive():
            watch.cancel()
            watch = threading.Timer(HANG, _hung)
            watch.daemon = True
            watch.start()
            killer.round_began = time.monotonic()
            exchange(client, rng)
            rounds += 1
            if time.monotonic() - last > 10:
                last = time.monotonic()
                print(f"{last - began:.0f} s: {killer.killed} killed, {rounds} rounds", flush=True)
        watch.cancel()
        client.wait_for_workers(WORKERS, timeout=HANG)
        exchange(client, rng)
        left = None
        deadline = time.monotonic() + TICKET_LIFETIME + 60
        while left != (0, 0) and time.monotonic() < deadline:
            time.sleep(1)
            client.run(gc.collect)
            left = max(client.run(on.in_use).values())
        sent = sum(c[0] for c in client.run(on.counts).values())
    for _ in range(100):
        outlived = pools_named(name)
        if not outlived:
            break
        time.sleep(0.1)
    good = left == (0, 0) and not outlived and sent > 0
    print(
        f"{'GOOD' if good else 'BAD'}: {killer.killed} killed, {rounds} rounds, blocks and tickets left {left}, "
        f"pools left {outlived}, {time.monotonic() - began:.0f} s, seed {given.seed}"
    )
    return 0 if good else 1


def _hung():
    print(f"BAD: no result for {HANG} seconds", flush=True)
    os._exit(2)


if __name__ == "__main__":
    sys.exit(main())
