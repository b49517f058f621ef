"""The `demo` command with threads: its verdict, its exit status, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from blockpool.cli import comparison, main, pipeline

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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of all the sizes at which something could go wrong, in two directories, and a link that leads away."""
    root = tmp_path / "tree"
    for folder in (root, root / "folder" / "[bold]deep"):
        folder.mkdir(parents=True, exist_ok=True)
        for name, size in SIZES.items():
            (folder / name).write_bytes(os.urandom(size))
    (tmp_path / "elsewhere").write_bytes(b"not to be read")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    return root


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Any:
    """Whatever happens, a demo leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def demo(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command; return the exit status, stdout and stderr."""
    status = main(["demo", "--threads", f"--block-size={BLOCK}", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def demo_data(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the command with --json; return the exit status and the object."""
    status, out, _ = demo(capsys, "--json", *arguments)
    data = json.loads(out)
    assert data["ok"] is (status == 0)
    return status, data


def before(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[..., None]
) -> None:
    """Have something done before each call of a function."""
    original = getattr(module, name)

    def first_act(*arguments: Any) -> Any:
        act(*arguments)
        return original(*arguments)

    monkeypatch.setattr(module, name, first_act)


def skipped(data: dict[str, Any]) -> dict[str, str]:
    """Return the reason for each skipped file, by its name."""
    return {Path(each["path"]).name: each["reason"] for each in data["skipped"]}


@pytest.mark.parametrize("blocks", [1, 3, 64])
@pytest.mark.parametrize(("readers", "workers"), [(1, 1), (1, 4), (4, 1), (4, 4)])
def test_digests_agree_and_every_block_comes_back(
    tree: Path, capsys: pytest.CaptureFixture[str], blocks: int, readers: int, workers: int
) -> None:
    """All files are hashed right, whatever their size, also through a single block; nothing stays allocated."""
    options = [f"--blocks={blocks}", f"--readers={readers}", f"--workers={workers}"]
    status, data = demo_data(capsys, tree, *options)
    assert status == 0, data["faults"]
    assert data["agreed"] == 2 * len(SIZES)
    assert data["skipped"] == []
    stats = data["pool"]["stats"]
    assert stats["allocated"] == 0
    assert (
        stats["allocations"]
        == stats["frees"]
        == sum(2 * -(-size // BLOCK) for size in SIZES.values())
    )
    assert stats["peak"] <= blocks
    assert data["pool"]["rate"]["nbytes"] == data["plain"]["nbytes"] == 2 * sum(SIZES.values())
    assert data["pool"]["busy"]["runs"]


def test_the_report_says_the_same_in_words(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json: progress, both rates, two pictures, statistics and the verdict; nothing on stderr."""
    status, out, err = demo(capsys, tree, "--blocks=8")
    assert (status, err) == (0, "")
    for expected in [
        "14 files, 105.0 KiB",
        "through the pool: 100 %",
        "plain loop",
        "MiB/s",
        "Pool when half was read",
        "Pool at the end: 0 of 8 blocks allocated",
        "0 ········",
        "allocations",
        "14 digests agree with hashlib, 0 differ",
        "every block came back",
    ]:
        assert expected in out


def test_paths_overlap_and_links_are_not_followed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is named twice is read once; a link counts only if it is named itself."""
    _, data = demo_data(capsys, tree, tree / "folder", tree / "one")
    assert data["agreed"] == 2 * len(SIZES)
    assert data["plain"]["nbytes"] == 2 * sum(SIZES.values())
    _, data = demo_data(capsys, tree / "link")
    assert data["agreed"] == 1


def test_files_beyond_the_limit_are_left_out(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--max-bytes bounds the work; what is left out is counted."""
    _, data = demo_data(capsys, tree, f"--max-bytes={11 * BLOCK}")
    assert data["omitted"] == 2
    assert data["agreed"] == 2 * len(SIZES) - 2


def test_unreadable_file_is_skipped(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is reported with the reason, not counted as agreed; the rest goes on."""
    os_open = os.open

    def guarded(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith("/tree/many"):
            raise PermissionError(13, "Permission denied", path)
        return os_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", guarded)
    status, data = demo_data(capsys, tree, "--blocks=1")
    assert status == 0
    assert skipped(data) == {"many": "Permission denied"}
    assert data["agreed"] == 2 * len(SIZES) - 1
    status, out, _ = demo(capsys, tree)
    assert f"{tree}/many: Permission denied" in out


def test_error_in_mid_file_loses_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error after some blocks of a file: the file is skipped, all its blocks come back."""
    reads = dict.fromkeys(range(1000), 0)
    readv = os.readv

    def failing(descriptor: int, buffers: Any) -> int:
        if isinstance(buffers[0], memoryview) and os.fstat(descriptor).st_size == SIZES["many"]:
            reads[descriptor] += 1
            if reads[descriptor] > 3:
                raise OSError(5, "Input/output error")
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", failing)
    status, data = demo_data(capsys, tree, "--blocks=3")
    assert status == 0, data["faults"]
    assert skipped(data) == {"many": "Input/output error"}
    assert data["agreed"] == 2 * len(SIZES) - 2
    assert data["pool"]["stats"]["allocated"] == 0


def test_short_reads_are_continued(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may give less than was asked for; the block is filled nevertheless."""
    readv = os.readv
    monkeypatch.setattr(
        os, "readv", lambda descriptor, buffers: readv(descriptor, [buffers[0][:100]])
    )
    status, data = demo_data(capsys, tree, "--blocks=3")
    assert status == 0, data["faults"]
    assert data["agreed"] == 2 * len(SIZES)


def test_vanished_and_changed_files_are_skipped(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that vanishes before or after it was hashed, or changes in between, is neither agreed nor wrong."""

    def meddle(*_: object) -> None:
        (tree / "two").unlink()
        (tree / "less").write_bytes(b"x" * SIZES["less"])

    before(monkeypatch, comparison, "Pipeline", lambda *_: (tree / "one").unlink())
    before(monkeypatch, comparison, "plain_loop", meddle)
    status, data = demo_data(capsys, tree)
    assert status == 0, data["faults"]
    gone = "No such file or directory"
    assert skipped(data) == {"one": gone, "two": gone, "less": "changed while the demo ran"}
    assert data["agreed"] == 2 * len(SIZES) - 3


def test_file_replaced_by_a_link_is_skipped(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that took the place of a file meanwhile is not followed."""

    def replace(*_: object) -> None:
        (tree / "one").unlink()
        (tree / "one").symlink_to(tree / "two")

    before(monkeypatch, comparison, "Pipeline", replace)
    status, data = demo_data(capsys, tree)
    assert status == 0, data["faults"]
    assert list(skipped(data)) == ["one"]


def test_shrinking_file_is_skipped(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that becomes shorter while it is read ends neither the demo nor in an agreement."""
    before(monkeypatch, pipeline, "identity", lambda _: os.truncate(tree / "many", 3 * BLOCK + 1))
    status, data = demo_data(capsys, tree / "many")
    assert status == 1
    assert skipped(data) == {"many": "became shorter while it was read"}
    assert data["faults"] == ["no file could be compared"]


def test_corruption_is_found_and_named(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of one block flips before it is hashed: exit status 1, and the file is named."""

    def flip(_: object, block: Block) -> None:
        if block.nbytes == SIZES["less"]:
            block.buf[17] ^= 1

    before(monkeypatch, pipeline, "hash_block", flip)
    status, out, err = demo(capsys, tree)
    assert status == 1
    assert "12 digests agree with hashlib, 2 differ" in out
    assert f"{tree}/less: " in out
    assert "has another digest" in err
    status, data = demo_data(capsys, tree)
    assert {Path(each["path"]).name for each in data["disagreements"]} == {"less"}
    assert status == 1


def test_kept_block_is_a_loss(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that keeps a block: all digests agree, and yet the exit status is 1."""
    kept: list[Block] = []

    def keep(digest: Any, block: Block) -> None:
        digest.update(block.buf)
        if kept:
            block.free()
        else:
            kept.append(block)

    monkeypatch.setattr(pipeline, "hash_block", keep)
    status, out, err = demo(capsys, tree, "--blocks=8")
    assert status == 1
    assert "14 digests agree" in out
    assert "Pool at the end: 1 of 8 blocks allocated" in out
    assert "1 of 8 blocks did not come back" in err


def test_kept_view_is_a_fault(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that keeps a view of a block: freeing it is refused, and that is reported."""
    kept: list[memoryview] = []
    before(monkeypatch, pipeline, "hash_block", lambda _, block: kept or kept.append(block.buf))
    status, data = demo_data(capsys, tree, "--blocks=8")
    assert status == 1
    assert "still has 1 user" in data["faults"][0]
    assert data["pool"]["stats"]["allocated"] == 1
    assert data["agreed"] == 2 * len(SIZES)


def test_lost_last_block_ends_the_run(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no block is left to wait for, readers do not wait for ever."""
    monkeypatch.setattr(pipeline, "PATIENCE", 0.2)
    kept: list[Block] = []

    def keep(digest: Any, block: Block) -> None:
        digest.update(block.buf)
        kept.append(block)

    monkeypatch.setattr(pipeline, "hash_block", keep)
    status, data = demo_data(capsys, tree, "--blocks=2")
    assert status == 1
    assert "blocks are lost" in data["faults"][0]
    assert pipeline.STOPPED in skipped(data).values()


def test_unforeseen_error_of_a_worker_is_raised(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the code of a thread is not swallowed, and nothing hangs."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "hash_block", fail)
    with pytest.raises(ZeroDivisionError):
        demo(capsys, tree, "--blocks=1", "--readers=3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/does/not/exist"], "does not exist"),
        (["/dev/null"], "neither a file nor a directory"),
        (["--block-size=garbage"], "'garbage' is no size"),
        (["--block-size=-8"], "is no size"),
        (["--block-size=0"], "at least 1"),
        (["--block-size=12"], "multiple of 8"),
        (["--block-size=1.5KiB"], "is no size"),
        (["--max-bytes="], "is no size"),
        (["--blocks=0"], "0 is not in the range"),
        (["--blocks=1000000000000"], "ask for fewer"),
        (["--readers=0"], "0 is not in the range"),
        (["--workers=-1"], "-1 is not in the range"),
        (["--workers=two"], "'two' is not a valid integer"),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, one line on stderr, nothing on stdout, no traceback."""
    status = main(["demo", "--threads", *arguments])
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert words in err
    assert err.startswith("blockpool: ")
    assert err.count("\n") == 1


def test_nothing_to_read_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty directory, or a limit below every file, is not a success."""
    status, _, err = demo(capsys, tmp_path)
    assert status == 2
    assert "no regular file to read" in err


def test_odd_names_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """A name that is no text, or looks like markup, is shown and does no harm."""
    name = os.fsencode(tmp_path) + b"/[red]\n\xff"
    Path(os.fsdecode(name)).write_bytes(b"content")
    before(monkeypatch, pipeline, "hash_block", lambda _, block: block.buf.__setitem__(0, 0))
    status, out, err = demo(capsys, tmp_path)
    assert status == 1
    assert r"[red]\n\xff: " in out
    assert r"[red]\n\xff has" in err


def run(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments, in a process of its own."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "blockpool"]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_missing_dependency_is_a_sentence(missing: str) -> None:
    """Without click or rich, the command says what to install, and exits with status 2."""
    code = f"import sys; sys.modules[{missing!r}] = None; from blockpool.cli import main; sys.exit(main())"
    result = run(code=code)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"blockpool: the command line needs {missing}; install it with: pip install 'blockpool[cli]'\n"
    )


def test_module_runs_as_a_command(tree: Path) -> None:
    """`python -m blockpool demo` is the same command; without arguments there is help."""
    result = run("demo", str(tree), "--json", "--threads")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["agreed"] == 2 * len(SIZES)
    assert "demo" in run().stdout


def test_output_can_be_ascii(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the terminal cannot show more than ASCII, the report is ASCII."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run("demo", str(tree), "--blocks=8", "--threads")
    assert result.returncode == 0, result.stderr
    assert "0 ........" in result.stdout


def test_interrupt_ends_cleanly(tmp_path: Path) -> None:
    """Ctrl-C: exit status 130, one word, no traceback, no thread that keeps the process alive."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(400 << 20)
    command = [
        sys.executable,
        "-u",
        "-m",
        "blockpool",
        "demo",
        "--threads",
        str(tmp_path),
        "--block-size=512",
        "--blocks=2",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            while "warm up: 100" not in process.stdout.readline():
                assert process.poll() is None
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.strip() == "blockpool: interrupted"
