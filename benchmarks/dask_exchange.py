"""How much faster, and with how much less memory, do Dask workers of one host exchange data through a pool?

Each measurement starts a cluster of its own and takes turns with one without a pool. Time is that of the exchange; CPU
time is that of the workers, which other work on the machine changes less, and the whole time another one: both include
the making of the data. Memory is the peak of the workers' proportional shares (PSS), which count each page of the pool
once, from its first use on. Five times the data has to be free.

    python benchmarks/dask_exchange.py [--gib 2] [--pairs 3] [--hosts 1|2] [--numpy] [exchange rechunk_p2p ...]

With ``--numpy`` tasks take NumPy's arrays from the pool (``install(client, numpy=True)``). With ``--hosts 2`` the
workers are in two network namespaces, two in each; that needs root and ``ip``.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import sys
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from _measure import of_pairs, report
from distributed import Client, LocalCluster, wait

import blockpool.dask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

WORKERS = 4


class Peak:
    """The largest sum of the processes' PSS, sampled until `stop`."""

    def __init__(self, pids: list[int]) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pids,))
        self._thread.start()

    def _run(self, pids: list[int]) -> None:
        while not self._ended.wait(0.25):
            self.peak = max(self.peak, sum(map(_pss, pids)))

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._ended.set()
        self._thread.join()
        return self.peak


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


# --- what is exchanged ---


def _ones(n: int, where: str) -> np.ndarray:
    pool = blockpool.dask.pool() if where == "pool" else None
    made = np.empty(n) if pool is None else pool.empty(n)
    made[:] = 1.0
    return made


def _last(array: np.ndarray) -> float:
    return float(array[-1])


