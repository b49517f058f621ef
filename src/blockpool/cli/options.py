"""Types of values on the command line."""

from __future__ import annotations

import re
from math import inf, isfinite
from typing import TYPE_CHECKING

import click

from blockpool._sizes import parse_size

__all__ = ["SECONDS", "SIZE", "SIZES"]

_SPAN = re.compile(r"([0-9]*\.?[0-9]+)\s*(s|min|m|h|d|)")
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


if TYPE_CHECKING:
    _IntType = click.ParamType[int]
    _FloatType = click.ParamType[float]
    _PairType = click.ParamType[tuple[int, int | None]]
else:  # older versions of Click cannot be told
    _IntType = click.ParamType
    _FloatType = click.ParamType
    _PairType = click.ParamType


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


class _Seconds(_FloatType):
    """A time span such as 30, 0.5s, 10min, 2h or 1d."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the span in seconds."""
        if isinstance(value, (int, float)):
            return value
        match = _SPAN.fullmatch(str(value))
        seconds = float(match[1]) * _UNITS[match[2]] if match else inf
        if not isfinite(seconds):
            self.fail(f"{value!r:.60} is not a time span; write it as 30, 0.5s, 10min, 2h or 1d", param, ctx)
        return seconds


class _Sizes(_PairType):
    """A range of sizes such as 4KiB-1MiB, 4KiB- or -1MiB; both ends belong to it."""

    name = "sizes"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        """Return the smallest and the largest size in bytes; None is no end."""
        if isinstance(value, tuple):
            return value
        low, dash, high = str(value).partition("-")
        if not dash or not (low or high):
            self.fail(f"{value!r:.60} is not a range; write it as 4KiB-1MiB, 4KiB- or -1MiB", param, ctx)
        least = SIZE.convert(low, param, ctx) if low else 0
        most = SIZE.convert(high, param, ctx) if high else None
        if most is not None and most < least:
            self.fail(f"{value!r:.60} ends before it begins; write the smaller size first", param, ctx)
        return least, most


SECONDS = _Seconds()
SIZE = _Size()
SIZES = _Sizes()
