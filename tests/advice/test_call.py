"""The code that makes the recommended pools."""

from __future__ import annotations

import blockpool
from blockpool.advice.call import call_of, with_margin
from blockpool.advice.results import Candidate
from blockpool.replay import Plan


def candidate(*plans: Plan, peak: tuple[int, ...], longest: tuple[int, ...]) -> Candidate:
    """Return a candidate with those pools."""
    return Candidate(
        plans=plans,
        peak_blocks=peak,
        longest_run=longest,
        refusals=0,
        bytes=0,
        metadata=0,
        inner=0,
        outer=0,
        waste=0,
        nanoseconds=0.0,
    )


def test_one_pool_is_one_expression():
    """A single pool's code is an expression with a comment: what is needed, for which runs, and the margin."""
    one = candidate(Plan(4096, 110), peak=(100,), longest=(7,))
    call = call_of(one, with_margin(one.plans, 0.1), 0.1)
    assert call == (
        "blockpool.Pool(4_096, 121)  # 100 at most at a time, in runs of up to 7, which need 110, and 10 % more"
    )
    with eval(call, {"blockpool": blockpool}) as pool:  # noqa: S307 - it is our own code
        assert (pool.block_size, pool.blocks) == (4096, 121)


def test_several_pools_say_which_sizes_go_where():
    """Several pools are named by size, each with a comment on the sizes it is for; the code runs as it is."""
    plans = (Plan(64, 10, 0, 64), Plan(4096, 20, 64, 8192), Plan(2**20, 3, 8192))
    some = candidate(*plans, peak=(10, 18, 3), longest=(1, 2, 1))
    call = call_of(some, with_margin(plans, 0.5), 0.5)
    names: dict[str, object] = {}
    exec(call, names)  # noqa: S102 - it is our own code
    made = {name: pool for name, pool in names.items() if isinstance(pool, blockpool.Pool)}
    assert {name: (pool.block_size, pool.blocks) for name, pool in made.items()} == {
        "small": (64, 15),
        "medium": (4096, 30),
        "large": (2**20, 5),
    }
    for text in ("# up to 64:", "# 65 to 8,192:", "# more than 8,192:"):
        assert text in call
    for pool in made.values():
        pool.close()
