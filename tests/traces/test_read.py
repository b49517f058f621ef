"""Any path may be given to `read`: what is no trace is refused before much of it is read."""

import os

import pytest

from blockpool import TraceInvalid
from blockpool.traces import read, write
from traces_made import assert_same, small


def test_the_content_says_what_a_file_is(tmp_path):
    """The name of the file, and whether it is a text or bytes, do not matter."""
    path = tmp_path / "trace.csv"
    write(small(), path)
    for given in (path, str(path), os.fsencode(path)):
        assert_same(read(given), small())


def test_a_link_leads_to_the_file(tmp_path):
    """A symbolic link is followed."""
    write(small(), tmp_path / "trace")
    (tmp_path / "link").symlink_to("trace")
    assert_same(read(tmp_path / "link"), small())


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused(path):
    """It is refused without being read: /dev/zero has no end."""
    with pytest.raises(TraceInvalid, match="is a device, pipe or socket, not a file"):
        read(path)


def test_a_pipe_is_refused(tmp_path):
    """It is refused without being opened, which would wait for a writer."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceInvalid, match="is a device, pipe or socket"):
        read(tmp_path / "pipe")


def test_a_folder_is_refused(tmp_path):
    """The message says that it is one."""
    with pytest.raises(TraceInvalid, match="is a folder, not a file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\0", "is not a trace: neither"),
        (b"hello\n", "is not a trace: neither a Parquet file of blockpool, nor a capture of memray, nor a CSV log"),
        (b"\0" * 10_000, "is not a trace"),
        (b"PAR", "is not a trace"),
        (b"PAR1", "has no end"),
        (b"PAR1PAR1", "is damaged"),
        (b"PAR1\xff\xff\xff\xffPAR1", "is damaged"),
        (b"PAR1" + b"\0" * 100 + b"\x64\0\0\0PAR1", "is damaged"),
        (b"PK\3\4", "is not a trace"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    """The message has the file's name."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(TraceInvalid, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_what_is_not_there_is_the_systems_error(tmp_path):
    """A missing file is no bad trace."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_what_may_not_be_read_is_the_systems_error(tmp_path):
    """Nor is a file of somebody else."""
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(PermissionError):
        read(tmp_path / "file")


@pytest.mark.parametrize("path", [None, 3.5, object()])
def test_something_else_is_no_path(path):
    """The error is that of Python's own functions."""
    with pytest.raises(TypeError):
        read(path)
