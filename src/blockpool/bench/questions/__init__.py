"""The questions: a file each, with QUESTION, `cases`, what a contender's process prepares for a case, and more.

- ``cases(quick)``: the cases, each with the settings that `prepare` gets.
- ``prepare(peer, **settings)``: runs in the contender's process; returns a `Task`, whose turns measure.
- ``compared(ours, peer)``: where a turn counts delays, the pairs of each percentile; see `tails`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["QUESTIONS", "Case", "Question", "about", "module_of"]

QUESTIONS = ("create", "first_write", "hand_off", "growth", "scaling", "memory", "engines", "tails")


def module_of(name: str) -> ModuleType:
    """Return the module of a question."""
    return import_module(f"{__name__}.{name}")


def about(name: str) -> Question:
    """Return what is to be known of a question."""
    found: Question = module_of(name).QUESTION
    return found
