"""How many files this process has open."""

import gc
from pathlib import Path


def open_files():
    """Count the descriptors of this process, once what is garbage is gone: earlier tests may have left some in it."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
