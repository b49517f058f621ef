"""Traces on disk: what is read is what was written, and everything else is refused with a message that helps."""

import json
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from blockpool import TraceInvalid
from blockpool.traces import build, check, read, write
from traces_made import EVENTS, assert_same, built, small


@given(EVENTS)
def test_what_is_read_was_written(tmp_path_factory, events):
    """Columns, names and counts come back, of any trace."""
    path = tmp_path_factory.mktemp("trace") / "trace.parquet"
    trace = built(events)
    write(trace, path)
    assert_same(read(path), trace)


def test_names_and_counts_come_back(tmp_path):
    """So do text that is no UTF-8, texts with quotes and zeros, and what was lost."""
    odd = 'a "b"\n\0\udcff\x1b[31m é'
    trace = build(
        kind=[0, 1, 1], size=[1, 2, 3], key=[1, 1, 1], threads=[odd], stacks=[[(odd, odd, -1)]], source=odd, lost=7
    )
    write(trace, tmp_path / "trace.parquet")
    assert_same(read(tmp_path / "trace.parquet"), trace)


def test_a_long_trace_comes_back(tmp_path):
    """Parts of a long trace come back in order."""
    size = np.arange(2_500_000)
    trace = build(kind=np.zeros(len(size), np.uint8), size=size, key=size)
    write(trace, tmp_path / "trace.parquet")
    assert_same(read(tmp_path / "trace.parquet"), trace)


def test_other_tools_read_it(tmp_path):
    """Any reader of Parquet finds the columns, without blockpool."""
    write(small(), tmp_path / "trace.parquet")
    table = pq.read_table(tmp_path / "trace.parquet")
    assert table.column_names == ["time", "kind", "size", "id", "thread", "stack"]
    assert table["size"].to_pylist() == [100, 200, 100, 200, 300, 0]
    assert json.loads(table.schema.metadata[b"blockpool.trace"])["version"] == 1


def test_a_bad_trace_is_not_written(tmp_path):
    """What contradicts itself is refused before a file is made."""
    with pytest.raises(TypeError, match="a Trace is needed"):
        write([1, 2, 3], tmp_path / "trace.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_at_once(tmp_path):
    """A file of that name is replaced, and nothing else is left in the folder."""
    path = tmp_path / "trace.parquet"
    path.write_text("other")
    write(small(), str(path))
    assert_same(read(path), small())
    write(small(), os.fsencode(path))
    assert [each.name for each in tmp_path.iterdir()] == ["trace.parquet"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    """Where the name belongs to a folder, the error is the system's, and the unfinished file is removed."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(small(), tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        write(small(), tmp_path / "no" / "trace.parquet")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("events", [10, 200_000])
def test_a_full_disk_is_the_systems_error(tmp_path, events):
    """A write that finds no room, at the end or before, fails as writes do, complains once, and leaves nothing."""
    program = (
        "import resource, signal, sys\n"
        "import numpy as np\n"
        "from blockpool.traces import build, write\n"
        "numbers = np.arange(int(sys.argv[2]))\n"
        "trace = build(kind=np.zeros(len(numbers), np.uint8), size=numbers, key=numbers)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    write(trace, sys.argv[1])\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "trace.parquet"), str(events)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr, run.returncode) == ("OSError\n", "", 0)
    assert list(tmp_path.iterdir()) == []


# -- bad files


def rewritten(path, *, said=None, drop=(), **columns):
    """Write the small trace with other columns or other names, as a foreign program may."""
    write(small(), path)
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    table = table.drop_columns(list(drop))
    if said is not None:
        table = table.replace_schema_metadata({"blockpool.trace": said})
    pq.write_table(table, path)


def known(**other):
    """Return the names of the small trace with some changed, as JSON."""
    names = {"version": 1, "source": "", "timed": True, "unmatched": 0, "lost": 0, "threads": ["a", "b"]}
    return json.dumps(names | {"frames": [["f", "a.py", 1]], "stacks": [[0], [], []]} | other)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"said": "{"}, "the names cannot be read"),
        ({"said": "[" * 100_000}, "the names cannot be read"),
        ({"said": "[]"}, "the names cannot be read"),
        ({"said": "{}"}, "the names cannot be read"),
        ({"said": b"\xff\xff"}, "the names cannot be read"),
        ({"said": known(version=2)}, "version 2, but this release reads version 1"),
        ({"said": known(version=["x"])}, "version"),
        ({"said": known(frames=[["f", "a.py"]])}, "another form"),
        ({"said": known(frames=[["f", "a.py", "1"]])}, "stack 0 must be a tuple of Frame"),
        ({"said": known(stacks=[[1], [], []])}, "another form"),
        ({"said": known(stacks=[])}, "stack 0 is neither"),
        ({"said": known(threads=[1, 2])}, "threads must be"),
        ({"said": known(threads=None)}, "another form"),
        ({"said": known(lost=-1)}, "lost must be"),
        ({"said": known(unmatched="1")}, "unmatched must be"),
        ({"said": known(timed=0)}, "timed a bool"),
        ({"time": [0.0, 1, 2, 3, 4, 5]}, "the columns are 'time: double"),
        ({"time": [0, 1, 2, None, 4, 5]}, "column time lacks 1 values"),
        ({"drop": ["size"]}, "the columns are"),
        ({"time": [0, 1, 2, 1, 4, 5]}, "row 3: time 1 is before"),
        ({"id": pa.array([0, 1, 1, 1, 2, 3], pa.int32())}, "row 3: id 1 is freed twice"),
    ],
)
def test_a_changed_file_is_refused(tmp_path, bad, message):
    """The message names the file, and says what is wrong in it."""
    path = tmp_path / "trace.parquet"
    rewritten(path, **bad)
    with pytest.raises(TraceInvalid, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_a_file_that_another_program_wrote_well_is_read(tmp_path):
    """What has the columns and names of a trace is one."""
    path = tmp_path / "trace.parquet"
    rewritten(path, said=known())
    assert read(path).size.tolist() == small().size.tolist()


def test_a_foreign_parquet_file_is_refused(tmp_path):
    """A table of something else is no trace."""
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "other.parquet")
    with pytest.raises(TraceInvalid, match="a Parquet file, but not a trace"):
        read(tmp_path / "other.parquet")


def test_a_cut_file_is_refused_wherever_it_was_cut(tmp_path):
    """No part of a file passes for the whole."""
    path = tmp_path / "trace.parquet"
    write(small(), path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceInvalid):
            read(path)


def test_no_changed_byte_of_the_columns_makes_another_trace(tmp_path):
    """Pages have checksums: what was changed on disk is refused, or it did not matter."""
    path = tmp_path / "trace.parquet"
    write(small(), path)
    whole = path.read_bytes()
    refused = 0
    end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # where the columns end, and their description begins
    for at in range(end):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            trace = read(path)
        except TraceInvalid:
            refused += 1
        else:
            assert_same(trace, small())
    assert refused > end // 2


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_or_read(tmp_path, seed):
    """Whatever bytes are changed, the file is refused, or what is read is a trace."""
    path = tmp_path / "trace.parquet"
    write(small(), path)
    whole = path.read_bytes()
    chance = random.Random(seed)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.choice([1, 2, 10])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            check(read(path))
        except TraceInvalid:
            pass
        except BaseException as error:
            raise AssertionError(damaged.hex()) from error


def test_threads_may_write_at_once(tmp_path):
    """Each writes a file of its own, in one folder."""
    workers = [threading.Thread(target=write, args=(small(), tmp_path / f"{number}")) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number in range(8):
        assert_same(read(tmp_path / f"{number}"), small())
