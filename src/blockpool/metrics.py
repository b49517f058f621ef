"""Metrics of pools, for Prometheus and OpenTelemetry.

`blockpool serve` has them at ``/metrics``. An application that has metrics of its own adds those of pools:

>>> from prometheus_client import CollectorRegistry, generate_latest
>>> import blockpool
>>> from blockpool.metrics import Collector
>>> pool = blockpool.Pool("4KiB", 16)
>>> registry = CollectorRegistry()  # or prometheus_client.REGISTRY
>>> registry.register(Collector({"frames": pool}))
>>> b'blockpool_free_bytes{pool="frames"} 65536.0' in generate_latest(registry)
True

Whenever they are asked for, pools are looked at from outside (`blockpool.inspect`), which takes no part in them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import blockpool
from blockpool.errors import BlockPoolError, PoolClosed, PoolNotFound
from blockpool.observe import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from prometheus_client import Metric
    from prometheus_client.registry import Collector as _Base

    from blockpool import Handle, Pool
    from blockpool.observe import Snapshot
    from blockpool.stats import PoolCounts, PoolStats, QueueInfo

    Source = str | Pool | Handle
    Sources = Mapping[str, Source] | Iterable[Source] | None
else:
    _Base = object  # prometheus-client asks for no more than the methods

__all__ = ["Collector", "register_opentelemetry"]


@dataclass(frozen=True, slots=True)
class _Family:
    """A metric: its name for Prometheus, what it is, and its labels besides `pool`."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...] = ()


_QUEUE = ("queue", "kind")
_INFO = ("pool_id", "version", "made_by", "block_size", "blocks")

_FAMILIES = (
    _Family("blockpool_allocated_bytes", "gauge", "Bytes of the blocks that are allocated."),
    _Family("blockpool_free_bytes", "gauge", "Bytes of the blocks that are free."),
    _Family("blockpool_largest_free_run_bytes", "gauge", "Bytes of the longest run of adjacent free blocks."),
    _Family("blockpool_allocations_total", "counter", "Runs of blocks allocated since the pool was created."),
    _Family("blockpool_failures_total", "counter", "Requests that found no room."),
    _Family("blockpool_waits_total", "counter", "Requests that waited for room."),
    _Family("blockpool_wait_seconds_total", "counter", "How long requests waited for room, in all."),
    _Family("blockpool_processes", "gauge", "Attached processes that are alive, or not known to be dead."),
    _Family("blockpool_dead_processes", "gauge", "Dead processes whose blocks nobody has recovered yet."),
    _Family("blockpool_tickets", "gauge", "References in flight between processes."),
    _Family("blockpool_oldest_ticket_seconds", "gauge", "Age of the oldest reference in flight; 0 without any."),
    _Family("blockpool_queue_depth", "gauge", "Messages that wait; of a topic, those that it keeps.", _QUEUE),
    _Family("blockpool_queue_messages_total", "counter", "Messages that were put.", _QUEUE),
    _Family("blockpool_queue_lost_total", "counter", "Messages that were dropped for want of room.", _QUEUE),
    _Family(
        "blockpool_oldest_message_seconds", "gauge", "Age of the oldest message that waits; 0 if none does.", _QUEUE
    ),
    _Family("blockpool_info", "gauge", "Always 1; its labels say what the pool is.", _INFO),
)

# Not of a pool, so without its label.
_UNREADABLE = _Family(
    "blockpool_unreadable_pools", "gauge", "Pools that could not be read: damaged, or of another release."
)


@dataclass(slots=True)
class _Reading:
    """What the pools were like: for each family its samples, as the values of the labels and the number."""

    samples: dict[str, list[tuple[tuple[str, ...], float]]] = field(
        default_factory=lambda: {family.name: [] for family in _FAMILIES}
    )
    unreadable: int = 0
    titles: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)

    def add(self, name: str, number: float, *labels: str) -> None:
        self.samples[f"blockpool_{name}"].append((labels, float(number)))

    def title(self, wanted: str) -> str:
        """Return a value of the label `pool` that no other pool of this reading has."""
        return _unused(wanted, self.titles)


def _unused(wanted: str, taken: set[str]) -> str:
    """Return that text, or with a number behind it if it is taken; it is taken then."""
    title, number = wanted, 1
    while title in taken:
        number += 1
        title = f"{wanted} ({number})"
    taken.add(title)
    return title


# --- what a pool is like ---


