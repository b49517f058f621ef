"""What is to be known of a question before anything is measured."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

__all__ = ["Case", "Question", "sized"]


class Question(NamedTuple):
    """A question.

    Attributes
    ----------
    asks, how : str
        It in words, and how it is answered.
    call : str
        The function that a contender must have to take part.
    unit : str
        What is measured: "ns" or "bytes".
    axis : str
        What `x` of a case is.
    against : str
        The pool that all peers are compared with, or pools; "" if each says so itself.
    """

    asks: str
    how: str
    call: str
    unit: Literal["ns", "bytes"] = "ns"
    axis: str = "bytes"
    against: str = ""


class Case(NamedTuple):
    """A case of a question.

    Attributes
    ----------
    label : str
        It in words.
    x : float
        Where it stands in a plot.
    settings : dict of str to object
        What `prepare` gets.
    group : str
        Which curve of a plot it belongs to.
    rounds, turns : int
        How many pairs there are, and of how many turns the quickest counts for one.
    fresh : bool
        Whether each turn needs a new process.
    shared, memory : int
        How many bytes of shared and of other memory it needs at most.
    """

    label: str
    x: float
    settings: dict[str, Any]
    group: str = ""
    rounds: int = 21
    turns: int = 3
    fresh: bool = False
    shared: int = 256 << 20
    memory: int = 1 << 30


def sized(size: int) -> str:
    """Return a size in words."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"
