"""Logs of RMM are read, as its releases have written them; in others the line is named that does not fit."""

import random

import pytest

from blockpool import TraceInvalid
from blockpool.traces import check, read

HEADER = "Thread,Time,Action,Pointer,Size,Stream\n"
DAY = 86_400 * 10**9


@pytest.fixture
def logged(tmp_path):
    """Return a function that writes a log and reads it."""

    def write_and_read(text, header=HEADER):
        path = tmp_path / "rmm.csv"
        path.write_bytes((header + text).encode("latin-1"))
        return read(path)

    return write_and_read


@pytest.mark.parametrize(
    ("first", "second", "freed"),
    [
        # as with spdlog, with fmt, and with the logger that RMM has now
        ("0x7f0000000100,1024,0x0", "0x7f0000000200,2048,0x2", "0x7f0000000100,1024,0x0"),
        ("7f0000000100,1024,0", "7f0000000200,2048,2", "7f0000000100,1024,0"),
        ("0x7f0000000100,1024,default", "0xFFFFFFFFFFFFFFFF,2048,per-thread", "0x7F0000000100,1024,default"),
    ],
)
@pytest.mark.parametrize("point", [".", ":"])
def test_each_form_of_the_columns_is_read(logged, first, second, freed, point):
    """Threads, times, sizes and pairs are those of the log."""
    trace = logged(
        f"41,10:00:00{point}000001,allocate,{first}\n"
        f"42,10:00:01{point}000000,allocate,{second}\n"
        f"42,10:00:01{point}500000,free,{freed}\n"
    )
    check(trace)
    assert trace.time.tolist() == [0, 999_999_000, 1_499_999_000]
    assert trace.kind.tolist() == [0, 0, 1]
    assert trace.size.tolist() == [1024, 2048, 1024]
    assert trace.id.tolist() == [0, 1, 0]
    assert [trace.threads[number] for number in trace.thread] == ["41", "42", "42"]
    assert (trace.stack == -1).all()
    assert (trace.timed, trace.unmatched, trace.lost) == (True, 0, 0)
    assert "RMM log" in trace.source


def test_requests_that_failed_are_left_out(logged):
    """They got no memory, whatever pointer is written for them."""
    trace = logged(
        "1,10:00:00.000000,allocate failure,(nil),999,0\n"
        "1,10:00:00.000000,allocate failure,0x0,999,0x0\n"
        "1,10:00:00.000000,allocate failure,0,999,0\n"
        "1,10:00:00.000000,allocate,0x10,1,0\n"
    )
    assert trace.size.tolist() == [1]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["23:59:59.000000", "00:00:01.000000"], [0, 2 * 10**9]),
        (["23:00:00.000000", "22:00:00.000000", "21:00:00.000000"], [0, 23 * 3600 * 10**9, 46 * 3600 * 10**9]),
        # threads may write their lines late, at midnight too
        (["10:00:01.000000", "10:00:00.500000", "10:00:02.000000"], [0, 0, 10**9]),
        (
            ["23:59:59.900000", "00:00:00.100000", "23:59:59.950000", "00:00:00.200000"],
            [0, 2 * 10**8, 2 * 10**8, 3 * 10**8],
        ),
        (["00:00:00.100000", "23:59:59.950000", "00:00:00.200000"], [0, 0, 10**8]),
        (["00:00:00.000000", "23:00:00.000000"], [0, 23 * 3600 * 10**9]),
    ],
)
def test_times_of_day_go_on_at_midnight(logged, times, expected):
    """Where a time goes back by more than a second, a day has passed."""
    lines = [f"1,{time},allocate,0x{at + 1},8,0\n" for at, time in enumerate(times)]
    assert logged("".join(lines)).time.tolist() == expected


@pytest.mark.parametrize("end", ["", "\r", "2,", "2,10:00:01.0", "2,10:00:01.000000,free,0x10,1"])
def test_a_last_line_that_was_cut_is_lost(logged, end):
    """A log ends anywhere if its program was killed: what came before the cut is read."""
    trace = logged("1,10:00:00.000000,allocate,0x10,1,0\n" + end)
    assert trace.size.tolist() == [1]
    assert trace.lost == (1 if end else 0)


def test_a_last_line_may_lack_its_end(logged):
    """If the size is whole, only the stream may be cut, which does not matter."""
    trace = logged("1,10:00:00.000000,allocate,0x10,1,0x7f")
    assert trace.size.tolist() == [1]
    assert trace.lost == 0


def test_lines_may_end_as_in_windows(logged):
    """A carriage return before the end of a line is no part of it."""
    trace = logged("1,10:00:00.000000,allocate,0x10,1,0\r\n1,10:00:00.000000,free,0x10,1,0\r\n", HEADER[:-1] + "\r\n")
    assert trace.kind.tolist() == [0, 1]


