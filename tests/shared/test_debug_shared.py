"""Debug mode of shared pools: patterns, canary, stacks by process, also of processes that were killed."""

import ctypes
import gc
import logging
import os
import pickle
import subprocess
import sys

import pytest

import blockpool as bp


@pytest.fixture
def watched(pool_name):
    """Make a shared pool of 16 blocks of 64 bytes in debug mode, and audit its bookkeeping after the test."""
    made = bp.Pool.create(64, 16, name=pool_name, debug=True)
    yield made
    if not made.closed:
        made.check()
        made.close()


def someone_allocates(pool, **kwargs):
    """Allocate, from a function whose name shows in stacks."""
    return pool.allocate(**kwargs)


def someone_frees(block):
    """Free, from a function whose name shows in stacks."""
    block.free()


def poke(address, value=0x41):
    """Write a byte past all checks, as wild native code would."""
    ctypes.memset(address, value, 1)


WORK = """
    import ctypes
    pool = bp.Pool.attach({name!r})
    def someone_there_allocates(**kwargs):
        return pool.allocate(**kwargs)
"""


@pytest.fixture
def there(peer, watched):
    """Start a peer that has the pool attached as `pool`, and a function `someone_there_allocates`."""
    peer(WORK.format(name=watched.name))
    return peer


# --- patterns ---


def test_memory_is_filled_when_it_is_allocated_and_when_it_is_freed(watched):
    """A block is 0xCD when it is allocated, 0xFD behind what was asked for, and 0xDD after it was freed."""
    block = watched.allocate(nbytes=70)
    address = block.address
    assert bytes(block.buf) == b"\xcd" * 70
    assert ctypes.string_at(address + 70, 58) == b"\xfd" * 58
    block.buf[:] = bytes(70)
    block.free()
    assert ctypes.string_at(address, 128) == b"\xdd" * 128
    assert all(bytes(one.buf) == b"\xcd" * 64 for one in watched.allocate_many(16))


@pytest.mark.parametrize("end", ["free", "release", "with"])
def test_an_overrun_is_found_when_the_block_comes_back(watched, end):
    """A byte written past nbytes raises BlockOverrun with both stacks when the block comes back; it is not lost."""
    block = someone_allocates(watched, nbytes=10)
    poke(block.address + 10)
    with pytest.raises(bp.BlockOverrun) as caught:  # noqa: PT012 - three ways to one end
        if end == "with":
            with block:
                pass
        else:
            getattr(block, end)()
    message = str(caught.value)
    assert "past the 10 bytes" in message
    assert "at byte 10 " in message
    assert "0x41" in message
    allocated, freed = message.split("freed by")
    assert f"allocated by process {os.getpid()} at" in allocated
    assert "someone_allocates" in allocated
    assert "when_the_block_comes_back" in freed
    assert watched.stats().allocated == 0
    with pytest.raises(bp.InvalidBlock):
        block.free()
    watched.allocate_many(16)  # it is told once


