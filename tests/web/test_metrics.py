"""Metrics of pools: their names, their numbers, and pools that come and go."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

import blockpool as bp
from blockpool import metrics
from blockpool.metrics import Collector, register_opentelemetry
from waits import await_true

DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana_dashboard.json"


class Scraped:
    """What a registry says, read as Prometheus does."""

    def __init__(self, collector):
        registry = CollectorRegistry()
        registry.register(collector)
        self.text = generate_latest(registry).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self.samples = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name.removeprefix("blockpool_"), frozenset(sample.labels.items())
                assert key not in self.samples, f"twice: {sample}"
                self.samples[key] = sample.value

    def __call__(self, name, **labels):
        """Return the value with these labels."""
        return self.samples[name, frozenset(labels.items())]

    def pools(self):
        """Return the values of the label `pool`."""
        return {dict(labels)["pool"] for name, labels in self.samples if name == "free_bytes"}


@pytest.fixture
def busy(shared):
    """Make a pool with allocated runs, a ticket, a failure, and a queue, a topic and a latest value with messages."""
    kept = [shared.allocate(blocks=2), shared.allocate(blocks=1).share()]
    queue = shared.queue("work", 2, overflow="drop_newest")
    for _ in range(3):
        queue.put(b"message")
    topic = shared.topic(history=4)
    topic.publish(b"message")
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(blocks=16)
    yield shared
    del kept, queue, topic
    shared.recover(tickets_older_than=0)


def test_numbers(busy, pool_name):
    """The numbers are those of the pool's own state."""
    scraped, stats = Scraped(Collector([pool_name])), busy.stats()
    size = stats.block_size
    expected = {
        "allocated_bytes": stats.allocated * size,
        "free_bytes": stats.free * size,
        "largest_free_run_bytes": stats.largest_free_run * size,
        "allocations_total": stats.allocations,
        "failures_total": 1,
        "waits_total": 0,
        "wait_seconds_total": 0,
        "processes": 1,
        "dead_processes": 0,
        "tickets": 1,
    }
    assert {name: scraped(name, pool=pool_name) for name in expected} == expected
    with bp.inspect(busy) as inspector:
        about = {"pool_id": inspector.pool_id, "made_by": inspector.made_by}
        (topic,) = [queue.number for queue in inspector.queues() if queue.kind == "topic"]
    geometry = {"block_size": "4096", "blocks": "16"}
    assert scraped("info", pool=pool_name, version=bp.__version__, **about, **geometry) == 1
    of_queue = {"pool": pool_name, "queue": "work", "kind": "queue"}
    assert scraped("queue_depth", **of_queue) == 2
    assert scraped("queue_messages_total", **of_queue) + scraped("queue_lost_total", **of_queue) >= 3
    assert scraped("queue_lost_total", **of_queue) == 1
    assert 0 < scraped("oldest_message_seconds", **of_queue) < 1000
    assert scraped("queue_depth", pool=pool_name, queue=f"#{topic}", kind="topic") == 1


def test_oldest_ticket(shared, pool_name):
    """The age of the oldest ticket grows, and is 0 when there is none."""
    ticket = shared.allocate().share()
    await_true(lambda: Scraped(Collector([pool_name]))("oldest_ticket_seconds", pool=pool_name) >= 1)
    shared.recover(tickets_older_than=0)
    scraped = Scraped(Collector([pool_name]))
    assert (scraped("tickets", pool=pool_name), scraped("oldest_ticket_seconds", pool=pool_name)) == (0, 0)
    del ticket


def test_counters_never_fall(shared, pool_name, peers):
    """Counters keep what dead processes did, before and after these are recovered; the dead are counted till then."""
    collector, seen = Collector([pool_name]), []

    def look():
        scraped = Scraped(collector)
        names = [name for name, _ in scraped.samples if name.endswith("_total")]
        seen.append([scraped(name, pool=pool_name) for name in names])
        return scraped

    look()
    for _ in range(2):
        peer = peers()
        peer(f"pool = bp.Pool.attach({pool_name!r}); kept = [pool.allocate() for _ in range(5)]")
        peer("try: pool.allocate(blocks=16)\nexcept bp.PoolExhausted: pass\nelse: assert False")
        peer("try: pool.allocate(blocks=16, timeout=0.01)\nexcept (bp.PoolExhausted, TimeoutError): pass")
        look()
        peer.kill()
        scraped = look()
        assert (scraped("processes", pool=pool_name), scraped("dead_processes", pool=pool_name)) == (1, 1)
        shared.recover()
        scraped = look()
        assert (scraped("processes", pool=pool_name), scraped("dead_processes", pool=pool_name)) == (1, 0)
        assert scraped("allocated_bytes", pool=pool_name) == 0
    for before, after in pairwise(seen):
        assert all(old <= new for old, new in zip(before, after, strict=True))
    assert scraped("allocations_total", pool=pool_name) >= 10
    assert scraped("failures_total", pool=pool_name) >= 2
    assert scraped("waits_total", pool=pool_name) == 2
    assert scraped("wait_seconds_total", pool=pool_name) > 0


