"""The verdict: whether to use a pool, from numbers alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blockpool.advice.results import Candidate, Outline
from blockpool.advice.verdict import CallCosts, bytes_text, verdict
from blockpool.replay import Plan, Replayed

OUTLINE = Outline(
    source="made",
    filter="",
    events=20_000,
    allocations=10_000,
    live_at_end=0,
    unmatched=0,
    lost=0,
    threads=1,
    seconds=10.0,
    timed=True,
    peak_bytes=100_000_000,
    mean_bytes=60_000_000,
    smallest=1_000_000,
    median=1_000_000,
    largest=1_000_000,
    sizes=((1_000_000, 10_000),),
    history=(),
)
CANDIDATE = Candidate(
    plans=(Plan(1_000_000, 100),),
    peak_blocks=(100,),
    longest_run=(1,),
    refusals=0,
    bytes=100_000_500,
    metadata=500,
    inner=0,
    outer=0,
    waste=500,
    nanoseconds=50.0,
)
POOL = Replayed(
    allocator="pool",
    plans=CANDIDATE.plans,
    events=20_000,
    allocations=10_000,
    failures=0,
    waits=0,
    waited=0.0,
    peak_bytes=100_000_000,
    peak_blocks=(100,),
    longest_run=(1,),
    bytes=100_000_500,
    seconds=0.0005,
    resident=100_000_000,
    touched_seconds=0.02,
)
MALLOC = replace(POOL, allocator="malloc", plans=(), bytes=0, seconds=0.005, resident=101_000_000, touched_seconds=0.5)
COSTS = CallCosts(pool=150.0, python=60.0)


def decide(outline: Outline = OUTLINE, candidate: Candidate = CANDIDATE, malloc=MALLOC, pool=POOL):
    """Return the verdict, and its reasons as one text."""
    use, reasons = verdict(outline, candidate, malloc, pool, COSTS)
    return use, "\n".join(reasons)


def test_a_pool_that_saves_time_is_used():
    """Where the pool takes a fraction of malloc's time and no more memory, it is recommended, with both numbers."""
    use, said = decide()
    assert use
    # 20 ms, and 150 ns for each of 10,000 calls from Python.
    assert "21.5 ms with the pool, 1.5 ms of it for calls from Python, and 500 ms with malloc (96 % less)" in said
    assert "Memory: 95.37 MiB resident at most with the pool, 96.32 MiB with malloc (about the same)" in said


def test_a_pool_that_saves_memory_is_used():
    """Where the pool takes as much time and less memory, it is recommended."""
    assert decide(malloc=replace(MALLOC, resident=150_000_000, touched_seconds=0.021))[0]


@pytest.mark.parametrize(
    "malloc",
    [
        replace(MALLOC, touched_seconds=0.021),  # as good in both
        replace(MALLOC, resident=60_000_000),  # the pool saves time, and takes far more memory
        replace(MALLOC, resident=200_000_000, touched_seconds=0.01),  # it saves memory, and takes twice the time
        replace(MALLOC, resident=90_000_000, touched_seconds=0.019),  # worse in both
    ],
)
def test_malloc_wins_where_a_pool_gains_nothing_or_loses_more(malloc: Replayed):
    """A pool that wins neither, or loses much of one, is not recommended, and the reason is said."""
    use, said = decide(malloc=malloc)
    assert not use
    assert "Malloc is the better choice" in said


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"allocations": 99}, "only 99 allocations"),
        ({"allocations": 199}, "hardly any memory is used again"),
        ({"median": 512}, "At least half of the requests are for at most 512 bytes"),
        ({"mean_bytes": 12_000_000}, "The peak is short: 11.44 MiB are live on average, 95.37 MiB at the peak"),
        ({"lost": 300}, "300 events were lost"),
    ],
)
def test_each_objection_is_enough(change: dict[str, int], text: str):
    """What speaks against any pool decides, even where the measured pool is better."""
    assert decide(replace(OUTLINE, **change))[0] is False
    assert text in decide(replace(OUTLINE, **change))[1]


@pytest.mark.parametrize(
    "change",
    [{"allocations": 200}, {"median": 513}, {"mean_bytes": 12_500_000}, {"lost": 200}],
)
def test_what_is_just_enough_is_no_objection(change: dict[str, int]):
    """On the other side of each limit, the pool is recommended."""
    assert decide(replace(OUTLINE, **change))[0]


