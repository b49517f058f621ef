"""Pools larger than what there is: which limit the error names; and a Ctrl-C while memory is reserved."""

import os
import re
import signal
from pathlib import Path

import pytest

import blockpool as bp
from descriptors import open_files
from programs import interpreter, run_mounted, run_quietly

LIMITS = "private/limits.py"
MIB = 1 << 20
V1 = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def v1_group():
    """Make a cgroup of version 1 whose limit is 120 MiB, and one below it; return the path of the upper one."""
    if os.geteuid() != 0 or not os.access(V1 / "memory.limit_in_bytes", os.W_OK):
        pytest.skip("to make a cgroup takes root, and version 1 with memory")
    group = V1 / f"blockpool-test-{os.getpid()}"
    below = group / "below"
    below.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(str(120 * MIB))
    yield group
    below.rmdir()
    group.rmdir()


def run_in_v1(group, *arguments):
    """Run a function of the program in a cgroup of version 1."""
    enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    run_quietly(["sh", "-c", enter, "sh", *interpreter(LIMITS, *arguments)])


def test_a_limit_of_version_1(v1_group):
    """A pool larger than what its cgroup has left is refused by an error that names the file of the limit."""
    run_in_v1(v1_group, "version_1", v1_group)


def test_a_limit_above_the_own_cgroup(v1_group):
    """A limit counts at whatever level above the process it is set."""
    run_in_v1(v1_group / "below", "version_1_above", v1_group)


def test_files_that_were_read_take_no_room(v1_group, tmp_path):
    """A cgroup that is full of page cache has room for a pool, as the kernel drops the pages for it."""
    file = tmp_path / "file"
    file.write_bytes(bytes(100 * MIB))
    with file.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    run_in_v1(v1_group, "page_cache", file)


def run_in_fake_v2(files, function):
    """Run a function of the program with files in the place of /sys/fs/cgroup, as a container of version 2 sees it."""
    writes = [f"printf '{text}' >/sys/fs/cgroup/{name}" for name, text in files.items()]
    mounts = " && ".join(["mount -t tmpfs tmpfs /sys/fs/cgroup", *writes])
    run_mounted(mounts, interpreter(LIMITS, function))


FULL = {
    "memory.max": "1073741824\\n",
    "memory.current": "1073733632\\n",
    "memory.stat": "anon 10485760\\nfile 1050000000\\ninactive_file %d\\nactive_file 50000000\\n",
}


def in_v2():
    """Return whether this process is in the top cgroup of version 2."""
    return "0::/\n" in Path("/proc/self/cgroup").read_text()


@pytest.mark.skipif(not in_v2(), reason="this process is in no cgroup of version 2, or not at its top")
def test_a_limit_of_version_2():
    """The error for a pool over a limit of version 2 names its file, for named, unnamed and private pools."""
    files = FULL | {"memory.stat": FULL["memory.stat"] % 1000, "memory.swap.max": "0\\n"}
    run_in_fake_v2(files, "version_2")


@pytest.mark.skipif(not in_v2(), reason="this process is in no cgroup of version 2, or not at its top")
def test_page_cache_of_version_2_takes_no_room():
    """A cgroup of version 2 that is at its limit, nearly all of it file pages, has room for a pool."""
    run_in_fake_v2(FULL | {"memory.stat": FULL["memory.stat"] % 1000000000}, "version_2_page_cache")


@pytest.mark.parametrize("name", [False, True])
def test_the_machine_is_the_limit(pool_name, name):
    """The error for a pool larger than the machine says what was asked for, with bookkeeping, and what there is."""
    with pytest.raises(bp.PoolExhausted) as caught:
        bp.Pool.create("1TiB", 8, name=pool_name if name else None)
    told = re.search(
        r"asked for (\d+) bytes .* \(8 blocks of (\d+)\) and (\d+) of bookkeeping",
        str(caught.value),
    )
    assert told, caught.value
    assert (int(told[1]), int(told[2])) == (8 << 40, 1 << 40)
    assert int(told[3]) > 8 * 25
    assert re.search(r"(this machine has|/dev/shm has|leaves) \d+ bytes", str(caught.value)), caught.value


def test_a_full_directory_of_shared_memory(run_in_small_shm):
    """The error for a named pool says how much /dev/shm has left; an unnamed one needs no room there."""
    run_in_small_shm("private/limits.py", 4, "small_directory")


@pytest.mark.parametrize("kind", ["named", "unnamed", "prefault", "private"])
def test_a_signal_while_memory_is_reserved(pool_name, file_of, kind):
    """Signal handlers run while memory is reserved; if one raises, as at Ctrl-C, nothing is left behind."""

    def make():
        if kind == "private":
            return bp.Pool("512MiB", 1, prefault=True)
        return bp.Pool.create("512MiB", 1, name=pool_name if kind == "named" else None, prefault=kind == "prefault")

    def interrupted():
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        make()

    seen = []
    descriptors = open_files()
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(0))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        pool = make()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert len(seen) > 2  # between the pieces, not only at the end
        pool.close()
        del pool

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not file_of(pool_name).exists()
    assert open_files() == descriptors
