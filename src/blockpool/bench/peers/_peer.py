"""What is to be known of a contender before its process begins."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["OWN_NAME", "Peer", "own_name"]

# The variable with what the names of a process in /dev/shm begin with or contain, by which they are found later.
OWN_NAME = "BLOCKPOOL_BENCH_NAME"


class Peer(NamedTuple):
    """A contender.

    Attributes
    ----------
    name : str
        Its name in the tables.
    use : str
        How it is used, and why that is its best.
    against : str
        The pool of blockpool that it is compared with: "private_pool", "shared_pool" or "engine_pool".
    needs : str
        What is installed for it into the environment of the peers; "" if Python, NumPy or the machine have it.
    preload : str
        The malloc that its process has instead of the C library's; "" for that.
    """

    name: str
    use: str
    against: str = "private_pool"
    needs: str = ""
    preload: str = ""


def own_name() -> str:
    """Return what this process, and those that it starts, are to use in names in /dev/shm."""
    return os.environ[OWN_NAME]
