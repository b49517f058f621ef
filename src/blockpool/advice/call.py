"""The Python code that makes the recommended pools."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from blockpool.replay import Plan

if TYPE_CHECKING:
    from blockpool.advice.results import Candidate

__all__ = ["call_of", "with_margin"]


def with_margin(plans: tuple[Plan, ...], margin: float) -> tuple[Plan, ...]:
    """Return the pools with that part more blocks, rounded up: 0.1 for a tenth."""
    return tuple(
        # Rounded first: 10 * (1 + 0.1) is a little more than 11 in floating point.
        Plan(plan.block_size, plan.blocks + ceil(round(plan.blocks * margin, 6)), plan.above, plan.up_to)
        for plan in plans
    )


def call_of(candidate: Candidate, plans: tuple[Plan, ...], margin: float) -> str:
    """Return Python code that makes the pools `plans`, which are those of the candidate with a margin.

    A single pool is one expression. Several are an assignment each, and comments say which sizes they are for.
    """
    more = f", and {100 * margin:.3g} % more" if margin else ""
    if len(plans) == 1:
        return f"{_pool(plans[0])}  # {_used(candidate, 0)}{more}"
    lines = [f"import blockpool\n\n# {len(plans)} pools, by the size of a request in bytes"]
    for i, plan in enumerate(plans):
        lines.append(f"{_name(i, len(plans))} = {_pool(plan)}  # {_sizes(plan)}: {_used(candidate, i)}{more}")
    return "\n".join(lines)


def _pool(plan: Plan) -> str:
    return f"blockpool.Pool({_number(plan.block_size)}, {_number(plan.blocks)})"


def _number(value: int) -> str:
    """Return the number as Python code, with its digits in groups where there are many."""
    return f"{value:_}"


def _name(index: int, count: int) -> str:
    return "small" if index == 0 else "large" if index == count - 1 else "medium" if count <= 3 else f"medium{index}"  # noqa: PLR2004


def _sizes(plan: Plan) -> str:
    if plan.up_to is None:
        return f"more than {plan.above:,}"
    return f"{plan.above + 1:,} to {plan.up_to:,}" if plan.above else f"up to {plan.up_to:,}"


def _used(candidate: Candidate, i: int) -> str:
    """Say how many blocks the trace needs of the pool."""
    most, longest = candidate.peak_blocks[i], candidate.longest_run[i]
    needed = candidate.plans[i].blocks
    said = f"{most:,} at most at a time"
    if longest > 1:
        said += f", in runs of up to {longest:,}"
    if needed > most:
        said += f", which need {needed:,}"
    return said
