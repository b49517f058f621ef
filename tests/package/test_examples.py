"""The programs in examples/, run as a user would."""

import re
import sys
import textwrap
from pathlib import Path

from programs import run_command

EXAMPLES = Path(__file__).parents[2] / "examples"
SHM = Path("/dev/shm")  # noqa: S108 - where pools are

REFUSED = (
    "  IndexPool: DoubleFree at the call: index 0 is not allocated: freed before, or never allocated; "
    "nothing was changed"
)


def run(name):
    """Run an example, which must end well and leave nothing on stderr or in /dev/shm, and return what it prints."""
    pid, done = run_command([sys.executable, "-W", "error", EXAMPLES / name], timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    own = re.compile(rf"blockpool\.[a-z]+-{pid}")  # not test-PID-NUMBER of tests that run beside these
    assert not [path.name for path in SHM.iterdir() if own.fullmatch(path.name)]
    return done.stdout


def assert_prints(name, expected):
    """Run an example, which must print what is expected, with any figures in the place of each #."""
    pattern = re.escape(textwrap.dedent(expected)).replace(r"\#", r" *\d[\d., ]*")
    printed = run(name)
    assert re.fullmatch(pattern, printed), printed


def test_async_server():
    """In the server example each answer is right, each message takes one allocation, and all blocks come back."""
    sent, right, blocks = run("async_server.py").splitlines()
    assert re.fullmatch(r"200 messages of 5\d{6} bytes over 8 connections in \d+\.\d s", sent)
    assert right == "200 right answers from 2 workers"
    assert blocks == "4 of 4 blocks free, after 200 allocations"


def test_paged_cache():
    """In the paged cache example a deque gives one page to two sequences; IndexPool raises at the second free."""
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


def test_camera_frames():
    """In the camera example all frames pass filter and viewer without a copy, in eight blocks, which all come back."""
    assert_prints(
        "camera_frames.py",
        """\
        frames seen: 120 of 120, each whole and in order
        rate: # frames/s, # MB/s
        copies: 0
        frames in the pool at once: up to # of 8
        the camera waited for room: # s
        blocks not back: 0
        """,
    )


def test_data_loader():
    """In the data loader example every batch is right although a worker is killed, and all blocks come back."""
    assert_prints(
        "data_loader.py",
        """\
        batches: 20 of 16 samples in order, 20 of them right
        rate: # samples/s, # MB/s, each checked
        workers killed: 1; their batches were done by others
        blocks in the pool: 6, for 20 batches
        blocks not back: 0
        """,
    )


def test_parallel_map():
    """In the map example both ways give one process's result, every slice is a ticket, and all blocks come back."""
    assert_prints(
        "parallel_map.py",
        """\
        a map over 64 MiB in 16 slices, 2 workers
        pickled: # ms
        through the pool: # ms, after # ms to put the array there
        ratio: #
        both equal the result of one process: yes
        slices sent as tickets: 128; copied: 0, refused: 0
        blocks not back: 0
        """,
    )


def test_hash_files():
    """In the hashing example threads find the digests that a loop finds, and all blocks come back."""
    assert_prints(
        "hash_files.py",
        """\
        files: #, all digests as hashlib finds them in a loop
        threads and a pool: # files/s
        a plain loop: # files/s
        blocks in use at once: up to # of 64, for #
        blocks not back: 0
        """,
    )
