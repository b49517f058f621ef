"""Shared pools that cannot be created or attached.

Wrong names, files and sizes, other users, no room, no slot, a gate that stays shut.
"""

import os
import random
import re
import signal
import subprocess
import time

import pytest

import blockpool as bp
from programs import environment, interpreter
from segment_parts import LANES
from waits import await_true, seconds_of

# --- names and sizes ---

BAD_NAMES = [
    "",
    "a/b",
    "../a",
    "/a",
    "a\0b",
    "a" * 181,
    "a" * 300,
    "ü",
    "a b",
    "a\n",
    "*",
    "\uff41",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_pool_can_have(name):
    """Pool.create and attach refuse an impossible name with a ValueError that says what a name is."""
    with pytest.raises(ValueError, match="1 to 180 letters"):
        bp.Pool.create(64, 8, name=name)
    with pytest.raises(ValueError, match="1 to 180 letters"):
        bp.Pool.attach(name)


@pytest.mark.parametrize("name", [5, b"name", True, ["a"], 1.5])
def test_names_of_the_wrong_kind(name):
    """Pool.create and attach refuse a name that is not a str with a TypeError."""
    with pytest.raises(TypeError, match="name must be a str"):
        bp.Pool.create(64, 8, name=name)
    with pytest.raises(TypeError, match="name must be a str"):
        bp.Pool.attach(name)


def test_names_at_the_limit(pool_name, file_of):
    """A name of 180 characters is allowed, and so are dots in it: its file stays in the directory of pools."""
    for name in (pool_name + "x" * (180 - len(pool_name)), f"..{pool_name}", f".{pool_name}.."):
        with bp.Pool.create(64, 8, name=name):
            assert file_of(name).exists()
            assert bp.Pool.attach(name).name == name
        assert not file_of(name).exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 8), ValueError),
        ((-8, 8), ValueError),
        ((12, 8), ValueError),
        (("4 parsecs", 8), ValueError),
        ((3.5, 8), TypeError),
        ((None, 8), TypeError),
        ((64, 0), ValueError),
        ((64, -1), ValueError),
        ((64, 1.0), TypeError),
        ((64, "8"), TypeError),
        ((64, 2**24 + 1), ValueError),
        ((64, 10**30), ValueError),
        ((2**40, 2**20), bp.PoolExhausted),
        ((10**30 * 8, 1), (ValueError, bp.PoolExhausted)),
    ],
)
def test_sizes(pool_name, file_of, arguments, error):
    """Pool.create refuses impossible sizes with the errors that a private pool has, and leaves no file."""
    for name in (pool_name, None):
        with pytest.raises(error):
            bp.Pool.create(*arguments, name=name)
    assert not file_of(pool_name).exists()


@pytest.mark.parametrize("on_fork", ["", "Share", 1, ["share"]])
def test_on_fork(pool_name, file_of, on_fork):
    """Pool.create and attach refuse an on_fork other than 'share' and 'detach' with a ValueError that names these."""
    with pytest.raises(ValueError, match="'share' or 'detach'"):
        bp.Pool.create(64, 8, name=pool_name, on_fork=on_fork)
    with pytest.raises(ValueError, match="'share' or 'detach'"):
        bp.Pool.attach(pool_name, on_fork=on_fork)
    assert not file_of(pool_name).exists()


# --- room ---


@pytest.mark.parametrize("named", [True, False])
def test_a_pool_larger_than_memory(pool_name, file_of, named):
    """A pool larger than memory is refused at create; the error says how many bytes were asked for and are free."""
    with pytest.raises(bp.PoolExhausted, match=r"asked for 17592186044416 bytes.*[0-9]+ bytes") as caught:
        bp.Pool.create("1GiB", 2**14, name=pool_name if named else None)
    assert isinstance(caught.value, MemoryError)
    assert not file_of(pool_name).exists()


def test_a_small_directory_of_shared_memory(run_in_small_shm):
    """In 16 MiB of /dev/shm a larger pool is refused; a pool that was created never fails at a write (no SIGBUS)."""
    assert run_in_small_shm("shared/small_shm.py", 16, "fill") == "well\n"


# --- files ---


