"""Greenlets that wait for a message or for room do not hold up others, as docs/how-to/gevent.md shows."""

import sys

import pytest

from programs import run_command
from servers import write_programs

pytest.importorskip("gevent")

# The same with a wait that holds up the hub, so that the greenlet that would free the blocks cannot run.
BLOCKING = """
import gevent
import greenlets
import blockpool as bp

held = greenlets.pool.allocate_many(2)
gevent.spawn(held.clear)
try:
    greenlets.pool.allocate(timeout=0.2)
except bp.PoolExhausted:
    print("exhausted")
"""


@pytest.fixture
def run(tmp_path):
    """Run a program beside those of the page, and return what it prints."""
    write_programs(tmp_path)

    def start(name):
        _, done = run_command([sys.executable, tmp_path / name])
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.splitlines()

    return start


def test_greenlets_that_wait(run):
    """One greenlet waits for a message and one for room, while a third one frees blocks and sends the message."""
    assert sorted(run("greenlets.py")) == ["got 2", "received 7"]


def test_a_wait_that_blocks_the_hub(run, tmp_path):
    """`allocate(timeout=)` itself stops all greenlets, so it ends in PoolExhausted if one of them has to free."""
    (tmp_path / "blocking.py").write_text(BLOCKING)
    assert run("blocking.py") == ["exhausted"]
