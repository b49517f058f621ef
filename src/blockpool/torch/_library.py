"""PyTorch, if it is there and new enough; every other part of `blockpool.torch` has it from here."""

from __future__ import annotations

import re

from blockpool._extras import install_command

_OLDEST = (2, 6)


def _remedy() -> str:
    return f"install what it needs with: {install_command('torch')}"


try:
    import torch
    import torch.multiprocessing  # which registers how tensors are pickled
except ImportError as error:
    raise ImportError(f"blockpool.torch needs PyTorch, which cannot be imported ({error}); {_remedy()}") from error


def is_old(version: str) -> bool:
    """Return whether a version is older than what is needed, or no version."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) < _OLDEST


if is_old(str(torch.__version__)):
    raise ImportError(f"blockpool.torch needs PyTorch 2.6 or later, not {torch.__version__}; {_remedy()}")

__all__ = ["is_old", "torch"]
