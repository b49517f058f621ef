"""`blockpool.shared_memory`: how long a segment lives, and its memory under views of it."""

import importlib
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from blockpool.shared_memory import SharedMemory
from segments import IMPORT, LARGE, SHM, await_gone, file_of_segment, is_anywhere, segments_with

GROUP = Path(__file__).parents[1] / "programs" / "stdlib" / "group_with_segments.py"


# --- close: the memory stays under views ---


@pytest.mark.parametrize("size", [4000, LARGE])
@pytest.mark.parametrize(
    "view_of",
    [
        lambda buf: np.ndarray(500, np.uint64, buffer=buf),
        lambda buf: np.frombuffer(buf, np.uint64, 500),
        lambda buf: memoryview(buf)[:4000].cast("Q"),
    ],
    ids=["ndarray", "frombuffer", "memoryview"],
)
def test_close_under_a_view(new_name, view_of, size):
    """A view of `buf` can be read and written after close and unlink, and no later segment overlaps it."""
    made = SharedMemory(new_name(), create=True, size=size)
    view = view_of(made.buf)
    view[:] = view_of(bytearray(range(250)) * 16)
    made.close()
    assert made.buf is None
    made.unlink()
    later = [SharedMemory(create=True, size=size) for _ in range(20)]
    for one in later:
        one.buf[:] = b"\xff" * size
    assert bytes(view) == bytes(range(250)) * 16
    view[0] = 1
    assert view[0] == 1
    for one in later:
        one.unlink()


def test_a_buf_held_by_somebody(segment):
    """A memoryview that was taken from `buf` stays valid after close."""
    view = segment.buf
    view[0] = 3
    segment.close()
    segment.close()
    assert view[0] == 3
    view[0] = 4
    assert SharedMemory(segment.name).buf[0] == 4
    segment.unlink()


@pytest.mark.parametrize("module", ["blockpool.shared_memory", "multiprocessing.shared_memory"])
def test_buf_is_one_memoryview(module):
    """`buf` is the same memoryview each time and stays released once released, as in the standard library."""
    segment = importlib.import_module(module).SharedMemory(create=True, size=10)
    try:
        assert segment.buf is segment.buf
        with segment.buf as view:
            view[0] = 3
        with pytest.raises(ValueError, match="released memoryview"):
            segment.buf[0]
        segment.close()
        assert segment.buf is None
    finally:
        segment.unlink()


# --- how a segment ends ---


def test_a_closed_segment_stays_until_unlinked(new_name, attacher):
    """A segment that its maker has closed can be attached, with its bytes, until it is unlinked."""
    for size in (100, LARGE):
        made = SharedMemory(new_name(), create=True, size=size)
        made.buf[:5] = b"hello"
        made.close()
        assert attacher(f"bytes(SharedMemory({made.name!r}).buf[:5])") == b"hello"
        assert bytes(SharedMemory(made.name).buf[:5]) == b"hello"
        made.unlink()
        with pytest.raises(FileNotFoundError):
            SharedMemory(made.name)


def test_an_attacher_that_exits_does_not_destroy(segment, run_python):
    """A process that attached a segment does not destroy it by closing it or by exiting."""
    segment.buf[0] = 8
    for ending in ("", "there.close()", "import os, signal; os._exit(0)"):
        run_python(f"{IMPORT}\nthere = SharedMemory({segment.name!r})\n{ending}")
        assert SharedMemory(segment.name).buf[0] == 8
    segment.unlink()


def test_a_killed_attacher_does_not_destroy(segment, attacher):
    """A killed process that had attached a segment does not destroy it, and does not keep it from being unlinked."""
    attacher(f"there = SharedMemory({segment.name!r})")
    attacher.kill()
    SharedMemory(segment.name).close()
    segment.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(segment.name)


def test_a_given_name_outlives_its_maker(names, run_python):
    """A segment with a given name stays after its maker exits, until it is unlinked."""
    name = names()
    run_python(f"{IMPORT}\nmade = SharedMemory({name!r}, True, 10)\nmade.buf[:2] = b'hi'")
    for _ in range(2):
        assert run_python(f"{IMPORT}\nprint(bytes(SharedMemory({name!r}).buf[:2]))") == "b'hi'\n"
    SharedMemory(name).unlink()
    assert not file_of_segment(name).exists()


def test_an_automatic_name_ends_with_its_last_process(attacher, peers, run_python):
    """A segment with an automatic name can be attached as long as any process has it, and is gone with the last one."""
    attacher(f"made = SharedMemory(create=True, size=10); made.buf[0] = 6; large = SharedMemory(None, True, {LARGE})")
    names = [attacher("made.name"), attacher("large.name")]
    held = [SharedMemory(name) for name in names]
    attacher.kill()
    other = peers()
    other(f"{IMPORT}\nthere = [SharedMemory(name) for name in {names!r}]")
    assert (held[0].buf[0], other("there[0].buf[0]"), held[1].size) == (6, 6, LARGE)
    del held
    other.end()
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    gone = run_python(f"{IMPORT}\nprint(SharedMemory(create=True, size=10).name)").strip()
    with pytest.raises(FileNotFoundError):
        SharedMemory(gone)


def test_a_killed_group_leaves_nothing_behind():
    """After parent and child are killed, no process and no file has the segments that they made without names."""
    before = {path.name for path in SHM.iterdir()}
    with subprocess.Popen(
        [sys.executable, GROUP, "10", str(LARGE)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as group:
        names = {group.stdout.readline().decode().strip() for _ in range(8)}
        assert len(names) == 6
        for name in names:
            SharedMemory(name).close()
        os.killpg(group.pid, signal.SIGKILL)
    for name in names:
        await_gone(name)
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    assert segments_with(group.pid) <= before


# --- children, and what processes keep ---


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_attach(run_program, names, method):
    """Children of every start method attach by name and by pickle, and destroy nothing when they end."""
    run_program("stdlib/children_attach.py", method, names(), timeout=600)


def test_a_child_makes_a_segment_for_its_parent(run_program):
    """A segment that a forked child made and left can be attached by the parent, which shares its pool."""
    run_program("stdlib/child_makes_segment.py")


def test_a_child_does_not_keep_what_its_parent_closed():
    """A large segment that was closed before a fork is gone once it is unlinked, though the child lives."""
    made = SharedMemory(create=True, size=LARGE)
    name = made.name
    made.close()
    child = get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    try:
        made.unlink()
        await_gone(name)
    finally:
        child.kill()
        child.join()


def test_what_others_unlinked_is_let_go(attacher):
    """The maker of a large segment that another process unlinked lets go of it at its next close or make."""
    for last in ("close", "make"):
        made, other = (SharedMemory(create=True, size=LARGE) for _ in range(2))
        name = made.name
        made.close()
        attacher(f"SharedMemory({made.name!r}).unlink()")
        assert is_anywhere(name)
        if last == "close":
            other.close()
        else:
            SharedMemory(create=True, size=LARGE).unlink()
        await_gone(name)
        other.unlink()
