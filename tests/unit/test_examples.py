"""The programs in examples/, run as a user would."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"

REFUSED = (
    "  IndexPool: DoubleFree at the call: index 0 is not allocated: freed before, or never allocated; "
    "nothing was changed"
)


def run(name):
    """Run an example in a fresh interpreter, which must end well and silently; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_async_server():
    """Every answer is right, each message took one allocation and no copy, and all blocks are back."""
    sent, right, blocks = run("async_server.py").splitlines()
    assert re.fullmatch(r"200 messages of 5\d{6} bytes over 8 connections in \d+\.\d s", sent)
    assert right == "200 right answers from 2 workers"
    assert blocks == "4 of 4 blocks free, after 200 allocations"


def test_paged_cache():
    """The deque gives one page to two sequences after each accident; IndexPool raises at the call that frees twice."""
    costs, twice, two_tables = run("paged_cache.py").split("\n\n")
    for free_list in ("deque", "IndexPool"):
        assert re.search(rf"^{free_list} +\d+ ns/page +\d+ ns/page$", costs, re.MULTILINE)
    assert twice.splitlines() == [
        "A sequence is freed twice:",
        "  deque: no error; now page 0 belongs to d and e at once",
        REFUSED,
    ]
    assert two_tables.splitlines() == [
        "A page stands in two tables, and both sequences are freed:",
        "  deque: no error; now page 0 belongs to c and d at once",
        REFUSED,
    ]
