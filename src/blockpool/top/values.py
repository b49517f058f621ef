"""Text of values: short, of a known width, and safe to show whatever stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from blockpool.report.text import printable

if TYPE_CHECKING:
    from blockpool.stats import ProcessInfo

__all__ = ["age", "command_of", "fit", "per_second", "share", "short", "size"]

_UNITS = "BKMGTP"
_SPANS = ((86400, "d"), (3600, "h"), (60, "m"))


def size(nbytes: int) -> str:
    """Format a number of bytes in at most 5 characters.

    >>> size(512), size(65536), size(1536), size(671_088_640)
    ('512B', '64K', '1.5K', '640M')
    """
    power = min(max(nbytes.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    value = nbytes / (1 << 10 * power)
    return f"{value:.{0 if value >= 100 or value.is_integer() else 1}f}{_UNITS[power]}"  # noqa: PLR2004


def short(number: float) -> str:
    """Format a number in at most 6 characters.

    >>> short(0), short(9999), short(123_456), short(10_000_000)
    ('0', '9,999', '123k', '10.0M')
    """
    for divisor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= max(divisor, 1e4):
            value = number / divisor
            return f"{value:.{1 if value < 99.95 else 0}f}{unit}"  # noqa: PLR2004
    return f"{number:,.0f}"


def per_second(rate: float) -> str:
    """Format how often something happens.

    >>> per_second(0), per_second(0.25), per_second(123_456)
    ('0/s', '0.2/s', '123k/s')
    """
    return f"{rate:.1f}/s" if 0 < rate < 10 else f"{short(rate)}/s"  # noqa: PLR2004


def age(seconds: float | None) -> str:
    """Format an age in at most 7 characters.

    >>> age(None), age(0.4), age(59.9), age(61), age(3600 * 5), age(86400 * 12)
    ('-', '0s', '59s', '1m01s', '5h00m', '12d00h')
    """
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    for at, (span, unit) in enumerate(_SPANS):
        if whole >= span:
            below, below_unit = _SPANS[at + 1] if at + 1 < len(_SPANS) else (1, "s")
            return f"{whole // span}{unit}{whole % span // below:02}{below_unit}"
    return f"{whole}s"


def share(part: int, whole: int) -> str:
    """Format a share so that only nothing is 0 % and only all is 100 %.

    >>> share(0, 7), share(1, 10**7), share(1, 2), share(10**7 - 1, 10**7), share(7, 7)
    ('0%', '<0.1%', '50.0%', '>99.9%', '100%')
    """
    if part in {0, whole}:
        return "100%" if part else "0%"
    percent = 100 * part / whole
    if percent < 0.1:  # noqa: PLR2004
        return "<0.1%"
    return ">99.9%" if percent > 99.9 else f"{percent:.1f}%"  # noqa: PLR2004


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return the text cut or filled to so many columns; what was cut ends in an ellipsis.

    >>> fit("abc", 5), fit("abc", 5, right=True), fit("abcdef", 4)
    ('abc  ', '  abc', 'abc…')
    """
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + ("…" if width > 0 else "")
    filler = " " * (width - length)
    return filler + text if right else text + filler


def command_of(process: ProcessInfo) -> str:
    """Return what a process runs, safe to show."""
    return printable(process.command.replace("\0", " ").strip()) or ("attaching" if process.pid is None else "?")