def exchange(client: Client, nbytes: int, where: str = "") -> float:
    """Have arrays of 32 MiB on one worker, each needed once by another."""
    here, *others = sorted(client.nthreads())
    n = (32 << 20) // 8
    arrays = [client.submit(_ones, n, where, workers=here, pure=False) for _ in range(nbytes // (32 << 20))]
    wait(arrays)
    began = time.perf_counter()
    lasts = [client.submit(_last, a, workers=others[i % len(others)], pure=False) for i, a in enumerate(arrays)]
    assert sum(client.gather(lasts)) == len(arrays)
    return time.perf_counter() - began


def exchange_made_in_pool(client: Client, nbytes: int) -> float:
    """Do the same with arrays that tasks made in the pool."""
    return exchange(client, nbytes, "pool")


def _rechunk(client: Client, nbytes: int, method: str) -> float:
    side = int((nbytes / 8) ** 0.5) // 16 * 16
    array = da.random.default_rng(1).random((side, side), chunks=(side // 16, side)).persist()
    wait(array)
    began = time.perf_counter()
    with dask.config.set({"array.rechunk.method": method}):
        total = array.rechunk((side, side // 16)).sum(axis=0).sum().compute()
    assert 0.4 < total / side**2 < 0.6
    del client
    return time.perf_counter() - began


def rechunk_tasks(client: Client, nbytes: int) -> float:
    """Turn rows to columns, by tasks."""
    return _rechunk(client, nbytes, "tasks")


def rechunk_p2p(client: Client, nbytes: int) -> float:
    """Turn rows to columns, worker to worker (P2P)."""
    return _rechunk(client, nbytes, "p2p")


def _frame(i: int, rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(i)
    return pd.DataFrame({"key": rng.integers(0, 1 << 30, rows)} | {f"c{k}": rng.random(rows) for k in range(7)})


def _shuffle(client: Client, nbytes: int, method: str) -> float:
    parts = 32
    rows = nbytes // 64 // parts
    frame = dd.from_map(_frame, range(parts), rows=rows).persist()
    wait(frame)
    began = time.perf_counter()
    with dask.config.set({"dataframe.shuffle.method": method}):
        length = frame.shuffle("key").map_partitions(len).compute().sum()
    assert length == rows * parts
    del client
    return time.perf_counter() - began


def shuffle_tasks(client: Client, nbytes: int) -> float:
    """Shuffle a DataFrame by a column, by tasks."""
    return _shuffle(client, nbytes, "tasks")


def shuffle_p2p(client: Client, nbytes: int) -> float:
    """Shuffle a DataFrame by a column, worker to worker (P2P)."""
    return _shuffle(client, nbytes, "p2p")


WORK: dict[str, Callable[[Client, int], float]] = {
    f.__name__: f for f in (exchange, exchange_made_in_pool, rechunk_tasks, rechunk_p2p, shuffle_tasks, shuffle_p2p)
}


# --- clusters ---


@contextlib.contextmanager
def one_host() -> Iterator[Client]:
    """Make four workers on this machine."""
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def two_hosts() -> Iterator[Client]:
    """Make four workers, two in each of two network namespaces; this process, with the scheduler, is in the first."""
    from hosts import Hosts  # of tests/support

    support = str(Path(__file__).resolve().parent.parent / "tests" / "support")
    environment = {"PYTHONPATH": support + ":" + str(Path(__file__).parent), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(Hosts())
        stack.enter_context(_within(f"/run/netns/{hosts.names[0]}"))
        cluster = stack.enter_context(LocalCluster(n_workers=0, host=hosts.addresses[0], dashboard_address=None))
        for host, name in ((0, "a0"), (0, "a1"), (1, "b0"), (1, "b1")):
            worker = hosts.worker(host, cluster.scheduler_address, name, environment, own_shm=host > 0)
            stack.enter_context(worker)
        client = stack.enter_context(Client(cluster))
        client.wait_for_workers(WORKERS)
        yield client


@contextlib.contextmanager
def _within(network: str) -> Iterator[None]:
    """Enter a network namespace: this thread, and threads and processes that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before, Path(network).open("rb") as there:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {network}")
        try:
            yield
        finally:
            libc.setns(before.fileno(), 0)


def measure(name: str, nbytes: int, hosts: int, *, pool: bool, numpy: bool = False) -> tuple[float, int, float, float]:
    """Return seconds, peak bytes, seconds of CPU time, and seconds with the making of the data."""
    with one_host() if hosts == 1 else two_hosts() as client:
        if pool:
            blockpool.dask.install(client, nbytes=2 * nbytes, numpy=numpy)
        pids = list(client.run(os.getpid).values())
        cpu = sum(client.run(time.process_time).values())
        peak = Peak(pids)
        began = time.perf_counter()
        try:
            seconds = WORK[name](client, nbytes)
            whole = time.perf_counter() - began
        finally:
            most = peak.stop()
        cpu = sum(client.run(time.process_time).values()) - cpu
        if pool:
            print(f"    {name}: {_sum(client)}", flush=True)
        return seconds, most, cpu, whole


def _sum(client: Client) -> str:
    found = list(client.run(blockpool.dask.stats).values())
    return (
        f"{sum(s.shared for s in found)} references, {sum(s.copied for s in found)} copies of "
        f"{sum(s.copied_bytes for s in found) / 2**30:.2f} GiB, {sum(s.refused for s in found)} refused"
    )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", nargs="*", default=list(WORK))
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--numpy", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.work) - set(WORK):
        parser.error(f"unknown work: {', '.join(sorted(unknown))}; choose from {', '.join(WORK)}")
    nbytes = int(given.gib * 2**30)
    rows, facts = [], {}
    for name in given.work:
        ours, theirs = [], []
        for _ in range(given.pairs):
            ours.append(measure(name, nbytes, given.hosts, pool=True, numpy=given.numpy))
            theirs.append(measure(name, nbytes, given.hosts, pool=False))
            for which, (seconds, most, cpu, whole) in (("with", ours[-1]), ("without", theirs[-1])):
                print(
                    f"    {name}, {which}: {seconds:.2f} s, in all {whole:.2f} s, CPU {cpu:.2f} s, "
                    f"{most / 2**30:.2f} GiB",
                    flush=True,
                )
        rows.append(
            of_pairs(
                f"{name}, {given.gib:g} GiB",
                [one[0] * 1e9 for one in ours],
                "Dask alone",
                [one[0] * 1e9 for one in theirs],
                faster=True,
            )
        )
        for i, what in ((1, "peak memory"), (2, "CPU time"), (3, "whole time")):
            ratios = sorted(one[i] / other[i] for one, other in zip(ours, theirs, strict=True))
            middle = ratios[len(ratios) // 2]
            facts[f"{name}: {what}"] = f"× {middle:.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
    facts["versions"] = f"dask {dask.__version__}, NumPy {np.__version__}, pandas {pd.__version__}"
    report(f"Dask, {WORKERS} workers on {given.hosts} host(s){', --numpy' * given.numpy}", rows, facts)


if __name__ == "__main__":
    main()