def _add_counts(reading: _Reading, pool: str, counts: PoolCounts | PoolStats) -> None:
    size = counts.block_size
    reading.add("allocated_bytes", counts.allocated * size, pool)
    reading.add("free_bytes", counts.free * size, pool)
    reading.add("largest_free_run_bytes", counts.largest_free_run * size, pool)
    reading.add("allocations_total", counts.allocations, pool)
    reading.add("failures_total", counts.failures, pool)
    reading.add("waits_total", counts.waits, pool)
    reading.add("wait_seconds_total", counts.waited, pool)
    reading.add("processes", counts.processes, pool)


def _add_info(reading: _Reading, pool: str, pool_id: str, made_by: str, counts: PoolCounts | PoolStats) -> None:
    geometry = str(counts.block_size), str(counts.blocks)
    reading.add("info", 1, pool, pool_id, blockpool.__version__, made_by, *geometry)


def _add_queues(reading: _Reading, pool: str, queues: Iterable[QueueInfo]) -> None:
    titles: set[str] = set()
    for queue in queues:
        labels = (pool, _unused(queue.name if queue.name is not None else f"#{queue.number}", titles), queue.kind)
        reading.add("queue_depth", queue.waiting, *labels)
        reading.add("queue_messages_total", queue.put, *labels)
        reading.add("queue_lost_total", queue.lost, *labels)
        reading.add("oldest_message_seconds", queue.oldest or 0, *labels)


def _add_private(reading: _Reading, wanted: str | None, pool: Pool) -> None:
    stats = pool.stats()
    title = reading.title(wanted or "private")
    _add_counts(reading, title, stats)
    _add_info(reading, title, "", blockpool.__version__, stats)
    for name in ("dead_processes", "tickets", "oldest_ticket_seconds"):
        reading.add(name, 0, title)


def _add_shared(reading: _Reading, wanted: str | None, seen: Snapshot) -> None:
    """Add a shared pool, unless the reading has it already, or the pool is gone."""
    if seen.pool_id in reading.ids or not seen.exists:
        return
    reading.ids.add(seen.pool_id)
    title = reading.title(wanted or seen.name or seen.pool_id)
    _add_counts(reading, title, seen.counts)
    _add_info(reading, title, seen.pool_id, seen.made_by, seen.counts)
    reading.add("dead_processes", sum(process.alive is False for process in seen.processes), title)
    reading.add("tickets", seen.survey.tickets, title)
    reading.add("oldest_ticket_seconds", seen.survey.oldest_ticket or 0, title)
    _add_queues(reading, title, seen.queues)


def _add(reading: _Reading, wanted: str | None, source: Source) -> None:
    """Add a pool. One that is gone or closed is left out; one that cannot be read is counted."""
    try:
        if isinstance(source, blockpool.Pool) and not _is_shared(source):
            _add_private(reading, wanted, source)
        else:
            _add_shared(reading, wanted, snapshot(source, most=0))
    except (PoolNotFound, PoolClosed):
        return
    except (BlockPoolError, OSError):
        reading.unreadable += 1


def _is_shared(pool: Pool) -> bool:
    from blockpool._core import require_shared

    try:
        require_shared(pool)
    except ValueError:
        return pool.closed
    return True


def _read(sources: Mapping[str, Source] | tuple[Source, ...] | None) -> _Reading:
    """Look at the pools now."""
    reading = _Reading()
    if sources is None:
        for found in blockpool.pools():
            if found.pool_id is None:
                reading.unreadable += 1
            else:
                _add(reading, None, found.name or found.pool_id)
    elif isinstance(sources, Mapping):
        for wanted, source in sources.items():
            _add(reading, wanted, source)
    else:
        for source in sources:
            _add(reading, None, source)
    return reading


def _checked(pools: Sources) -> Mapping[str, Source] | tuple[Source, ...] | None:
    """Return the argument `pools` of public functions, copied. Raises TypeError or ValueError if it is none."""
    if pools is None:
        return None
    if isinstance(pools, (str, blockpool.Pool, blockpool.Handle)) or not isinstance(pools, Iterable):
        raise TypeError(f"pools is a list of pools and their names, or a dict of them; not {type(pools).__name__}")
    checked = dict(pools) if isinstance(pools, Mapping) else tuple(pools)
    for each in checked.values() if isinstance(checked, dict) else checked:
        if not isinstance(each, (str, blockpool.Pool, blockpool.Handle)):
            raise TypeError(f"pools has something that is no pool, name or handle: {type(each).__name__}")
        if isinstance(each, str):  # a name that no pool can have shows at once, not at each scrape
            with suppress(BlockPoolError, OSError):
                blockpool.inspect(each).close()
    return checked


# --- for Prometheus ---


