"""How commands find the pool that is meant, what they say if they cannot, and the exit status of each case."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import blockpool as bp
from gates import shut_gate
from programs import environment, interpreter
from segment_parts import write

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

LOOKING = ("info", "map", "runs", "processes", "queues", "watch")
ALL = (*LOOKING, "recover", "unlink")


@pytest.mark.parametrize("command", ["doctor", "export --output=-"])
def test_doctor_and_export_find_pools_in_the_same_way(cli: Command, pool_name: str, command: str) -> None:
    """They understand the start of an id, and refuse what is no name with a sentence."""
    with bp.Pool.create(64, 4, name=pool_name) as pool, bp.inspect(pool) as inspector:
        assert cli(*command.split(), inspector.pool_id[:10]).status == 0
        for wrong in ("", "a/b", "\x1b[31m", "blockpool:x"):
            status, out, err = cli(*command.split(), wrong)
            assert (status, out) == (2, "")
            assert err.startswith("blockpool: ")


def test_an_age_that_is_no_number(cli: Command, shared: Any) -> None:
    """No number is no age."""
    assert cli("doctor", shared.name, "--old=nan").status == 2


@pytest.mark.parametrize("way", ["name", "id", "start", "handle", "ticket"])
@pytest.mark.parametrize("named", [True, False])
def test_what_leads_to_a_pool(cli: Command, pool_names: Command, way: str, *, named: bool) -> None:
    """A pool is found by its name, its id, the start of its id, and the text of a handle or ticket."""
    name = pool_names() if named else None
    pool = bp.Pool.create(64, 4, name=name)
    block = pool.allocate()
    pool_id = block.handle.pool_id
    ways = {"name": name, "id": pool_id, "start": pool_id[:8], "handle": block.handle, "ticket": block.share()}
    if ways[way] is None:
        return
    for command in (["info"], ["map"], ["runs"], ["doctor"], ["export", "-o", os.devnull, "--force"]):
        status, _, err = cli(*command, ways[way])
        assert (status, err) == (0, "wrote /dev/null\n" if command[0] == "export" else "")
    assert pool_id in cli("info", ways[way]).out


def test_a_name_goes_before_the_start_of_an_id(cli: Command, pool_names: Command, file_of: Command) -> None:
    """A pool that is named like the start of another's id is the one that is meant."""
    other = bp.Pool.create(64, 4, name=pool_names())
    name = other.allocate().handle.pool_id[:7]
    pool = bp.Pool.create(64, 9, name=name)
    try:
        assert "9 blocks of 64 B" in cli("info", name).out
        assert "4 blocks of 64 B" in cli("info", other.allocate().handle.pool_id[:8]).out
    finally:
        pool.close()
        file_of(name).unlink(missing_ok=True)


def test_a_start_of_several_ids(cli: Command, monkeypatch: pytest.MonkeyPatch, pool_names: Command) -> None:
    """The start of several ids is refused with a sentence that lists them; three digits are never one."""
    from blockpool.cli import pools

    made = [bp.Pool.create(64, 4, name=pool_names()) for _ in range(2)]
    found = [each for each in bp.pools() if each.name in {pool.name for pool in made}]
    ids = ["abcd" + "0" * 28, "abcd" + "1" * 28]
    from dataclasses import replace

    listed = [replace(each, pool_id=pool_id) for each, pool_id in zip(found, ids, strict=True)]
    monkeypatch.setattr(pools, "pools", lambda: listed)
    status, out, err = cli("info", "abcd")
    assert (status, out) == (2, "")
    assert f"'abcd' is the start of 2 ids: {ids[0]}, {ids[1]}; give more digits" in err
    assert cli("info", "abc").status == 3


@pytest.mark.parametrize("command", ALL)
def test_without_a_pool(cli: Command, shared: Any, command: str) -> None:
    """Without a POOL a command ends with status 2, and says which pools there are."""
    assert shared
    status, out, err = cli(command)
    assert (status, out) == (2, "")
    assert err.startswith("blockpool: say which pool: there are: ")
    assert err.count("\n") == 1


