"""Where the parts of a shared pool's file lie, for tests that damage it; as core/src/shared/layout.h says."""

from pathlib import Path

PAGE = 4096
SLOT = 256
COMMAND = 16  # within a slot
NAME = 256
NAMES = 256
SMALL = 256  # bytes of a block of the annex
SMALL_LEAST = 512  # blocks of the annex of a small pool


# At the end: the lanes of a recording.
LANES = 64 * 128 + 64 * 16384 * 16


class Parts:
    """The offsets of the parts of a pool's file."""

    def __init__(self, blocks, processes=256, small=SMALL_LEAST):
        self.slots = PAGE
        self.catalog = self.slots + processes * SLOT
        self.bitmap = self.catalog + NAMES * NAME
        self.entries = self.bitmap + _bitmap_bytes(blocks)
        row_words = max(4, -(-processes // 64))
        self.entry = -(-(32 + row_words * 8) // 64) * 64
        self.small_bitmap = self.entries + blocks * self.entry
        self.small_entries = self.small_bitmap + _bitmap_bytes(small)
        self.small = self.small_entries + small * self.entry
        self.data = -(-(self.small + small * SMALL) // PAGE) * PAGE


def _bitmap_bytes(bits):
    chunks = -(-bits // 512)
    groups = -(-chunks // 64)
    return -(-(chunks * 8 + chunks + groups) * 8 // 64) * 64


def write(file, offset, data):
    """Write bytes into the file of a pool."""
    with Path(file).open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def flip(file, offset, bits):
    """Change bits of the byte at that offset."""
    with Path(file).open("r+b") as stream:
        stream.seek(offset)
        before = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([before ^ bits]))