# --- which pools ---


def test_all_pools(shared, pool_name):
    """Without an argument, all pools of this user are there, those without names under their ids."""
    nameless = bp.Pool.create("4KiB", 4)
    with bp.inspect(nameless) as inspector:
        pool_id = inspector.pool_id
    assert {pool_name, pool_id} <= Scraped(Collector()).pools()
    assert shared.stats().processes == 1


def test_pools_that_vanish(pool_names):
    """A pool that is gone or closed at the next scrape is left out, until it is there again."""
    names = [pool_names() for _ in range(3)]
    pools = [bp.Pool.create("4KiB", 4, name=name) for name in names]
    private = bp.Pool("4KiB", 4)
    collector = Collector([names[0], pools[1], names[2], private])
    assert Scraped(collector).pools() == {*names, "private"}
    pools[0].close()
    pools[1].close()
    private.close()
    scraped = Scraped(collector)
    assert (scraped.pools(), scraped("unreadable_pools")) == ({names[2]}, 0)
    pools[0] = bp.Pool.create("4KiB", 4, name=names[0])
    assert Scraped(collector).pools() == {names[0], names[2]}


def test_a_pool_that_vanishes_while_it_is_read(shared, pool_name, monkeypatch):
    """A pool that is listed, and gone when it is looked at, is left out."""
    found = bp.pools()
    shared.close()
    monkeypatch.setattr(bp, "pools", lambda: found)
    assert pool_name not in Scraped(Collector()).pools()


def test_private_pools():
    """Private pools are told from each other; a dict gives them names."""
    first, second = bp.Pool(64, 10), bp.Pool(64, 20)
    block = first.allocate(blocks=3)
    scraped = Scraped(Collector([first, second]))
    assert (scraped("allocated_bytes", pool="private"), scraped("free_bytes", pool="private (2)")) == (192, 1280)
    scraped = Scraped(Collector({"frames": first, "results": second}))
    assert scraped("allocated_bytes", pool="frames") == 192
    assert scraped("processes", pool="results") == 1
    assert scraped("dead_processes", pool="results") == scraped("tickets", pool="results") == 0
    del block


def test_a_pool_twice(shared, pool_name):
    """A pool that is given in several ways is there once: a series that comes twice makes Prometheus refuse all."""
    block = shared.allocate()
    assert Scraped(Collector([pool_name, shared, block.handle])).pools() == {pool_name}
    del block


def test_names_that_collide(shared, pool_name):
    """Pools and queues whose labels would be the same are told from each other."""
    nameless = shared.queue(None, 2)
    with bp.inspect(shared) as inspector:
        (number,) = [queue.number for queue in inspector.queues()]
    named = shared.queue(f"n{number}", 2)
    scraped = Scraped(Collector({pool_name: bp.Pool(64, 4), "other": pool_name}))
    assert scraped.pools() == {pool_name, "other"}
    assert metrics._unused("a", taken := {"a", "a (2)"}) == "a (3)"
    assert taken == {"a", "a (2)", "a (3)"}
    del nameless, named


