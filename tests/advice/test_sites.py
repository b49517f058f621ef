"""Where a program allocates, and which places a pool would serve."""

from __future__ import annotations

import pytest

from blockpool.advice.sites import own_frame, sites_of
from blockpool.replay import Plan
from blockpool.traces import Frame, Trace, build

NUMPY = Frame("zeros", "/venv/lib/python3.11/site-packages/numpy/core.py", 10)
JSON = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 20)
IMPORT = Frame("_call_with_frames_removed", "<frozen importlib._bootstrap>", 241)
DECODE = Frame("decode", "/home/me/video.py", 30)
PARSE = Frame("parse", "/home/me/text.py", 40)
MAIN = Frame("main", "/home/me/video.py", 99)


def calls(*made: tuple[int, tuple[Frame, ...], int]) -> Trace:
    """Return a trace: (size, stack, how often), each allocated and freed at once, 1 ms later."""
    stacks = list(dict.fromkeys(stack for _, stack, _ in made if stack))
    sizes = [size for size, _, count in made for _ in range(count)]
    which = [stacks.index(stack) if stack else -1 for _, stack, count in made for _ in range(count)]
    events = range(2 * len(sizes))
    return build(
        kind=[i % 2 for i in events],
        size=[sizes[i // 2] for i in events],
        key=[i // 2 for i in events],
        time=[i * 1_000_000 for i in events],
        stack=[which[i // 2] for i in events],
        stacks=stacks,
    )


@pytest.mark.parametrize(
    ("stack", "frame"),
    [
        ((NUMPY, DECODE, MAIN), DECODE),
        ((JSON, PARSE), PARSE),
        ((IMPORT, IMPORT, MAIN), MAIN),
        ((NUMPY, IMPORT), NUMPY),
        ((Frame("f", "", 0), DECODE), DECODE),
        ((DECODE, NUMPY), DECODE),
    ],
)
def test_a_site_is_the_users_innermost_call(stack: tuple[Frame, ...], frame: Frame):
    """Calls in packages, in the standard library and without a file are passed over, unless there is nothing else."""
    assert own_frame(stack) == frame


def test_sites_tell_what_they_allocate():
    """Allocations count for their call, whatever the call goes through; lifetimes are medians."""
    found = sites_of(
        calls((2_000_000, (NUMPY, DECODE, MAIN), 150), (2_000_000, (DECODE, MAIN), 50), (3000, (JSON, PARSE), 10))
    )
    assert [site.where for site in found] == [DECODE, PARSE]
    best = found[0]
    assert best.stack == (NUMPY, DECODE, MAIN)
    assert (best.allocations, best.total_bytes, best.peak_bytes) == (200, 400_000_000, 2_000_000)
    assert (best.smallest, best.largest) == (2_000_000, 2_000_000)
    assert best.seconds == pytest.approx(0.001)
    assert best.plan == Plan(2_000_000, 1)
    assert best.waste < 1000
    assert "used about 200 times" in best.why


def test_sites_that_malloc_serves_well_get_no_pool():
    """Small requests, requests below malloc's threshold and few requests get no pool, and a reason."""
    found = {
        site.where: site
        for site in sites_of(
            calls((100, (DECODE,), 500), (50_000, (PARSE,), 500), (2_000_000, (MAIN,), 5), (9, (NUMPY,), 1))
        )
    }
    assert {site.plan for site in found.values()} == {None}
    assert "Python's own allocator" in found[DECODE].why
    assert "malloc uses its own memory again" in found[PARSE].why
    assert "only 5 allocations" in found[MAIN].why


def test_the_site_that_a_pool_serves_best_comes_first():
    """Large requests that are soon freed come before more bytes in small requests, or in requests that live on."""
    found = sites_of(calls((1000, (PARSE,), 90_000), (500_000, (DECODE,), 160), (200_000, (MAIN,), 200)))
    assert [site.where for site in found] == [DECODE, MAIN, PARSE]


def test_what_is_never_freed_lives_until_the_end():
    """An allocation without a free lives as long as the trace."""
    trace = build(
        kind=[0, 0, 0, 1],
        size=[200_000, 200_000, 10, 0],
        key=[0, 1, 2, 2],
        time=[0, 0, 0, 5_000_000_000],
        stack=[0, 0, 0, 0],
        stacks=[[DECODE]],
    )
    (site,) = sites_of(trace)
    assert site.seconds == pytest.approx(5.0)
    assert site.peak_bytes == 400_010


def test_there_are_at_most_twenty_sites():
    """Of many places, the twenty that a pool would serve best are told."""
    made = [(200_000 + 64 * i, (Frame("f", "/home/me/a.py", i),), i + 1) for i in range(50)]
    found = sites_of(calls(*made))
    assert len(found) == 20
    assert [site.where.line for site in found] == list(range(49, 29, -1))


def test_without_stacks_there_are_no_sites():
    """Allocations of unknown origin, and traces without events, have no sites; known ones beside them do."""
    assert sites_of(calls((2_000_000, (), 10))) == ()
    assert sites_of(build(kind=[], size=[], key=[])) == ()
    (site,) = sites_of(calls((2_000_000, (), 10), (300_000, (DECODE,), 3)))
    assert (site.where, site.allocations) == (DECODE, 3)
