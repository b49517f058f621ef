"""Sizes with and without units, in `Pool` and in `parse_size`."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import blockpool as bp
from blockpool._sizes import parse_size


class Eight:
    """An object that is not an int but can be used as one."""

    def __index__(self):
        return 8


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, 1),
        (2**62, 2**62),
        (Eight(), 8),
        (np.int32(64), 64),
        (np.uint64(64), 64),
        ("1", 1),
        ("007", 7),
        ("8B", 8),
        ("8 b", 8),
        ("1kB", 1000),
        ("1 KB", 1000),
        ("4KiB", 4096),
        ("4 kib", 4096),
        ("  4  KiB  ", 4096),
        ("4KiB\n", 4096),
        ("3MB", 3_000_000),
        ("3MiB", 3 << 20),
        ("2GB", 2_000_000_000),
        ("2GiB", 2 << 30),
        ("1TB", 10**12),
        ("1TiB", 1 << 40),
        ("4194304TiB", 2**62),
    ],
)
def test_sizes_are_understood(size, expected):
    """A size is an int, an object with __index__, or a decimal number with a unit from B to TiB."""
    assert parse_size(size, "size") == expected
    assert type(parse_size(size, "size")) is int


GARBAGE = [
    "",
    " ",
    "KiB",
    "4 XiB",
    "4 K",
    "4 KiBB",
    "4 KiB KiB",
    "4 K iB",
    "4\tKiB",
    "-1KiB",
    "+1KiB",
    "1.5KiB",
    "1,000",
    "1_000",
    "1e3",
    "0x10",
    "NaN",
    "inf",
    "٤KiB",
    "²KiB",
    "\uff14KiB",
    "4\0KiB",
    "\0",
    "4 KİB",
    "1" * 10_000,
    "K" * 10_000,
    "4KiB" * 10_000,
]


@pytest.mark.parametrize("size", GARBAGE, ids=lambda size: ascii(size[:20]))
def test_garbage_strings_are_value_errors(size):
    """A string that is not a size raises a short ValueError with an example."""
    with pytest.raises(ValueError, match="block_size") as caught:
        parse_size(size, "block_size")
    assert "'4KiB'" in str(caught.value)
    assert len(str(caught.value)) < 250
    with pytest.raises(ValueError, match="block_size"):
        bp.Pool(size, 4)


@pytest.mark.parametrize(
    "size",
    [
        0,
        -1,
        -(2**63),
        "0",
        "0KiB",
        "000",
        2**62 + 1,
        2**63,
        2**64,
        2**100,
        "4194305TiB",
        "99999999999999999999",
    ],
)
def test_sizes_out_of_range_are_value_errors(size):
    """Zero, negative and gigantic sizes raise ValueErrors that repeat the value."""
    with pytest.raises(ValueError, match="block_size") as caught:
        parse_size(size, "block_size")
    assert str(size) in str(caught.value)
    with pytest.raises(ValueError, match="block_size"):
        bp.Pool(size, 4)


@pytest.mark.parametrize("size", [10**5000, -(10**5000)], ids=["huge", "minus huge"])
def test_numbers_too_long_to_print_are_value_errors_of_ours(size):
    """A size too long to print raises a ValueError about the size, not about Python's limit on printing ints."""
    with pytest.raises(ValueError, match="block_size"):
        parse_size(size, "block_size")


@pytest.mark.parametrize(
    "size",
    [
        None,
        4096.0,
        float("nan"),
        Decimal(8),
        Fraction(8),
        8j,
        b"4KiB",
        bytearray(b"8"),
        [8],
        (8,),
        {8},
        object,
        len,
    ],
    ids=repr,
)
def test_other_types_are_type_errors(size):
    """A size that is neither an int nor a string raises a TypeError that names the type and shows a valid size."""
    with pytest.raises(TypeError, match=f"block_size .*'4KiB'.* {type(size).__name__}"):
        parse_size(size, "block_size")
    with pytest.raises(TypeError, match="block_size"):
        bp.Pool(size, 4)


def test_an_error_of_the_caller_passes_through():
    """An error raised by a size's own `__index__` passes through."""

    class Angry:
        def __index__(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bp.Pool(Angry(), 4)


@pytest.mark.parametrize("size", [1, 7, 9, 4095, "1kB", "10B"])
def test_block_sizes_are_multiples_of_eight(size):
    """A block size that is not a multiple of 8 raises a ValueError that gives the next one that is."""
    number = parse_size(size, "size")
    if number % 8 == 0:
        assert bp.Pool(size, 1).block_size == number
        return
    with pytest.raises(ValueError, match=rf"multiple of 8, not {number}; the next one is {-(-number // 8) * 8}$"):
        bp.Pool(size, 4)
