"""`blockpool replay`: what it asks for, what it shows, and what it refuses."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("rich")
pytest.importorskip("click")
pytest.importorskip("jsonschema")
pytest.importorskip("pyarrow")

import jsonschema
from rich.console import Console

import blockpool.replay
from blockpool import traces
from blockpool.replay import Plan, Replayed
from blockpool.replay.results import Comparison
from blockpool.report.replay import replay_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., Any]

SCHEMA = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))
POOL = "--block-size=4KiB", "--blocks=10"


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Write a trace of five allocations; one is freed."""
    made = traces.build(kind=[0, 0, 0, 1, 0, 0], size=[100, 5000, 4096, 0, 20_000, 8], key=[1, 2, 3, 2, 4, 5])
    path = tmp_path / "trace.parquet"
    traces.write(made, path)
    return str(path)


def test_a_pool_and_malloc_are_compared(cli: Command, trace: str) -> None:
    """There is a row for the pool and one for malloc, with what the trace and the pool are."""
    done = cli("replay", trace, *POOL, "--against", "malloc")
    assert (done.status, done.err) == (0, "")
    assert "6: 5 allocations, 4 of them never freed" in done.out
    assert "10 blocks of 4 KiB" in done.out
    rows = [line.split()[0] for line in done.out.splitlines() if line.startswith(("pool  ", "malloc"))]
    assert rows[-2:] == ["pool", "malloc"]
    assert "not comparable" not in done.out


def test_json_is_described_by_the_schema(cli: Command, trace: str) -> None:
    """With --json there is one document, with both replays, which the schema describes."""
    done = cli("replay", trace, *POOL, "--against", "malloc", "--json", "--wait", "2s")
    found = json.loads(done.out)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert (found["kind"], found["wait"], found["events"]) == ("replay", 2, 6)
    pool, malloc = found["replays"]
    assert (pool["allocator"], pool["plans"][0]["blocks"], pool["peak_blocks"]) == ("pool", 10, [8])
    assert (malloc["allocator"], malloc["plans"], malloc["peak_bytes"]) == ("malloc", [], 24204)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Replace measuring by what notes how it was called."""
    calls = []

    def measure(_trace: object, plans: object, **options: Any) -> Replayed:
        calls.append((plans, options))
        return replayed(allocator=options["allocator"])

    monkeypatch.setattr(blockpool.replay, "measure", measure)
    monkeypatch.setattr(blockpool.replay, "allocators", lambda: {"malloc": None, "jemalloc": "/lib/it"})
    return calls


def replayed(**others: Any) -> Replayed:
    """Return what a replay found."""
    fields: dict[str, Any] = {
        "allocator": "pool", "plans": (), "events": 6, "allocations": 5, "failures": 0, "waits": 0, "waited": 0.0,
        "peak_bytes": 1000, "peak_blocks": (), "longest_run": (), "bytes": 0, "seconds": 1e-6,
    }  # fmt: skip
    return Replayed(**(fields | others))


@pytest.mark.parametrize(
    ("against", "names"),
    [
        ((), ["malloc", "jemalloc"]),
        (("--against=none",), []),
        (("--against=mimalloc, malloc,mimalloc",), ["mimalloc", "malloc"]),
    ],
)
def test_what_is_replayed(cli: Command, trace: str, asked: Any, against: tuple[str, ...], names: list[str]) -> None:
    """The pool is replayed first, then each allocator that is named, or all that are installed."""
    assert cli("replay", trace, *POOL, *against, "--wait=1min", "--seconds=5").status == 0
    assert asked[0] == ([Plan(4096, 10)], {"allocator": "pool", "seconds": 5, "wait": 60})
    assert asked[1:] == [(None, {"allocator": name, "seconds": 5, "wait": 0}) for name in names]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--blocks=10",), 2, "Missing option '--block-size'"),
        (("--block-size=8",), 2, "Missing option '--blocks'"),
        (("--block-size=12", "--blocks=1"), 2, "block_size must be a multiple of 8, not 12"),
        (("--block-size=8", "--blocks=0"), 2, "blocks must be at least 1, not 0"),
        (("--block-size=1MiB", "--blocks=1000000000"), 1, "ask for fewer or smaller blocks"),
        ((*POOL, "--against=tcmalloc"), 2, "'tcmalloc' is not one of malloc, jemalloc, mimalloc"),
        ((*POOL, "--against=none,malloc"), 2, "'none' is not one of"),
        ((*POOL, "--wait=nan"), 2, "is not a time span"),
    ],
)
def test_what_is_refused(cli: Command, trace: str, arguments: tuple[str, ...], status: int, says: str) -> None:
    """A command line that is wrong has status 2, and what cannot be done status 1, each with a line that says why."""
    done = cli("replay", trace, *arguments)
    assert done.status == status
    assert says in done.err
    assert done.err.count("\n") == 1


def test_an_allocator_that_is_not_installed(cli: Command, trace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An allocator that is named and not installed is refused with what to install."""
    monkeypatch.setattr("blockpool.replay.measurement.allocators", lambda: {"malloc": None})
    done = cli("replay", trace, *POOL, "--against=jemalloc")
    assert (done.status, done.out) == (2, "")
    assert "apt install libjemalloc2" in done.err


def test_a_file_that_is_no_trace(cli: Command, tmp_path: Path) -> None:
    """A file that is no trace has status 1, and its name may hold anything."""
    path = tmp_path / "a\x1b[31mb"
    path.write_text("foreign")
    done = cli("replay", str(path), *POOL)
    assert done.status == 1
    assert "\x1b" not in done.err
    assert "is not a trace" in done.err


def test_what_the_text_says() -> None:
    """The report names what was refused, what waited, what was not measured, and which replay was stopped."""
    pool = replayed(
        plans=(Plan(64, 10),), peak_blocks=(7,), longest_run=(3,), inner=(100,), bytes=2048, failures=2, waits=3,
        waited=75.0, resident=4000, seconds=5e-7,
    )  # fmt: skip
    found = Comparison(
        source="a \x1b[31m trace",
        events=6,
        allocations=5,
        live_at_end=4,
        wait=1.0,
        replays=(pool, replayed(allocator="malloc", complete=False)),
    )
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(replay_report(found))
    text = captured.get()
    assert "\x1b[31m" not in text
    assert "a \\x1b[31m trace" in text
    assert "7 blocks at most, the longest run 3; 100 B in their ends" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith(("pool  ", "malloc  "))}
    assert rows["pool"] == ["pool", "100", "1000", "B", "2", "KiB", "3.9", "KiB", "4.00", "2", "3", "1m", "15s"]
    assert rows["malloc"] == ["malloc", "200", "1000", "B", "-", "-", "-", "0", "0", "-"]
    assert "malloc: stopped at the time limit, after 6 events" in text
    assert "not comparable" in text
