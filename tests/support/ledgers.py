"""Where the words of a shared pool's ledger are in its file, so that tests can damage them; see ledger.h."""

import os
from contextlib import contextmanager

ENTRY = 64  # bytes for each block, of a pool for up to 256 processes

TAIL, OPENING, LIVE, ASKING, CLOSING = (state << 61 for state in range(1, 6))
ROW = 1 << 34
KEPT = 1 << 33


def named(slot):
    """Return the bits of a head that name a slot."""
    return slot + 1 << 48


def head_at(file, index):
    """Return where in the open file the head of a block is."""
    return int.from_bytes(os.pread(file.fileno(), 8, 56), "little") + ENTRY * index


def row_at(file, index):
    """Return where in the open file the row of a block is."""
    return head_at(file, index) + 32


@contextmanager
def written(file, at, word):
    """Put a word at a place of the open file during a `with`."""
    right = os.pread(file.fileno(), 8, at)
    os.pwrite(file.fileno(), word.to_bytes(8, "little"), at)
    yield
    os.pwrite(file.fileno(), right, at)