def test_a_wasteful_pool_is_not_used():
    """A pool of more than 1.5 times the peak is not recommended."""
    use, said = decide(candidate=replace(CANDIDATE, bytes=150_000_001))
    assert not use
    assert "Even the least wasteful pool takes 143.1 MiB for 95.37 MiB" in said


def test_small_requests_are_compared_with_pythons_allocator():
    """The reason has what both cost in Python, and says how to look at larger requests alone."""
    said = decide(replace(OUTLINE, median=100, largest=5000))[1]
    assert "it makes and drops an object of 256 bytes in 60 ns" in said
    assert "To allocate a block from a pool and free it takes 150 ns" in said
    assert "--sizes 513-, or sizes=(513, None) in Python" in said
    assert "--sizes 128KiB-" in decide(replace(OUTLINE, median=100))[1]
    assert "sizes=" not in decide(replace(OUTLINE, median=100, largest=512))[1]


@pytest.mark.parametrize(("median", "use"), [(128 * 1024, True), (128 * 1024 - 1, False)])
def test_without_a_measurement_the_sizes_decide(median: int, use: bool):  # noqa: FBT001 - a parameter of the test
    """Where malloc was not measured, that is said, and a pool is for requests from 128 KiB on."""
    found, said = decide(replace(OUTLINE, median=median), malloc=None, pool=None)
    assert found is use
    assert "Malloc was not measured, so this rests on the simulation alone." in said


def test_a_replay_that_was_stopped_does_not_decide():
    """Where a replay reached its time limit, memory and time are not compared."""
    use, said = decide(malloc=replace(MALLOC, complete=False, touched_events=777))
    assert use
    assert "The replay in memory against malloc reached its time limit after 777 of 20,000 events" in said
    assert "Memory:" not in said


def test_what_was_not_measured_does_not_decide():
    """Where resident memory is unknown, the verdict rests on the simulation."""
    said = decide(malloc=replace(MALLOC, resident=None))[1]
    assert "could not be measured" in said


def test_what_a_reader_should_know_is_said():
    """Frees of unknown memory, a few lost events, what lives on, and what sharing saves are remarked upon."""
    use, said = decide(replace(OUTLINE, unmatched=5, lost=7, live_at_end=3))
    assert use
    assert "5 frees are left out: the memory was allocated before the trace began" in said
    assert "7 events were lost while the trace was recorded; the true peak may be higher" in said
    assert "3 allocations were not freed before the trace ended" in said
    assert "other processes that share the pool need no copies of their own" in said


def test_bytes_are_told_in_units():
    """Bytes are told in binary units with four digits."""
    found = [bytes_text(value) for value in (0, 1, 512, 131_072, 6_220_800, 3 * 2**30, 2**41)]
    assert found == ["0 bytes", "1 byte", "512 bytes", "128 KiB", "5.933 MiB", "3 GiB", "2 TiB"]


def test_a_few_percent_are_about_the_same():
    """What malloc takes varies by some percent, so up to 5 % are no difference, and less than 10 % decide nothing."""
    slow = replace(MALLOC, touched_seconds=0.0215)
    assert "(about the same)" in decide(malloc=replace(slow, resident=105_000_000))[1]
    assert "(7 % less)" in decide(malloc=replace(slow, resident=107_000_000))[1]
    assert decide(malloc=replace(slow, resident=107_000_000))[0] is False


def test_a_filter_that_fits_nothing_is_named():
    """The reader is told that the filter, not the program, is why there are no allocations."""
    said = decide(replace(OUTLINE, allocations=0, filter="stack 'decode'"))[1]
    assert said == "No allocation of the trace fits this: stack 'decode'."


def test_large_requests_are_worth_a_look_alone():
    """Where a pool wins although half of the requests are small, the reader is told to ask for the large ones too."""
    use, said = decide(replace(OUTLINE, median=5000))
    assert use
    assert "Ask for the large ones alone too: --sizes 128KiB-" in said
    assert "alone too" not in decide()[1]


def test_one_of_a_thing_is_singular():
    """One free and one allocation have their verbs in the singular."""
    said = decide(replace(OUTLINE, unmatched=1, live_at_end=1))[1]
    assert "1 free is left out" in said
    assert "1 allocation was not freed" in said
