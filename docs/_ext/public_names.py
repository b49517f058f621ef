"""Which names are public, and a check that the reference has all of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

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
# They are documented without being imported: see source_module.py.
ENGINES = ("blockpool.torch", "blockpool.dask", "blockpool.ray")

logger = logging.getLogger(__name__)


def public() -> dict[str, Any]:
    """Return all public things by their dotted names; what several modules have is called after the first."""
    found: dict[int, str] = {}
    things: dict[str, Any] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            thing = getattr(module, name)
            if id(thing) not in found:
                found[id(thing)] = f"{module_name}.{name}"
                things[f"{module_name}.{name}"] = thing
    return things


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that no page documents."""
    documented = env.domains["py"].objects  # type: ignore[attr-defined]
    for name in public():
        if name not in documented:
            logger.warning("no page documents %s", name)
    for module in ENGINES:
        if not any(name.startswith(f"{module}.") for name in documented):
            logger.warning("no page documents %s", module)
    del app


def setup(app: Sphinx) -> dict[str, Any]:
    """Check after all pages were read."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}