def test_an_overrun_of_a_dropped_block_goes_to_the_unraisable_hook(watched, monkeypatch):
    """The overrun of a dropped block goes to sys.unraisablehook, as a destructor cannot raise; the block comes back."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(type(unraisable.exc_value)))
    for make in (lambda block: block, lambda block: block.buf, lambda block: bp.redeem(block.share())):
        block = watched.allocate(nbytes=1)
        poke(block.address + 1)
        kept = make(block)
        del block, kept
        assert bp.BlockOverrun in seen
        assert watched.stats().allocated == 0
        seen.clear()


def test_a_free_that_is_refused_reports_nothing_and_the_next_one_does(watched):
    """`free` of a block that is in use raises BlockInUse, damaged or not; the overrun is raised when it comes back."""
    block = watched.allocate(nbytes=10)
    poke(block.address + 12)
    view = block.buf
    with pytest.raises(bp.BlockInUse, match="memoryview"):
        block.free()
    del view
    twin = bp.redeem(block.handle)
    with pytest.raises(bp.BlockInUse):
        block.free()
    with pytest.raises(bp.BlockOverrun, match="at byte 12 "):
        twin.release()
    with pytest.raises(bp.BlockOverrun, match="at byte 12 "):
        block.free()
    assert watched.stats().allocated == 0
    with bp.inspect(watched) as inspector:
        assert inspector.damage() == []


def test_a_write_after_free_is_found_at_reuse_with_both_stacks(watched):
    """The next allocation of a block that was written to after free raises WriteAfterFree once, and loses no block."""
    block = someone_allocates(watched, blocks=3)
    address, index = block.address, block.index
    someone_frees(block)
    poke(address + 130)
    with pytest.raises(bp.WriteAfterFree) as caught:
        watched.allocate_many(16)
    message = str(caught.value)
    assert f"the run of 3 blocks at {index}:" in message
    assert "at byte 130 " in message
    assert "someone_allocates" in message.split("freed by", maxsplit=1)[0]
    assert "someone_frees" in message.split("freed by")[1]
    assert watched.stats().allocated == 0
    watched.check()
    assert len(watched.allocate_many(16)) == 16


# --- other processes ---


def test_runs_and_surveys_say_where_a_killed_process_allocated(watched, there):
    """runs() and a survey show the stack and the process of an allocation, also when that process was killed."""
    there("kept = someone_there_allocates(nbytes=10)")
    mine = someone_allocates(watched, nbytes=20)
    there.kill()
    with bp.inspect(watched) as inspector:
        assert inspector.debug
        lost, kept = sorted(inspector.runs(), key=lambda run: run.nbytes)
        oldest = {run.index: run for run in inspector.survey().top}
    assert (lost.nbytes, lost.allocated_by, lost.holders) == (10, there.pid, (there.pid,))
    assert lost.stack.splitlines()[-1].startswith("told:")
    assert lost.stack.splitlines()[-1].endswith(" someone_there_allocates")
    assert (kept.allocated_by, kept.holders) == (os.getpid(), (os.getpid(),))
    assert kept.stack.splitlines()[-1].endswith(" someone_allocates")
    assert oldest[lost.index].stack == lost.stack
    assert oldest[lost.index].allocated_by == there.pid
    assert [run.stack for run in watched.runs()] == [run.stack for run in sorted((lost, kept), key=lambda r: r.index)]
    watched.recover()
    assert [run.nbytes for run in watched.runs()] == [20]
    mine.free()


def test_the_overrun_of_a_killed_process_is_listed_and_then_told_once(watched, there):
    """What a killed process wrote past its block is listed by inspect, and raised by the block's next allocation."""
    there("kept = someone_there_allocates(nbytes=10); ctypes.memset(kept.address + 11, 0x42, 1)")
    there.kill()
    with bp.inspect(watched) as inspector:
        assert inspector.damage() == []
        watched.recover()
        (damage,) = inspector.damage()
        assert (damage.blocks, damage.nbytes, damage.at, damage.found) == (1, 10, 11, 0x42)
        assert (damage.allocated_by, damage.freed_by) == (there.pid, os.getpid())
        assert "someone_there_allocates" in damage.stack
        assert damage.freed_stack == ""
        with pytest.raises(bp.BlockOverrun) as caught:
            watched.allocate_many(16)
        assert f"allocated by process {there.pid} at" in str(caught.value)
        assert "someone_there_allocates" in str(caught.value)
        assert f"freed by process {os.getpid()}, which left no stack" in str(caught.value)
        assert inspector.damage() == []
    assert len(watched.allocate_many(16)) == 16


def someone_drops(held):
    """Let go of the last reference to a block or view."""
    held.pop()


@pytest.mark.parametrize("way", ["release", "with", "block", "view", "array"])
def test_a_write_after_free_says_where_it_went_back(watched, way):
    """However a block goes back, WriteAfterFree says where that was."""
    held = [someone_allocates(watched, nbytes=64)]
    address = held[0].address
    if way == "view":
        held = [held[0].buf]
    elif way == "array":
        held = [held[0].array(64, "u1")]

    def someone_ends_it():
        if way == "release":
            held.pop().release()
        elif way == "with":
            with held.pop():
                pass
        else:
            someone_drops(held)

    someone_ends_it()
    gc.collect()
    poke(address)
    with pytest.raises(bp.WriteAfterFree) as caught:
        watched.allocate_many(16)
    assert "someone_ends_it" in str(caught.value).split("freed by")[1]


