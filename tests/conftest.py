"""What the tests share: pools, «nothing changed», a fresh interpreter, and a look at a pool's bookkeeping."""

import ctypes
import dataclasses
import os
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

import blockpool as bp

# In CI the examples are the same each time; elsewhere new ones are tried, and a failure prints how to repeat it.
hypothesis.settings.register_profile(
    "local", deadline=None, print_blob=True, max_examples=60, stateful_step_count=40
)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("local"), derandomize=True, database=None
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture
def pool():
    """Make a small pool, and audit its bookkeeping after the test."""
    made = bp.Pool("4KiB", 16)
    yield made
    if not made.closed:
        made.check()
        made.close()


@contextmanager
def _watch(pool, *, failures=0):
    before = pool.stats(), pool.runs(), pool.check()
    yield
    stats = pool.stats()
    stats = dataclasses.replace(stats, failures=stats.failures - failures)
    assert (stats, pool.runs(), pool.check()) == before


@pytest.fixture
def unchanged():
    """Watch the pool during a `with`: nothing of its state may differ afterwards.

    `failures` is how many requests are meant to find no room; nothing else may count them.
    """
    return _watch


@pytest.fixture
def run_python():
    """Run code in a fresh interpreter; it must end well and say nothing on stderr."""

    def run(code, *arguments, options=()):
        done = subprocess.run(
            [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(code), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


class Bookkeeping:
    """Where a pool's words are. Its own memory is searched for them: the product has no hook for this.

    The C structure stands at the start of a mapping of its own: first the pointers to words and chunk summaries;
    later the pointer to the continuation marks, then data, block size, blocks, and the count of waiters.
    """

    def __init__(self, pool):
        known = struct.pack("<QQQ", pool.address, pool.block_size, pool.blocks)
        for line in Path("/proc/self/maps").read_text().splitlines():
            span, permissions, _, _, _, *path = line.split()
            if path or permissions != "rw-p":
                continue
            start = int(span.split("-")[0], 16)
            page = ctypes.string_at(start, 4096)
            at = page.find(known)
            if at >= 8:
                self.words, self.chunks = struct.unpack_from("<QQ", page)
                (self.continuations,) = struct.unpack_from("<Q", page, at - 8)
                self._waiting = ctypes.c_uint32.from_address(start + at + len(known))
                return
        raise LookupError("the pool's bookkeeping was not found; did struct pool change?")

    @property
    def waiting(self):
        """How many threads wait for room."""
        return self._waiting.value

    def await_waiting(self, count=1):
        """Return when so many threads wait for room."""
        deadline = time.monotonic() + 30
        while self.waiting != count:
            assert time.monotonic() < deadline, f"{self.waiting} threads wait, not {count}"
            time.sleep(0.001)

    @contextmanager
    def changed(self, address, flip):
        """Flip the bits `flip` of the word at `address` meanwhile."""
        word = ctypes.c_uint64.from_address(address)
        word.value ^= flip
        try:
            yield
        finally:
            word.value ^= flip


@pytest.fixture
def bookkeeping():
    """Find the words of a pool."""
    return Bookkeeping
