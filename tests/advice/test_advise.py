"""Advice on whole traces, and whether it comes true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import blockpool
from blockpool.advice import Advice, Candidate, advise, making
from blockpool.advice.call import with_margin
from blockpool.doctor.machine import ControlGroup, look_at_machine
from blockpool.replay import Plan, measure, simulate
from blockpool.traces import Trace, build, write
from made_traces import frames, mixed, of_lives, of_steps, spread

DRIVE = Path(__file__).parents[1] / "support" / "drive_pools.py"

TRACES = {
    "frames": frames(),
    "frames, all live at the end": of_lives([6_220_800] * 50, [-1] * 50),
    "mixed sizes": mixed(),
    "spread sizes": spread(),
    "spread sizes, threads": spread(threads=5, seed=3),
    "one event": of_steps([1000]),
    "one giant": of_lives([*[300] * 500, 2**30, *[300] * 500], [7] * 1001),
    "sizes of 0": of_lives([0, 1, 64, 65] * 30, [9] * 120),
    "no times": of_steps([5000, 6000, -1, 7000, -2, 10_000, -3, -4]),
}


@pytest.fixture(params=TRACES, scope="module")
def advised(request: pytest.FixtureRequest) -> tuple[Trace, Advice]:
    """Return a trace and the advice on it."""
    trace = TRACES[request.param]
    return trace, advise(trace, measure=False)


def made(advice: Advice) -> tuple[Plan, ...]:
    """Run the code of the advice, and return the pools that it makes as plans."""
    assert advice.recommended is not None
    plans = advice.recommended.plans
    if len(plans) == 1:
        pools = [eval(advice.call, {"blockpool": blockpool})]  # noqa: S307 - it is our own code
    else:
        names: dict[str, object] = {}
        exec(advice.call, names)  # noqa: S102 - it is our own code
        pools = sorted(
            (pool for pool in names.values() if isinstance(pool, blockpool.Pool)),
            key=lambda pool: [plan.block_size for plan in plans].index(pool.block_size),
        )
    found = tuple(
        Plan(pool.block_size, pool.blocks, plan.above, plan.up_to) for pool, plan in zip(pools, plans, strict=True)
    )
    for pool in pools:
        pool.close()
    return found


def test_candidates_refuse_nothing_and_with_one_block_less_do(advised: tuple[Trace, Advice]):
    """Simulated again, the pools refuse nothing and have the same peaks; with a block less, each refuses something."""
    trace, advice = advised
    for one in advice.candidates:
        again = simulate(trace, one.plans)
        assert (again.failures, again.peak_blocks, again.longest_run) == (0, one.peak_blocks, one.longest_run)
        assert again.bytes == one.bytes
        for i, plan in enumerate(one.plans):
            if plan.blocks > 1:
                fewer = Plan(plan.block_size, plan.blocks - 1, plan.above, plan.up_to)
                assert simulate(trace, (*one.plans[:i], fewer, *one.plans[i + 1 :])).failures > 0


def test_no_candidate_wastes_less_than_the_recommended_one(advised: tuple[Trace, Advice]):
    """Each candidate, replayed, refuses nothing and wastes no less than the recommended one."""
    trace, advice = advised
    assert advice.recommended is not None
    assert advice.recommended is advice.candidates[0]
    for candidate in advice.candidates:
        replayed = simulate(trace, candidate.plans)
        assert (replayed.failures, candidate.refusals) == (0, 0)
        assert replayed.bytes - advice.outline.peak_bytes == candidate.waste >= advice.recommended.waste


def test_a_real_pool_does_what_was_predicted(advised: tuple[Trace, Advice], tmp_path: Path):
    """Real pools, driven through their Python calls, refuse nothing and have the predicted peak to the block."""
    trace, advice = advised
    assert advice.recommended is not None
    write(trace, tmp_path / "trace")
    for plans in (advice.recommended.plans, made(advice)):
        text = json.dumps([(plan.block_size, plan.blocks, plan.above, plan.up_to) for plan in plans])
        command = [sys.executable, DRIVE, str(tmp_path / "trace"), text]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert found == {"refused": 0, "most": list(advice.recommended.peak_blocks)}


@pytest.mark.parametrize("name", ["frames", "mixed sizes", "spread sizes, threads"])
def test_a_measured_replay_does_what_was_predicted(name: str):
    """In another process, with memory, the pools refuse what was predicted and peak within 1 % of the prediction."""
    trace = of_lives([100_000, 300_000, 17_000] * 60, [5, 9, 13] * 60) if name == "mixed sizes" else TRACES[name]
    advice = advise(trace, measure=False)
    assert advice.recommended is not None
    for plans in (advice.recommended.plans, made(advice)):
        replayed = measure(trace, plans)
        assert replayed.complete
        assert replayed.failures == advice.recommended.refusals == 0
        assert replayed.peak_blocks == advice.recommended.peak_blocks
        assert replayed.peak_bytes == pytest.approx(advice.outline.peak_bytes, rel=0.01)


def test_the_call_has_the_margin(advised: tuple[Trace, Advice]):
    """The code that is printed makes pools with a tenth more blocks than the trace needs, and refuses nothing."""
    trace, advice = advised
    assert advice.recommended is not None
    plans = made(advice)
    for plan, needed in zip(plans, advice.recommended.plans, strict=True):
        assert plan.blocks >= -(-needed.blocks * 11 // 10)
        assert (plan.block_size, plan.above, plan.up_to) == (needed.block_size, needed.above, needed.up_to)
    assert simulate(trace, plans).failures == 0


def test_the_parts_of_waste_add_up(advised: tuple[Trace, Advice]):
    """Blocks and bookkeeping are all the bytes; what is neither asked for at the peak nor bookkeeping is waste."""
    trace, advice = advised
    live: dict[int, int] = {}
    most: list[int] = []
    for kind, size, number in zip(trace.kind.tolist(), trace.size.tolist(), trace.id.tolist(), strict=True):
        if kind:
            del live[number]
        else:
            live[number] = size
            most = max(most, list(live.values()), key=sum)
    for one in advice.candidates:
        assert one.bytes == sum(plan.block_size * plan.blocks for plan in one.plans) + one.metadata
        assert one.waste == one.inner + one.outer + one.metadata == one.bytes - sum(most)
        ends = [
            -(-max(size, 1) // plan.block_size) * plan.block_size - size
            for size in most
            for plan in one.plans
            if plan.above < size <= (plan.up_to or 2**63) or size == plan.above == 0
        ]
        assert len(ends) == len(most)
        assert one.inner == sum(ends)
        assert one.outer >= 0
        assert one.metadata > 0


def test_frames_get_blocks_of_their_size():
    """Equal requests get blocks of exactly their size, and the pool wastes its bookkeeping alone."""
    advice = advise(frames(live=24), measure=False)
    assert advice.recommended is not None
    assert advice.recommended.plans == (Plan(6_220_800, 24),)
    assert advice.recommended.waste == advice.recommended.metadata
    assert advice.call == "blockpool.Pool(6_220_800, 27)  # 24 at most at a time, and 10 % more"
    assert advice.use
    assert advice.malloc is None
    assert any("rests on the simulation alone" in reason for reason in advice.reasons)


def test_sizes_that_differ_a_lot_get_several_pools():
    """Where it wastes less, requests are split by size, unless one pool is asked for."""
    trace = of_lives([300, 1_000_001] * 500, [21, 7] * 500)
    split, single = advise(trace, measure=False), advise(trace, measure=False, pools=1)
    assert split.recommended is not None
    assert single.recommended is not None
    assert len(split.recommended.plans) == 2
    assert {len(candidate.plans) for candidate in single.candidates} == {1}
    assert split.recommended.waste < single.recommended.waste


def test_an_empty_trace_has_no_recommendation():
    """Without allocations there are no candidates, no call, and the verdict says why."""
    advice = advise(build(kind=[], size=[], key=[]))
    assert (advice.recommended, advice.candidates, advice.call, advice.use) == (None, (), "", False)
    assert (advice.malloc, advice.pool, advice.sites) == (None, None, ())
    assert advice.reasons == ("The trace has no allocations, so there is nothing that a pool could serve.",)


def test_a_trace_that_no_pool_could_serve():
    """Where no process can address as much, there is no recommendation, and the verdict says how much it is."""
    sizes = [2**61, 2**60, 10, 0]
    advice = advise(of_lives(sizes * 50, [1] * 200), measure=False)
    assert (advice.recommended, advice.call, advice.use) == (None, "", False)
    assert advice.outline.largest == max(sizes)
    assert advice.reasons[0].startswith("No pool can serve this: ")


def test_sizes_of_nothing_and_of_a_gibibyte():
    """Requests from 0 bytes to 1 GiB get pools whose bookkeeping stays small."""
    advice = advise(of_lives([0, 2**30, 64, 4096] * 50, [3] * 200), measure=False)
    assert advice.recommended is not None
    assert advice.recommended.metadata < 2**20
    assert advice.recommended.waste < 2**20


def test_only_a_part_is_looked_at():
    """Filters choose by stack, size and thread, and the outline says so."""
    trace = build(
        kind=[0, 0, 0, 1, 1],
        size=[100, 200, 5000, 0, 0],
        key=[0, 1, 2, 0, 1],
        stack=[0, 1, 1, 0, 0],
        stacks=[[("decode", "video.py", 7)], [("parse", "text.py", 3)]],
        thread=[0, 0, 1, 0, 0],
        threads=["main", "worker"],
    )
    found = advise(trace, measure=False, stack="decode")
    assert (found.outline.allocations, found.outline.filter) == (1, "stack 'decode'")
    found = advise(trace, measure=False, sizes=(150, 6000), thread=re.compile("^w"))
    assert (found.outline.allocations, found.outline.filter) == (1, "thread matching '^w', sizes 150 to 6,000 bytes")
    assert advise(trace, measure=False, sizes=(150, None)).outline.filter == "sizes 150 bytes and more"
    assert advise(trace, measure=False, stack="nowhere").recommended is None


@pytest.mark.parametrize("arguments", [{"margin": "much"}, {"margin": None}, {"pools": "2"}, {"pools": 1.5}])
def test_arguments_of_other_types(arguments: dict[str, object]):
    """A margin or a number of pools that is no number is a TypeError with the value."""
    with pytest.raises(TypeError, match=re.escape(repr(next(iter(arguments.values()))))):
        advise(frames(), measure=False, **arguments)


@pytest.mark.parametrize(
    "arguments", [{"margin": -0.1}, {"margin": float("nan")}, {"margin": 10**400}, {"pools": 0}, {"pools": 4}]
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]):
    """A margin or a number of pools that makes no sense is a ValueError with the value."""
    with pytest.raises(ValueError, match=re.escape(f"{next(iter(arguments.values()))!s:.60}")):
        advise(frames(10), measure=False, **arguments)  # type: ignore[arg-type]


def test_a_margin_of_nothing_gives_the_pool_itself():
    """Without a margin, the call makes as many blocks as the trace needs, and says nothing of more."""
    advice = advise(frames(), measure=False, margin=0)
    assert advice.call == "blockpool.Pool(6_220_800, 4)  # 4 at most at a time"


def test_margins_are_rounded_up():
    """A margin is a whole number of blocks, at least one; a tenth of ten is one."""
    blocks = [with_margin((Plan(64, count),), 0.1)[0].blocks for count in (1, 10, 11, 24, 1000)]
    assert blocks == [2, 11, 13, 27, 1100]


def test_advice_is_the_same_each_time(advised: tuple[Trace, Advice]):
    """All but times is the same when the advice is asked for again."""
    trace, advice = advised
    again = advise(trace, measure=False)

    def without_times(candidate: Candidate) -> list[object]:
        return [getattr(candidate, field.name) for field in fields(candidate) if field.name != "nanoseconds"]

    assert list(map(without_times, again.candidates)) == list(map(without_times, advice.candidates))
    assert (again.call, again.outline, again.sites) == (advice.call, advice.outline, advice.sites)


def test_without_time_for_simulations_there_are_fewer_candidates(monkeypatch: pytest.MonkeyPatch):
    """Where the time for simulations is over, candidates are fewer, and each still refuses nothing."""
    trace = spread()
    monkeypatch.setattr("blockpool.advice.making._SEARCH", 0.0)
    monkeypatch.setattr("blockpool.advice.making._REFINE", 0.0)
    advice = advise(trace, measure=False)
    monkeypatch.undo()
    assert 0 < len(advice.candidates) < len(advise(trace, measure=False).candidates)
    assert all(simulate(trace, candidate.plans).failures == 0 for candidate in advice.candidates)


def test_the_trace_is_left_as_it_was():
    """Advice changes none of the columns."""
    trace = mixed(500)
    before = {name: getattr(trace, name).copy() for name in ("time", "kind", "size", "id", "thread", "stack")}
    advise(trace, measure=False)
    assert all(np.array_equal(getattr(trace, name), column) for name, column in before.items())


def test_measured_advice_compares_with_malloc():
    """With measure, malloc and the pool are replayed with memory, and the verdict has their numbers."""
    advice = advise(frames(300, live=3, size=2_000_000))
    assert advice.malloc is not None
    assert advice.pool is not None
    assert (advice.malloc.allocator, advice.pool.allocator) == ("malloc", "pool")
    assert advice.pool.plans == advice.recommended.plans if advice.recommended else False
    assert advice.pool.failures == 0
    assert advice.malloc.resident
    assert advice.pool.resident
    assert any(reason.startswith("Memory: ") for reason in advice.reasons)
    assert any(reason.startswith("Processor time to allocate") for reason in advice.reasons)


def test_nothing_is_measured_where_a_control_group_has_no_room_for_it(monkeypatch: pytest.MonkeyPatch):
    """In a container with too little memory, malloc and the pool are not replayed, which could end all in it."""
    machine = replace(look_at_machine(), groups=(ControlGroup(path="small", limit=2**30, used=2**30 - 2**20),))
    monkeypatch.setattr(making, "look_at_machine", lambda: machine)
    advice = advise(frames(300, live=3, size=2_000_000))
    assert (advice.malloc, advice.pool) == (None, None)
    assert any("simulation alone" in reason for reason in advice.reasons)


@pytest.mark.parametrize("sizes", [[2**36], [2**36, 5 * 2**34, 1000]])
def test_a_trace_of_a_larger_machine(sizes: list[int]):
    """A trace with 4 TiB live, or 9, gets its recommendation on any machine; and with the margin it refuses nothing."""
    trace = of_lives(sizes * 64, [-1] * 64 * len(sizes))
    advice = advise(trace)
    assert advice.recommended is not None
    assert advice.outline.peak_bytes == sum(sizes) * 64 >= 2**42
    assert 0 <= advice.recommended.waste <= advice.outline.peak_bytes // 4
    assert simulate(trace, with_margin(advice.recommended.plans, advice.margin)).failures == 0
    assert "blockpool.Pool(" in advice.call
    assert any("Malloc was not measured" in reason for reason in advice.reasons)
