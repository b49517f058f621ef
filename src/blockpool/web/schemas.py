"""JSON Schemas of what the API answers, made from the dataclasses that it consists of."""

from __future__ import annotations

from typing import Any

from blockpool.observe import Rates, Snapshot
from blockpool.report.documents import Diagnosed, ListedPools, ListedRuns, RecoveredPool, SweptPools
from blockpool.report.json import SCHEMA
from blockpool.report.schema import components as schemas_of
from blockpool.web.sampler import Point

__all__ = ["components", "reference"]

_CLASSES = (ListedPools, ListedRuns, Snapshot, Rates, Point, RecoveredPool, SweptPools, Diagnosed)
_WHERE = "#/components/schemas/"

_BYTES = {"type": "string", "contentEncoding": "base64"}

_MAP = {
    "type": "object",
    "description": "A picture of a pool, or of a part of it, in cells. Cell i stands for the blocks from "
    "first + floor(blocks * i / cells) up to that of cell i + 1.",
    "required": ["first", "blocks", "cells", "fill", "holder", "age", "shared"],
    "properties": {
        "first": {"type": "integer", "description": "The first block."},
        "blocks": {"type": "integer", "description": "How many blocks it shows."},
        "cells": {"type": "integer", "description": "How many cells it has."},
        "fill": {
            **_BYTES,
            "description": "A byte for each cell: the share of its blocks that is allocated, from 0 to 255. "
            "0 only if none is, 255 only if all are.",
        },
        "holder": {
            **_BYTES,
            "description": "A little-endian 16-bit number for each cell: the slot of the process that holds its first "
            "run; or 4096: only the catalog; 4097: only a message; 4098: only tickets; 4099: nobody.",
        },
        "age": {
            **_BYTES,
            "description": "A byte for each cell: 16 * log2(1 + seconds) since its first run was allocated or last "
            "sent, rounded, at most 255.",
        },
        "shared": {**_BYTES, "description": "A byte for each cell: 1 if its first run had other holders too."},
    },
}

_UPDATE = {
    "type": "object",
    "description": "The data of an event `snapshot`.",
    "required": ["schema", "kind", "snapshot", "rates", "map"],
    "properties": {
        "schema": {"const": SCHEMA},
        "kind": {"const": "update"},
        "snapshot": {"$ref": "#/components/schemas/Snapshot"},
        "rates": {"$ref": "#/components/schemas/Rates"},
        "map": {"anyOf": [{"$ref": "#/components/schemas/Map"}, {"type": "null"}]},
    },
}


def _message(kind: str, description: str, error: str, message: str) -> dict[str, Any]:
    """Return the schema of a document that says what went wrong."""
    return {
        "type": "object",
        "description": description,
        "required": ["schema", "kind", "error", "message"],
        "properties": {
            "schema": {"const": SCHEMA},
            "kind": {"const": kind},
            "error": {"type": "string", "description": error},
            "message": {"type": "string", "description": message},
        },
    }


_GONE = _message(
    "gone",
    "The data of the event `gone`.",
    "PoolNotFound if the pool vanished, or another exception's name.",
    "What happened.",
)
_ERROR = _message(
    "error",
    "Why there is no other answer.",
    "What kind of error: the name of an exception, or of a refusal.",
    "What was wrong, and what to do.",
)


def reference(name: str) -> dict[str, Any]:
    """Return a reference to a schema of `components`."""
    return {"$ref": f"{_WHERE}{name}"}


def components() -> dict[str, Any]:
    """Return all schemas, by name."""
    found = schemas_of(_CLASSES, _WHERE)
    del found["PoolMap"]  # pictures are sent apart
    snapshot = found["Snapshot"]
    del snapshot["properties"]["map"]
    snapshot["required"].remove("map")
    return {**found, "Map": _MAP, "Update": _UPDATE, "Gone": _GONE, "Error": _ERROR}
