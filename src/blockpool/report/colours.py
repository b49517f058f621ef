"""The colours of holders and ages, the same in pages, notebooks and plots.

The twelve hues can be told apart with each kind of colour blindness as well as those of Okabe and Ito, which are the
first six. All stand out from a white and from a nearly black background. A colour is never all that tells something:
pictures have a legend, and tables say the same in words.

>>> of_holder(0), of_holder(12), of_holder(BY_TICKETS)
('#0072B2', '#0072B2', '#B3B8C0')
>>> of_age(90), AGES[of_age(90)].label
(2, 'less than an hour')
"""

from __future__ import annotations

from typing import NamedTuple

from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS

__all__ = ["AGES", "HUES", "NO_PROCESS", "Age", "of_age", "of_holder", "of_slot"]

HUES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#910069",
    "#46EBC3",
    "#A569FF",
    "#E1D70A",
    "#143CC8",
    "#695005",
)

# What no process holds: greys, by holder.
NO_PROCESS = {BY_CATALOG: "#6B6F77", BY_MESSAGE: "#8E939C", BY_TICKETS: "#B3B8C0", BY_NOBODY: "#4A4D53"}


class Age(NamedTuple):
    """A step of the scale of ages.

    Attributes
    ----------
    below : float
        The age in seconds that is too old for it.
    colour : str
        Its colour: the older, the darker.
    label : str
        What a legend says.
    """

    below: float
    colour: str
    label: str


AGES = (
    Age(1, "#7FC7E8", "less than a second"),
    Age(60, "#4F9ACF", "less than a minute"),
    Age(3600, "#5B6BBF", "less than an hour"),
    Age(86400, "#7A3E9D", "less than a day"),
    Age(float("inf"), "#8A1253", "a day or more"),
)


def of_slot(slot: int) -> str:
    """Return the colour of the process with that slot."""
    return HUES[slot % len(HUES)]


def of_holder(holder: int) -> str:
    """Return the colour of a cell's holder: a slot, or one of the constants of `blockpool.stats`."""
    return NO_PROCESS.get(holder) or of_slot(holder)


def of_age(seconds: float) -> int:
    """Return which of the steps of `AGES` an age belongs to."""
    return next((step for step, age in enumerate(AGES) if seconds < age.below), len(AGES) - 1)
