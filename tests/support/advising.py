"""Advice made by hand, and strategies that make any."""

from __future__ import annotations

import importlib

from blockpool.advice.results import Advice, Candidate, Outline, Site
from blockpool.replay.results import Plan, Replayed
from blockpool.traces.form import Frame

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'`&$x$\x00\x1b[2J\u202e\ud800\n[bold]"
KIB, MIB = 1 << 10, 1 << 20


def outline(**changes):
    """Return the outline of a trace of a program that decodes pictures."""
    history = tuple((at / 100, 4 * MIB + at % 17 * 600 * KIB) for at in range(1, 301))
    fields = {
        "source": "decode.bin, a memray capture of decode.py",
        "filter": "",
        "events": 1_234_567,
        "allocations": 617_290,
        "live_at_end": 13,
        "unmatched": 21,
        "lost": 0,
        "threads": 3,
        "seconds": 3.0,
        "timed": True,
        "peak_bytes": 13 * MIB + 777,
        "mean_bytes": 8 * MIB,
        "smallest": 24,
        "median": 65_553,
        "largest": 734_003,
        "sizes": ((65_553, 400_001), (65_536, 120_000), (734_003, 2002), (24, 77)),
        "history": history,
    }
    return Outline(**fields | changes)


def candidate(*plans, **changes):
    """Return a candidate with these pools."""
    whole = sum(each.blocks * each.block_size for each in plans)
    fields = {
        "plans": plans,
        "peak_blocks": tuple(max(1, each.blocks - 3) for each in plans),
        "longest_run": tuple(2 + at for at in range(len(plans))),
        "refusals": 0,
        "bytes": whole + 4321,
        "metadata": 4321,
        "inner": whole // 9,
        "outer": sum(3 * each.block_size for each in plans),
        "waste": whole // 8,
        "nanoseconds": 123.4,
    }
    return Candidate(**fields | changes)


def replayed(allocator, *plans, **changes):
    """Return a replay of the trace of `outline`."""
    fields = {
        "allocator": allocator,
        "plans": plans,
        "events": 1_234_567,
        "allocations": 617_290,
        "failures": 0,
        "waits": 0,
        "waited": 0.0,
        "peak_bytes": 13 * MIB + 777,
        "peak_blocks": tuple(each.blocks for each in plans),
        "longest_run": tuple(2 for each in plans),
        "bytes": sum(each.blocks * each.block_size for each in plans),
        "seconds": 0.0731,
        "resident": 14 * MIB,
        "touched_seconds": 0.412,
        "touched_events": 1_234_567,
    }
    return Replayed(**fields | changes)


def site(function, **changes):
    """Return a site that decodes pictures."""
    stack = (
        Frame(function, "/srv/app/codec.py", 112),
        Frame("read_frame", "/srv/app/codec.py", 77),
        Frame("main", "/srv/app/main.py", 9),
    )
    fields = {
        "where": stack[0],
        "stack": stack,
        "allocations": 400_001,
        "total_bytes": 400_001 * 65_553,
        "peak_bytes": 9 * MIB,
        "smallest": 65_553,
        "largest": 65_553,
        "seconds": 0.00123,
        "plan": Plan(65_600, 150),
        "waste": 77_777,
        "why": "Nearly all requests have one size, and few of them live at a time.",
    }
    return Site(**fields | changes)


def advice(**changes):
    """Return the advice to use two pools."""
    small, large, one = Plan(65_600, 160, 0, 65_600), Plan(734_080, 5, 65_600), Plan(64 * KIB, 300)
    split = candidate(small, large, waste=1_111_111)
    fields = {
        "outline": outline(),
        "candidates": (split, candidate(one, waste=5 * MIB), candidate(Plan(MIB, 33), waste=20 * MIB)),
        "recommended": split,
        "margin": 0.1,
        "call": "small = blockpool.Pool(65_600, 176)   # requests of up to 65,600 bytes\n"
        "large = blockpool.Pool(734_080, 6)    # larger ones",
        "malloc": replayed("malloc", resident=19 * MIB, seconds=0.09),
        "pool": replayed("pool", small, large),
        "use": True,
        "reasons": (
            "The pools need 13.1 MiB and malloc 19 MiB of resident memory, measured with the same trace.",
            "An allocation and its free take 118 ns in the pools and 146 ns in malloc.",
        ),
        "sites": (site("decode"), site("parse", plan=None, waste=0, why="Its sizes differ too much.", smallest=24)),
    }
    return Advice(**fields | changes)


def any_advice():
    """Return a strategy that makes any advice, as far as its parts agree."""
    st = importlib.import_module("hypothesis.strategies")
    words = st.text(max_size=12) | st.just(HOSTILE)
    nbytes = st.integers(0, 2**63)
    number = st.integers(0, 2**40)
    seconds = st.floats(0, 1e9)
    plans = st.builds(Plan, st.integers(1, 2**62), st.integers(1, 2**40), st.just(0) | nbytes, st.none() | nbytes)
    frames = st.builds(Frame, words, words, st.integers(0, 2**31))

    @st.composite
    def candidates(draw):
        chosen = tuple(draw(st.lists(plans, min_size=1, max_size=3)))
        each = st.tuples(*[number] * len(chosen))
        return draw(
            st.builds(
                Candidate, plans=st.just(chosen), peak_blocks=each, longest_run=each, refusals=number, bytes=nbytes,
                metadata=nbytes, inner=nbytes, outer=nbytes, waste=nbytes, nanoseconds=st.floats(0, 1e9),
            )
        )  # fmt: skip

    outlines = st.builds(
        Outline, source=words, filter=words, events=number, allocations=number, live_at_end=number, unmatched=number,
        lost=number, threads=number, seconds=seconds, timed=st.booleans(), peak_bytes=nbytes, mean_bytes=nbytes,
        smallest=nbytes, median=nbytes, largest=nbytes,
        sizes=st.lists(st.tuples(nbytes, st.integers(1, 2**40)), max_size=16).map(tuple),
        history=st.lists(st.tuples(seconds, nbytes), max_size=20).map(lambda points: tuple(sorted(points))),
    )  # fmt: skip
    replays = st.builds(
        Replayed, allocator=st.sampled_from(["pool", "malloc", "jemalloc"]), plans=st.just(()), events=number,
        allocations=number, failures=number, waits=number, waited=seconds, peak_bytes=nbytes, peak_blocks=st.just(()),
        longest_run=st.just(()), bytes=nbytes, seconds=seconds, resident=st.none() | nbytes,
        touched_seconds=st.none() | seconds, touched_events=st.none() | number, complete=st.booleans(),
    )  # fmt: skip
    sites = st.builds(
        Site, where=frames, stack=st.lists(frames, max_size=5).map(tuple), allocations=number, total_bytes=nbytes,
        peak_bytes=nbytes, smallest=nbytes, largest=nbytes, seconds=seconds, plan=st.none() | plans, waste=nbytes,
        why=words,
    )  # fmt: skip
    several = st.lists(candidates(), max_size=12).map(tuple)
    return several.flatmap(
        lambda found: st.builds(
            Advice, outline=outlines, candidates=st.just(found),
            recommended=st.sampled_from(found) if found else st.none(), margin=st.floats(0, 10), call=words,
            malloc=st.none() | replays, pool=st.none() | replays, use=st.booleans(),
            reasons=st.lists(words, max_size=3).map(tuple), sites=st.lists(sites, max_size=6).map(tuple),
        )
    )  # fmt: skip
