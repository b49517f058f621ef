"""A check that the reference has all public names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from public_api import public
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# They are documented without being imported: see source_module.py.
ENGINES = ("blockpool.torch", "blockpool.dask", "blockpool.ray")

logger = logging.getLogger(__name__)


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