@pytest.fixture
def made_file(pool_name, file_of):
    """Make a permanent pool with one ticket in it, leave it, and return its name and file."""
    pool = bp.Pool.create(4096, 16, name=pool_name, permanent=True)
    pool.allocate(blocks=3).share()
    pool.close()
    return pool_name, file_of(pool_name)


def assert_refused(name, error, match):
    """Assert that attaching fails with this error, and that creating a pool of that name is refused."""
    with pytest.raises(error, match=match):
        bp.Pool.attach(name)
    with pytest.raises(bp.PoolExists):
        bp.Pool.create(4096, 16, name=name)
    with pytest.raises(error, match=match):
        bp.Pool.create(4096, 16, name=name, exist_ok=True)
    bp.sweep()


def test_nothing_there(pool_name):
    """Attaching a name that no pool has is PoolNotFound, which is a FileNotFoundError."""
    with pytest.raises(bp.PoolNotFound, match=pool_name) as caught:
        bp.Pool.attach(pool_name)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("contents", [b"", b"hello", b"x" * 104, b"{}" * 50_000, bytes(100_000)])
def test_a_file_that_is_no_pool(pool_name, file_of, contents):
    """Attaching a file that is not a pool raises PoolCorrupt and leaves the file as it was."""
    file_of(pool_name).write_bytes(contents)
    assert_refused(pool_name, bp.PoolCorrupt, "is not a pool")
    assert file_of(pool_name).read_bytes() == contents


def test_a_directory(pool_name, file_of):
    """Attaching a directory raises PoolCorrupt and says that it is not a pool."""
    file_of(pool_name).mkdir()
    try:
        assert_refused(pool_name, bp.PoolCorrupt, "is not a pool")
    finally:
        file_of(pool_name).rmdir()


def test_a_fifo(pool_name, file_of):
    """Attaching a FIFO raises PoolCorrupt at once, without waiting for its other end."""
    os.mkfifo(file_of(pool_name))
    assert_refused(pool_name, bp.PoolCorrupt, "is not a pool")


def test_a_symbolic_link(pool_name, file_of, shared):
    """Attaching a symbolic link raises PoolCorrupt, even if the link leads to a pool."""
    file_of(pool_name + "-link").symlink_to(file_of(shared.name))
    try:
        assert_refused(pool_name + "-link", bp.PoolCorrupt, "is not a pool")
    finally:
        file_of(pool_name + "-link").unlink()


def checksum(header):
    """Return the checksum that ends a header: FNV-1a of the bytes before."""
    value = 0xCBF29CE484222325
    for byte in header:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value.to_bytes(8, "little")


FIELDS = {
    "processes": (14, (257).to_bytes(2, "little")),
    "processes 0": (14, bytes(2)),
    "processes huge": (14, (4097).to_bytes(2, "little")),
    "version 0": (8, b"\0\0\0\0"),
    "block size": (16, (8192).to_bytes(8, "little")),
    "block size 0": (16, bytes(8)),
    "block size 12": (16, (12).to_bytes(8, "little")),
    "block size huge": (16, b"\xff" * 8),
    "blocks": (24, (17).to_bytes(8, "little")),
    "blocks 0": (24, bytes(8)),
    "blocks huge": (24, b"\xff" * 8),
    "product wraps": (16, (1 << 63).to_bytes(8, "little") + (2).to_bytes(8, "little")),
    "slots": (32, bytes(8)),
    "catalog": (40, b"\xff" * 8),
    "bitmap": (48, (1).to_bytes(8, "little")),
    "entries": (56, b"\xf0" + b"\xff" * 7),
    "data": (64, (4096).to_bytes(8, "little")),
    "bytes": (72, (1 << 20).to_bytes(8, "little")),
}


