"""Directives that document what C headers declare: ``c-header`` all of it, ``c-struct`` where what lies in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headers import essay, header, headings, struct
from rst import Generated, escape, indent, table

if TYPE_CHECKING:
    from headers import Declared
    from sphinx.application import Sphinx

ROLES = {"function": "func", "struct": "struct", "enum": "enum", "enumerator": "enumerator", "macro": "macro"}
PUBLIC = ("core/include/blockpool.h", "core/include/blockpool_shared.h")


def names() -> dict[str, str]:
    """Return the role of every public name."""
    found = {}
    for path in PUBLIC:
        for each in header(path):
            for one in (each, *each.parts):
                if one.kind in ROLES:
                    found[one.name] = ROLES[one.kind]
    return found


def linked(text: str) -> str:
    """Return a comment in which public names are links; ``_BUSY`` stands for ``BLOCKPOOL_BUSY``."""
    known = names()

    def link(match: re.Match[str]) -> str:
        word = match[0]
        full = f"BLOCKPOOL{word}" if word.startswith("_") else word
        if full not in known:
            return escape(word)
        return f":c:{known[full]}:`{word} <{full}>`" if word != full else f":c:{known[full]}:`{full}`"

    known_word = re.compile(r"\b[A-Za-z]\w*_\w+\b|(?<![\w`])_[A-Z_]+\b")
    done, at = [], 0
    for match in known_word.finditer(text):
        done += [escape(text[at : match.start()]), link(match)]
        at = match.end()
    return "".join([*done, escape(text[at:])])


def documented(each: Declared) -> str:
    """Return the directive for a declaration."""
    head = f".. c:{each.kind}:: {each.code if each.kind == 'function' else each.name}"
    if each.kind == "enumerator":
        head = f".. c:enumerator:: {each.name} = {each.code}"
    if each.kind == "member":
        head = f".. c:member:: {each.code}"
    value = f"``{each.code}``" if each.kind == "macro" else ""
    body = [
        value,
        linked(each.comment),
        *(documented(part) for part in each.parts if part.name not in {"internal", "reserved"}),
    ]
    return f"{head}\n\n{indent(chr(10).join(text + chr(10) for text in body if text))}\n"


def prose(text: str) -> str:
    """Return the comment at the head of a file: paragraphs, and code where it is indented."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("    "):
            parts.append(f".. code-block:: text\n\n{indent(paragraph, 0)}\n".replace("\n    ", "\n   "))
        else:
            parts.append(
                re.sub(r"^([A-Z]{4,})(?=[ .])", lambda match: f"**{match[1].capitalize()}**", linked(paragraph))
            )
    return "\n\n".join(parts) + "\n"


class CHeader(Generated):
    """All that a public header declares; the comment at its head comes first."""

    def text(self) -> str:
        """Return a part for each heading of the header."""
        path = self.arguments[0]
        lines, heads = [prose(essay(path))], headings(path)
        for each in header(path):
            if each.name == "BLOCKPOOL_API":
                continue
            passed = [line for line in heads if line < each.line]
            lines.extend(f".. rubric:: {heads.pop(line).capitalize()}\n" for line in passed)
            if each.kind == "function" and not each.comment and lines[-1].startswith(".. c:function::"):
                # of several declarations below one comment, it is for all
                first, _, rest = lines.pop().partition("\n\n")
                lines.append(f"{first}\n{' ' * len('.. c:function:: ')}{each.code}\n\n{rest}")
            else:
                lines.append(documented(each))
        return "\n".join(lines)


class CStruct(Generated):
    """A struct of a header that lies in shared memory: offset, bytes, field, and its comment."""

    def text(self) -> str:
        """Return a table of its fields."""
        path, name = self.arguments[0].split()
        found = struct(path, name)
        rows = [
            (str(each.at), str(each.bytes), f"``{each.code}``", escape(" ".join(each.comment.split())))
            for each in found.parts
            if not re.match(r"padding|apart|more|spare", each.name)
        ]
        whole = f"``struct {name}``, {found.bytes} bytes, in ``{path}``:\n\n"
        return whole + table(("offset", "bytes", "field", ""), rows, "8 8 40 44")


class CEssay(Generated):
    """The comment at the head of a header, as it stands there."""

    def text(self) -> str:
        """Return it as preformatted text: it has drawings."""
        return f".. code-block:: none\n\n{indent(essay(self.arguments[0]))}\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("c-header", CHeader)
    app.add_directive("c-struct", CStruct)
    app.add_directive("c-essay", CEssay)
    return {"parallel_read_safe": True}
