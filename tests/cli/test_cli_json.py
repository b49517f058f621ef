"""The JSON of all commands: it is described by the schema, which is that of the dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import pytest

pytest.importorskip("rich")
pytest.importorskip("click")
pytest.importorskip("jsonschema")

import jsonschema

import blockpool as bp
from blockpool._handles import Handle  # noqa: TC001 - the schema asks for its annotation's value
from blockpool.observe import snapshot
from blockpool.report.documents import all_kinds, fields_of
from blockpool.report.json import document, plain
from blockpool.report.schema import schema
from programs import interpreter, run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

SCHEMA = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
COMMANDS = {
    "ls": "pools",
    "info POOL": "pool",
    "info POOL --full": "pool",
    "map POOL": "map",
    "map POOL --first=3 --blocks=7": "map",
    "runs POOL": "runs",
    "runs POOL --all --order=size": "runs",
    "processes POOL": "processes",
    "queues POOL": "queues",
    "watch POOL --count=1": "glance",
    "recover POOL --yes": "recovered",
    "sweep --yes": "swept",
    "unlink POOL --yes": "unlinked",
}


def test_the_schema_is_current() -> None:
    """The schema that is shipped is that of the dataclasses; python -m blockpool.report.schema writes it."""
    assert json.loads(json.dumps(schema())) == SCHEMA


def test_the_schema_is_one() -> None:
    """The schema follows the rules for schemas, and describes every field of every document."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {each["title"] for each in SCHEMA["oneOf"]} == set(all_kinds())
    for shape in (*SCHEMA["oneOf"], *SCHEMA["$defs"].values()):
        undescribed = {name for name, field in shape["properties"].items() if "description" not in field}
        assert undescribed <= {"schema", "kind"}, shape["description"]


def test_documents_about_pools_need_no_numpy(command: Command, busy: Any) -> None:
    """Without NumPy and pyarrow the JSON about pools, and its schema for the web page, stay the same."""
    program = """
        import sys
        sys.modules["numpy"] = sys.modules["pyarrow"] = None
        import blockpool.report.schema
        from blockpool.cli import main
        sys.exit(main(["info", sys.argv[1], "--json"]))
    """
    assert command
    _, done = run_command(interpreter(program, busy.name))
    assert (done.returncode, done.stderr) == (0, "")
    VALIDATOR.validate(json.loads(done.stdout))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_gives_a_document(cli: Command, busy: Any, command: str) -> None:
    """With --json each command prints one document of its kind, which the schema describes, and nothing else."""
    words = [busy.name if word == "POOL" else word for word in command.split()]
    status, out, err = cli(*words, "--json")
    assert (status, err) == (0, "")
    data = json.loads(out)
    assert (data["schema"], data["kind"]) == (1, COMMANDS[command])
    VALIDATOR.validate(data)


def test_watch_gives_a_document_a_line(cli: Command, busy: Any) -> None:
    """With --json each line of watch is a document."""
    lines = cli("watch", busy.name, "--count=3", "--interval=0.05", "--json").out.splitlines()
    assert len(lines) == 3
    for line in lines:
        VALIDATOR.validate(json.loads(line))


def test_snapshots_and_pools_of_all_states(busy: Any, pool_names: Command, file_of: Command) -> None:
    """The schema describes snapshots with pictures, and what is no pool."""
    kind, fields = fields_of(snapshot(busy.name, cells=16))
    VALIDATOR.validate(json.loads(document(kind, fields)))
    name = pool_names()
    file_of(name).write_text("no pool")
    found = next(each for each in bp.pools() if each.name == name)
    VALIDATOR.validate({"schema": 1, "kind": "unlinked", "name": name, "was": plain(found)})


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2}, {"kind": "pools"}, {"blocks": "16"}, {"name": 5}, {"counts": None}, {"processes": {}},
        {"on_fork": None}, {"survey": []}, {"time": "now"},
    ],
)  # fmt: skip
def test_the_schema_refuses(cli: Command, busy: Any, change: dict[str, Any]) -> None:
    """The schema does not describe a document with a field of another type, version or kind."""
    data = json.loads(cli("info", busy.name, "--json").out)
    VALIDATOR.validate(data)
    assert not VALIDATOR.is_valid(data | change)


@pytest.mark.parametrize("missing", ["schema", "kind", "counts", "survey"])
def test_the_schema_misses(cli: Command, busy: Any, missing: str) -> None:
    """The schema does not describe a document that lacks a field."""
    data = json.loads(cli("info", busy.name, "--json").out)
    del data[missing]
    assert not VALIDATOR.is_valid(data)


def test_a_schema_of_other_types() -> None:
    """Types become what `plain` makes of their values, and a type that it does not know is refused."""

    @dataclass
    class Example:
        """An example.

        Attributes
        ----------
        first, second : int
            Numbers
            of `things`.
        """

        first: int
        second: tuple[tuple[int, str], ...]
        third: dict[str, float | None]
        fourth: Literal["a", "b"]
        fifth: Handle | None
        sixth: Audit | None

    from blockpool.stats import Audit

    globals()["Audit"] = Audit
    made = schema({"example": Example})
    properties = made["oneOf"][0]["properties"]
    assert properties["first"] == {"type": "integer", "description": "Numbers of things."}
    assert properties["second"]["items"]["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert properties["third"] == {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    assert properties["fourth"] == {"enum": ["a", "b"]}
    assert properties["fifth"] == {"type": ["string", "null"]}
    assert properties["sixth"] == {"anyOf": [{"$ref": "#/$defs/Audit"}, {"type": "null"}]}
    value = Example(1, ((1, "a"),), {"a": None, "b": 0.5}, "a", None, Audit(blocks=1, allocated=1, runs=1))
    validator = jsonschema.Draft202012Validator(made)
    data = {"schema": 1, "kind": "example", **plain(value)}
    validator.validate(data)
    assert not validator.is_valid(data | {"second": [[1]]})

    @dataclass
    class Unknown:
        """One that no JSON is known for."""

        field: set[int]

    with pytest.raises(TypeError, match="no JSON is known"):
        schema({"unknown": Unknown})