def test_without_any_pools(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no pools, the list and the errors say so."""
    from blockpool.cli import ls, pools

    monkeypatch.setattr(pools, "pools", list)
    monkeypatch.setattr(ls, "pools", list)
    assert cli("ls") == (0, "This user has no pools.\n", "")
    assert cli("info") == (2, "", "blockpool: say which pool: this user has no pools\n")


@pytest.mark.parametrize("command", ALL)
def test_a_pool_that_does_not_exist(cli: Command, pool_name: str, command: str) -> None:
    """For a pool that does not exist the status is 3, and one line says so."""
    status, out, err = cli(command, pool_name)
    assert (status, out) == (3, "")
    assert err.startswith(f"blockpool: pool '{pool_name}' does not exist: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("name", ["a/b", "", "a" * 300, "ü", "a\x1b[31m", "blockpool-handle:x:y"])
def test_names_that_no_pool_can_have(cli: Command, command: str, name: str) -> None:
    """A name that no pool can have is a wrong command line: status 2, and a line without control characters."""
    status, out, err = cli(command, name)
    assert (status, out) == (2, "")
    assert err.startswith("blockpool: ")
    assert err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("offset", "data"), [(100, b"\xff\xff"), (8, b"\x63"), (0, b"no pool")], ids=["damaged", "version", "foreign"]
)
@pytest.mark.parametrize("command", [*LOOKING, "recover"])
def test_damaged_pools_and_other_versions(
    cli: Command, pool_name: str, file_of: Command, *, command: str, offset: int, data: bytes
) -> None:
    """For a pool that is damaged, of another version, or none, the status is 4."""
    pool = bp.Pool.create(64, 4, name=pool_name)
    write(file_of(pool_name), offset, data)
    status, out, err = cli(command, pool_name)
    assert (status, out) == (4, "")
    assert pool_name in err
    del pool


def test_a_hostile_release(cli: Command, pool_name: str, file_of: Command) -> None:
    """The list shows the release that made a pool without its control characters."""
    pool = bp.Pool.create(64, 4, name=pool_name)
    write(file_of(pool_name), 8, b"\x63")
    write(file_of(pool_name), 104, b"\x1b[31mred\n\0")
    assert r"other version (\x1b[31mred\n)" in cli("ls").out
    del pool


def test_a_pool_that_was_cut_short(cli: Command, pool_name: str, file_of: Command, peer: Any) -> None:
    """For a pool whose file was cut short the status is 4."""
    peer(f"pool = bp.Pool.create(4096, 64, name={pool_name!r}, permanent=True)")
    peer.kill()
    os.truncate(file_of(pool_name), 8192)
    for command in LOOKING:
        assert cli(command, pool_name).status == 4, command


def test_a_pool_of_another_user(pool_name: str) -> None:
    """For another user's pool the status is 5, and it is not in the list; the other user's own are."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    pytest.importorskip("rich")
    pool = bp.Pool.create(64, 4, name=pool_name)
    # imported before the change of user, who may not be allowed to read this installation
    program = """
        import os, sys
        import blockpool as bp
        from blockpool.cli import main
        name = sys.argv[1]
        bp.inspect(name).close()
        for command in ("info", "map", "runs", "processes", "queues", "watch --count=1", "recover --yes"):
            assert main([*command.split(), name]) == 0, command
        main(["ls"]); main(["unlink", "--yes"]); main(["sweep", "--json", "--help"])
        sys.stdout.flush()
        print("---", flush=True)
        os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        own = bp.Pool.create(64, 4, name=name + "-own")
        print([main([*command.split(), name]) for command in (
            "info", "map", "runs", "processes", "queues", "watch --count=1", "recover --yes", "unlink --yes")])
        print(main(["ls"]))
        own.unlink()
    """
    done = subprocess.run(
        interpreter(program, pool_name), env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    after = done.stdout.split("---\n")[1]
    assert after.startswith("[5, 5, 5, 5, 5, 5, 5, 5]\n"), done
    names = [line.split()[0] for line in after.splitlines()[1:] if line.split()]
    assert f"{pool_name}-own" in names
    assert pool_name not in names
    assert bp.inspect(pool_name).exists()
    pool.close()


def test_a_gate_that_stays_shut(cli: Command, shared: Any, file_of: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a stopped process keeps recover from attaching the pool, the status is 6; commands that look go on."""
    from blockpool.cli import pools

    class Impatient:
        @staticmethod
        def attach(name: str) -> None:
            raise bp.PoolBusy(f"pool {name!r} is busy")

    monkeypatch.setattr(pools, "Pool", Impatient)
    gate = shut_gate(file_of(shared.name))
    try:
        for command in ("info", "map", "runs", "processes", "queues", "ls"):
            assert cli(*([command] if command == "ls" else [command, shared.name])).status == 0
    finally:
        os.close(gate)
    assert cli("recover", "--yes", shared.name) == (6, "", f"blockpool: pool '{shared.name}' is busy\n")


def test_a_stopped_process_does_not_hold_up_those_who_look(cli: Command, busy: Any) -> None:
    """While a process of the pool is stopped, all commands that look answer."""
    os.kill(busy.living, signal.SIGSTOP)
    try:
        for command in LOOKING:
            assert cli(command, busy.name, *(["--count=1"] if command == "watch" else [])).status == 0
    finally:
        os.kill(busy.living, signal.SIGCONT)


def test_every_error_has_its_status() -> None:
    """Errors of the library have the exit statuses that the help lists."""
    pytest.importorskip("click")
    from blockpool.cli.exits import EXITS, status_of

    errors = {
        bp.PoolNotFound: 3,
        bp.PoolCorrupt: 4,
        bp.PoolVersion: 4,
        bp.PoolForbidden: 5,
        PermissionError: 5,
        bp.PoolBusy: 6,
        bp.TooManyProcesses: 1,
        bp.PoolExhausted: 1,
        OSError: 1,
    }
    assert {kind: status_of(kind()) for kind in errors} == errors
    assert {int(line.split()[0]) for line in EXITS.splitlines()[2:]} == {0, 1, 2, 3, 4, 5, 6, 130, 141}
