"""Colours: which can be told apart, by whom, and on which backgrounds."""

import itertools

import pytest

from blockpool.report.colours import AGES, HUES, NO_PROCESS, of_age, of_holder, of_slot
from blockpool.stats import BY_CATALOG, BY_NOBODY

# Linear RGB as people see it who lack a kind of cones: Machado, Oliveira and Fernandes 2009.
SIGHT = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def linear(colour):
    """Return the linear RGB of a colour."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def product(matrix, vector):
    """Multiply."""
    return [max(0.0, sum(a * b for a, b in zip(row, vector, strict=True))) for row in matrix]


def oklab(rgb):
    """Return the place of a colour in Oklab, where distances are as people see them."""
    cones = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    left, middle, short = (value ** (1 / 3) for value in product(cones, rgb))
    return (
        0.2104542553 * left + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * left - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * left + 0.7827717662 * middle - 0.8086757660 * short,
    )


def closest(colours, sight):
    """Return the least distance between two of the colours."""
    places = [oklab(product(SIGHT[sight], linear(colour))) for colour in colours]
    return min(
        sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in itertools.combinations(places, 2)
    )


def contrast(one, other):
    """Return the contrast of two colours as WCAG defines it."""
    lights = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(linear, (one, other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
def test_hues_can_be_told_apart(sight):
    """The twelve hues are as far from each other as the closest of Okabe and Ito are for people of some sight."""
    worst = min(closest(OKABE_ITO, each) for each in SIGHT)
    assert len(set(HUES)) == 12
    assert closest(HUES, sight) >= worst - 1e-9


@pytest.mark.parametrize("sight", SIGHT)
def test_ages_and_greys_can_be_told_apart(sight):
    """So can the steps of the ages, and the greys."""
    assert closest([age.colour for age in AGES], sight) >= 0.07
    assert closest(NO_PROCESS.values(), sight) >= 0.07


@pytest.mark.parametrize("background", ["#ffffff", "#16181d"])
def test_all_stand_out_from_the_background(background):
    """No colour vanishes on white or on nearly black."""
    for colour in (*HUES, *NO_PROCESS.values(), *(age.colour for age in AGES)):
        assert contrast(colour, background) >= 1.5, colour


def test_older_is_darker():
    """The scale of ages has an order that is seen without colours too."""
    lights = [oklab(linear(age.colour))[0] for age in AGES]
    assert lights == sorted(lights, reverse=True)


def test_holders():
    """A slot always has the same colour, neighbours have different ones, and what no process holds is grey."""
    assert [of_holder(slot) for slot in range(24)] == [*HUES, *HUES]
    assert of_slot(25) == HUES[1]
    assert {of_holder(holder) for holder in range(BY_CATALOG, BY_NOBODY + 1)} == set(NO_PROCESS.values())


def test_steps_of_ages():
    """Each age has a step; the last has no end."""
    assert [of_age(seconds) for seconds in (0, 0.9, 1, 59, 60, 3599, 3600, 86399, 86400, 1e12, float("inf"))] == [
        0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4,
    ]  # fmt: skip