def test_a_write_after_free_names_the_other_process(watched, there):
    """WriteAfterFree says which process allocated the block and which one freed it."""
    ticket = there("str(someone_there_allocates(nbytes=64).share())")
    block = bp.redeem(ticket)
    address = block.address
    someone_frees(block)
    poke(address)
    with pytest.raises(bp.WriteAfterFree) as caught:
        watched.allocate_many(16)
    allocated, freed = str(caught.value).split("freed by")
    assert f"allocated by process {there.pid} at" in allocated
    assert f" process {os.getpid()} at" in freed
    assert "someone_frees" in freed


@pytest.mark.parametrize("way", ["ticket", "handle", "pickle", "buffer", "queue", "queue of objects", "name"])
def test_a_block_that_came_from_another_process_is_watched(watched, there, way):
    """However a block came to this process, giving it back looks at its slack, with the nbytes of the allocation."""
    send = {
        "ticket": "str(kept.share())",
        "handle": "str(kept.handle)",
        "pickle": "pickle.dumps(kept)",
        "buffer": "pickle.dumps(kept.readonly())",
        "queue": "pool.queue('q').put(kept)",
        "queue of objects": "pool.queue('q').put([kept, 'and more'])",
        "name": "pool.keep('n', kept)",
    }
    queue = watched.queue("q")
    there("kept = someone_there_allocates(nbytes=10)")
    sent = there(send[way])
    if way in {"ticket", "handle"}:
        block = bp.redeem(sent)
    elif way in {"pickle", "buffer"}:
        block = pickle.loads(sent)
    elif way == "name":
        block = watched.get("n")
    else:
        block = queue.get(timeout=60)
        block = block[0] if way == "queue of objects" else block
    assert block.nbytes == 10
    poke(block.address + 63)
    with pytest.raises(bp.BlockOverrun, match="at byte 63 ") as caught:
        block.release()
    assert f"allocated by process {there.pid} at" in str(caught.value)
    there("try: kept.release()\nexcept bp.BlockOverrun: pass\n0")


def test_a_process_follows_what_the_pool_is(watched, there):
    """Whether a pool is in debug mode is decided when it is created, and so for every process that attaches it."""
    assert watched.debug
    assert there("pool.debug")
    assert bp.Pool.create(64, 16, name=watched.name, exist_ok=True).debug
    with bp.Pool.create(64, 1) as plain, bp.inspect(plain) as inspector:
        assert not plain.debug
        assert not inspector.debug
        block = plain.allocate()
        (run,) = plain.runs()
        assert (run.stack, run.allocated_by) == (None, None)
        assert inspector.damage() == []
        block.free()


def test_a_forked_child_gives_back_what_it_has_of_its_parent(run_program):
    """A forked child watches what it has of its parent, and what it allocates itself."""
    assert run_program("shared/debug_fork.py") == "child: at byte 10\nparent: at byte 10\n0 allocated\n"


# --- Python's side ---


