"""What the doctor reads of the machine: control groups of both versions, /dev/shm, limits, states of processes."""

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from blockpool.doctor import machine
from blockpool.doctor.machine import ControlGroup, descriptors, look_at_machine, state_of
from waits import await_true


def group(folder, limit, used, stat="", *, version=2):
    """Make the files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(stat)


def test_nested_groups(tmp_path):
    """The group and all above it count if they have a limit; the file cache, which the kernel drops, does not."""
    inner = tmp_path / "user/service"
    group(inner, 1000, 900, "anon 100\ninactive_file 250\n")
    group(tmp_path / "user", "max", 5000)
    group(tmp_path, 8000, 6000)
    assert machine._nested(tmp_path, "/user/service") == [
        ControlGroup(path=str(inner), limit=1000, used=650),
        ControlGroup(path=str(tmp_path), limit=8000, used=6000),
    ]


def test_groups_of_version_1(tmp_path):
    """Version 1 has other files, and a huge number for no limit."""
    group(tmp_path, 9223372036854771712, 6000, version=1)
    group(tmp_path / "a", 1000, 900, "inactive_file 5\ntotal_inactive_file 100\n", version=1)
    assert machine._nested(tmp_path, "/a") == [ControlGroup(path=str(tmp_path / "a"), limit=1000, used=800)]


def test_the_group_of_a_container(tmp_path):
    """In a container, the mount may be the group itself, whatever the path says."""
    group(tmp_path, 1000, 900)
    for path in ("/docker/0a0a", "/../elsewhere", "/"):
        assert machine._nested(tmp_path, path) == [ControlGroup(path=str(tmp_path), limit=1000, used=900)]


def test_both_versions_are_found(tmp_path, monkeypatch):
    """A process may be in groups of both versions, and in several controllers at once."""
    for name in ("one", "two"):
        group(tmp_path / name / "g", 1000, 10, version=1 if name == "one" else 2)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(
        f"30 23 0:1 / {tmp_path}/one rw - cgroup cgroup rw,memory,cpu\n"
        f"31 23 0:2 / {tmp_path}/two rw shared:1 - cgroup2 cgroup2 rw\n"
        "32 23 0:3 / /x rw - cgroup cgroup rw,pids\nnonsense\n"
    )
    (tmp_path / "self/cgroup").write_text("4:cpu,memory:/g\n3:pids:/g\n0::/g\nnonsense\n")
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert [one.path for one in machine._groups()] == [f"{tmp_path}/one/g", f"{tmp_path}/two/g"]


def test_this_machine():
    """The numbers of this machine are those of the kernel."""
    found = look_at_machine()
    assert found.shm is not None
    assert 0 <= found.shm.free <= found.shm.total
    assert found.shm.kind == "tmpfs"
    assert "rw" in found.shm.options
    assert 0 < found.available <= found.memory * 2
    assert found.files_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 3 <= found.files <= found.files_limit
    assert found.address_space > 1 << 20


def test_without_proc(tmp_path, monkeypatch):
    """What cannot be read is not known, and no error."""
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.setattr(machine, "SHM", tmp_path / "none")
    found = look_at_machine()
    assert (found.shm, found.memory, found.available, found.groups, found.files) == (None, None, None, (), None)
    assert state_of(os.getpid(), None) is None


def test_states_of_processes():
    """A process is stopped or not; one that started at another time is not taken for it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        await_true(lambda: state_of(child.pid, None) == "S")
        began = time.time()  # some moments after the start, so allow for a slow machine
        assert "S" in {state_of(child.pid, began - ago) for ago in range(60)}
        assert state_of(child.pid, 5.0) is None
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        assert state_of(child.pid, None) == "T"
        assert descriptors(child.pid)[0] >= 3
        child.send_signal(signal.SIGCONT)
        child.communicate(b"\n")
    assert state_of(child.pid, None) is None
    assert descriptors(child.pid) is None


@pytest.mark.parametrize("text", ["", "5", "5 (a", "5 (a)", "5 (a) b) T 1 2 3", "5 (a) b) T" + " 1" * 30])
def test_odd_files_of_processes(tmp_path, monkeypatch, text):
    """A file of the kernel that is cut off, as its process ends, is no error; a name may hold brackets."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5/stat").write_text(text)
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert state_of(5, None) == ("T" if len(text) > 30 else None)
