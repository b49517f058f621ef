"""`blockpool doctor`: sentences or JSON, and an exit status."""

import json

import blockpool as bp
from deaths import await_death
from programs import interpreter, run_command

DOCTOR = "from blockpool.cli.doctor import doctor; doctor.main(prog_name='doctor')"


def doctor(*arguments):
    """Run the command; return its exit status and its output. It says nothing on stderr."""
    _, done = run_command(interpreter(DOCTOR, *arguments))
    assert done.stderr == "", done
    return done.returncode, done.stdout


def test_a_healthy_pool(shared):
    """A healthy pool: one line, and status 0."""
    assert doctor(shared.name) == (0, "Nothing is wrong.\n")
    status, out = doctor(shared.name, "--json")
    assert status == 0
    assert json.loads(out) == {
        "schema": 1, "kind": "doctor", "pool": shared.name, "healthy": True, "findings": [],
    }  # fmt: skip


def test_what_a_pool_is_called(shared):
    """A pool is found by the start of its id too, and spans of time have units, as with other commands."""
    with bp.inspect(shared) as inspector:
        start = inspector.pool_id[:12]
    assert doctor(start, "--old", "10min") == (0, "Nothing is wrong.\n")
    assert json.loads(doctor(start, "--json")[1])["pool"] == start


def test_a_leak(shared, peer):
    """Each finding has a line with its severity, and one with its remedy; the status is 1."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    peer.kill()
    status, out = doctor(shared.name)
    lines = out.splitlines()
    assert status == 1
    assert len(lines) == 3
    assert lines[0].startswith("warning: 1 dead process still holds 1 block (4 KiB)")
    assert f"blockpool.Pool.attach('{shared.name}').recover()\"`" in lines[1]
    assert lines[2] == "1 thing is wrong."
    status, out = doctor(shared.name, "--json")
    found = json.loads(out)
    assert (status, found["healthy"]) == (1, False)
    assert found["findings"][0]["code"] == "dead"
    assert found["findings"][0]["details"]["processes"][0]["pid"] == peer.pid


def test_an_encoding_of_few_letters(shared, monkeypatch):
    """Where the output can have ASCII alone, other characters are escaped, and nothing fails."""
    killed = f"""
        import os, blockpool
        kept = blockpool.Pool.attach({shared.name!r}).allocate()
        os.kill(os.getpid(), 9)
    """
    pid, _ = run_command(interpreter(killed, "\N{SNOWMAN}"))
    await_death(pid)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    status, out = doctor(shared.name)
    assert status == 1
    assert out.isascii()
    assert "\\u2" in out.splitlines()[0]


def test_what_is_good_to_know_is_no_failure(pool_name):
    """With nothing but what is good to know, the status is 0."""
    with bp.Pool.create(4096, 16, name=pool_name) as pool:
        pool.keep("model", pool.allocate(blocks=10))
        status, out = doctor(pool_name)
    assert status == 0
    assert out.startswith("info: 10 blocks (40 KiB) of the 16 of pool")
    assert out.endswith("Nothing is wrong.\n")


def test_all_pools(shared, peer):
    """Without a pool, all of them are examined, and the machine."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    peer.kill()
    status, out = doctor("--json")
    found = json.loads(out)
    assert (status, found["pool"]) == (1, None)
    assert ("dead", shared.name) in {(one["code"], one["pool"]) for one in found["findings"]}
