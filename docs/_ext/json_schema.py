"""The directive ``json-schema``: every document that commands print, with its fields, from the package's schema."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from rst import Generated, escape, table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Schema = dict[str, Any]


def kind(field: Schema) -> str:
    """Return the type of a field as people read it."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f":ref:`{name} <json-part-{name.lower()}>`"
    if "const" in field:
        return f"``{json.dumps(field['const'])}``"
    if "enum" in field:
        return ", ".join(f"``{json.dumps(each)}``" for each in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(kind(each) for each in field[several])
    types = field.get("type", "any")
    if types == "array":
        items = field.get("items") or {}
        return f"array of {kind(items)}" if items else "array"
    return types if isinstance(types, str) else " or ".join(types)


def described(label: str, name: str, schema: Schema) -> str:
    """Return a part about an object; other parts refer to it by the label."""
    rows = [
        (f"``{field}``", kind(what), escape(what.get("description", "")))
        for field, what in schema.get("properties", {}).items()
    ]
    head = f".. _{label}:\n\n.. rubric:: {name}\n\n{escape(schema.get('description', ''))}\n\n"
    return head + (table(("field", "type", ""), rows, "22 25 53") if rows else "")


def document(schema: Schema) -> str:
    """Return a part about a document."""
    kind_of_it = schema["properties"]["kind"]["const"]
    return described(f"json-document-{kind_of_it}", kind_of_it, schema)


class JsonSchema(Generated):
    """All documents, then what they are made of."""

    def text(self) -> str:
        """Return a part for each."""
        schema = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))
        parts = [document(each) for each in schema["oneOf"]]
        return "\n\n".join(
            [*parts, *(described(f"json-part-{name.lower()}", name, each) for name, each in schema["$defs"].items())]
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("json-schema", JsonSchema)
    return {"parallel_read_safe": True}
