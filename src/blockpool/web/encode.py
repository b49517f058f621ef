"""Updates as server-sent events: each is encoded once, however many pages show it.

An update is put together from pieces of JSON. The costly pieces, processes, queues, names and the survey, are encoded
some times a second at most. A page that has the latest picture of the pool already gets the update without it.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from dataclasses import fields
from functools import cached_property, lru_cache
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Any

from blockpool.observe import Snapshot
from blockpool.report.json import SCHEMA, plain

if TYPE_CHECKING:
    from array import array

    from blockpool.observe import Rates
    from blockpool.stats import PoolMap

__all__ = ["Encoder", "Update", "event", "map_data", "snapshot_data"]

# How old the costly pieces may be, and a picture in which nothing but ages changed, in seconds.
_DETAILS = 0.5
_AGES = 1.0

_COSTLY = ("processes", "queues", "names", "survey")
_CHEAP = tuple(each.name for each in fields(Snapshot) if each.name not in {*_COSTLY, "map"})

_MOST_AGE = 1 << 16  # seconds; from here on an age is 255
_AGE = bytes(min(255, round(16 * log2(1 + seconds))) for seconds in range(_MOST_AGE))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def event(kind: str, data: str, number: int | None = None) -> bytes:
    """Return a server-sent event; the data is JSON without line breaks."""
    line = "" if number is None else f"id: {number}\n"
    return f"{line}event: {kind}\ndata: {data}\n\n".encode("ascii")


def snapshot_data(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot without its picture."""
    return {name: plain(getattr(snapshot, name)) for name in (*_CHEAP, *_COSTLY)}


@lru_cache(maxsize=64)
def _shares(size: int) -> bytes:
    """Return for each number of allocated blocks in a cell of that size its share, from 0 to 255."""
    return bytes(min(max(count * 255 // size, count > 0), 255) for count in range(size + 1))


def _fill(drawn: PoolMap) -> bytes:
    """Return the share of each cell that is allocated: 0 only if nothing is, 255 only if everything is."""
    blocks, cells = drawn.blocks, drawn.cells
    low, odd = divmod(blocks, cells)
    if low >= _MOST_AGE:  # tables would be too large
        return bytes(
            min(max(count * 255 // len(drawn.range_of(cell)), count > 0), 255)
            for cell, count in enumerate(drawn.allocated)
        )
    small = _shares(low)
    if not odd:
        return bytes([small[min(count, low)] for count in drawn.allocated])
    large = _shares(low + 1)
    return bytes(
        [
            large[min(count, low + 1)] if wide else small[min(count, low)]
            for count, wide in zip(drawn.allocated, _wide(blocks, cells), strict=True)
        ]
    )


@lru_cache(maxsize=16)
def _wide(blocks: int, cells: int) -> bytes:
    """Return for each cell of such a picture whether it has one block more than the smallest cells."""
    low = blocks // cells
    ends = [blocks * cell // cells for cell in range(cells + 1)]
    return bytes(after - before > low for before, after in pairwise(ends))


def _little(values: array[int]) -> bytes:
    """Return the elements as little-endian bytes, whatever this machine has."""
    import sys

    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def map_data(drawn: PoolMap) -> dict[str, Any]:
    """Return a picture as the page has it: see docs/reference/web-api.md."""
    return {
        "first": drawn.first,
        "blocks": drawn.blocks,
        "cells": drawn.cells,
        "fill": b64encode(_fill(drawn)).decode(),
        "holder": b64encode(_little(drawn.holder)).decode(),
        "age": b64encode(bytes([_AGE[age] if age < _MOST_AGE else 255 for age in drawn.age])).decode(),
        "shared": b64encode(_little(drawn.shared)[::2]).decode(),
    }


class Update:
    """What is sent to pages, with the picture and without.

    Attributes
    ----------
    number : int
        Counts the updates of a feed.
    drawn : int
        Which picture belongs to it; a page that has this one needs no other.
    """

    def __init__(self, number: int, data: str, drawn: int, picture: str) -> None:
        self.number = number
        self.drawn = drawn
        self._data = data
        self._picture = picture

    @cached_property
    def whole(self) -> bytes:
        """The event with the picture."""
        return event("snapshot", f'{self._data},"map":{self._picture}}}', self.number)

    @cached_property
    def brief(self) -> bytes:
        """The event without it."""
        return event("snapshot", f'{self._data},"map":null}}', self.number)


class Encoder:
    """Turns the snapshots of one pool into updates."""

    def __init__(self) -> None:
        self._number = 0
        self._details = ""
        self._details_until = 0.0
        self._seen: tuple[bytes, ...] = ()
        self._ages = b""
        self._picture = "null"
        self._picture_until = 0.0
        self._drawn = 0

    def update(self, snapshot: Snapshot, rates: Rates) -> Update:
        """Return the update with this snapshot; to be called for one snapshot after the other."""
        now = time.monotonic()
        if now >= self._details_until:
            self._details = _json({name: plain(getattr(snapshot, name)) for name in _COSTLY})[1:-1]
            self._details_until = now + _DETAILS
        if snapshot.map is not None:
            self._draw(snapshot.map, now)
        cheap = _json({name: plain(getattr(snapshot, name)) for name in _CHEAP})[1:-1]
        data = (
            f'{{"schema":{SCHEMA},"kind":"update","snapshot":{{{cheap},{self._details}}},"rates":{_json(plain(rates))}'
        )
        self._number += 1
        return Update(self._number, data, self._drawn, self._picture)

    def _draw(self, drawn: PoolMap, now: float) -> None:
        """Encode the picture if it changed; ages alone count once a second."""
        seen = drawn.allocated.tobytes(), drawn.holder.tobytes(), drawn.shared.tobytes()
        ages = drawn.age.tobytes()
        if seen == self._seen and (ages == self._ages or now < self._picture_until):
            return
        self._seen, self._ages = seen, ages
        self._picture = _json(map_data(drawn))
        self._picture_until = now + _AGES
        self._drawn += 1
