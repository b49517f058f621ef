"""The `demo` command: its verdict and exit status, what it says when something is wrong, and that it leaves nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from servers import states_of
from waits import await_true

pytest.importorskip("click")
pytest.importorskip("rich")

from blockpool import redeem
from blockpool._extras import install_command
from blockpool.cli import comparison, main
from blockpool.cli.ways import ThroughPool, ThroughSharedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blockpool import Block

BLOCK = 4096
SIZES = {
    "empty": 0,
    "small": BLOCK // 16,
    "less": BLOCK - 1,
    "one": BLOCK,
    "more": BLOCK + 1,
    "two": 2 * BLOCK,
    "many": 100 * BLOCK + 7,
}
FILES = 2 * (len(SIZES) - 1)  # an empty one has nothing to hash
NBYTES = 2 * sum(SIZES.values())
NAMES = ["blockpool", "Queue, pickled", "SharedMemory each", "loop, one process"]
POOL, QUEUE, SHARED_MEMORY, LOOP = range(4)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make files of all sizes at which something could go wrong, in two folders, and a link to a file outside."""
    root = tmp_path / "tree"
    for folder in (root, root / "folder" / "[bold]deep"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, size in SIZES.items():
            (folder / name).write_bytes(os.urandom(size))
    (tmp_path / "elsewhere").write_bytes(bytes(BLOCK))
    (root / "link").symlink_to(tmp_path / "elsewhere")
    return root


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Check after each test that no worker is left, and that Ctrl-C is handled as before."""
    handler = signal.getsignal(signal.SIGINT)
    before = set(multiprocessing.active_children())  # of tests of other files
    yield
    assert set(multiprocessing.active_children()) <= before
    assert signal.getsignal(signal.SIGINT) is handler


def demo(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a demo as short as possible; return its exit status, stdout and stderr."""
    options = ["--seconds=0", f"--block-size={BLOCK}", *map(str, arguments)]
    status = main(["demo", *options])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def demo_data(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run a demo with --json; return its exit status and the object that it printed."""
    status, out, _ = demo(capsys, "--json", *arguments)
    data = json.loads(out)
    assert data["ok"] is (status == 0)
    return status, data


def words_of(out: str) -> str:
    """Return a report without its line breaks."""
    return " ".join(out.split())


def once(act: Callable[[], object]) -> Callable[[], None]:
    """Return a function that calls `act` the first time only."""
    todo = [act]

    def at_first() -> None:
        if todo:
            todo.pop()()

    return at_first


def on_packing(monkeypatch: pytest.MonkeyPatch, act: Callable[[Block], object]) -> None:
    """Call `act` with each block when it is packed, before a worker sees it."""
    pack = ThroughPool.pack

    def pack_and_act(self: ThroughPool, message: Any) -> Any:
        handle = pack(self, message)
        with redeem(handle) as block:  # type: ignore[arg-type]
            act(block)
        return handle

    monkeypatch.setattr(ThroughPool, "pack", pack_and_act)


# ---- the contest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "blocks"), [(1, 1), (1, 3), (3, 7), (2, 64)])
def test_digests_agree_and_every_block_is_free(
    tree: Path, capsys: pytest.CaptureFixture[str], workers: int, blocks: int
) -> None:
    """All files are hashed correctly in every way, also through a single block, and every block comes back."""
    status, data = demo_data(capsys, tree, f"--workers={workers}", f"--blocks={blocks}")
    assert status == 0, data["faults"]
    assert [each["name"] for each in data["contestants"]] == NAMES
    assert [len(each["laps"]) for each in data["contestants"]] == [comparison.LEAST_LAPS] * 4
    assert {lap["nbytes"] for each in data["contestants"] for lap in each["laps"]} == {NBYTES}
    assert (data["setup"]["files"], data["setup"]["nbytes"]) == (FILES, NBYTES)
    assert data["wrong"] == data["problems"] == []
    laps = comparison.LEAST_LAPS + 1
    assert data["allocations"] == data["frees"] == laps * -(-NBYTES // BLOCK)
    assert data["end"]["runs"] == []
    assert 0 < len(data["busy"]["runs"]) <= blocks


def test_the_report_says_the_same_in_words(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the demo prints the table, two pictures of the pool, the verdict and what to try next."""
    status, out, err = demo(capsys, tree, "--blocks=8")
    assert (status, err) == (0, "")
    words = words_of(out)
    for expected in [
        "packs the 12 largest of 14 files (840.5 KiB) into messages of 4 KiB; 2 worker processes",
        "MB/s slowest, quickest copies faults/MB CPU ms/MB",
        *NAMES,
        "Pool in the middle of a lap: ",
        "Pool at the end: 0 of 8 blocks allocated 0 ········",
        "12 files, ",
        "compared with hashlib: all agree",
        "every block is free again",
        "Next: blockpool demo --kill",
    ]:
        assert expected in words


def test_costs_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures show that a Queue copies each byte twice more, and that a SharedMemory each has more page faults."""
    (tmp_path / "data").write_bytes(os.urandom(6 << 20))
    status, data = demo_data(capsys, tmp_path, "--block-size=1MiB")
    assert status == 0, data["faults"]
    copies = [each["copies"] for each in data["contestants"]]
    assert copies == pytest.approx([1, 3, 1, 1], abs=0.2)
    faults = [each["faults_per_mb"] for each in data["contestants"]]
    assert faults[SHARED_MEMORY] > 10 * max(faults[POOL], 1)
    assert all(each["cpu_per_mb"] > 0 for each in data["contestants"])


def test_few_bytes_are_sent_several_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lap goes through few data several times, so that starting it does not count."""
    monkeypatch.setattr(comparison, "LAP_BYTES", 1 << 20)
    monkeypatch.setattr(comparison, "LEAST_LAPS", 1)
    (tmp_path / "data").write_bytes(os.urandom(1 << 16))
    status, data = demo_data(capsys, tmp_path, "--seconds=1", "--block-size=64KiB")
    assert status == 0, data["faults"]
    assert data["setup"]["passes"] == 16
    assert data["contestants"][POOL]["laps"][0]["nbytes"] == 1 << 20


def test_ways_take_turns(tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round begins with another way, so that the ways take turns."""
    order: list[str] = []
    hand_over, loop = comparison.Comparison._hand_over, comparison.Comparison._loop

    def noted(self: Any, crew: Any, way: Any) -> Any:
        order.append(way.name)
        return hand_over(self, crew, way)

    def noted_loop(self: Any) -> Any:
        order.append(NAMES[LOOP])
        return loop(self)

    monkeypatch.setattr(comparison.Comparison, "_hand_over", noted)
    monkeypatch.setattr(comparison.Comparison, "_loop", noted_loop)
    assert demo(capsys, tree)[0] == 0
    assert [order[begin : begin + 4] for begin in range(0, 16, 4)] == [
        NAMES[begin:] + NAMES[:begin] for begin in range(4)
    ]


# ---- workers that die ----------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "blocks"), [(1, 1), (1, 5), (3, 16)])
def test_killed_workers_are_replaced_and_nothing_is_missing(
    tree: Path, capsys: pytest.CaptureFixture[str], workers: int, blocks: int
) -> None:
    """With --kill other workers do the messages of killed ones again, digests agree, and every block is free."""
    status, data = demo_data(capsys, tree, "--kill", f"--workers={workers}", f"--blocks={blocks}")
    assert status == 0, data["faults"]
    assert data["killed"] >= 3
    assert data["again"] >= data["killed"]
    assert [each["name"] for each in data["contestants"]] == [NAMES[POOL], NAMES[LOOP]]
    assert data["contestants"][POOL]["cpu_per_mb"] is None
    assert data["end"]["runs"] == data["wrong"] == []
    assert data["allocations"] == data["frees"]


def test_the_report_counts_the_killed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --kill the report says beforehand that workers are killed, and afterwards how many were."""
    status, out, err = demo(capsys, tree, "--kill")
    assert (status, err) == (0, "")
    words = words_of(out)
    assert "Workers are killed while they work; others take over." in words
    assert re.search(r" \d+ workers killed; others did \d+ messages again", words)


def test_a_worker_that_dies_by_itself_ends_the_demo(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker dies without --kill, the demo ends the other workers, says so, and exits with status 1."""
    before = set(multiprocessing.active_children())

    def murder() -> None:
        (set(multiprocessing.active_children()) - before).pop().kill()

    act = once(murder)
    on_packing(monkeypatch, lambda _: act())
    status, _, err = demo(capsys, tree)
    assert status == 1
    assert err == "blockpool: a worker process ended on its own, with exit code -9\n"


# ---- what should not be --------------------------------------------------------------------------


def test_corruption_is_found_and_named(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a bit flips in a block, the demo names the file with the wrong digest and exits with status 1."""

    def flip(block: Block) -> None:
        block.buf[17] ^= 1

    todo = [flip]
    on_packing(monkeypatch, lambda block: todo.pop()(block) if todo else None)
    status, out, err = demo(capsys, tree)
    assert status == 1
    assert "all agree" not in out
    assert re.search(r"WRONG .* compared with hashlib: 1 file wrong /.*/many: blockpool ", words_of(out))
    assert re.search(r"many: hashlib finds another digest than blockpool\n", err)


def test_a_kept_block_is_a_loss(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a block does not come back, the demo says so and exits with status 1, although all digests agree."""
    kept: list[Block] = []
    on_packing(monkeypatch, lambda block: kept or kept.append(redeem(block.handle)))
    status, out, err = demo(capsys, tree, "--blocks=3")
    kept.pop().release()
    assert status == 1
    assert "all agree" in out
    assert "Pool at the end: 1 of 3 blocks allocated" in out
    assert "1 of 3 blocks did not come back" in err


def test_without_blocks_it_does_not_wait_for_ever(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If too few blocks are left, the demo ends and says so instead of waiting for ever."""
    kept: list[Block] = []
    on_packing(monkeypatch, lambda block: kept.append(redeem(block.handle)))
    status, _, err = demo(capsys, tree, "--blocks=4")
    for block in kept:
        block.release()
    assert status == 1
    assert err.startswith("blockpool: asked for 1 block; 0 of 4 free")


def test_an_unforeseen_error_is_raised(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error in the demo is raised, and no worker is left."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    on_packing(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        demo(capsys, tree)


# ---- files ---------------------------------------------------------------------------------------


def test_paths_overlap_and_links_are_not_followed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is named twice is read once, and a link is followed only if it is named itself."""
    _, data = demo_data(capsys, tree, tree / "folder", tree / "one")
    assert (data["setup"]["files"], data["setup"]["nbytes"]) == (FILES, NBYTES)
    _, data = demo_data(capsys, tree / "link")
    assert data["setup"]["files"] == 1


def test_small_files_and_files_beyond_the_limit_are_left_out(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo takes the largest files up to --max-bytes, none much smaller than a message, and counts the others."""
    limit = SIZES["many"] + 2 * SIZES["two"]
    (tree / "tiny").write_bytes(bytes(BLOCK // 16 - 1))
    _, data = demo_data(capsys, tree, f"--max-bytes={limit}")
    assert data["setup"]["nbytes"] == limit
    assert data["setup"]["omitted"] == 2 * len(SIZES) + 1 - 3
    _, out, _ = demo(capsys, tree)
    assert "packs the 12 largest of 15 files" in words_of(out)


def test_unreadable_file_is_left_out(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read is left out, and the others are hashed."""
    path_open = Path.open

    def guarded(self: Path, *arguments: Any, **options: Any) -> Any:
        if str(self).endswith("/tree/many"):
            raise PermissionError(13, "Permission denied", str(self))
        return path_open(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", guarded)
    status, data = demo_data(capsys, tree)
    assert status == 0, data["faults"]
    assert data["setup"]["nbytes"] == NBYTES - SIZES["many"]


@pytest.mark.parametrize("accident", ["unlink", "truncate", "touch"])
def test_a_file_that_goes_while_it_is_read_ends_the_demo(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, accident: str
) -> None:
    """If a file vanishes or changes during the laps, the demo names it, says what to do, and exits with status 1."""
    victim = tree / "many"
    accidents = {
        "unlink": victim.unlink,
        "truncate": lambda: os.truncate(victim, 3 * BLOCK),
        "touch": lambda: os.utime(victim, (0, 0)),
    }
    act = once(accidents[accident])
    on_packing(monkeypatch, lambda _: act())
    status, _, err = demo(capsys, tree)
    assert status == 1
    assert err.startswith(f"blockpool: {victim}: ")
    assert err.endswith("; run the demo again, or name other paths\n")


def test_odd_names_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file name that is not text, or looks like markup, is printed in escaped form."""
    name = os.fsencode(tmp_path) + b"/[red]\n\xff"
    Path(os.fsdecode(name)).write_bytes(bytes(1000))
    on_packing(monkeypatch, lambda block: block.buf.__setitem__(0, 1))
    status, out, err = demo(capsys, tmp_path)
    assert status == 1
    assert r"[red]\n\xff: " in out.replace("\n", "")
    assert r"[red]\n\xff: hashlib" in err


# ---- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/does/not/exist"], "does not exist"),
        (["/dev/null"], "no file of 64 KiB or more to read"),
        (["--block-size=garbage"], "garbage"),
        (["--block-size=-8"], "-8"),
        (["--block-size=0"], "at least 1"),
        (["--block-size=12"], "multiple of 8"),
        (["--max-bytes="], "size"),
        (["--max-bytes=1"], "more --max-bytes"),
        (["--blocks=0"], "0 is not in the range"),
        (["--blocks=1"], "--blocks=1 is too few for 2 workers"),
        (["--blocks=100000000"], "at most 16777216"),
        (["--workers=-1"], "-1 is not in the range"),
        (["--workers=41"], "41 is not in the range"),
        (["--workers=two"], "'two' is not a valid integer"),
        (["--seconds=-1"], "-1.0 is not in the range"),
        (["--seconds=soon"], "'soon' is not a valid float"),
        (["--seconds=nan"], "nan"),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments give one line on stderr, nothing on stdout, and exit status 2."""
    status = main(["demo", *arguments])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert words in err
    assert err.startswith("blockpool: ")
    assert err.count("\n") == 1


def command(*arguments: object) -> list[str]:
    """Return the command that starts a demo as another process."""
    return [sys.executable, "-u", "-m", "blockpool", "demo", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a demo as another process."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_missing_dependency_is_a_sentence(missing: str) -> None:
    """Without click or rich, the command says how to install them, and exits with status 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from blockpool.cli import main; sys.exit(main(['demo']))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"blockpool: the command line needs {missing}; install what it needs with: {install_command('cli')}\n"
    )


def test_module_runs_as_a_command(tree: Path) -> None:
    """`python -m blockpool demo` is the same command; in a pipe it prints no colours and no progress."""
    result = run(tree, "--seconds=0")
    assert (result.returncode, result.stderr) == (0, "")
    assert "all agree" in result.stdout
    assert "\x1b" not in result.stdout
    assert "warming up" not in result.stdout


def test_output_can_be_ascii(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is ASCII if the output cannot show more."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run(tree, "--seconds=0", "--blocks=8")
    assert result.returncode == 0, result.stderr
    assert "0 ........" in result.stdout


def test_a_terminal_sees_how_far_it_is(tree: Path) -> None:
    """On a terminal the demo shows its progress while it runs, and then the report."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        command(tree, "--seconds=1", "--block-size=4KiB"),
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(theirs)
        try:
            with suppress(OSError):  # the end, when no process has the terminal open any more
                while some := os.read(ours, 65536):
                    shown += some
        finally:
            process.kill()
            os.close(ours)
    assert process.returncode == 0
    assert b"warming up" in shown
    assert re.search(rb"round \d", shown)
    assert b"all agree" in shown


# ---- how it ends when it is made to --------------------------------------------------------------


def segments(leader: int) -> set[Path]:
    """Return the files in /dev/shm that processes of a session have mapped."""
    found = set()
    for process in states_of(leader):
        with suppress(OSError):
            maps = Path(f"/proc/{process}/maps").read_text()
            found |= {Path(name) for name in re.findall(r" (/dev/shm/\S+)$", maps, re.MULTILINE)}
    return found


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a long demo in a new session, and returns when it has begun."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 << 20)
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(tmp_path, "--seconds=600", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        while "load" not in process.stdout.readline():
            assert process.poll() is None
        await_true(lambda: len(states_of(process.pid)) >= 5)  # with the fork server and the tracker
        return process

    yield start
    for process in started:
        for left in states_of(process.pid):
            with suppress(OSError):
                if b"resource_tracker" not in Path(f"/proc/{left}/cmdline").read_bytes():
                    os.kill(left, signal.SIGKILL)  # the tracker deletes segments, and then ends
        process.communicate()


@pytest.mark.parametrize("lap", NAMES)
def test_interrupt_in_any_lap_leaves_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lap: str
) -> None:
    """After Ctrl-C during a lap of any way the exit status is 130, and no worker and no segment is left."""
    sent: list[Any] = []
    pack = ThroughSharedMemory.pack
    tell = comparison.Comparison._tell

    def noted(self: ThroughSharedMemory, message: Any) -> Any:
        sent.append(pack(self, message))
        return sent[-1]

    def interrupt(self: comparison.Comparison, running: str) -> None:
        if running == lap:
            os.kill(os.getpid(), signal.SIGINT)
        tell(self, running)

    monkeypatch.setattr(ThroughSharedMemory, "pack", noted)
    monkeypatch.setattr(comparison.Comparison, "_tell", interrupt)
    status, out, err = demo(capsys, tree)
    assert (status, err.strip()) == (130, "blockpool: interrupted")
    assert "all agree" not in out
    assert sent or lap != NAMES[SHARED_MEMORY]
    assert not [name for name in sent if Path("/dev/shm", name).exists()]  # noqa: S108 - where they are


@pytest.mark.parametrize("kill", [[], ["--kill"]])
@pytest.mark.parametrize("delay", [0.0, 0.4, 1.1])
def test_interrupt_ends_cleanly(busy: Callable[..., subprocess.Popen[str]], kill: list[str], delay: float) -> None:
    """After Ctrl-C in a terminal the demo prints one line, exits with status 130, and leaves no process or segment."""
    process = busy(*kill)
    seen: set[Path] = set()
    until = time.monotonic() + delay
    while time.monotonic() <= until:
        seen |= segments(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "blockpool: interrupted"  # the tracker would name segments that are left
    await_true(lambda: not states_of(process.pid))
    assert not [path for path in seen if path.exists()]


def test_the_thread_of_a_queue_removes_no_semaphore(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread drops a queue's semaphores last: another thread is cut off halfway when the process ends."""
    made: list[str] = []
    removed: list[threading.Thread] = []
    register, unregister = resource_tracker.register, resource_tracker.unregister

    def note_made(name: str, rtype: str) -> None:
        register(name, rtype)
        if rtype == "semaphore":
            made.append(name)

    def note_removed(name: str, rtype: str) -> None:
        if rtype == "semaphore":
            removed.append(threading.current_thread())
        unregister(name, rtype)

    monkeypatch.setattr(resource_tracker, "register", note_made)
    monkeypatch.setattr(resource_tracker, "unregister", note_removed)
    status, _, err = demo(capsys, tree, "--kill")
    assert (status, err) == (0, "")
    feeders = [thread for thread in threading.enumerate() if thread.name == "QueueFeederThread"]
    for thread in feeders:
        thread.join(60)
    assert made
    assert {thread for thread in removed if thread is not threading.main_thread()} == set()


def test_workers_end_with_the_process_that_packs(
    busy: Callable[..., subprocess.Popen[str]],
) -> None:
    """A killed demo leaves no process behind, even if its workers are waiting for a message."""
    process = busy()
    process.send_signal(signal.SIGSTOP)
    # its workers finish what they have, and then sleep
    await_true(lambda: {state for pid, state in states_of(process.pid).items() if pid != process.pid} == {"S"})
    process.kill()
    process.wait(timeout=60)
    await_true(lambda: not states_of(process.pid))
