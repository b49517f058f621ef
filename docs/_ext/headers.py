"""The C headers of the library, read by libclang: what they declare, with the comment of each."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clang.cindex import Config, CursorKind, Index, TranslationUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clang.cindex import Cursor

ROOT = Path(__file__).parents[2]
KINDS = {
    CursorKind.FUNCTION_DECL: "function",
    CursorKind.STRUCT_DECL: "struct",
    CursorKind.ENUM_DECL: "enum",
    CursorKind.MACRO_DEFINITION: "macro",
}

HEADING = re.compile(r"--- (.*) ---")


@dataclass
class Declared:
    """A function, struct, enum, member, constant or macro."""

    kind: str
    name: str
    code: str
    comment: str
    line: int
    at: int = 0  # of a member: bytes from the start of its struct
    bytes: int = 0
    parts: list[Declared] = field(default_factory=list)


def _system_headers() -> list[str]:
    """Return where the C compiler has stddef.h and its like, which libclang does not bring."""
    done = subprocess.run(
        ["cc", "-print-file-name=include"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    return ["-isystem", done.stdout.strip()]


def parse(text: str) -> TranslationUnit:
    """Parse a text in C that may include the library's headers."""
    arguments = ["-xc", "-std=gnu11", "-fparse-all-comments", f"-I{ROOT}/core/include", f"-I{ROOT}/core/src"]
    unit = Index.create().parse(
        "documented.c",
        [*arguments, *_system_headers()],
        [("documented.c", text)],
        TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD | TranslationUnit.PARSE_SKIP_FUNCTION_BODIES,
    )
    errors = [str(each) for each in unit.diagnostics if each.severity >= each.Error]
    if errors:
        raise RuntimeError("\n".join(errors))
    return unit


def _comment(cursor: Cursor) -> str:
    raw = cursor.raw_comment or ""
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in re.sub(r"^/\*+<?\s?|\s*\*/$", "", raw).split("\n")]
    text = "\n".join(lines).strip()
    return "" if HEADING.fullmatch(text) else text


def _code(cursor: Cursor) -> str:
    """Return the declaration of a function, on a line."""
    arguments = [_variable(each.type.spelling, each.spelling) for each in cursor.get_arguments()]
    return f"{_variable(cursor.result_type.spelling, cursor.spelling)}({', '.join(arguments) or 'void'})"


def _variable(kind: str, name: str) -> str:
    if match := re.match(r"([^\[]*?)\s*((?:\[\d*\])+)$", kind):
        return f"{match[1]} {name}{match[2]}"
    return f"{kind}{'' if kind.endswith('*') else ' '}{name}"


def _parts(cursor: Cursor) -> Iterator[Declared]:
    for child in cursor.get_children():
        if child.kind == CursorKind.ENUM_CONSTANT_DECL:
            yield Declared("enumerator", child.spelling, str(child.enum_value), _comment(child), child.location.line)
        elif child.kind == CursorKind.FIELD_DECL:
            yield Declared(
                "member",
                child.spelling,
                _variable(child.type.spelling, child.spelling),
                _comment(child),
                child.location.line,
                child.get_field_offsetof() // 8,
                child.type.get_size(),
            )


def declared(cursor: Cursor) -> Declared:
    """Return what a cursor declares."""
    kind = KINDS[cursor.kind]
    code = _code(cursor) if kind == "function" else cursor.spelling
    return Declared(
        kind,
        cursor.spelling,
        code,
        _comment(cursor),
        cursor.location.line,
        bytes=max(cursor.type.get_size(), 0) if kind == "struct" else 0,
        parts=list(_parts(cursor)),
    )


@cache
def header(path: str) -> tuple[Declared, ...]:
    """Return all that a header itself declares, in its order; its path is from the top of the repository."""
    unit = parse(f'#include "{ROOT / path}"\n')
    found = {}
    for cursor in unit.cursor.get_children():
        file = cursor.location.file
        if cursor.kind in KINDS and file is not None and Path(file.name) == ROOT / path and cursor.spelling:
            this = declared(cursor)
            if this.kind == "macro":
                defined = re.match(r"#define \w+ (.+?)\s*(?:/\* (.*) \*/)?$", _line(path, this.line))
                if defined is None:
                    continue  # a guard
                this.code, this.comment = defined[1], defined[2] or ""
            found[this.kind, this.name] = this  # a definition comes after its declaration
    return tuple(sorted(found.values(), key=lambda each: each.line))


def _line(path: str, number: int) -> str:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()[number - 1]


def headings(path: str) -> dict[int, str]:
    """Return the headings within a header, by their lines: ``--- pools ---``."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {
        i: found[1] for i, line in enumerate(lines, 1) if (found := re.fullmatch(r"/\* --- ([^-:]*)\b.* --- \*/", line))
    }


def essay(path: str) -> str:
    """Return the comment at the head of a header."""
    text = (ROOT / path).read_text(encoding="utf-8")
    comment = text[: text.index("*/")].removeprefix("/*")
    return re.sub(r"^ \* ?", "", comment, flags=re.MULTILINE).strip()


@cache
def struct(path: str, name: str) -> Declared:
    """Return a struct of a header."""
    for each in header(path):
        if (each.kind, each.name) == ("struct", name):
            return each
    raise LookupError(f"{path} has no struct {name}")


def values(path: str, names: tuple[str, ...]) -> dict[str, int]:
    """Return what constant expressions are worth, where a header is included."""
    constants = ", ".join(f"documented_{i} = (long long)({name})" for i, name in enumerate(names))
    unit = parse(f'#include "{ROOT / path}"\nenum documented {{ {constants} }};\n')
    for cursor in unit.cursor.get_children():
        if cursor.kind == CursorKind.ENUM_DECL and cursor.spelling == "documented":
            return dict(zip(names, (child.enum_value for child in cursor.get_children()), strict=True))
    raise LookupError(names)


Config.set_compatibility_check(False)
