"""Which names of the package are public: the site documents them, and their docstrings are checked."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MODULES = (
    "blockpool",
    "blockpool.advice",
    "blockpool.arrow",
    "blockpool.classic",
    "blockpool.doctor",
    "blockpool.metrics",
    "blockpool.multiprocessing",
    "blockpool.observe",
    "blockpool.plot",
    "blockpool.plot_advice",
    "blockpool.replay",
    "blockpool.shared_memory",
    "blockpool.traces",
)


def public(modules: Iterable[str] = MODULES) -> dict[str, Any]:
    """Return all public things by their dotted names; what several modules have is called after the first."""
    found: set[int] = set()
    things: dict[str, Any] = {}
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            thing = getattr(module, name)
            if id(thing) not in found:
                found.add(id(thing))
                things[f"{module_name}.{name}"] = thing
    return things
