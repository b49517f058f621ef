"""Pools larger than what there is: which limit was met, real cgroups; and a Ctrl-C while memory is reserved."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import blockpool as bp

MIB = 1 << 20
V1 = Path("/sys/fs/cgroup/memory")

# What the programs here begin with.
TRY = """
import os, sys
import blockpool as bp

def refused(call):
    try:
        call()
    except bp.PoolExhausted as error:
        return str(error)
    raise AssertionError("not refused")

def use(pool):
    view = pool.allocate().buf
    for at in range(0, len(view), 1 << 20):
        view[at : at + (1 << 20)] = bytes([at >> 20]) * (1 << 20)

NAME = f"test-{os.getpid()}-limits"
MAKE = {
    "unnamed": lambda size: bp.Pool.create(size, 1),
    "named": lambda size: bp.Pool.create(size, 1, name=NAME),
    "private": lambda size: bp.Pool(size, 1, prefault=True),
}
"""


@pytest.fixture
def run_in_v1_group():
    """Run code in a fresh interpreter that is in a cgroup of version 1, with a limit in MiB, or in one below it."""
    if os.geteuid() != 0 or not os.access(V1 / "memory.limit_in_bytes", os.W_OK):
        pytest.skip("to make a cgroup takes root, and version 1 with memory")
    group = V1 / f"blockpool-test-{os.getpid()}"
    below = group / "below"
    below.mkdir(parents=True)

    def run(code, mebibytes, directory=group):
        (group / "memory.limit_in_bytes").write_text(str(mebibytes * MIB))
        done = subprocess.run(
            [
                *("sh", "-c", f'echo $$ >{directory}/cgroup.procs && exec "$@"', "sh"),
                *(sys.executable, "-W", "error", "-c", TRY + textwrap.dedent(code)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    run.group, run.below = group, below
    yield run
    below.rmdir()
    group.rmdir()


def test_a_limit_of_version_1(run_in_v1_group):
    """More than the cgroup has left is refused, by an error that names the file of the limit; the rest is there."""
    run_in_v1_group(
        f"""
        for make in MAKE.values():
            message = refused(lambda: make("150MiB"))
            assert "in {run_in_v1_group.group}/memory.limit_in_bytes, leaves " in message, message
            assert "raise that limit" in message, message
        assert "allows " in refused(lambda: bp.Pool("1TiB", 1)), "not prefaulted"
        for make in MAKE.values():
            use(make("60MiB"))
        """,
        120,
    )


def test_a_limit_above_the_own_cgroup(run_in_v1_group):
    """A limit counts at whatever level above the process it is set."""
    run_in_v1_group(
        f"""
        message = refused(lambda: bp.Pool.create("150MiB", 1))
        assert "{run_in_v1_group.group}/memory.limit_in_bytes" in message, message
        """,
        120,
        run_in_v1_group.below,
    )


def test_files_that_were_read_take_no_room(run_in_v1_group, tmp_path):
    """A cgroup that is full of page cache has room for a pool, as the kernel drops the pages for it."""
    file = tmp_path / "file"
    file.write_bytes(bytes(100 * MIB))
    with file.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    run_in_v1_group(
        f"""
        with open({str(file)!r}, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
        for make in MAKE.values():
            use(make("60MiB"))
        """,
        120,
    )


def run_in_fake_v2(code, files):
    """Run code with files in the place of the directory of cgroups, as a container of version 2 sees it."""
    if os.geteuid() != 0:
        pytest.skip("to mount takes root")
    writes = "\n".join(f"printf '{text}' >/sys/fs/cgroup/{name}" for name, text in files.items())
    done = subprocess.run(
        [
            *(
                "unshare",
                "-m",
                "sh",
                "-c",
                f'mount -t tmpfs tmpfs /sys/fs/cgroup || exit 77\n{writes}\nexec "$@"',
            ),
            *("sh", sys.executable, "-W", "error", "-c", TRY + textwrap.dedent(code)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("mounting is not permitted here: " + done.stderr.strip())
    assert (done.returncode, done.stderr) == (0, ""), done


FULL = {
    "memory.max": "1073741824\\n",
    "memory.current": "1073733632\\n",
    "memory.stat": "anon 10485760\\nfile 1050000000\\ninactive_file %d\\nactive_file 50000000\\n",
}


def in_v2():
    """Whether this process is in the cgroup at the top of version 2."""
    return "0::/\n" in Path("/proc/self/cgroup").read_text()


@pytest.mark.skipif(not in_v2(), reason="this process is in no cgroup of version 2, or not at its top")
def test_a_limit_of_version_2():
    """What is used counts, and the message names the file of the limit, for pools with names, without, and private."""
    run_in_fake_v2(
        """
        for make in MAKE.values():
            message = refused(lambda: make("64MiB"))
            assert "in /sys/fs/cgroup/memory.max, leaves " in message, message
        assert "/sys/fs/cgroup/memory.max, allows 1073741824 bytes" in refused(lambda: bp.Pool("2GiB", 1))
        assert "/sys/fs/cgroup/memory.max" in refused(lambda: bp.IndexPool(10**11))
        """,
        FULL | {"memory.stat": FULL["memory.stat"] % 1000, "memory.swap.max": "0\\n"},
    )


@pytest.mark.skipif(not in_v2(), reason="this process is in no cgroup of version 2, or not at its top")
def test_page_cache_of_version_2_takes_no_room():
    """memory.current is at its limit, nearly all of it file pages: a pool of 64 MiB is no problem."""
    run_in_fake_v2(
        """
        for make in MAKE.values():
            make("64MiB")
        """,
        FULL | {"memory.stat": FULL["memory.stat"] % 1000000000},
    )


@pytest.mark.parametrize("name", [False, True])
def test_the_machine_is_the_limit(pool_name, name):
    """The message has what was asked for, the bookkeeping, and what the machine has."""
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
    """It is named for a pool with a name; one without needs no room there."""
    run_in_small_shm(
        """
        import blockpool as bp
        for blocks in (4, 5):  # by the bookkeeping alone, too
            try:
                bp.Pool.create("1MiB", blocks, name="large")
            except bp.PoolExhausted as error:
                assert "/dev/shm has 4194304 bytes left" in str(error), error
                assert "without a name" in str(error), error
        bp.Pool.create("1MiB", 5).allocate(blocks=5).buf[-1] = 1
        """,
        4,
    )


@pytest.mark.parametrize("kind", ["named", "unnamed", "prefault", "private"])
def test_a_signal_while_memory_is_reserved(pool_name, file_of, kind):
    """A handler runs before all is reserved; if it raises, as at Ctrl-C, the call ends, and nothing is left behind."""

    def make():
        if kind == "private":
            return bp.Pool("512MiB", 1, prefault=True)
        return bp.Pool.create("512MiB", 1, name=pool_name if kind == "named" else None, prefault=kind == "prefault")

    seen = []
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(0))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        pool = make()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert len(seen) > 2  # between the pieces, not only at the end
        pool.close()
        del pool

        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        with pytest.raises(KeyboardInterrupt):
            make()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not file_of(pool_name).exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
