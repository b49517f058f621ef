"""Sizes: whole numbers of bytes, or strings such as ``"4KiB"``."""

from __future__ import annotations

import operator

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import SupportsIndex

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS[_letter + "B"] = 1000**_power
    _UNITS[_letter + "IB"] = 1024**_power

_LARGEST = 2**62
_DIGITS = 20  # a number with more digits is larger than that anyway


def parse_size(size: str | SupportsIndex, what: str) -> int:
    """Return the size in bytes, from 1 to 2**62.

    Parameters
    ----------
    size : int or str
        A whole number of bytes, or a string: a whole decimal number and one of the units B, kB, KiB, MB, MiB, GB, GiB,
        TB, TiB in any case, with or without spaces between them. ``kB`` is 1000 bytes, ``KiB`` 1024.
    what : str
        What messages call it.

    Returns
    -------
    int
        The size in bytes.

    Raises
    ------
    TypeError
        If `size` is neither, for example a float.
    ValueError
        If it is zero, negative, larger than 2**62, or a string that is not a size.
    """
    if isinstance(size, str):
        number = size.strip().rstrip("BbIiKkMmGgTt ")
        unit = size.strip()[len(number) :].strip().upper()
        if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS and unit in _UNITS):
            raise ValueError(
                f"{what} {size!r:.60} is not a valid size; write a whole number and a unit, such as '4KiB' or '1 MB'"
            )
        value = int(number) * _UNITS[unit]
    else:
        try:
            value = operator.index(size)
        except TypeError:
            raise TypeError(
                f"{what} must be an int or a string such as '4KiB', not {type(size).__name__} {size!r:.60}"
            ) from None
    given = f"{size!r:.60}" if isinstance(size, str) else readable(value)
    if value < 1:
        raise ValueError(f"{what} must be at least 1, not {given}")
    if value > _LARGEST:
        raise ValueError(f"{what} must be at most 2**62, not {given}")
    return value


def readable(number: int) -> str:
    """Return the number for a message; only the magnitude of one that is too long to read, or for Python to print."""
    if abs(number) < 2**128:
        return str(number)
    return f"{'-' if number < 0 else ''}2**{abs(number).bit_length() - 1} or more"
