"""Two hosts, as network namespaces: within each, data goes through its pool, and between them through the network."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from hosts import Hosts, why_not

_SUPPORT = Path(__file__).resolve().parents[2] / "support"

# Runs on host 0: a scheduler, and a client that says what went which way.
_PROGRAM = """
import sys
import dask_clusters as on
from distributed import Client, LocalCluster, wait
import blockpool.dask
from waits import await_true

if __name__ == "__main__":
    with LocalCluster(n_workers=0, host=sys.argv[1], dashboard_address=None) as cluster, Client(cluster) as client:
        print(cluster.scheduler_address, flush=True)
        client.wait_for_workers(4, timeout=100)
        blockpool.dask.install(client, nbytes="32MiB")
        workers = sorted((w.name, address) for address, w in cluster.scheduler.workers.items())
        names = [name for name, _ in workers]
        a0, a1, b0, b1 = (address for _, address in workers)

        def exchange(source, target):
            before = client.run(on.counts)
            array = client.submit(on.ones, workers=source, pure=False)
            wait(array)
            assert client.submit(on.total, array, workers=target, pure=False).result() == on.N
            after = client.run(on.counts)
            there = client.submit(on.lies_in_pool, array, workers=target, pure=False).result()
            return there, sum(x[1] for x in after.values()) - sum(x[1] for x in before.values())

        for source, target in ((a0, a1), (b0, b1), (a0, b0), (b1, a1)):
            print(exchange(source, target), flush=True)
        print(len(set(client.run(on.name_of_pool).values())), flush=True)
"""


def test_references_stay_within_a_host(tmp_path):
    """Workers of one host exchange through its pool; between hosts the data itself travels, whatever else they share.

    The hosts have one /dev/shm here, as containers may.
    """
    reason = why_not()
    if reason:
        pytest.skip(reason)
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(Hosts())
        environment = {"PYTHONPATH": str(_SUPPORT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        client = subprocess.Popen(
            hosts.command(0, sys.executable, str(program), hosts.addresses[0]),
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        stack.callback(client.kill)
        scheduler = client.stdout.readline().strip()
        for host, name in ((0, "a0"), (0, "a1"), (1, "b0"), (1, "b1")):
            stack.enter_context(hosts.worker(host, scheduler, name, environment))
        said = client.stdout.read().splitlines()
        client.stdout.close()
        assert client.wait(60) == 0
    assert said == ["(True, 1)", "(True, 1)", "(False, 0)", "(False, 0)", "2"]