@pytest.mark.parametrize(
    ("flags", "variable", "expected"),
    [([], None, False), (["-X", "dev"], None, False), ([], "1", True), ([], "0", False), ([], "", False)],
)
def test_the_environment_can_switch_debug_mode_on(flags, variable, expected):
    """BLOCKPOOL_DEBUG switches debug mode on unless debug= is given; -X dev does not, as it is about one process."""
    environment = {name: value for name, value in os.environ.items() if name != "BLOCKPOOL_DEBUG"}
    if variable is not None:
        environment["BLOCKPOOL_DEBUG"] = variable
    code = "import blockpool; print(*[blockpool.Pool.create(8, 1, debug=d).debug for d in (None, True, False)])"
    result = subprocess.run(
        [sys.executable, *flags, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [str(expected), "True", "False"]


def test_outstanding_and_the_log_tell_what_this_process_holds(watched, there, caplog):
    """`close` logs each run that this process holds, with its stack; `outstanding` returns the same as data."""
    there("kept = someone_there_allocates(nbytes=9)")
    held = someone_allocates(watched, nbytes=7)
    watched.allocate().free()
    with caplog.at_level(logging.WARNING, logger="blockpool"):
        watched.close()
    (record,) = caplog.records
    assert record.name == "blockpool"
    assert "nbytes=7" in record.getMessage()
    assert "someone_allocates" in record.getMessage()
    (leak,) = watched.outstanding()
    assert (leak.index, leak.blocks, leak.nbytes) == (held.index, 1, 7)
    assert "someone_allocates" in leak.stack
    held.free()
    assert watched.outstanding() == []
    del held
    assert watched.outstanding() == []


def test_outstanding_needs_debug_mode(shared):
    """`outstanding` without debug mode raises a ValueError that says how to switch it on."""
    with pytest.raises(ValueError, match="debug=True"):
        shared.outstanding()


def test_a_deep_stack_keeps_what_is_innermost(watched):
    """Of a stack that is too long for the segment, the innermost frames are kept, after a line that says so."""

    def descend(depth):
        return descend(depth - 1) if depth else someone_allocates(watched, nbytes=5)

    block = descend(100)
    (run,) = watched.runs()
    lines = run.stack.splitlines()
    assert lines[0] == "..."
    assert lines[-1].endswith(" someone_allocates")
    assert 3 < len(lines) < 40
    assert len(run.stack.encode()) <= 448
    block.free()


def test_stacks_of_any_names_are_kept(watched):
    """File and function names of any length and with any characters are shortened and kept as one line."""
    for name in ("a" * 1000, "line\nbreak", "\udc80 no text", "\U0001f600" * 200):
        names = {"pool": watched}
        exec(compile("block = pool.allocate()", name, "exec"), names)  # noqa: S102 - for the name of the file
        (run,) = watched.runs()
        assert run.stack.splitlines()[-1].endswith(":1 <module>")
        names.pop("block").free()


def test_arrays_are_watched_and_zeros_are_zero(watched):
    """Arrays of a pool in debug mode work as always; what is written past them is found."""
    numpy = pytest.importorskip("numpy")
    seen = []
    zeros = watched.zeros(9)
    assert (zeros == 0).all()
    assert watched.empty(3, numpy.uint8).tobytes() == b"\xcd" * 3
    assert [run.nbytes for run in watched.runs()] == [72]
    poke(zeros.ctypes.data + 72)
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: seen.append(unraisable.exc_value)
    try:
        del zeros
    finally:
        sys.unraisablehook = hook
    assert [type(error) for error in seen] == [bp.BlockOverrun]


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "MemoryError"])
@pytest.mark.parametrize("way", ["free", "release", "drop", "with", "overrun", "many"])
def test_a_failure_at_any_step_loses_no_block(run_program, error, way):
    """Ctrl-C or a lack of memory at any step of allocating or giving back leaves each block allocated or free."""
    assert run_program("private/debug_failures.py", error, way, "shared") == "done True\n"


@pytest.mark.parametrize("step", range(0, 400, 25))
def test_a_process_killed_at_work_leaves_no_false_finding(watched, there, step):
    """A process that is killed in the middle of allocating and freeing leaves nothing that is taken for misuse."""
    there.start("""
        def work():
            held = []
            while True:
                held.append(pool.allocate(nbytes=100) if len(held) % 2 else pool.allocate(nbytes=10))
                if len(held) == 4:
                    held.pop(0).free(); held.pop().release(); held.pop(); held.pop()
        work()
    """)
    while watched.stats().allocations < 20 + step:
        pass
    there.kill()
    watched.recover()
    with bp.inspect(watched) as inspector:
        assert inspector.damage() == []
    assert watched.check().allocated == 0
    for block in watched.allocate_many(16):
        block.free()