def test_damaged_pools(pool_name, file_of):
    """A pool that cannot be read is counted as such, and harms no other."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name)
    content = file_of(pool_name).read_bytes()
    file_of(pool_name).write_bytes(content[:64])
    try:
        scraped = Scraped(Collector([pool_name, bp.Pool(64, 4)]))
        assert (scraped.pools(), scraped("unreadable_pools")) == ({"private"}, 1)
        assert Scraped(Collector())("unreadable_pools") >= 1
    finally:
        file_of(pool_name).write_bytes(content)
    del pool


@pytest.mark.parametrize("pools", ["camera", 5, [5], {"a": None}, [b"camera"]])
def test_wrong_types(pools):
    """What is no list of pools is refused at once."""
    for use in (Collector, lambda pools: register_opentelemetry(MeterProvider().get_meter("test"), pools)):
        with pytest.raises(TypeError, match="pool"):
            use(pools)


def test_wrong_names():
    """A name that no pool can have is refused at once, not at each scrape; one that no pool has now is not."""
    with pytest.raises(ValueError, match="a b"):
        Collector(["a b"])
    Collector(["no-such-pool"])


def test_registering_looks_at_no_pool(monkeypatch):
    """Registering asks for the names only."""
    monkeypatch.setattr(metrics, "_read", lambda _: pytest.fail("it looked"))
    registry = CollectorRegistry()
    registry.register(Collector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(Collector())


# --- conventions ---


RULES = {
    "not in snake case, or without a prefix": r"(?!([a-z][a-z0-9]*(_[a-z0-9]+)+) \w+$)",
    "counters end in _total": r"\w+(?<!_total) counter$",
    "only counters end in _total": r"\w+_total (?!counter)",
    "not in a base unit": r"\w+_(ms|milliseconds|minutes|hours|kb|kilobytes|mb|megabytes|kib|mib|percent)(_| )",
    "the type is no part of the name": r"\w+_(gauge|counter|histogram|summary|count|sum|bucket) ",
    "the unit is not at the end": r"\w+_(bytes|seconds)(?!(_total)? )",
}


def lint(text):
    """Return what Prometheus's own check of metrics (promtool check metrics) would object to."""
    typed = re.findall("^# TYPE (.*)$", text, re.MULTILINE)
    faults = [f"{line}: {fault}" for line in typed for fault, rule in RULES.items() if re.match(rule, line)]
    names = {line.partition(" ")[0] for line in typed}
    helped = set(re.findall(r"^# HELP (\w+) \S", text, re.MULTILINE))
    sampled = set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
    faults += [f"{name}: no help, no type or no samples" for name in names ^ helped | names ^ sampled]
    labels = set(re.findall(r'[{,](\w+)="', text))
    faults += [f"{label}: a bad label" for label in labels if not re.fullmatch("[a-z][a-z_]*", label)]
    return faults


@pytest.mark.parametrize(
    "line",
    [
        "# HELP blockpool_used a\n# TYPE blockpool_used counter\nblockpool_used 1\n",
        "# HELP blockpool_x_total a\n# TYPE blockpool_x_total gauge\nblockpool_x_total 1\n",
        "# HELP blockpool_wait_ms a\n# TYPE blockpool_wait_ms gauge\nblockpool_wait_ms 1\n",
        "# HELP blockpool_bytes_free a\n# TYPE blockpool_bytes_free gauge\nblockpool_bytes_free 1\n",
        "# HELP blockpoolFree a\n# TYPE blockpoolFree gauge\nblockpoolFree 1\n",
        "# TYPE blockpool_free gauge\nblockpool_free 1\n",
        "# HELP blockpool_free a\nblockpool_free 1\n",
        "# HELP blockpool_free a\n# TYPE blockpool_free gauge\n",
        '# HELP blockpool_free a\n# TYPE blockpool_free gauge\nblockpool_free{Pool="x"} 1\n',
    ],
)
def test_the_check_finds_faults(line):
    """The check of names objects to each of these."""
    assert lint(line)


def test_conventions(busy, pool_name):
    """Names, units, types, labels and help follow Prometheus's conventions."""
    assert busy.name == pool_name
    scraped = Scraped(Collector([pool_name]))
    assert lint(scraped.text) == []
    assert all(family.documentation.endswith(".") for family in scraped.families.values())
    assert all(family.samples for family in scraped.families.values())
    assert scraped.families["blockpool_allocations"].type == "counter"


def test_openmetrics(busy, pool_name):
    """The newer form is valid too: its parser is strict."""
    assert busy.name == pool_name
    registry = CollectorRegistry()
    registry.register(Collector([pool_name]))
    text = exposition.generate_latest(registry).decode()
    families = list(parser.text_string_to_metric_families(text))
    assert {family.name for family in families} == {family.name for family in registry.collect()}


def test_labels_with_any_text():
    """A label that an application chose is escaped."""
    wanted = 'a"b\\c\nd {x="1"} </script>'
    assert Scraped(Collector({wanted: bp.Pool(64, 4)})).pools() == {wanted}


def test_names_of_the_issue():
    """The names that the guide promises are there."""
    names = {family.name.removeprefix("blockpool_") for family in Collector([]).describe()}
    promised = """allocated_bytes free_bytes largest_free_run_bytes allocations failures waits wait_seconds processes
        dead_processes oldest_ticket_seconds tickets queue_depth queue_lost oldest_message_seconds info"""
    assert names >= set(promised.split())


# --- OpenTelemetry ---


