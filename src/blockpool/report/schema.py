"""The JSON Schema of all documents, made from the dataclasses that they come from.

python -m blockpool.report.schema > src/blockpool/report/schema.json
"""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from blockpool._handles import Handle
from blockpool.doctor.findings import Finding
from blockpool.report.documents import all_kinds
from blockpool.report.json import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["components", "schema"]

_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", Handle: "string"}
# What advice consists of; it is not imported for documents about pools.
_OF_ADVICE = ("blockpool.replay.results", "blockpool.traces.form")
# The head of an entry in the section Attributes: one name or several, and a type.
_ATTRIBUTES = re.compile(r"(\w+(?:, \w+)*) : ")


def schema(kinds: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of documents of all kinds, or of these: names, with the dataclasses of their fields."""
    definitions: dict[str, Any] = {}
    documents = []
    for kind, shape in (all_kinds() if kinds is None else kinds).items():
        described = _object(shape, definitions)
        head = {"schema": {"const": SCHEMA}, "kind": {"const": kind}}
        documents.append(
            described
            | {"title": kind, "properties": head | described["properties"], "required": [*head, *described["required"]]}
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Documents of blockpool",
        "description": (
            f"Version {SCHEMA}. Within a version fields are added, never renamed, removed or given another meaning."
        ),
        "oneOf": documents,
        "$defs": dict(sorted(definitions.items())),
    }


def components(shapes: Iterable[type], where: str) -> dict[str, Any]:
    """Return the JSON Schemas of dataclasses and of those within them, by name; references begin with `where`."""
    definitions: dict[str, Any] = {}
    for shape in shapes:
        _of(shape, definitions)
    found: dict[str, Any] = json.loads(json.dumps(definitions).replace('"#/$defs/', f'"{where}'))
    return found


def _object(shape: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a dataclass or a named tuple: its first sentence, and its fields with what the docstring says."""
    hints = get_type_hints(shape, vars(import_module(shape.__module__)) | _known())
    sentences = {name: said for each in reversed(shape.__mro__) for name, said in _attributes(each).items()}
    names = [each.name for each in fields(shape)] if is_dataclass(shape) else list(hints)
    return {
        "description": _text(shape).partition("\n")[0].replace("`", ""),
        "type": "object",
        "properties": {
            name: _of(hints[name], definitions) | ({"description": sentences[name]} if name in sentences else {})
            for name in names
        },
        "required": names,
    }


def _known() -> dict[str, Any]:
    """Return what the annotations name that their modules import for type checkers alone."""
    stats = import_module("blockpool.stats")
    known = {name: getattr(stats, name) for name in stats.__all__}
    for name in _OF_ADVICE:
        known |= vars(sys.modules[name]) if name in sys.modules else {}
    # an array cannot be asked for its elements before Python 3.12
    return known | {"array": list, "Finding": Finding, "Handle": Handle}


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint is object:
        return {}
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    if isinstance(hint, type) and (is_dataclass(hint) or hasattr(hint, "_asdict")):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = None  # for one that has itself within
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is types.UnionType:
        return _union([_of(each, definitions) for each in arguments])
    return _container(hint, origin, arguments, definitions)


def _container(hint: Any, origin: Any, arguments: tuple[Any, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is tuple:
        items = [_of(each, definitions) for each in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        names = {"propertyNames": {"pattern": "^[0-9]+$"}} if arguments[0] is int else {}
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)} | names
    raise TypeError(f"no JSON is known for {hint!r}; teach it to {__name__}")


def _union(choices: list[dict[str, Any]]) -> dict[str, Any]:
    if all(choice.keys() == {"type"} for choice in choices):
        return {"type": [choice["type"] for choice in choices]}
    return {"anyOf": choices}


def _attributes(shape: type) -> dict[str, str]:
    """Return what the docstring says of each field."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in _text(shape).partition("Attributes\n----------\n")[2].splitlines():
        if head := _ATTRIBUTES.match(line):
            names = head[1].split(", ")
        elif line.startswith("    "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip().replace("`", "")
        elif line:
            break
    return found


def _text(shape: type) -> str:
    return cleandoc(shape.__doc__ or "")


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
