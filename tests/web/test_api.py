"""What the server answers, and its description."""

import asyncio
import json
import math
import os
import re
import subprocess
import sys
from importlib import resources

import jsonschema
import pytest

import blockpool as bp
from blockpool.web.openapi import description
from blockpool.web.shortly import Shortly
from programs import environment
from waits import await_true

DOCUMENTS = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))
KINDS = {each["title"] for each in DOCUMENTS["oneOf"]}


def document(client, path, operation=None, status="200", **more):
    """Return what the server answers, after it was compared with the description of the API.

    What has the kind of a command's document has its form too.
    """
    method, route = operation or ("get", path.partition("?")[0])
    answer = client.request(method.upper(), path, **more)
    assert str(answer.status_code) == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    content = description()["paths"][route][method]["responses"][status]["content"]
    schema = {**content["application/json"]["schema"], "components": description()["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())
    if answer.json().get("kind") in KINDS:
        jsonschema.Draft202012Validator(DOCUMENTS).validate(answer.json())
    return answer.json()


@pytest.mark.usefixtures("shared")
def test_pools(client, pool_name):
    """The pools are listed as blockpool.pools() does."""
    found = document(client, "/api/pools")
    assert found["schema"] == 1
    (ours,) = [pool for pool in found["pools"] if pool["name"] == pool_name]
    assert (ours["state"], ours["blocks"], ours["processes"][0]["pid"]) == ("ok", 16, os.getpid())


@pytest.mark.usefixtures("shared")
def test_many_pages_at_a_time(client, monkeypatch, token, pool_name):
    """Lists are kept for half a second, longer if they took long to make, and not over a change."""
    clock, worked, made = [100.0], [0.0], []
    monkeypatch.setattr("blockpool.web.shortly.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("blockpool.web.shortly.time.thread_time", lambda: worked[0])
    real = bp.pools

    def make():
        made.append(1)
        worked[0] += 0.01 if len(made) < 3 else 1
        return real()

    monkeypatch.setattr(bp, "pools", make)
    for _ in range(3):
        document(client, "/api/pools")
        document(client, f"/api/pools/{pool_name}/runs", ("get", "/api/pools/{id}/runs"))
    assert len(made) == 1
    client.post("/api/sweep", headers=token)
    document(client, "/api/pools")
    assert len(made) == 2
    clock[0] += 0.6
    document(client, "/api/pools")
    assert len(made) == 3
    clock[0] += 8  # making it took a second, so it is kept for nine
    document(client, "/api/pools")
    assert len(made) == 3
    clock[0] += 2
    document(client, "/api/pools")
    assert len(made) == 4


def test_what_is_kept_is_of_one_pool(client, pool_names):
    """What is kept for one pool and one question is not the answer to another."""
    names = [pool_names(), pool_names()]
    pools = [bp.Pool.create("4KiB", 16, name=name) for name in names]
    kept = [pools[0].allocate(blocks=length) for length in (1, 2)]
    operation = ("get", "/api/pools/{id}/runs")
    for path, expected in {"?order=age": [1, 2], "?order=size": [2, 1], "?order=size&most=1": [2]}.items():
        found = document(client, f"/api/pools/{names[0]}/runs{path}", operation)
        assert [run["blocks"] for run in found["runs"]] == expected
        assert document(client, f"/api/pools/{names[1]}/runs{path}", operation)["runs"] == []
    del kept


def test_not_everything_is_kept():
    """Of too many results, those that were not asked for the longest are dropped; an error is not kept."""
    kept = Shortly(3600)
    made = []

    def make():
        made.append(1)
        return len(made)

    for key in range(100):
        assert kept.get(0, make) == 1
        kept.get(key, make)
    assert len(made) == 100
    assert kept.get(99, make) == 100
    assert kept.get(1, make) == 101
    with pytest.raises(ZeroDivisionError):
        kept.get("key", lambda: 1 / 0)
    assert kept.get("key", make) == 102


def test_a_pool(client, shared, pool_name):
    """A pool is found by its name and by its id, with all that a snapshot has but the picture."""
    block = shared.allocate(blocks=3)
    found = document(client, f"/api/pools/{pool_name}", ("get", "/api/pools/{id}"))
    assert (found["kind"], found["counts"]["allocated"], found["survey"]["top"][0]["blocks"]) == ("snapshot", 3, 3)
    assert found["map"] is None
    again = document(client, f"/api/pools/{found['pool_id']}", ("get", "/api/pools/{id}"))
    assert again["name"] == pool_name
    del block


def test_a_pool_without_a_name(client):
    """A pool without a name is found by its id."""
    pool = bp.Pool.create("4KiB", 16)
    with bp.inspect(pool) as inspector:
        found = document(client, f"/api/pools/{inspector.pool_id}", ("get", "/api/pools/{id}"))
    assert found["name"] is None


def test_a_map(client, shared, pool_name):
    """A picture shows the part of the pool that was asked for."""
    blocks = [shared.allocate() for _ in range(16)]
    del blocks[3]
    operation = ("get", "/api/pools/{id}/map")
    found = document(client, f"/api/pools/{pool_name}/map?cells=4&first=2&blocks=4", operation)
    assert (found["first"], found["blocks"], found["cells"], found["fill"]) == (2, 4, 4, "/wD//w==")
    assert document(client, f"/api/pools/{pool_name}/map", operation)["cells"] == 16


def test_runs(client, shared, pool_name):
    """Runs are listed, the oldest or the largest first, as many as were asked for."""
    blocks = [shared.allocate(blocks=length) for length in (1, 4, 2)]
    operation = ("get", "/api/pools/{id}/runs")
    found = document(client, f"/api/pools/{pool_name}/runs?order=size&most=2", operation)
    assert [run["blocks"] for run in found["runs"]] == [4, 2]
    assert len(document(client, f"/api/pools/{pool_name}/runs", operation)["runs"]) == 3
    assert document(client, f"/api/pools/{pool_name}/runs?most=0", operation)["runs"] == []
    del blocks


@pytest.mark.usefixtures("shared")
def test_no_history(client, pool_name):
    """A pool that no page has shown has no history."""
    operation = ("get", "/api/pools/{id}/history")
    assert document(client, f"/api/pools/{pool_name}/history", operation)["points"] == []


@pytest.mark.parametrize(
    "path",
    [
        "map?cells=0",
        "map?cells=65537",
        "map?cells=x",
        "map?cells=1e3",
        "map?first=16",
        "map?first=-1",
        "map?first=8&blocks=9",
        "map?blocks=0",
        f"map?cells={'9' * 5000}",
        "map?cells=1_0",
        "map?cells=+5",
        "map?cells=%205",
        "map?cells=%D9%A3",
        "runs?order=name",
        "runs?most=-1",
        "runs?most=10001",
        "events?rate=0",
        "events?rate=-1",
        "events?rate=nan",
        "events?rate=inf",
        "events?rate=fast",
    ],
)
@pytest.mark.usefixtures("shared")
def test_wrong_arguments(client, pool_name, path):
    """A wrong argument is refused with a sentence that has the argument, shortened."""
    operation = ("get", "/api/pools/{id}/" + path.partition("?")[0])
    found = document(client, f"/api/pools/{pool_name}/{path}", operation, "422")
    assert path.replace("&", "?").split("?")[-1].partition("=")[0] in found["message"]
    assert len(found["message"]) < 200


@pytest.mark.parametrize("what", ["", "/map", "/runs", "/history", "/events", "/doctor"])
def test_no_such_pool(client, pool_name, what):
    """A pool that does not exist is not found, whatever is asked about it."""
    found = document(client, f"/api/pools/{pool_name}{what}", ("get", "/api/pools/{id}" + what), "404")
    assert (found["error"], pool_name in found["message"]) == ("PoolNotFound", True)


@pytest.mark.parametrize(
    "name", ["a%20b", "%3Cscript%3E", "x" * 181, "blockpool-handle:" + "0" * 32 + ":0:1:1:x", "%00"]
)
def test_no_name_of_a_pool(client, name):
    """What no pool can be called is refused."""
    document(client, f"/api/pools/{name}", ("get", "/api/pools/{id}"), "422")


def test_a_damaged_pool(client, pool_name, file_of):
    """A file that is no pool conflicts with the request; so does a pool of another release."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name)
    file = file_of(pool_name)
    content = file.read_bytes()
    file.write_bytes(content[:100])
    assert document(client, f"/api/pools/{pool_name}", ("get", "/api/pools/{id}"), "409")["error"] == "PoolCorrupt"
    file.write_bytes(content)
    del pool


def test_unknown_paths(client, token):
    """Paths and methods that do not exist are told so, as JSON."""
    for answer in (client.get("/api/nothing"), client.get("/api/pools/a/b"), client.get("/api/pools/")):
        assert (answer.status_code, answer.json()["kind"]) == (404, "error")
    assert client.post("/api/pools", headers=token).status_code == 405
    assert client.get("/api/sweep").status_code == 405


@pytest.mark.usefixtures("shared")
def test_doctor(client, pool_name):
    """What is wrong with a pool is told."""
    operation = ("get", "/api/pools/{id}/doctor")
    found = document(client, f"/api/pools/{pool_name}/doctor", operation)
    assert (found["pool"], found["healthy"], found["findings"]) == (pool_name, True, [])


# --- changing ---

RECOVER = ("post", "/api/pools/{id}/recover")


def leak(peers, pool_name):
    """Have a process die that holds a block."""
    peer = peers()
    peer(f"import blockpool as bp; pool = bp.Pool.attach({pool_name!r}); block = pool.allocate(blocks=2)")
    peer.kill()


def test_recovering(client, token, shared, pool_name, peers):
    """What a dead process held comes back; without the token it stays."""
    leak(peers, pool_name)
    assert client.post(f"/api/pools/{pool_name}/recover", json={}).status_code == 403
    assert shared.stats().allocated == 2
    found = document(client, f"/api/pools/{pool_name}/recover", RECOVER, headers=token)
    assert (found["kind"], found["recovered"]["processes"], found["recovered"]["tickets"]) == ("recovered", 1, 0)
    assert (shared.stats().allocated, shared.stats().processes) == (0, 1)


def test_recovering_from_outside(client, token, pool_name, peers):
    """A server that has no part in the pool says how many it recovered, and has no part in it afterwards."""
    owner = peers()
    owner(f"pool = bp.Pool.create('4KiB', 16, name={pool_name!r})")
    leak(peers, pool_name)
    assert document(client, f"/api/pools/{pool_name}/recover", RECOVER, headers=token)["recovered"]["processes"] == 1
    assert owner("stats = pool.stats(); stats.allocated, stats.processes") == (0, 1)
    assert document(client, f"/api/pools/{pool_name}/recover", RECOVER, headers=token)["recovered"]["processes"] == 0


def test_recovering_tickets(client, token, shared, pool_name):
    """Tickets are dropped if they are older than was asked."""
    shared.allocate().share()
    path = f"/api/pools/{pool_name}/recover"
    kept = document(client, path, RECOVER, headers=token, json={"tickets_older_than": 3600})
    assert (kept["recovered"]["tickets"], shared.stats().tickets) == (0, 1)
    kept = document(client, path, RECOVER, headers=token, json={"tickets_older_than": None})
    assert kept["recovered"]["tickets"] == 0
    # ages are in whole seconds
    dropped = {"headers": token, "json": {"tickets_older_than": 0}}
    await_true(lambda: document(client, path, RECOVER, **dropped)["recovered"]["tickets"] == 1)
    assert shared.stats().tickets == 0


def test_recovering_a_pool_without_a_name(client, token, peers):
    """A pool without a name is recovered through one of its runs; the server has no part in it afterwards."""
    owner, other = peers(), peers()
    ticket = owner("pool = bp.Pool.create('4KiB', 16); block = pool.allocate(blocks=2); str(block.share())")
    other(f"block = bp.redeem({ticket!r})")
    other.kill()
    with bp.inspect(ticket) as inspector:
        path = f"/api/pools/{inspector.pool_id}/recover"
    assert document(client, path, RECOVER, headers=token)["recovered"]["processes"] == 1
    assert owner("stats = pool.stats(); stats.allocated, stats.processes") == (2, 1)


def test_recovering_an_empty_pool_without_a_name(client, token):
    """A pool without a name in which nothing is allocated cannot be attached; the answer says so."""
    pool = bp.Pool.create("4KiB", 16)
    with bp.inspect(pool) as inspector:
        path = f"/api/pools/{inspector.pool_id}/recover"
    assert "by themselves" in document(client, path, RECOVER, "404", headers=token)["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        b"1",
        b"[" * 5000,
        b'{"tickets_older_than": -1}',
        b'{"tickets_older_than": "1"}',
        b'{"tickets_older_than": true}',
        b'{"tickets_older_than": NaN}',
        b'{"tickets_older_than": 1e999}',
        b'{"tickets_older_than": 1' + b"0" * 400 + b"}",
        b'{"tickets_older": 1}',
        b"\xff\xfe",
    ],
)
def test_wrong_bodies(client, token, shared, pool_name, body):
    """A body that is not as described is refused, and nothing is recovered."""
    block = shared.allocate().share()
    document(client, f"/api/pools/{pool_name}/recover", RECOVER, "422", headers=token, content=body)
    assert shared.stats().tickets == 1
    shared.recover(tickets_older_than=0)
    del block


def test_a_client_that_leaves_within_its_body(client, token):
    """A client that leaves before it sent the whole body is no error of the server."""
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    headers = {"host": "localhost", **{name.lower(): value for name, value in token.items()}}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/sweep",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive():
        return next(parts)

    async def send(message):
        sent.append(message)

    sent = []
    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 400


def test_sweeping(client, token, pool_names, peers, file_of):
    """Pools that killed programs left behind are removed."""
    removed = 0
    for _ in range(20):  # another program that makes its first pool may be quicker to sweep
        name, peer = pool_names(), peers()
        peer(f"import blockpool as bp; pool = bp.Pool.create(64, 16, name={name!r})")
        peer.kill()
        removed += document(client, "/api/sweep", ("post", "/api/sweep"), headers=token)["removed"]
        assert not file_of(name).exists()
        if removed:
            break
    assert removed


# --- hostile texts ---

HOSTILE = "</script><img src=x onerror=alert(1)>\n\nevent: gone\ndata: \x1b[31m \u2028\ufeff"

_ATTACH = "import sys, blockpool; pool = blockpool.Pool.attach(sys.argv[1]); print('ready', flush=True); input()"


@pytest.fixture
def hostile(shared, pool_name):  # noqa: ARG001 - the pool must be there
    """Run a process with a hostile command line that has the pool attached."""
    paths = {"PYTHONHOME": sys.base_prefix, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [HOSTILE, "-c", _ATTACH, pool_name]
    with subprocess.Popen(
        command,
        executable=sys.executable,
        env=environment() | paths,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")
        assert process.returncode == 0


def test_hostile_commands(client, hostile, pool_name):
    """The command of a process, whatever it says, is a text in JSON that no browser takes for HTML."""
    found = document(client, f"/api/pools/{pool_name}", ("get", "/api/pools/{id}"))
    (command,) = [each["command"] for each in found["processes"] if each["pid"] == hostile]
    begin = HOSTILE.partition(" \u2028")[0]
    assert command.startswith((begin, begin.replace("\n", " ")))


def test_hostile_commands_in_events(serving, hostile, pool_name):
    """Nor can a command end an event, or begin another one."""
    with serving.stream(pool_name) as page:
        _, kind, data = next(page.events())
    assert kind == "snapshot"
    assert [each["pid"] for each in data["snapshot"]["processes"]] == [os.getpid(), hostile]


# --- the description ---


def test_every_route_is_described(client):
    """The description has every route with its methods, and nothing else."""
    routes = {
        route.path: {method.lower() for method in route.methods} - {"head"}
        for route in client.app.routes
        if hasattr(route, "methods")
    }
    assert {path: set(methods) for path, methods in description()["paths"].items()} == routes


def test_the_description_is_openapi(client):
    """The description has what OpenAPI 3.1 asks for: ids that are unique, path parameters, responses, references."""
    found = client.get("/api/openapi.json").json()
    assert found == description()
    assert re.fullmatch(r"3\.1\.\d", found["openapi"])
    assert set(found["info"]) >= {"title", "version"}
    operations = [(path, one) for path, methods in found["paths"].items() for one in methods.values()]
    assert len({one["operationId"] for _, one in operations}) == len(operations)
    for path, one in operations:
        assert one["summary"]
        assert all(
            re.fullmatch("[1-5][0-9][0-9]", status) and answer["description"]
            for status, answer in one["responses"].items()
        )
        inside = {each["name"] for each in one.get("parameters", []) if each["in"] == "path"}
        assert inside == set(re.findall(r"{(\w+)}", path))
        for needed in one.get("security", []):
            assert set(needed) <= set(found["components"]["securitySchemes"])


def test_the_schemas_are_schemas():
    """All schemas are valid JSON Schemas of OpenAPI's dialect, and all references lead somewhere."""
    schemas = description()["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(description())))
    assert references == set(schemas)


def test_fields_are_described():
    """Each field of an answer says what it means."""
    schemas = description()["components"]["schemas"]
    for name in ("PoolSummary", "Snapshot", "PoolCounts", "ProcessInfo", "QueueInfo", "Survey", "Run", "Point"):
        for field, schema in schemas[name]["properties"].items():
            assert schema.get("description") or "$ref" in schema, (name, field)


def test_changing_operations_need_the_token():
    """The description says of each request that changes something that it needs the token."""
    for methods in description()["paths"].values():
        for method, operation in methods.items():
            assert ("security" in operation) == (method != "get")


def test_numbers_that_json_has_not():
    """A number that JSON cannot have becomes null."""
    from blockpool.report.json import plain

    assert plain({"a": math.inf, "b": math.nan}) == {"a": None, "b": None}
