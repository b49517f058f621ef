"""What pools say about themselves, as JSON.

Every document is one object with ``schema``, the version of this form, and ``kind``, what it is. Within a version
fields are added, never renamed, removed or given another meaning.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCHEMA", "document", "plain"]

SCHEMA = 1


def plain(value: object) -> Any:
    """Return a dataclass or a named tuple, or what it consists of, as objects that JSON knows.

    Handles become text, and numbers that JSON has not become None.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, array)):
        return [plain(each) for each in value]
    return str(value)


def document(kind: str, data: Mapping[str, object], *, indent: int | None = 2) -> str:
    """Return a document of that kind with these fields."""
    return json.dumps({"schema": SCHEMA, "kind": kind, **plain(dict(data))}, indent=indent)