class Collector(_Base):
    """Metrics of pools, for a registry of prometheus-client.

    Every scrape looks at the pools again. Pools that have vanished, or were closed, are left out.

    Parameters
    ----------
    pools : list or dict, optional
        Pools, names of shared pools, ids or handles; private pools too. A dict gives each the value of its label
        ``pool``; by default that is the pool's name, or else its id, or "private". Without this argument: all shared
        pools of this user, as `blockpool.pools` lists them.

    Raises
    ------
    TypeError, ValueError
        If `pools` is none of these.

    Notes
    -----
    May be used from any thread. It keeps the Pool objects that it was given.
    """

    def __init__(self, pools: Sources = None) -> None:
        self._sources = _checked(pools)

    def describe(self) -> list[Metric]:
        """Return the families without samples, so that registering looks at no pool.

        Returns
        -------
        list of prometheus_client.Metric
            One for each name.
        """
        return [_family(family, _Reading()) for family in (*_FAMILIES, _UNREADABLE)]

    def collect(self) -> Iterator[Metric]:
        """Look at the pools.

        Yields
        ------
        prometheus_client.Metric
            A family with its samples.

        Raises
        ------
        OSError
            If the pools cannot be listed: no free file descriptor, or no ``/proc``.
        """
        reading = _read(self._sources)
        for family in (*_FAMILIES, _UNREADABLE):
            yield _family(family, reading)


def _labels(family: _Family) -> tuple[str, ...]:
    return () if family is _UNREADABLE else ("pool", *family.labels)


def _family(family: _Family, reading: _Reading) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    made: CounterMetricFamily | GaugeMetricFamily
    if family.kind == "counter":
        made = CounterMetricFamily(family.name, family.help, labels=_labels(family))
    else:
        made = GaugeMetricFamily(family.name, family.help, labels=_labels(family))
    for labels, number in _samples(family, reading):
        made.add_metric(labels, number)
    return made


def _samples(family: _Family, reading: _Reading) -> list[tuple[tuple[str, ...], float]]:
    if family is _UNREADABLE:
        return [((), float(reading.unreadable))]
    return reading.samples[family.name]


# --- for OpenTelemetry ---

_UNITS = (("_bytes", "By"), ("_seconds", "s"))


def _in_opentelemetry(family: _Family) -> tuple[str, str]:
    """Return the name and the unit that a family has there; exporters for Prometheus make its own name of them.

    >>> _in_opentelemetry(_Family("blockpool_wait_seconds_total", "counter", ""))
    ('blockpool.wait', 's')
    """
    name = "blockpool." + family.name.removeprefix("blockpool_").removesuffix("_total")
    for suffix, unit in _UNITS:
        if name.endswith(suffix):
            return name.removesuffix(suffix), unit
    return name, ""


class _Looks:
    """One look at the pools for all instruments of a collection.

    A collection asks each instrument once. So when one asks again, a new collection has begun.
    """

    _SECONDS = 1.0

    def __init__(self, sources: Mapping[str, Source] | tuple[Source, ...] | None) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._reading = _Reading()
        self._until = 0.0

    def reading(self, name: str) -> _Reading:
        """Return what the instrument of that name reports."""
        with self._lock:
            if name in self._asked or time.monotonic() >= self._until:
                self._reading = _read(self._sources)
                self._until = time.monotonic() + self._SECONDS
                self._asked.clear()
            self._asked.add(name)
            return self._reading


def register_opentelemetry(meter: Meter, pools: Sources = None) -> None:
    """Create observable instruments for pools.

    They have the names of the metrics for Prometheus, without their units: ``blockpool.allocated``,
    ``blockpool.allocations`` and so on.

    Parameters
    ----------
    meter : opentelemetry.metrics.Meter
        Where they are created.
    pools : list or dict, optional
        As for `Collector`.

    Raises
    ------
    TypeError, ValueError
        If `pools` is nothing of these.

    Notes
    -----
    Every collection looks at the pools once, in the thread that collects.
    """
    looks = _Looks(_checked(pools))
    for family in (*_FAMILIES, _UNREADABLE):
        name, unit = _in_opentelemetry(family)
        create = meter.create_observable_counter if family.kind == "counter" else meter.create_observable_gauge
        create(name, callbacks=[_callback(family, looks)], unit=unit, description=family.help)


def _callback(family: _Family, looks: _Looks) -> Callable[[CallbackOptions], Iterable[Observation]]:
    from opentelemetry.metrics import Observation

    def observe(_: CallbackOptions) -> list[Observation]:
        reading = looks.reading(family.name)
        return [
            Observation(number, dict(zip(_labels(family), labels, strict=True)))
            for labels, number in _samples(family, reading)
        ]

    return observe
