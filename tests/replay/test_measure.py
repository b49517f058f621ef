"""Measured replays: in processes of their own, in memory, against pools and mallocs."""

import subprocess
import sys
from dataclasses import replace

import pytest

import blockpool as bp
from blockpool.replay import Plan, allocators, measure, simulate, worker
from blockpool.traces.form import ALLOCATE, FREE
from programs import interpreter, run_quietly
from replays import random_events, trace_of

MIB = 1 << 20
# What the kernel's counters of resident memory may be wrong by, and what Python itself allocates meanwhile.
SLACK = 2 * MIB


@pytest.fixture(scope="module")
def filled():
    """Make a trace that allocates 64 MiB in requests of 16 KiB, frees every other one, and ends."""
    events = [(ALLOCATE, number, 16384) for number in range(4096)]
    events += [(FREE, number, 16384) for number in range(0, 4096, 2)]
    return trace_of(events)


@pytest.mark.parametrize("allocator", ["malloc", "jemalloc", "mimalloc"])
def test_resident_memory_of_mallocs(filled, allocator):
    """The memory that is measured is what was asked for and touched, and little more."""
    if allocator not in allocators():
        pytest.skip(f"{allocator} is not installed")
    found = measure(filled, allocator=allocator)
    assert (found.allocator, found.plans, found.bytes) == (allocator, (), 0)
    assert (found.allocations, found.failures, found.peak_bytes) == (4096, 0, 64 * MIB)
    assert (found.peak_blocks, found.longest_run, found.inner) == ((), (), ())
    assert found.complete
    # What malloc had at hand before is resident already: 4 MiB with glibc 2.43.
    assert 56 * MIB <= found.resident <= 80 * MIB + SLACK
    assert found.seconds >= 0
    assert found.touched_seconds > 0


def test_resident_memory_of_a_pool(filled):
    """A pool is resident as far as it is used."""
    found = measure(filled, [Plan(16384, 4096)])
    assert found.failures == 0
    assert abs(found.resident - found.bytes) <= SLACK
    large = measure(filled, [Plan(16384, 40_000)])
    assert abs(large.resident - 64 * MIB) <= SLACK + large.bytes - 40_000 * 16384


def test_only_what_was_asked_for_is_touched():
    """Of a run, the pages that were not asked for stay as they are."""
    trace = trace_of([(ALLOCATE, number, 5000) for number in range(256)])
    found = measure(trace, [Plan(MIB, 256)])
    assert found.resident <= 256 * 8192 + SLACK


@pytest.mark.parametrize("wait", [0, 2e-8])
def test_counts_are_those_of_a_simulation(wait):
    """A pool in memory does exactly what the simulated one does."""
    trace = trace_of(random_events(11, largest=5000, threads=4, crossing=0.2), 4)
    plans = [Plan(64, 200, 0, 1000), Plan(1024, 30, 1000)]
    measured, simulated = measure(trace, plans, wait=wait), simulate(trace, plans, wait=wait)
    assert simulated.failures
    assert bool(simulated.waits) == bool(wait)
    unmeasured = {"seconds": 0, "resident": None, "touched_seconds": None, "touched_events": None}
    assert replace(measured, **unmeasured) == replace(simulated, **unmeasured)


def test_the_time_does_not_include_the_loop(monkeypatch):
    """The time of the calls is that of the quickest replay, less that of a loop with calls that do nothing."""
    spent = iter([5.0, 4.0, 7.0, 6.0, 8.0])

    class Replaying:
        def go_on(self, events):
            pass

        def end(self):
            pass

        def counts(self):
            return {"events": 10, "seconds": next(spent)}

    class Task:
        plans, seconds, events = (), 100, 10

        def begin(self, pools):
            assert not pools
            return Replaying()

    monkeypatch.setattr(worker, "loop_seconds", lambda _task, events: 1.5 if events == 10 else None)
    assert worker.timed(Task()) == {"counts": {"events": 10, "seconds": 2.5}, "complete": True}