def test_an_empty_log_is_an_empty_trace(logged):
    """A header alone is a log of nothing."""
    assert len(logged("")) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,10:00:00.000000,allocate,0x10,1\n", "line 2: has .* not 6 columns"),
        ("1,10:00:00.000000,allocate,0x10,1,0,0\n", "line 2: has .* not 6 columns"),
        ("\n", "line 2: Thread cannot be ''"),
        ("1,10:00:00.000000,allocate,0x10,1,0\n\n", "line 3: Thread cannot be ''"),
        ("x,10:00:00.000000,allocate,0x10,1,0\n", "line 2: Thread cannot be 'x'"),
        ("1,24:00:00.000000,allocate,0x10,1,0\n", "line 2: Time cannot be '24:00:00.000000'"),
        ("1,10:00:00,allocate,0x10,1,0\n", "line 2: Time cannot be"),
        ("1,1634567890.123456,allocate,0x10,1,0\n", "line 2: Time cannot be"),
        ("1,10:00:00.000000,alloc,0x10,1,0\n", "line 2: Action cannot be 'alloc'"),
        ("1,10:00:00.000000,allocate,10g,1,0\n", "line 2: Pointer cannot be '10g'"),
        ("1,10:00:00.000000,allocate,0x10000000000000000,1,0\n", "line 2: Pointer cannot be"),
        ("1,10:00:00.000000,allocate,0x10,-1,0\n", "line 2: Size cannot be '-1'"),
        ("1,10:00:00.000000,allocate,0x10,9223372036854775808,0\n", "line 2: Size cannot be"),
        ("1,10:00:00.000000,allocate,0x10,,0\n", "line 2: Size cannot be ''"),
        ('1,10:00:00.000000,allocate,"0x10",1,0\n', "line 2: Pointer cannot be"),
        ("1,10:00:00.000000,allocate,0x10,1,\xff\n", "line 2: has .* not 6 columns"),
        ("1,10:00:00.000000,allocate,0x10,1\0,0\n", "line 2: Size cannot be"),
        ("1,10:00:00.000000,allocate\x1b[31m,0x10,1,0\n", r"line 2: Action cannot be 'allocate\\x1b\[31m'"),
    ],
)
def test_a_line_that_does_not_fit_is_named(logged, text, message):
    """The message has the number of the line and what it holds, escaped."""
    with pytest.raises(TraceInvalid, match=message):
        logged(text)


@pytest.mark.parametrize(
    "header", ["Thread,Time,Action,Pointer,Size\n", "Thread,Name\n", "Thread,", HEADER[:-1] + ",More\n"]
)
def test_another_table_is_refused(logged, header):
    """A file that only begins like a log is none."""
    with pytest.raises(TraceInvalid, match="line 1: a log of RMM begins with Thread,Time,Action,Pointer,Size,Stream"):
        logged("", header)


def many(lines):
    """Return many good lines: an allocation and its free, again and again."""
    return [
        f"1,10:00:00.{at // 2 % 10**6:06},{('allocate', 'free')[at % 2]},0x{at // 2:x},64,0\n" for at in range(lines)
    ]


def test_a_long_log_is_read_in_parts(logged):
    """Lines are numbered through all parts, and no line is cut by them."""
    lines = many(150_000)
    assert sum(map(len, lines)) > 1 << 22
    trace = logged("".join(lines))
    assert len(trace) == 150_000
    assert (trace.size == 64).all()
    assert trace.unmatched == 0
    lines[140_000] = "1,10:00:00.000000,allocate,nil,64,0\n"
    with pytest.raises(TraceInvalid, match="line 140,002: Pointer cannot be 'nil'"):
        logged("".join(lines))
    lines[140_000] = "1,10:00:00.000000,allocate\n"
    with pytest.raises(TraceInvalid, match="line 140,002: has"):
        logged("".join(lines))


def test_a_line_without_end_is_refused(logged):
    """A file without lines is not read to its end before that is noticed."""
    with pytest.raises(TraceInvalid, match="line 3: is too long"):
        logged("1,10:00:00.000000,allocate,0x10,1,0\n" + "1" * 10_000_000)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_logs_are_refused_or_read(logged, seed):
    """Whatever bytes are changed or cut, the log is refused, or what is read is a trace."""
    whole = "".join(many(20))
    chance = random.Random(seed)
    for _ in range(200):
        damaged = list(whole)
        for _ in range(chance.choice([1, 3])):
            damaged[chance.randrange(len(damaged))] = chr(chance.randrange(256))
        if chance.random() < 0.3:
            del damaged[chance.randrange(len(damaged)) :]
        text = "".join(damaged)
        try:
            check(logged(text))
        except TraceInvalid:
            pass
        except BaseException as error:
            raise AssertionError(text) from error
