"""Hash many files with threads, through a small private pool: memory is bounded, however much there is to read.

    python examples/hash_files.py [PATH]...        (default: the files of this Python's standard library)

Two threads read files and two hash them. A reader reads the next stretch of a file straight into a block. A hasher
feeds the block to hashlib, which releases the GIL, and frees it. While all blocks are in use, readers wait in
`allocate(timeout=)`, so they are never further ahead than the size of the pool.

It cannot deadlock, even with one block: a reader holds at most the block that it is filling, and needs nothing else to
fill it; a hasher needs no block. The blocks of one file are hashed in order, by one thread at a time.

The program prints its rate and that of a plain loop. With small files the loop is faster, because handing a few
kilobytes to another thread costs more than hashing them. The exit status is 0 if all digests are those of the loop and
every block came back.
"""

import hashlib
import os
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import blockpool

BLOCK_SIZE, BLOCKS = "64KiB", 64
READERS, HASHERS = 2, 2
MOST_FILES = 2000


class File:
    """A file being hashed: its filled blocks, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = hashlib.sha256()
        self.nbytes = 0
        self._blocks: deque[tuple[blockpool.Block, int]] = deque()
        self._lock = threading.Lock()
        self._scheduled = False  # a hasher is at work on it, or will be

    def read(self, pool: blockpool.Pool) -> Iterator[bool]:
        """Fill one block after the other; yield each time whether a hasher has to be started for the file."""
        with self.path.open("rb", buffering=0) as source:
            while True:
                block = pool.allocate(timeout=60)  # waits here while all blocks are in use
                with block.buf as view:
                    count = source.readinto(view)
                if not count:
                    block.free()
                    return
                with self._lock:
                    self._blocks.append((block, count))
                    idle, self._scheduled = not self._scheduled, True
                yield idle

    def hash(self) -> None:
        """Hash and free the blocks that are filled."""
        while True:
            with self._lock:
                if not self._blocks:
                    self._scheduled = False
                    return
                block, count = self._blocks.popleft()
            with block.buf as view, view[:count] as filled:
                self.digest.update(filled)
            block.free()
            self.nbytes += count


def hash_files(pool: blockpool.Pool, paths: list[Path]) -> dict[Path, str]:
    """Hash the files with threads; return the digests."""
    files = [File(path) for path in paths]
    hashed: list[Future[None]] = []

    def read(file: File) -> None:
        hashed.extend(hashing.submit(file.hash) for idle in file.read(pool) if idle)

    with ThreadPoolExecutor(HASHERS) as hashing:
        with ThreadPoolExecutor(READERS) as reading:
            list(reading.map(read, files))  # re-raises a reader's exception
        for each in hashed:
            each.result()
    return {file.path: file.digest.hexdigest() for file in files}


def plainly(paths: list[Path]) -> dict[Path, str]:
    """Hash the files one after the other."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def chosen(arguments: list[str]) -> list[Path]:
    """Return the readable regular files among and below the arguments, up to a limit."""
    found = []
    for root in map(Path, arguments or [sysconfig.get_path("stdlib")]):
        found += [root] if root.is_file() else sorted(root.rglob("*"))
        found = [path for path in found if path.is_file() and os.access(path, os.R_OK)]
    return found[:MOST_FILES]


def main() -> None:
    """Hash both ways, and compare."""
    paths = chosen(sys.argv[1:])
    expected = plainly(paths)  # this also brings the files into memory, for both
    rates = {}
    with blockpool.Pool(BLOCK_SIZE, BLOCKS) as pool:
        for name, call in (
            ("threads and a pool", lambda: hash_files(pool, paths)),
            ("a plain loop", lambda: plainly(paths)),
        ):
            start = time.perf_counter()
            right = call() == expected
            rates[name] = len(paths) / (time.perf_counter() - start)
            if not right:
                raise SystemExit(f"{name}: a digest differs")
        stats = pool.stats()
        pool.check()  # raises if anything is wrong
    print(f"files: {len(paths)}, all digests as hashlib finds them in a loop")
    for name, rate in rates.items():
        print(f"{name}: {rate:.0f} files/s")
    print(f"blocks in use at once: up to {stats.peak} of {stats.blocks}, for {stats.allocations}")
    print(f"blocks not back: {stats.allocated}")
    if stats.allocated:
        raise SystemExit("something is wrong; see above")


if __name__ == "__main__":
    main()
