"""What do the calls of a shared pool cost: hot ones, attaching, the ledger's memory, and recovery of the dead?

Peers: iceoryx2 (loan and drop a sample), kickmsg (allocate and publish a slot). An absolute limit holds where two
uncontended locked instructions take 10 ns, and is scaled by what they take in the same pair.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import _measure

import blockpool

MILLION = 10**6
ATTACH_NS = 1e6
RECOVERY_NS = 50e6
METADATA_BYTES = 25.0
WARM_UP = 1024  # enough blocks that no measurement runs out of them

processes = multiprocessing.get_context("spawn")


# --- hot calls ---


def iceoryx2_publisher(iceoryx2: Any) -> tuple[Any, ...]:
    """Return what keeps a publisher alive, and the publisher, for samples of up to 4 KiB."""
    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    node = iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)
    name = iceoryx2.ServiceName.new(f"blockpool/bench/{os.getpid()}")
    builder = node.service_builder(name).publish_subscribe(iceoryx2.Slice[ctypes.c_uint8])
    service = builder.create()
    publisher = service.publisher_builder().initial_max_slice_len(4096).create()
    return node, service, publisher


def kickmsg_publisher(kickmsg: Any) -> tuple[Any, ...]:
    """Return a region, to be unlinked, and a publisher in it."""
    config = kickmsg.Config()
    config.pool_size = 64
    config.max_payload_size = 4096
    name = f"/blockpool-bench-{os.getpid()}"
    region = kickmsg.SharedRegion.create(name, kickmsg.ChannelType.PubSub, config)
    return region, kickmsg.Publisher(region)


def hot_calls() -> list[_measure.Comparison]:
    """Compare the calls that a program makes most often."""
    pool = blockpool.Pool.create("4KiB", 1024)
    names: dict[str, Any] = {"pool": pool}
    with_statement = "with pool.allocate() as block: pass"
    rows = [
        _measure.compare("allocate and drop", "pool.allocate()", "object()", names, limit=2),
        _measure.compare(with_statement, with_statement, "object()", names, limit=4.5),
        _measure.compare("allocate and free", "pool.allocate().free()", "object()", names),
        _measure.compare("allocate a run of 3 and drop", "pool.allocate(blocks=3)", "object()", names),
        _measure.compare(
            "share and redeem",
            "redeem(block.share())",
            "object()",
            names | {"redeem": blockpool.redeem, "block": pool.allocate()},
        ),
    ]
    iceoryx2 = _measure.peer("iceoryx2")
    if iceoryx2:
        *kept, publisher = iceoryx2_publisher(iceoryx2)
        rows.append(
            _measure.compare(
                "allocate and drop",
                "pool.allocate()",
                "publisher.loan_slice_uninit(4096)",
                names | {"publisher": publisher},
                peer_name="iceoryx2, loan and drop",
                limit=6,
                faster=True,
            )
        )
        del kept
    kickmsg = _measure.peer("kickmsg")
    if kickmsg:
        region, publisher = kickmsg_publisher(kickmsg)
        rows.append(
            _measure.compare(
                "allocate and drop",
                "pool.allocate()",
                "publisher.allocate().publish(4096)",
                names | {"publisher": publisher},
                peer_name="kickmsg, allocate and publish",
                faster=True,
            )
        )
        region.unlink()
    return rows


# --- attaching ---


def attacher(pipe: Any, name: str) -> None:
    """Attach again and again, in a process that has the pool no other way; send how long each took, and its limit."""
    locked = _measure.locked_pair()
    ours, limits = [], []
    for _ in range(_measure.PAIRS + 1):
        start = time.perf_counter_ns()
        pool = blockpool.Pool.attach(name)
        ours.append(time.perf_counter_ns() - start)
        limits.append(_measure.scaled(ATTACH_NS, locked))
        pool.close()
        del pool
    pipe.send((ours, limits))


def attaching(facts: dict[str, Any]) -> list[_measure.Comparison]:
    """Compare attaching pools of several sizes with the limit."""
    rows = []
    for label, size, blocks in (
        ("64 KiB", "64B", 1 << 10),
        ("1 GiB, 2¹⁰ blocks", "1MiB", 1 << 10),
        ("1 GiB, 2²⁴ blocks", "64B", 1 << 24),
    ):
        name = f"bench-{os.getpid()}"
        pool = blockpool.Pool.create(size, blocks, name=name)
        ours_end, theirs_end = processes.Pipe()
        child = processes.Process(target=attacher, args=(theirs_end, name))
        child.start()
        ours, limits = ours_end.recv()
        child.join()
        pool.unlink()
        facts[f"attach, {label}, the first of a process, ms"] = f"{ours[0] / 1e6:.3f}"
        rows.append(_measure.of_pairs(f"attach, {label}", ours[1:], "1 ms, scaled", limits[1:], limit=1))
    return rows


# --- memory ---


def metadata() -> str:
    """Return how many bytes per block a segment has besides its blocks, from the size of the file."""
    name = f"bench-{os.getpid()}"
    pool = blockpool.Pool.create(8, MILLION, name=name)
    whole = Path("/dev", "shm", f"blockpool.{name}").stat().st_size
    found = (whole - pool.nbytes) / MILLION
    pool.unlink()
    verdict = "ok" if found <= METADATA_BYTES else "MISSED"
    return f"{found:.3f}  at most {METADATA_BYTES:g}  {verdict}"


# --- recovery ---


def mortal(pipe: Any, name: str, blocks: int) -> None:
    """Allocate that many blocks, report it, and wait to be killed."""
    pool = blockpool.Pool.attach(name)
    held = pool.allocate_many(blocks)
    pipe.send(len(held))
    time.sleep(3600)


def caller(pipe: Any, name: str, phase: Any, phases: int) -> None:
    """Allocate and drop endlessly; note for each phase the number of calls, and the longest."""
    pool = blockpool.Pool.attach(name)
    allocate, clock = pool.allocate, time.perf_counter_ns
    calls, longest = [0] * (phases + 1), [0] * (phases + 1)
    pipe.send("ready")
    while (now := phase.value) < phases:
        start = clock()
        allocate()
        took = clock() - start
        calls[now] += 1
        longest[now] = max(longest[now], took)
    pipe.send((calls, longest))


def recovering(facts: dict[str, Any]) -> list[_measure.Comparison]:
    """Kill a process that holds half of a million blocks, again and again, while another one calls."""
    name = f"bench-{os.getpid()}"
    pool = blockpool.Pool.create(64, MILLION, name=name)
    held = pool.allocate_many(MILLION)
    chance = random.Random(1)
    for i in chance.sample(range(MILLION), MILLION // 2 + WARM_UP):
        held[i].free()  # so the dead hold every second block or so, at random
    locked = _measure.locked_pair()
    phases = 4 * _measure.PAIRS
    phase = processes.RawValue("i", 0)  # 4 k + 1 an idle moment, 4 k + 3 a recovery as long
    ours_end, theirs_end = processes.Pipe()
    other = processes.Process(target=caller, args=(theirs_end, name, phase, phases))
    other.start()
    ours_end.recv()
    took, by_processor, limits = [], [], []
    for pair in range(_measure.PAIRS):
        end, child_end = processes.Pipe()
        child = processes.Process(target=mortal, args=(child_end, name, MILLION // 2))
        child.start()
        assert child.pid is not None
        assert end.recv() == MILLION // 2
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        phase.value = 4 * pair + 3
        start, start_processor = time.perf_counter_ns(), time.thread_time_ns()
        found = pool.recover()
        took.append(time.perf_counter_ns() - start)
        by_processor.append(time.thread_time_ns() - start_processor)
        phase.value = 4 * pair + 1
        until = time.perf_counter_ns() + took[-1]
        while time.perf_counter_ns() < until:
            pass
        phase.value = 4 * pair
        assert found.processes == 1
        limits.append(_measure.scaled(RECOVERY_NS, locked))
    phase.value = phases
    calls, longest = ours_end.recv()
    other.join()
    pool.check()
    pool.unlink()
    during, idle = range(3, phases, 4), range(1, phases, 4)
    facts["another process's calls during a recovery, fewest"] = f"{min(calls[i] for i in during)}  at least 1  " + (
        "ok" if min(calls[i] for i in during) else "MISSED"
    )
    return [
        _measure.of_pairs(
            "recover 10⁶ blocks, half of them the dead one's",
            took,
            "50 ms, scaled",
            limits,
            limit=1,
        ),
        _measure.of_pairs("the same, processor time", by_processor, "50 ms, scaled", limits, limit=1),
        _measure.of_pairs(
            "another's longest call during that",
            [longest[i] for i in during],
            "as long without a recovery",
            [max(1, longest[i]) for i in idle],
        ),
        _measure.of_pairs(
            "another's mean call during that",
            [ns / max(1, calls[i]) for ns, i in zip(took, during, strict=True)],
            "as long without a recovery",
            [ns / max(1, calls[i]) for ns, i in zip(took, idle, strict=True)],
        ),
    ]


def main() -> None:
    """Measure, and print the table."""
    facts: dict[str, Any] = {}
    rows = hot_calls() + attaching(facts) + recovering(facts)
    facts["metadata, bytes a block, 10⁶ blocks"] = metadata()
    _measure.report("Calls of a shared pool", rows, facts)


if __name__ == "__main__":
    main()
