"""The `demo` command with processes: its verdict while workers are killed, and what it says when something is wrong."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from blockpool.cli import comparison, hashing, main, processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockpool import Block

BLOCK = 512
SIZES = {
    "0": 0,
    "1": 1,
    "less": BLOCK - 1,
    "one": BLOCK,
    "more": BLOCK + 1,
    "two": 2 * BLOCK,
    "many": 100 * BLOCK + 7,
}
FILES = 4 * len(SIZES)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all the sizes at which something could go wrong, in four directories."""
    root = tmp_path / "tree"
    for folder in "abcd":
        (root / folder).mkdir(parents=True)
        for name, size in SIZES.items():
            (root / folder / name).write_bytes(os.urandom(size))
    return root


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Any:
    """Whatever happens, a demo leaves no worker behind."""
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture
def once(tmp_path: Path) -> Callable[[], bool]:
    """Return a function that is true once, in whatever process."""
    flag = tmp_path / "happened"

    def first() -> bool:
        try:
            flag.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    return first


def demo(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command with forked workers, which have what the test patched; return status, stdout and stderr."""
    options = [f"--block-size={BLOCK}", "--start-method=fork", *map(str, arguments)]
    status = main(["demo", *options])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def demo_data(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the command with --json; return the exit status and the object."""
    status, out, _ = demo(capsys, "--json", *arguments)
    data = json.loads(out)
    assert data["ok"] is (status == 0)
    return status, data


def patch_hashing(monkeypatch: pytest.MonkeyPatch, act: Callable[[Block], object]) -> None:
    """Have workers do something to each block before they hash it."""
    original = hashing.hash_run

    def first_act(digest: Any, block: Block) -> None:
        act(block)
        original(digest, block)

    monkeypatch.setattr(hashing, "hash_run", first_act)


def assert_nothing_is_missing(data: dict[str, Any]) -> None:
    """All digests agree, and the pool is as empty as at the beginning."""
    assert data["faults"] == []
    assert data["agreed"] == FILES
    stats = data["pool"]["stats"]
    assert stats["allocated"] == stats["tickets"] == 0
    assert stats["allocations"] == stats["frees"]
    assert stats["processes"] == 1
    assert data["pool"]["rate"]["nbytes"] == data["plain"]["nbytes"] == 4 * sum(SIZES.values())


@pytest.mark.parametrize("blocks", [1, 3, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_digests_agree_and_every_block_comes_back(
    tree: Path, capsys: pytest.CaptureFixture[str], blocks: int, workers: int
) -> None:
    """All files are hashed right, whatever their size, also through a single block; nothing stays allocated."""
    status, data = demo_data(capsys, tree, f"--blocks={blocks}", f"--workers={workers}")
    assert status == 0, data["faults"]
    assert_nothing_is_missing(data)
    assert data["skipped"] == []
    assert data["pool"]["stats"]["peak"] <= blocks
    assert data["pool"]["workers"] == {
        "started": workers,
        "killed": 0,
        "again": 0,
        "again_bytes": 0,
    }


@pytest.mark.parametrize("blocks", [1, 5, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_killed_workers_are_replaced_and_nothing_is_missing(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    workers: int,
) -> None:
    """Several workers are killed while they work: digests agree, no block and no ticket is left."""
    monkeypatch.setattr(processes, "KILLS", 1000)
    patch_hashing(monkeypatch, lambda _: time.sleep(0.0005))
    status, data = demo_data(capsys, tree, "--kill", f"--blocks={blocks}", f"--workers={workers}")
    assert status == 0, data["faults"]
    assert_nothing_is_missing(data)
    died = data["pool"]["workers"]
    assert died["killed"] >= 3
    assert workers <= died["started"] <= workers + died["killed"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_workers(tree: Path, method: str) -> None:
    """Workers that share nothing with the reader but the connection do the same, also when they are killed."""
    result = run(str(tree), "--kill", "--json", f"--start-method={method}", "--block-size=512")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert_nothing_is_missing(json.loads(result.stdout))


def test_the_report_says_the_same_in_words(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --json: who does what, and how many were killed; nothing on stderr."""
    monkeypatch.setattr(processes, "KILLS", 1000)
    status, out, err = demo(capsys, tree, "--kill", "--workers=3")
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    for expected in [
        "this process reads them into a shared pool of 64 blocks of 512 B",
        "3 worker processes hash the blocks in place, and are killed at random while they do",
        "28 digests agree with hashlib, 0 differ",
        "every block came back",
        "worker processes started",
        "of them killed",
        "done again",
    ]:
        assert expected in words
    _, out, _ = demo(capsys, tree)
    assert "2 worker processes hashed the blocks where they are" in out


def test_a_long_file_is_read_anew(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    once: Callable[[], bool],
) -> None:
    """A worker dies when most of a file is hashed, and with it the digest: the file is begun again."""
    monkeypatch.setattr(processes, "KILLS", 0)
    seen = []

    def die(block: Block) -> None:
        seen.append(block.nbytes)
        if len(seen) == 80 and once():
            os.kill(os.getpid(), signal.SIGKILL)

    patch_hashing(monkeypatch, die)
    status, data = demo_data(capsys, tree / "a" / "many", "--kill", "--blocks=4")
    assert status == 0, data["faults"]
    assert data["agreed"] == 1
    assert data["pool"]["workers"]["started"] == 3
    assert data["pool"]["workers"]["again"] == 1
    assert data["pool"]["workers"]["again_bytes"] >= 70 * BLOCK
    assert data["pool"]["stats"]["allocations"] >= 170


def test_a_short_file_is_not_read_again(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    once: Callable[[], bool],
) -> None:
    """A worker dies over a file that is still in the pool: the next one gets the same blocks."""
    monkeypatch.setattr(processes, "KILLS", 0)

    def die(block: Block) -> None:
        if block.nbytes == SIZES["less"] and once():
            os.kill(os.getpid(), signal.SIGKILL)

    patch_hashing(monkeypatch, die)
    status, data = demo_data(
        capsys, tree / "a" / "less", tree / "a" / "two", "--kill", "--workers=1"
    )
    assert status == 0, data["faults"]
    assert data["agreed"] == 2
    assert data["pool"]["workers"]["again"] in {1, 2}  # the other one may have been sent already
    assert data["pool"]["stats"]["allocations"] == 3


def test_a_worker_that_dies_by_itself_is_a_fault(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    once: Callable[[], bool],
) -> None:
    """Without --kill nobody should die: the work is done all the same, and the exit status is 1."""
    patch_hashing(monkeypatch, lambda _: os._exit(3) if once() else None)
    status, data = demo_data(capsys, tree)
    assert status == 1
    assert data["faults"] == ["a worker ended by itself, with status 3"]
    assert data["agreed"] == FILES
    assert data["pool"]["stats"]["allocated"] == 0


def test_corruption_is_found_and_named(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of one block flips before it is hashed: exit status 1, and the file is named."""

    def flip(block: Block) -> None:
        if block.nbytes == SIZES["less"]:
            block.buf[17] ^= 1

    patch_hashing(monkeypatch, flip)
    status, out, err = demo(capsys, tree)
    assert status == 1
    assert "24 digests agree with hashlib, 4 differ" in out
    assert f"{tree}/a/less: " in out
    assert "has another digest" in err


def test_a_kept_view_is_a_fault(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that keeps a view of a block: freeing it is refused, and that is reported."""
    kept: list[memoryview] = []
    patch_hashing(monkeypatch, lambda block: kept or kept.append(block.buf))
    status, data = demo_data(capsys, tree, "--blocks=8", "--workers=1")
    assert status == 1
    assert "is still used by process" in data["faults"][0]
    assert data["agreed"] == FILES


@pytest.mark.parametrize("lost", [2, 3])
def test_lost_blocks_are_a_fault(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """If the pool has less room than it must have, that is a fault; without any, nobody waits for ever."""
    kept: list[Block] = []

    def leaky(pool: Any, *arguments: Any) -> Any:
        kept.append(pool.allocate(blocks=lost))
        return processes.Processes(pool, *arguments)

    monkeypatch.setattr(comparison, "Processes", leaky)
    status, data = demo_data(capsys, tree, "--blocks=3")
    assert status == 1
    assert "blocks are lost" in data["faults"][0]
    assert data["agreed"] == (FILES if lost < 3 else 1)  # an empty file needs no block


def test_error_in_mid_file_loses_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error after some blocks of a file: the file is skipped, all its blocks come back."""
    reads = []
    readv = os.readv

    def failing(descriptor: int, buffers: Any) -> int:
        if isinstance(buffers[0], memoryview) and os.fstat(descriptor).st_size == SIZES["many"]:
            reads.append(descriptor)
            if len(reads) == 7:
                raise OSError(5, "Input/output error")
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", failing)
    status, data = demo_data(capsys, tree, "--blocks=3")
    assert status == 0, data["faults"]
    assert [(Path(each["path"]).name, each["reason"]) for each in data["skipped"]] == [
        ("many", "Input/output error")
    ]
    assert data["agreed"] == FILES - 1
    assert data["pool"]["stats"]["allocated"] == 0


def test_unforeseen_error_of_the_reader_is_raised(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the reader's code is not swallowed, nothing hangs, and no worker stays."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(processes, "fill_block", fail)
    with pytest.raises(ZeroDivisionError):
        demo(capsys, tree)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--readers=2"], "is for --threads"),
        (["--kill", "--threads"], "is for --processes"),
        (["--workers=41"], "at most 40 worker processes"),
        (["--start-method=thread"], "'thread' is not one of"),
        (["--blocks=100000000"], "at most 16777216"),
        (["--block-size=12"], "multiple of 8"),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, one line on stderr, nothing on stdout, no traceback."""
    status = main(["demo", *arguments])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert words in err
    assert err.startswith("blockpool: ")
    assert err.count("\n") == 1


def command(*arguments: str) -> list[str]:
    """Return the command line of a demo in a process of its own."""
    return [sys.executable, "-u", "-m", "blockpool", "demo", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a demo in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def busy(tmp_path: Path) -> Any:
    """Start a demo with much to do, in a session of its own, and wait until it is in the midst of it."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(400 << 20)
    arguments = [str(tmp_path), "--block-size=512", "--blocks=4", "--kill"]
    with subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            while "warm up: 100" not in process.stdout.readline():
                assert process.poll() is None
            time.sleep(0.7)
            yield process
        finally:
            process.kill()


def session(leader: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def await_end(leader: int) -> None:
    """Wait until all processes of the session are gone."""
    until = time.monotonic() + 10
    while left := session(leader):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def test_interrupt_ends_cleanly(busy: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches every process of the terminal: exit status 130, one word, no traceback, nobody stays."""
    os.killpg(busy.pid, signal.SIGINT)
    _, err = busy.communicate(timeout=20)
    assert busy.returncode == 130
    assert err.strip() == "blockpool: interrupted"
    await_end(busy.pid)


def test_workers_end_with_their_reader(busy: subprocess.Popen[str]) -> None:
    """A reader that is killed leaves no process behind, and no word."""
    busy.kill()
    _, err = busy.communicate(timeout=20)
    assert err == ""
    await_end(busy.pid)
