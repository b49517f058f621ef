"""Pieces of reStructuredText from plain text, and a directive that is made of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docutils import nodes


def escape(text: str) -> str:
    """Return plain text such that it means itself; what stands in backquotes becomes code."""
    parts = re.split(r"`([^`\n]+)`", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*|`]|_(?=\W|$))", r"\\\1", parts[i])
    for i in range(1, len(parts), 2):
        parts[i] = f"``{parts[i]}``"
    return "".join(parts)


def indent(text: str, by: int = 3) -> str:
    """Return text whose lines begin with some spaces."""
    return "\n".join(" " * by + line if line else "" for line in text.split("\n"))


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], widths: str = "auto") -> str:
    """Return a table; cells are reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [tuple(heads), *rows]:
        for i, cell in enumerate(row):
            lines.append(indent(("* - " if i == 0 else "  - ") + indent(cell, 4).lstrip()))
    return "\n".join(lines) + "\n"


class Generated(SphinxDirective):
    """A directive that stands for reStructuredText, which `text` makes."""

    required_arguments = 0
    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {}

    def text(self) -> str:
        """Return what it stands for."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse it."""
        lines = StringList(self.text().split("\n"), source=f"<{self.name}>")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)
