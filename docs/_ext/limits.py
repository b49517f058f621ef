"""The directive ``limits``: a table whose numbers are read from the code.

Each line of its content is ``what | file | constant | remark``. In C, the constant is evaluated by libclang where the
file is included; in Python and Cython it is what is assigned. The constant stands in the table, with its file, so that
a reader finds the place.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from headers import ROOT, values
from rst import Generated, escape, table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

POWER = 4096  # from here on, powers of two are shown as such too


def value(file: str, constant: str) -> int:
    """Return what a constant of a file is worth."""
    if file.endswith((".c", ".h")):
        return values(file, (constant,))[constant]
    text = (ROOT / file).read_text(encoding="utf-8")
    found = re.search(rf"\b{re.escape(constant)} = ([\d_x]+(?: << [\d_]+)?)", text)
    if found is None:
        raise LookupError(f"{file} assigns nothing to {constant}")
    parts = [ast.literal_eval(part) for part in found[1].split(" << ")]
    return int(parts[0] << parts[1]) if len(parts) > 1 else int(parts[0])


def shown(number: int) -> str:
    """Return a number as people read it."""
    if number >= POWER and number & (number - 1) == 0:
        power = f"2\\ :sup:`{number.bit_length() - 1}`"
        return f"{number:,} ({power})" if number < 1 << 32 else power
    return f"{number:,}"


class Limits(Generated):
    """A table of limits."""

    def text(self) -> str:
        """Return the table."""
        rows = []
        for line in self.content:
            what, file, constant, remark = (part.strip() for part in line.split("|"))
            rows.append((escape(what), shown(value(file, constant)), escape(remark), f"``{constant}`` in ``{file}``"))
        return table(("what", "limit", "", "in the code"), rows, "25 20 30 25")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("limits", Limits)
    return {"parallel_read_safe": True}
