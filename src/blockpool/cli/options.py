"""Types of values on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blockpool._sizes import parse_size

__all__ = ["SIZE"]


if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:  # older versions of Click cannot be told
    _IntType = click.ParamType


class _Size(_IntType):
    """A size in bytes, such as 65536 or 64KiB."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size as a number of bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value), "the size")
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = _Size()
