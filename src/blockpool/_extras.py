"""What to install if a library is missing that blockpool can do without: the one place for the wording.

The command names the libraries of an extra, as the metadata of this very package lists them, and not
`blockpool[extra]`. So it is true wherever this blockpool came from: an index, a checkout, a folder of somebody's own.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["install_command"]


def install_command(extra: str) -> str:
    """Return the command that installs, for this interpreter, the libraries of an extra of the package.

    >>> install_command("metrics").split(" -m ")[1]
    "pip install 'prometheus-client>=0.20'"
    """
    return shlex.join([sys.executable, "-m", "pip", "install", *dict.fromkeys(_libraries(extra))])


def _libraries(extra: str) -> Iterator[str]:
    from importlib import metadata  # here, as modules that need no remedy import this one too

    for line in metadata.requires("blockpool") or []:
        needed, _, when = line.partition(";")
        if extra in when.replace("'", '"').split('"'):
            own, _, other = needed.strip().partition("[")
            if own == "blockpool":
                yield from _libraries(other.removesuffix("]"))
            else:
                yield own + (f"[{other}" if other else "")
