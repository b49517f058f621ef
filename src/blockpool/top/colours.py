"""Colours and letters that stand for holders and ages: the sixteen colours that every terminal has."""

from __future__ import annotations

from functools import cache

from rich.style import Style

from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS

__all__ = ["AGES", "OTHER_HOLDERS", "age_letter", "age_style", "holder_letter", "holder_style", "style"]

# Of processes, by their slots, in turn.
_PROCESSES = (
    "cyan",
    "magenta",
    "green",
    "yellow",
    "bright_blue",
    "bright_magenta",
    "bright_green",
    "bright_cyan",
    "blue",
    "bright_yellow",
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Holders that are no processes: what they are called, their colour and letter.
OTHER_HOLDERS = {
    BY_CATALOG: ("names only", "white", "*"),
    BY_MESSAGE: ("messages only", "bright_white", "+"),
    BY_TICKETS: ("tickets only", "bright_black", "~"),
    BY_NOBODY: ("being changed", "bright_red", "!"),
}

# Of the steps of the scale of ages that all pictures share: a short name, and its colour. The older, the warmer.
AGES = (("<1s", "bright_blue"), ("<1m", "cyan"), ("<1h", "green"), ("<1d", "yellow"), ("older", "bright_red"))


@cache
def style(definition: str) -> Style:
    """Return the style that a definition of Rich's describes."""
    return Style.parse(definition)


@cache
def holder_style(holder: int) -> Style:
    """Return the colour of a holder: a slot, or one of those that are no processes."""
    other = OTHER_HOLDERS.get(holder)
    return style(other[1] if other else _PROCESSES[holder % len(_PROCESSES)])


@cache
def holder_letter(holder: int) -> str:
    """Return the letter of a holder, for terminals without colour."""
    other = OTHER_HOLDERS.get(holder)
    return other[2] if other else _LETTERS[holder % len(_LETTERS)]


@cache
def age_style(step: int) -> Style:
    """Return the colour of a step of the scale of ages."""
    return style(AGES[step][1])


def age_letter(step: int) -> str:
    """Return the digit of a step of the scale of ages, for terminals without colour."""
    return str(step)