def in_opentelemetry(reader):
    """Return {name: {labels: value}} of a collection, and {name: (kind, unit)}."""
    values, kinds = {}, {}
    for scope in reader.get_metrics_data().resource_metrics[0].scope_metrics:
        for metric in scope.metrics:
            kinds[metric.name] = (type(metric.data).__name__, metric.unit)
            points = {frozenset(point.attributes.items()): point.value for point in metric.data.data_points}
            values[metric.name] = points
    return values, kinds


@pytest.fixture
def reader():
    """Return a reader, and a meter that it reads."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    yield reader, provider.get_meter("test")
    provider.shutdown()


def test_opentelemetry(busy, pool_name, reader):
    """The instruments have the numbers and labels of the metrics for Prometheus, and units instead of suffixes."""
    assert busy.name == pool_name
    register_opentelemetry(reader[1], [pool_name])
    values, kinds = in_opentelemetry(reader[0])
    scraped = Scraped(Collector([pool_name]))
    for (name, labels), value in scraped.samples.items():
        short = "blockpool." + re.sub("(_bytes|_seconds)?(_total)?$", "", name)
        assert values[short][labels] == pytest.approx(value, abs=60 if "oldest" in name else 0)
        kind, unit = kinds[short]
        assert unit == ("By" if "_bytes" in name else "s" if "_seconds" in name else "")
        assert (kind == "Sum") == name.endswith("_total")
    assert len(kinds) == len(scraped.families)


def test_a_collection_looks_once(shared, pool_name, reader, monkeypatch):
    """All instruments of a collection have one look at the pools; the next collection has a new one."""
    looks = []
    read = metrics._read
    monkeypatch.setattr(metrics, "_read", lambda sources: looks.append(1) or read(sources))
    monkeypatch.setattr(metrics._Looks, "_SECONDS", 3600)
    register_opentelemetry(reader[1], [pool_name])
    key = frozenset({"pool": pool_name}.items())
    assert in_opentelemetry(reader[0])[0]["blockpool.allocated"][key] == 0
    assert len(looks) == 1
    block = shared.allocate()
    assert in_opentelemetry(reader[0])[0]["blockpool.allocated"][key] == 4096
    assert len(looks) == 2
    del block


def test_neither_needs_the_other(run_python):
    """Importing the module imports neither of the two; each is imported where it is used."""
    out = run_python("""
        import sys, blockpool
        assert "blockpool.metrics" not in sys.modules
        import blockpool.metrics
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"prometheus_client", "opentelemetry"}))
        sys.modules["prometheus_client"] = None
        class Meter:
            def create_observable_gauge(self, name, callbacks, **more):
                print(sum(len(callback(None)) for callback in callbacks))
            create_observable_counter = create_observable_gauge
        blockpool.metrics.register_opentelemetry(Meter(), [blockpool.Pool(64, 4)])
    """)
    assert out.splitlines()[0] == "[]"
    assert set(out.splitlines()[1:]) == {"0", "1"}


# --- the dashboard ---


def queries(panels):
    """Yield the expressions of all panels."""
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", []))
        yield from queries(panel.get("panels", []))


@pytest.fixture(scope="module")
def dashboard():
    """Return the dashboard of examples/."""
    return json.loads(DASHBOARD.read_text())


def test_the_dashboard_shows_every_metric(dashboard):
    """Every metric that the dashboard names exists, and every one that exists is shown."""
    shown = {name for expr in queries(dashboard["panels"]) for name in re.findall(r"blockpool_\w+", expr)}
    exist = {family.name + ("_total" if family.type == "counter" else "") for family in Collector([]).describe()}
    assert shown == exist


def test_the_dashboard_is_one(dashboard):
    """The dashboard can be imported: a schema version, ids of panels, places that do not overlap, a data source."""
    assert dashboard["schemaVersion"] >= 39
    assert dashboard["title"]
    assert dashboard["uid"]
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert "blockpool_" in variables["pool"]["query"]["query"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert all(
                '{pool=~"$pool"' in target["expr"] or "unreadable" in target["expr"] for target in panel["targets"]
            )


def test_the_dashboard_asks_as_it_should(dashboard):
    """Counters are asked for their rates, and gauges are not."""
    for expr in queries(dashboard["panels"]):
        for name in re.findall(r"blockpool_\w+", expr):
            rated = re.search(rf"(rate|increase)\({name}[^)]*\[\$__rate_interval\]\)", expr)
            assert bool(rated) == name.endswith("_total"), expr
        assert expr.count("(") == expr.count(")")
