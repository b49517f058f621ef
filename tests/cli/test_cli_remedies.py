"""`recover`, `sweep` and `unlink`: they show what they would do, ask, and do it only after a yes."""

from __future__ import annotations

import io
import json
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import blockpool as bp
from segment_parts import write
from waits import await_true

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that says what the user types."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def names() -> set[str | None]:
    """Return the names of all pools."""
    return {each.name for each in bp.pools()}


@pytest.fixture
def left(pool_names: Any, peer: Any) -> str:
    """Make a pool that a killed process left behind, with one block allocated; any process may sweep it."""
    bp.Pool.create(64, 4)  # the first one of a process sweeps
    name: str = pool_names()
    peer(f"pool = bp.Pool.create(64, 4, name={name!r}); block = pool.allocate()")
    peer.kill()
    return name


@pytest.fixture
def kept(pool_names: Any) -> str:
    """Make a permanent pool that no process has attached."""
    name: str = pool_names()
    bp.Pool.create(64, 4, name=name, permanent=True).close()
    return name


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, kept: str) -> list[str]:
    """Have `sweep` find a pool, which no other process sweeps meanwhile; return what it was told to do."""
    from blockpool.cli import remedies

    done: list[str] = []
    listed = [replace(each, leftover=True) for each in bp.pools() if each.name == kept]

    def sweep() -> int:
        done.append("sweep")
        return 1

    monkeypatch.setattr(remedies, "pools", lambda: listed)
    monkeypatch.setattr(remedies, "sweep_pools", sweep)
    return done


# --- recover ---


def test_recover_brings_back_what_the_dead_hold(cli: Command, busy: Any, answer: Command) -> None:
    """After a yes, what dead processes held is free, and it is said how many they were; tickets stay."""
    answer("y\n")
    status, out, err = cli("recover", busy.name)
    assert (status, out) == (0, f"Pool {busy.name}: recovered 1 dead process, dropped 0 tickets.\n")
    assert err == f"Pool {busy.name} has 1 dead process. Bring back what dead processes hold? [y/N] "
    assert [each.pid for each in bp.inspect(busy.name).processes() if each.alive is False] == []
    assert busy.pool.stats().tickets == 1


def test_recover_drops_old_tickets(cli: Command, busy: Any, answer: Command) -> None:
    """With --tickets-older-than, tickets that are older are dropped, and younger ones stay."""
    answer("yes\n")
    status, out, err = cli("recover", busy.name, "--tickets-older-than=1h")
    assert (status, out) == (0, f"Pool {busy.name}: recovered 1 dead process, dropped 0 tickets.\n")
    assert "and drop those of 1 ticket older than 1h? [y/N]" in err
    await_true(lambda: busy.pool.stats().oldest_ticket >= 2)
    status, out, _ = cli("recover", busy.name, "--tickets-older-than", "1s", "--yes", "--json")
    data = json.loads(out)
    assert (status, data["recovered"]) == (0, {"processes": 0, "tickets": 1})
    assert busy.pool.stats().tickets == 0


@pytest.mark.parametrize("command", ["recover --tickets-older-than=0", "unlink"])
def test_a_pool_that_was_replaced(cli: Command, monkeypatch: pytest.MonkeyPatch, pool_name: str, command: str) -> None:
    """If another pool has the name by the time of the answer, nothing is done to it."""
    pools = [bp.Pool.create(64, 4, name=pool_name)]

    def answer() -> str:
        pools.pop().close()
        pools.append(bp.Pool.create(64, 4, name=pool_name))
        tickets.append(pools[0].allocate().share())
        return "y\n"

    tickets: list[bp.Ticket] = []
    monkeypatch.setattr("sys.stdin.readline", answer)
    name, *options = command.split()
    status, out, err = cli(name, pool_name, *options)
    assert (status, out) == (3, "")
    assert "another has its name now" in err
    assert pools[0].stats().tickets == 1
    assert pool_name in names()


