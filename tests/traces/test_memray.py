"""Captures of memray are read: the real ones of small programs, and what is wrong with others is said."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from blockpool import TraceInvalid
from blockpool._extras import install_command
from blockpool.traces import ALLOCATE, check, peak, read, select

memray = pytest.importorskip("memray", reason="memray is not installed")

# A program that is captured: it makes arrays of known sizes at times that it prints, in two threads, and sleeps.
PROGRAM = """
import json, sys, threading, time
import memray

noted = []

def decode(length):
    return bytearray(length)

def note(length):
    before = time.time()
    made = decode(length)
    noted.append((before, time.time()))
    return made

def main():
    kept = [note(100_000)]
    time.sleep(0.3)
    kept.append(note(200_000))
    time.sleep(0.2)
    for _ in range(50):
        decode(30_000)
    kept.append(note(300_000))
    worker = threading.Thread(target=lambda: kept.append(decode(400_000)), name="worker")
    worker.start()
    worker.join()
    kept[0].extend(bytes(150_000))
    del kept[1:]
    return kept

options = eval(sys.argv[2])
with memray.Tracker(sys.argv[1], **options):
    kept = main()
print(json.dumps(noted))
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """Return a function that captures the program, with options for the tracker, and gives the file and its output."""
    folder = tmp_path_factory.mktemp("captures")
    (folder / "program.py").write_text(PROGRAM)

    def run(options="{}"):
        path = folder / f"{len(list(folder.iterdir()))}.bin"
        command = [sys.executable, folder / "program.py", path, options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return path, done.stdout

    return run


@pytest.fixture(scope="module")
def plain(capture):
    """Return a capture without options, and between which times the program made each array that it kept."""
    path, output = capture()
    return path, json.loads(output)


def stored(length):
    """Return what a bytearray of that length allocates: a byte more, and from Python 3.15 on the header of a bytes."""
    return sys.getsizeof(bytearray(length)) - sys.getsizeof(bytearray())


def decoded(trace):
    """Return what `decode` allocated: of each event, its time in seconds, kind and size."""
    part = select(trace, stack="decode")
    return list(zip((part.time / 1e9).tolist(), part.kind.tolist(), part.size.tolist(), strict=True))


def test_events_are_those_of_the_program(plain):
    """Sizes and frees are in the order of the program, with its stacks and threads."""
    trace = read(plain[0])
    check(trace)
    made = [(kind, size) for _, kind, size in decoded(trace)]
    assert made[:2] == [(0, stored(100_000)), (0, stored(200_000))]
    assert made[2:102] == [(0, stored(30_000)), (1, stored(30_000))] * 50
    assert made[102:104] == [(0, stored(300_000)), (0, stored(400_000))]
    # `extend` lets realloc make the array larger: its old memory is freed, and the new is not of `decode`.
    assert sorted(made[104:]) == [
        (1, stored(100_000)),
        (1, stored(200_000)),
        (1, stored(300_000)),
        (1, stored(400_000)),
    ]
    stack = trace.stacks[select(trace, stack="decode").stack[0]]
    assert [each.function for each in stack] == ["decode", "note", "main", "<module>"]
    assert stack[0].file.endswith("program.py")
    assert stack[0].line == 8
    (of_worker,) = np.flatnonzero((trace.size == stored(400_000)) & (trace.kind == ALLOCATE))
    assert trace.threads[trace.thread[of_worker]] == "worker"
    assert trace.threads[0] == "main"
    assert "program.py" in trace.source
    assert trace.unmatched < 50


def test_the_peak_is_memrays(plain):
    """What is live when most is live is what memray itself adds up, less what it says of mmap."""
    trace = read(plain[0])
    with memray.FileReader(plain[0]) as reader:
        records = list(reader.get_high_watermark_allocation_records())
    assert peak(trace) == sum(record.size for record in records if record.allocator < memray.AllocatorType.MMAP)


def accuracy(path):
    """Return how long a capture took, and to within how many seconds the time of an event is right.

    That is the distance of two notes that memray took of the time: 10 ms, and more on a busy machine. Notes have
    milliseconds.
    """
    with memray.FileReader(path) as reader:
        taken = [each.time / 1e3 for each in reader.get_memory_snapshots()]
        ends = [reader.metadata.start_time.timestamp(), reader.metadata.end_time.timestamp()]
    return ends[1] - ends[0], float(np.diff([ends[0], *taken, ends[1]]).max()) + 0.001


def test_times_are_those_of_the_program(plain):
    """The time of an event is right to within the distance of two notes that memray took of the time."""
    path, noted = plain
    trace = read(path)
    whole, distance = accuracy(path)
    assert trace.timed
    when = {size: time for time, kind, size in reversed(decoded(trace)) if kind == ALLOCATE}
    times = [when[stored(100_000)], when[stored(200_000)], when[stored(300_000)]]
    for (before, after), (next_before, next_after), time, next_time in zip(
        noted, noted[1:], times, times[1:], strict=False
    ):
        assert next_before - after - 2 * distance <= next_time - time <= next_after - before + 2 * distance
    assert trace.time[-1] / 1e9 <= whole


def test_a_capture_of_memray_run_is_read(tmp_path):
    """The command that the messages name makes a capture that can be read; it is compressed with LZ4."""
    (tmp_path / "program.py").write_text("data = [bytearray(70_000) for _ in range(10)]\n")
    command = [sys.executable, "-m", "memray", "run", "-q", "-o", "capture.bin", "program.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "capture.bin").read_bytes().startswith(b"\x04\x22\x4d\x18")
    trace = read(tmp_path / "capture.bin")
    assert np.count_nonzero((trace.size == stored(70_000)) & (trace.kind == ALLOCATE)) == 10


def assert_records_are_those_of_memray(path):
    """Fail unless the trace of a capture is the one that a plain loop over memray's records makes."""
    kinds = memray.AllocatorType
    expected, live, unmatched = [], {}, 0
    with memray.FileReader(path) as reader:
        for record in reader.get_allocation_records():
            if record.allocator in {kinds.MMAP, kinds.MUNMAP}:
                continue
            if record.allocator not in {kinds.FREE, kinds.PYMALLOC_FREE}:
                assert record.address not in live
                live[record.address] = record.size
                expected.append((0, record.size))
            elif record.address in live:
                expected.append((1, live.pop(record.address)))
            else:
                unmatched += 1
    trace = read(path)
    assert list(zip(trace.kind.tolist(), trace.size.tolist(), strict=True)) == expected
    assert trace.unmatched == unmatched


def test_records_are_those_of_memray(plain):
    """Each record is an event, but for mmap and munmap, and for frees of what was there before."""
    assert_records_are_those_of_memray(plain[0])


@pytest.mark.parametrize("options", ["{'native_traces': True}", "{'trace_python_allocators': True}"])
def test_other_options_of_memray_do_no_harm(capture, plain, options):
    """With them the same arrays are there; small objects of Python come in addition, if these were captured."""
    path, _ = capture(options)
    assert_records_are_those_of_memray(path)
    trace = read(path)
    sizes = [size for _, kind, size in decoded(trace) if kind == ALLOCATE and size > 1_000]
    assert sizes == [stored(100_000), stored(200_000), *[stored(30_000)] * 50, stored(300_000), stored(400_000)]
    if "python" in options:
        assert np.count_nonzero(trace.size < 512) > np.count_nonzero(read(plain[0]).size < 512)


def test_memory_of_mmap_is_left_out(tmp_path):
    """Neither mmap nor munmap is an event: a pool cannot serve them. Those after them have their own times still."""
    program = (
        "import mmap, sys, time, memray\n"
        "with memray.Tracker(sys.argv[1]):\n"
        "    first = bytearray(60_000)\n"
        "    for _ in range(500):\n"
        "        mmap.mmap(-1, 1 << 24).close()\n"
        "    time.sleep(0.3)\n"
        "    kept = bytearray(70_000)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "capture.bin"], check=True)
    with memray.FileReader(tmp_path / "capture.bin") as reader:
        mapped = [each.size for each in reader.get_allocation_records() if each.allocator == memray.AllocatorType.MMAP]
    assert mapped.count(1 << 24) == 500
    trace = read(tmp_path / "capture.bin")
    assert 1 << 24 not in trace.size.tolist()
    (kept,) = np.flatnonzero((trace.size == stored(70_000)) & (trace.kind == ALLOCATE))
    assert trace.time[kept] / 1e9 >= 0.3 - accuracy(tmp_path / "capture.bin")[1]


def test_a_capture_of_nothing_is_empty(tmp_path):
    """A program that allocates nothing while it is captured makes a trace with few events, or none."""
    program = "import sys, memray\nwith memray.Tracker(sys.argv[1]):\n    pass\n"
    subprocess.run([sys.executable, "-c", program, tmp_path / "capture.bin"], check=True)
    assert len(read(tmp_path / "capture.bin")) < 100


# -- captures that cannot be used


def test_an_aggregated_capture_is_refused(capture):
    """It lacks the single events; the message names what is needed."""
    path, _ = capture("{'file_format': memray.FileFormat.AGGREGATED_ALLOCATIONS}")
    with pytest.raises(TraceInvalid, match=r"aggregated .* \(ALL_ALLOCATIONS\), that is without --aggregate"):
        read(path)


def test_a_cut_capture_is_refused(plain, tmp_path):
    """Wherever it was cut, what is left is not taken for the whole."""
    whole = plain[0].read_bytes().rstrip(b"\0")
    path = tmp_path / "capture.bin"
    for length in (1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceInvalid, match=r"damaged or was cut|has no end|is not a trace"):
            read(path)


def test_a_capture_that_is_still_written_is_refused(tmp_path):
    """It has no end yet, and neither has that of a program that was killed."""
    program = (
        "import sys, memray\n"
        "with memray.Tracker(sys.argv[1]):\n"
        "    data = [bytearray(2_000) for _ in range(200_000)]\n"
        "    print(len(data), flush=True)\n"
        "    input()\n"
    )
    path = tmp_path / "capture.bin"
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout.readline() == b"200000\n"
            with pytest.raises(TraceInvalid, match="has no end: the program still runs"):
                read(path)
        finally:
            running.kill()
    with pytest.raises(TraceInvalid, match=r"has no end: .* or was killed"):
        read(path)


def test_other_files_with_the_magic_are_refused(tmp_path):
    """What begins like a capture, or like any file that LZ4 compressed, is no capture yet."""
    path = tmp_path / "capture.bin"
    for content in (b"memray\0", b"memray\0" + bytes(100), b"\x04\x22\x4d\x18", b"\x04\x22\x4d\x18" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(TraceInvalid, match="memray cannot read it"):
            read(path)


def test_damaged_captures_are_refused_or_read(plain, tmp_path):
    """What memray makes of changed bytes, even a crash, is told as for any bad file; this process goes on."""
    whole = plain[0].read_bytes()
    path = tmp_path / "capture.bin"
    chance = random.Random(7)
    refused = 0
    for _ in range(6):
        damaged = bytearray(whole)
        for _ in range(30):
            damaged[chance.randrange(40, len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            check(read(path))
        except TraceInvalid:
            refused += 1
    assert refused >= 3


def test_a_crash_of_memray_is_told(plain, monkeypatch, tmp_path):
    """The process that reads may be ended by a signal; the message says that the capture is damaged."""
    import blockpool.traces._memray as module

    child = tmp_path / "_memray_child.py"
    child.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "_memray.py"))
    with pytest.raises(TraceInvalid, match="memray cannot read it: status -11"):
        read(plain[0])


def test_a_missing_memray_is_named(plain):
    """Without memray everything else works, and for a capture it is said what to install."""
    program = (
        "import sys; sys.modules['memray'] = None\n"
        "from blockpool.traces import read\n"
        "try:\n    read(sys.argv[1])\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, plain[0]], capture_output=True, text=True, check=True)
    assert "memray, which cannot be imported" in done.stdout
    assert install_command("advise") in done.stdout


def test_an_interrupt_leaves_no_process(plain, monkeypatch):
    """Ctrl-C while a capture is read ends the process that reads it, and the parent has seen its end."""
    started = []

    def interrupted(process, *_):
        started.append(process)
        monkeypatch.undo()
        process._sigint_wait_secs = 0  # as when it waited while Ctrl-C came
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read(plain[0])
    assert started[0].returncode is not None