def test_a_time_limit():
    """A replay stops at its time limit, and says how far it came."""
    count = 4000
    trace = trace_of([(kind, number, 32 * MIB) for number in range(count // 2) for kind in (ALLOCATE, FREE)])
    found = measure(trace, [Plan(32 * MIB, 2)], seconds=0.01)
    assert not found.complete
    assert found.reached == min(found.events, found.touched_events) < len(trace)
    whole = measure(trace_of([(ALLOCATE, 0, 8)]), [Plan(8, 2)], seconds=30)
    assert whole.complete


def test_steps_become_longer_and_shorter():
    """A replay looks at the clock often enough, however long events take, and not more often."""
    steps = []

    class Slow:
        def go_on(self, events):
            steps.append(events)

    assert worker.go_on(Slow(), float("inf"), 100_000)
    assert sum(steps) == 100_000
    assert steps[0] < 100
    assert max(steps) > 10_000
    assert not worker.go_on(Slow(), 0, 10)


def test_an_empty_trace():
    """A trace without events is measured."""
    for options in ({"plans": [Plan(8, 1)]}, {"allocator": "malloc"}):
        found = measure(trace_of([]), **options)
        assert (found.events, found.complete) == (0, True)
        assert found.resident <= SLACK


@pytest.mark.parametrize(("block_size", "blocks"), [(0, 1), (12, 1), (8, 0), (8, 2**63), (2**20, 10**9), (8, "1")])
def test_pools_that_cannot_be_made(block_size, blocks):
    """A pool that cannot be made is the same error as from Pool()."""
    with pytest.raises((ValueError, TypeError, bp.PoolExhausted)) as expected:
        bp.Pool(block_size, blocks)
    with pytest.raises(expected.type) as found:
        measure(trace_of([]), [Plan(block_size, blocks)])
    assert str(found.value) == str(expected.value)


def test_events_that_cannot_be():
    """An event that cannot be is an error, as from a simulation; also against malloc."""
    trace = trace_of([(ALLOCATE, 0, 8), (FREE, 0, 8), (FREE, 0, 8)])
    for options in ({"plans": [Plan(8, 1)]}, {"allocator": "malloc"}):
        with pytest.raises(bp.TraceInvalid, match="event 2 is a second free of id 0"):
            measure(trace, **options)


def test_malloc_refuses():
    """What malloc refuses is counted, and its free is skipped."""
    found = measure(trace_of([(ALLOCATE, 0, 2**62), (ALLOCATE, 1, 100), (FREE, 0, 0)]), allocator="malloc")
    assert (found.allocations, found.failures, found.peak_bytes) == (1, 1, 100)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"allocator": "tcmalloc"}, ValueError, "is not one of pool, malloc, jemalloc, mimalloc"),
        ({"allocator": 5}, ValueError, "allocator=5 is not one of"),
        ({"allocator": "malloc", "plans": [Plan(8, 1)]}, ValueError, "plans are for pools; malloc takes none"),
        ({}, ValueError, "1 to 3 plans, not 0"),
        ({"plans": [Plan(8, 1)], "seconds": -1}, ValueError, "seconds must be 0 or more seconds"),
        ({"plans": [Plan(8, 1)], "seconds": "x"}, TypeError, "seconds must be a number of seconds"),
        ({"plans": [Plan(8, 1)], "wait": float("nan")}, ValueError, "wait must be 0 or more seconds"),
    ],
)
def test_arguments_that_cannot_be(options, error, says):
    """Arguments of other types and values are errors that say what is expected."""
    with pytest.raises(error, match=says):
        measure(trace_of([]), **options)


def test_an_allocator_that_is_not_installed(monkeypatch):
    """An allocator that is known but not installed is an error that says what to install."""
    monkeypatch.setattr("blockpool.replay.measurement.allocators", lambda: {"malloc": None})
    with pytest.raises(ValueError, match=r"jemalloc is not installed; .* apt install libjemalloc2"):
        measure(trace_of([]), allocator="jemalloc")


def test_a_library_that_cannot_be_loaded(monkeypatch, tmp_path):
    """A library that the loader refuses is an error: malloc would be measured in its place."""
    bad = tmp_path / "libjemalloc.so.2"
    bad.write_text("not a library")
    monkeypatch.setattr("blockpool.replay.measurement.allocators", lambda: {"malloc": None, "jemalloc": str(bad)})
    with pytest.raises(bp.BlockPoolError, match=r"libjemalloc\.so\.2 cannot take the place of malloc"):
        measure(trace_of([]), allocator="jemalloc")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL, perhaps because memory ran out"),
        ("import os; os.abort()", "was killed by SIGABRT"),
        ("import sys; sys.exit('no room \\x1b[31m')", "ended with status 1: no room"),
        ("print('{}')", "ended with status 0"),
    ],
)
def test_a_process_that_dies(monkeypatch, program, says):
    """A process that dies, or says nothing, is an error that tells how."""
    monkeypatch.setattr("blockpool.replay.measurement._PROGRAM", program)
    with pytest.raises(bp.BlockPoolError, match=says):
        measure(trace_of([]), [Plan(8, 1)])


def test_a_preloaded_library_of_the_parent_is_not_passed_on(monkeypatch):
    """The C library's malloc is measured, whatever was preloaded into this process."""
    monkeypatch.setenv("LD_PRELOAD", "")
    seen = []
    start = subprocess.Popen

    def popen(command, **options):
        seen.append(options["env"])
        return start(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    measure(trace_of([]), allocator="malloc")
    assert len(seen) == 2
    assert not any("LD_PRELOAD" in environment for environment in seen)


@pytest.mark.parametrize("where", ["communicate", "_communicate"])  # before, and while the parent reads
def test_an_interrupt_ends_the_process(where):
    """Ctrl-C during a measurement raises KeyboardInterrupt, and the process is gone."""
    program = """
        import os, subprocess, signal, sys
        from blockpool.replay import Plan, measure
        from blockpool.traces.form import ALLOCATE, FREE
        from replays import trace_of
        communicate = getattr(subprocess.Popen, sys.argv[1])

        def interrupted(process, *arguments):
            global pid
            pid = process.pid
            os.kill(pid, 0)
            signal.raise_signal(signal.SIGINT)
            return communicate(process, *arguments)

        setattr(subprocess.Popen, sys.argv[1], interrupted)
        try:
            measure(trace_of([(ALLOCATE, 0, 8)]), [Plan(8, 1)])
        except KeyboardInterrupt:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                print("interrupted")
    """
    assert run_quietly(interpreter(program, where)) == "interrupted\n"


def test_the_worker_imports_neither_numpy_nor_pyarrow():
    """The process whose memory is measured imports little."""
    program = (
        "import sys, blockpool.replay.worker; print([name for name in ('numpy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_allocators_in_other_folders(monkeypatch, tmp_path):
    """Libraries are found in LD_LIBRARY_PATH first, the highest version of several, and other files are left out."""
    for name in ("libmimalloc.so.2", "libmimalloc.so.10.1", "libmimalloc-debug.so.11", "libjemalloc.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    found = allocators()
    assert found["malloc"] is None
    assert found["mimalloc"] == str(tmp_path / "libmimalloc.so.10.1")
    assert found.get("jemalloc") != str(tmp_path / "libjemalloc.txt")
