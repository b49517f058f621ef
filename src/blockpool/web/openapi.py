"""The description of the API, in OpenAPI 3.1."""

from __future__ import annotations

from functools import cache
from typing import Any

import blockpool
from blockpool.report.json import SCHEMA
from blockpool.web.guard import TOKEN_HEADER
from blockpool.web.schemas import components, reference

__all__ = ["description"]

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The name of a pool, or its id: 32 hexadecimal digits.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,180}$"},
}

_ERRORS = {
    "403": "The request is refused, or the pool belongs to another user.",
    "404": "There is no such pool.",
    "409": "The pool was made by another release of blockpool, or is damaged.",
    "410": "The pool is gone.",
    "422": "An argument is wrong.",
    "503": "It cannot be done now.",
}
_OF_A_POOL = ("403", "404", "409", "410", "422", "503")


def _query(name: str, meaning: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning, "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _document(kind: str, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a document of that kind with these fields."""
    return {
        "type": "object",
        "required": ["schema", "kind", *properties],
        "properties": {"schema": {"const": SCHEMA}, "kind": {"const": kind}, **properties},
    }


def _array(name: str) -> dict[str, Any]:
    return {"type": "array", "items": reference(name)}


def _extended(kind: str, name: str) -> dict[str, Any]:
    """Return the schema of a document that has the fields of a component too."""
    return {"allOf": [_document(kind), reference(name)]}


def _operation(
    name: str,
    summary: str,
    content: dict[str, Any],
    *,
    parameters: tuple[dict[str, Any], ...] = (),
    errors: tuple[str, ...] = ("403", "503"),
    meaning: str = "The answer.",
) -> dict[str, Any]:
    refused = {status: {"description": _ERRORS[status], "content": _json(reference("Error"))} for status in errors}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": meaning, "content": content}, **refused},
    }
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _changing(operation: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return an operation that needs the token, and may have a body."""
    return {**operation, "security": [{"token": []}], "requestBody": {"content": _json(body)}}


_EVENTS = {
    "schema": {
        "type": "string",
        "description": "Server-sent events. `snapshot` comes for each update. Its map is null if the page has the "
        "latest already, and in its snapshot the fields processes, queues, names and survey are new twice a second. "
        "`gone` is the last: the pool vanished, or cannot be looked at any more.",
    },
    "x-data-of-events": {"snapshot": reference("Update"), "gone": reference("Gone")},
}

_SECONDS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "tickets_older_than": {
            "type": ["number", "null"],
            "minimum": 0,
            "description": "Also drop the tickets of every run whose newest ticket is older than so many seconds.",
        }
    },
}


def _of_pool(name: str, summary: str, content: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    return _operation(name, summary, content, parameters=(_ID, *parameters), errors=_OF_A_POOL)


def _paths() -> dict[str, Any]:
    return {**_general(), **{f"/api/pools/{{id}}{path}": found for path, found in _about_a_pool().items()}}


def _general() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    sweep = _operation(
        "sweep",
        "Remove the pools that killed programs left behind",
        _json(_extended("swept", "SweptPools")),
        errors=("403", "422", "503"),
    )
    return {
        "/": {"get": _operation("page", "The page", {"text/html": text})},
        "/metrics": {"get": _operation("metrics", "All pools, for Prometheus", {"text/plain": text})},
        "/api/openapi.json": {"get": _operation("openapi", "This description", _json({"type": "object"}))},
        "/api/pools": {
            "get": _operation("pools", "All shared pools of this user", _json(_extended("pools", "ListedPools")))
        },
        "/api/sweep": {"post": _changing(sweep, {"type": "object", "additionalProperties": False})},
    }


def _about_a_pool() -> dict[str, Any]:
    """Return the paths that begin with that of a pool, without it."""
    drawn = (
        _query("cells", "How many cells.", type="integer", minimum=1, maximum=65536, default=4096),
        _query("first", "The first block.", type="integer", minimum=0, default=0),
        _query("blocks", "How many blocks; by default, all from the first on.", type="integer", minimum=1),
    )
    listed = (
        _query("order", "By age or by size.", enum=["age", "size"], default="age"),
        _query("most", "How many.", type="integer", minimum=0, maximum=10000, default=100),
    )
    rate = _query("rate", "Updates a second, at most.", type="number", exclusiveMinimum=0)
    runs = _extended("runs", "ListedRuns")
    pool = {"allOf": [_document("snapshot", map={"type": "null"}), reference("Snapshot")]}
    points = _document("history", points=_array("Point"))
    findings = _extended("doctor", "Diagnosed")
    recover = _of_pool("recover", "Bring back what dead processes held", _json(_extended("recovered", "RecoveredPool")))
    remembered = "What happened in the last minutes in which a page showed the pool, second by second"
    return {
        "": {"get": _of_pool("pool", "A pool at this moment", _json(pool))},
        "/map": {
            "get": _of_pool("map", "A picture of a pool or a part of it", _json(_extended("picture", "Map")), *drawn)
        },
        "/runs": {"get": _of_pool("runs", "The oldest or largest runs of a pool", _json(runs), *listed)},
        "/history": {"get": _of_pool("history", remembered, _json(points))},
        "/doctor": {"get": _of_pool("doctor", "What is wrong with a pool, and what to do", _json(findings))},
        "/events": {"get": _of_pool("events", "A pool, live", {"text/event-stream": _EVENTS}, rate)},
        "/recover": {"post": _changing(recover, _SECONDS)},
    }


@cache
def description() -> dict[str, Any]:
    """Return the description; it must not be changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "blockpool serve",
            "version": blockpool.__version__,
            "description": "What shared pools of blockpool are like. Every answer has `schema`, the version of its "
            f"form, and `kind`. Within version {SCHEMA} fields are added, never renamed, removed or given another "
            "meaning.",
        },
        "paths": _paths(),
        "components": {
            "schemas": components(),
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": TOKEN_HEADER,
                    "description": "A new one at each start of the server; the page has it.",
                }
            },
        },
    }