@pytest.mark.parametrize("summed", [False, True], ids=["", "checksum right"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_damaged_header(made_file, field, summed):
    """A wrong number in the header of a pool's file is found, even if the header's checksum is right."""
    name, file = made_file
    at, value = FIELDS[field]
    contents = bytearray(file.read_bytes())
    contents[at : at + len(value)] = value
    if summed:
        contents[96:104] = checksum(contents[:96])
    with file.open("r+b") as opened:
        opened.write(contents)
    assert_refused(name, bp.PoolCorrupt, "damaged")
    assert file.read_bytes() == contents


@pytest.mark.parametrize("at", [*range(0, 104, 5), 12, 80, 96])
def test_a_bit_of_the_header(made_file, at):
    """A single wrong bit anywhere in the header of a pool's file is found."""
    name, file = made_file
    contents = bytearray(file.read_bytes())
    contents[at] ^= 1 << at % 7
    with file.open("r+b") as opened:
        opened.write(contents)
    assert_refused(name, (bp.PoolCorrupt, bp.PoolVersion), "damaged|not a pool|another release")


def test_another_version(made_file):
    """A pool of another layout is PoolVersion, whatever else its header says, and the message says how to remove it."""
    name, file = made_file
    with file.open("r+b") as opened:
        os.pwrite(opened.fileno(), (1000).to_bytes(4, "little") + os.urandom(92), 8)
    assert_refused(name, bp.PoolVersion, r"another release .*\(layout 1000\); this is .*\(layout [0-9]+\)")
    with pytest.raises(bp.PoolVersion, match=re.escape(f"blockpool.unlink({name!r})")):
        bp.Pool.attach(name)
    bp.unlink(name)
    bp.Pool.create(64, 8, name=name).close()


@pytest.mark.parametrize(
    ("made_by", "told"),
    [
        (b"12.3.4rc1", "blockpool, 12.3.4rc1 "),
        (b"", "newer release"),
        (b"\x1b[2J", "newer release"),
        (b"\xff" * 24, "blockpool, "),
        (b"x" * 24, "x" * 23 + " "),
    ],
)
def test_the_release_that_made_a_pool(made_file, made_by, told):
    """A pool's file says which release made it; the error about another layout repeats that if it is readable."""
    name, file = made_file
    contents = file.read_bytes()
    assert contents[104:128].rstrip(b"\0").decode() == bp.__version__
    with file.open("r+b") as opened:
        os.pwrite(opened.fileno(), (1000).to_bytes(4, "little"), 8)
        os.pwrite(opened.fileno(), made_by.ljust(24, b"\0"), 104)
    with pytest.raises(bp.PoolVersion, match=re.escape(told)) as caught:
        bp.Pool.attach(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("change", [-1, +1, -4096, +4096, "104", "4096", "half"])
def test_a_file_of_another_size(made_file, change):
    """A file that is shorter or longer than its header says is PoolCorrupt, and never mapped."""
    name, file = made_file
    size = file.stat().st_size
    os.truncate(file, {"104": 104, "4096": 4096, "half": size // 2}.get(change) or size + change)
    assert_refused(name, bp.PoolCorrupt, "damaged.*size")


def test_garbage_behind_the_header(made_file, peers):
    """Random bytes in slots, ledger, records and bitmap give typed errors or work: never a signal, never a hang."""
    name, file = made_file
    right = file.read_bytes()[: -LANES - 16 * 4096]
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chosen = random.Random(seed)
    peer = peers()
    for density in (1, 0.3, 0.03, 0.003) * 4:
        contents = bytearray(right)
        for at in range(128, len(right)):
            if chosen.random() < density:
                contents[at] = chosen.choice([0, 1, 0xFF, 0x60, 0x20, chosen.randrange(256)])
        with file.open("r+b") as opened:
            opened.write(contents)
        peer(f"from shared.peer_work import use_garbage; use_garbage({name!r})")
        if not file.exists():
            file.touch(0o600)
    assert peer("1") == 1


def test_another_users_pool(shared, file_of, unchanged):
    """Creating over a pool whose file belongs to another user is PoolForbidden, even for root."""
    if os.geteuid() != 0:
        pytest.skip("to give a file away takes root")
    with unchanged(shared):
        os.chown(file_of(shared.name), 12345, 12345)
        with pytest.raises(bp.PoolForbidden):
            bp.Pool.create(4096, 16, name=shared.name)
        with pytest.raises((bp.PoolForbidden, bp.PoolExists)):
            bp.Pool.create(8, 1, name=shared.name, exist_ok=True)
        os.chown(file_of(shared.name), os.geteuid(), os.getegid())


def test_another_users_pool_from_elsewhere(shared, file_of, peer):
    """A process that is not attached gets PoolForbidden for another user's pool, as root and without permission."""
    if os.geteuid() != 0:
        pytest.skip("to give a file away takes root")
    os.chown(file_of(shared.name), 12345, 12345)
    with pytest.raises(bp.PoolForbidden, match="another user") as caught:
        peer(f"bp.Pool.attach({shared.name!r})")
    assert isinstance(caught.value, PermissionError)
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.Pool.create(4096, 16, name={shared.name!r}, exist_ok=True)")
    os.chown(file_of(shared.name), 0, 0)
    peer("os.setgroups([]); os.setgid(65534); os.setuid(65534)")
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.Pool.attach({shared.name!r})")
    assert peer("bp.sweep()") == 0
    ticket = str(shared.allocate().share())
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.redeem({ticket!r})")
    unnamed = bp.Pool.create(64, 8)
    with pytest.raises(bp.PoolNotFound):
        peer(f"bp.redeem({str(unnamed.allocate().share())!r})")


def test_a_user_without_privileges(peer, pool_name, file_of):
    """A user without privileges can create, attach, check and close shared pools."""
    if os.geteuid() != 0:
        pytest.skip("the other tests run without privileges already")
    peer(
        "bp.PoolStats; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    )  # what is imported later may be out of reach
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r}); block = pool.allocate(); pool.check()")
    peer("unnamed = bp.Pool.create(64, 8); unnamed.allocate().share(); unnamed.check()")
    assert peer(f"bp.Pool.attach({pool_name!r}).stats().allocated") == 1
    peer("block.free(); pool.close(); del block, pool; gc.collect()")
    assert not file_of(pool_name).exists()


# --- slots and the gate ---


@pytest.mark.parametrize("processes", ["3", "66"])
def test_too_many_processes(run_program, pool_name, processes):
    """A process too many gets TooManyProcesses by attach, redeem and fork; the others go on.

    When one of them leaves, the next process gets in.
    """
    run_program("shared/fill_the_slots.py", pool_name, processes)


def test_the_257th_process(run_program, pool_name):
    """A pool for which create was not told how many processes it is for has room for 256; the next is refused."""
    run_program("shared/fill_the_slots.py", pool_name)


def test_a_gate_that_stays_shut(shared, peers, file_of):
    """A process that needs a gate held by a stopped process gives up after 5 s and names that process.

    Allocating and forking go on meanwhile, and all is well afterwards.
    """
    attached, outsider, maker, leaver, forker = (peers() for _ in range(5))
    for each in (attached, leaver, forker):
        each(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    holder = subprocess.Popen(
        interpreter("shared/hold_the_gate.py", file_of(shared.name)),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        attached.start("pool.check()")
        outsider.start(f"bp.Pool.attach({shared.name!r})")
        maker.start(f"bp.Pool.create(4096, 16, name={shared.name!r}, exist_ok=True)")
        leaver.start("del kept; pool.close(); del pool; gc.collect()")
        forker.start("""
            child = os.fork()
            if child == 0:
                os._exit(5 if pool.allocate() else 6)
            os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), kept.index, pool.allocate().index >= 0
        """)
        blocks = []

        def allocate():
            blocks.clear()
            blocks.extend(shared.allocate_many(10))  # the others, and a child, have five or six
            with pytest.raises(bp.PoolExhausted):
                shared.allocate(blocks=15)

        await_true(lambda: seconds_of(allocate) < 4)  # what needs the gate takes five seconds
        for each in (attached, outsider, maker):
            with pytest.raises(bp.PoolBusy, match=f"process {holder.pid} has kept") as caught:
                each.answer()
            assert isinstance(caught.value, TimeoutError)
        assert time.monotonic() - began >= 5
        leaver.answer()
        assert forker.answer()[0] == 5
        blocks.clear()
    finally:
        holder.kill()
        holder.communicate()
    assert outsider(f"pool = bp.Pool.attach({shared.name!r}); pool.stats().processes") in {4, 5}
    assert shared.recover().processes in {0, 1}
    assert shared.stats().processes == 4
    assert attached("pool.check().allocated") == 2