def test_recover_from_a_process_of_its_own(command: Command, busy: Any) -> None:
    """A command that attaches the pool for the first time counts what came back by that, too."""
    done = subprocess.run(
        command("recover", busy.name, "--yes", "--json"), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["recovered"] == {"processes": 1, "tickets": 0}
    assert len(bp.inspect(busy.name).processes()) == 2


def test_recover_a_pool_without_a_name(cli: Command, peers: Any) -> None:
    """A pool without a name is recovered too, and what was allocated by living processes stays."""
    first, second = peers(), peers()
    text = first("pool = bp.Pool.create(64, 8); block = pool.allocate(); str(block.handle)")
    pool_id = bp.Handle.parse(text).pool_id
    second(f"block = bp.redeem({text!r}); more = block.pool.allocate_many(3)")
    second.kill()
    inspector = bp.inspect(pool_id)
    assert inspector.stats().allocated == 4
    assert cli("recover", pool_id[:10], "--yes").out == (
        f"Pool {pool_id[:8]}: recovered 1 dead process, dropped 0 tickets.\n"
    )
    assert inspector.stats().allocated == 1
    assert [each.pid for each in inspector.processes()] == [first.pid]


def test_recover_an_empty_pool_without_a_name(cli: Command, peer: Any) -> None:
    """A pool with neither a name nor runs has nothing to bring back, which is said with status 1."""
    pool_id = peer("pool = bp.Pool.create(64, 8); bp.inspect(pool).pool_id")
    status, out, err = cli("recover", pool_id, "--yes")
    assert (status, out) == (1, "")
    assert "neither a name nor runs" in err


@pytest.mark.parametrize("span", ["", "x", "-1", "1y", "nan", "inf", "1e400", "9" * 400])
def test_spans_that_are_none(cli: Command, shared: Any, span: str) -> None:
    """A time span that is none is refused with status 2 and an example."""
    status, out, err = cli("recover", shared.name, "--yes", f"--tickets-older-than={span}")
    assert (status, out) == (2, "")
    assert "is not a time span; write it as 30, 0.5s, 10min, 2h or 1d" in err


def test_spans(cli: Command) -> None:
    """Time spans may have units."""
    assert cli
    from blockpool.cli.options import SECONDS

    spans = {"30": 30, "0.5s": 0.5, ".5": 0.5, "10min": 600, "10 m": 600, "2h": 7200, "1d": 86400}
    assert {span: SECONDS.convert(span, None, None) for span in spans} == spans


# --- sweep ---


def test_sweep_shows_what_it_removes(cli: Command, found: list[str], kept: str, answer: Command) -> None:
    """Pools that were left behind are shown and, after a yes, removed."""
    answer("y\n")
    status, out, err = cli("sweep")
    assert status == 0
    row = next(line for line in out.splitlines() if line.startswith(kept))
    assert "left behind" in row
    assert err == "Remove this pool? [y/N] "
    assert out.endswith("1 pool removed.\n")
    assert found == ["sweep"]


def test_sweep_as_json(cli: Command, found: list[str], kept: str) -> None:
    """The JSON document has the pools that were found and the number of those that were removed."""
    status, out, err = cli("sweep", "--yes", "--json")
    data = json.loads(out)
    assert (status, err) == (0, "")
    assert [each["name"] for each in data["found"]] == [kept]
    assert data["removed"] == 1
    assert found == ["sweep"]


def test_sweep_removes_pools(command: Command, left: str, kept: str) -> None:
    """What a killed process left behind is gone afterwards, and a permanent pool stays."""
    done = subprocess.run(command("sweep", "--yes"), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert left not in names()
    assert kept in names()


def test_nothing_to_sweep(cli: Command, monkeypatch: pytest.MonkeyPatch, shared: Any, answer: Command) -> None:
    """If no pool was left behind, nothing is asked."""
    from blockpool.cli import remedies

    answer("")
    listed = [each for each in bp.pools() if each.name == shared.name]
    monkeypatch.setattr(remedies, "pools", lambda: listed)
    assert cli("sweep") == (0, "No pool was left behind.\n", "")


# --- unlink ---


def test_unlink_removes_a_name(cli: Command, shared: Any, answer: Command) -> None:
    """After a yes the name is gone, and processes that have the pool go on with it."""
    answer("Y\n")
    status, out, err = cli("unlink", shared.name)
    assert (status, out) == (0, f"Pool {shared.name}: its name is removed.\n")
    assert err == f"1 process has pool {shared.name} attached. Remove its name? [y/N] "
    assert shared.name not in names()
    assert shared.allocate()


@pytest.mark.parametrize("way", ["id", "handle"])
def test_unlink_by_id_or_handle(cli: Command, shared: Any, way: str) -> None:
    """The name of a pool is also removed by its id, or by a handle of one of its blocks."""
    handle = shared.allocate().handle
    status, out, _ = cli("unlink", handle.pool_id if way == "id" else handle, "--yes", "--json")
    data = json.loads(out)
    assert (status, data["name"], data["was"]["pool_id"]) == (0, shared.name, handle.pool_id)
    assert shared.name not in names()


def test_unlink_a_pool_without_a_name(cli: Command) -> None:
    """A pool without a name has none to remove, which is said with status 2."""
    pool = bp.Pool.create(64, 4)
    pool_id = bp.inspect(pool).pool_id
    status, out, err = cli("unlink", pool_id, "--yes")
    assert (status, out) == (2, "")
    assert "has no name; it ends with its last process" in err


def test_unlink_what_cannot_be_attached(cli: Command, pool_names: Any, file_of: Any, answer: Command) -> None:
    """What is damaged or no pool can be removed, and it is asked with its state."""
    damaged, foreign = pool_names(), pool_names()
    pool = bp.Pool.create(64, 4, name=damaged)
    write(file_of(damaged), 100, b"\xff\xff")
    file_of(foreign).write_text("no pool")
    answer("y\n")
    assert cli("unlink", damaged).err == f"0 processes have pool {damaged} (damaged) attached. Remove its name? [y/N] "
    assert cli("unlink", foreign, "-y").status == 0
    assert not {damaged, foreign} & names()
    del pool


# --- asking ---


@pytest.mark.parametrize("said", ["n\n", "\n", "no\n", "yess\n", "x"])
def test_no_other_answer_is_a_yes(
    cli: Command, busy: Any, found: list[str], kept: str, *, answer: Command, said: str
) -> None:
    """After any answer but yes nothing is changed, and the status is 1."""
    for command in (["recover", busy.name], ["sweep"], ["unlink", kept]):
        answer(said)
        status, _, err = cli(*command)
        assert status == 1
        assert err.endswith("blockpool: nothing was changed\n")
    assert found == []
    assert kept in names()
    assert any(each.alive is False for each in bp.inspect(busy.name).processes())


def test_nobody_answers(cli: Command, found: list[str], kept: str, answer: Command) -> None:
    """If stdin has ended, nothing is changed, and the status is 2: --yes is what is needed."""
    for command in (["recover", kept], ["sweep"], ["unlink", kept]):
        answer("")
        status, _, err = cli(*command)
        assert status == 2
        assert err.endswith("blockpool: nothing was changed, because nobody can answer here; pass --yes\n")
    assert found == []
    assert kept in names()


def test_interrupted_while_it_asks(command: Command, kept: str) -> None:
    """Ctrl-C at the question changes nothing; the status is 130."""
    with subprocess.Popen(
        command("unlink", kept), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "[y/N]" not in said:
            letter = process.stderr.read(1)
            assert letter, said
            said += letter
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith("blockpool: interrupted")
    assert kept in names()
