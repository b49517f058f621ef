"""The exported page: what it says, that it is whole and safe, and how large it becomes."""

import dataclasses
import json
import re
from array import array

import pytest

import blockpool as bp
from blockpool.observe import snapshot
from blockpool.report import colours, html, notebook, parts, svg
from blockpool.report.assets import SCRIPT
from blockpool.report.html import page
from blockpool.stats import BY_TICKETS, PoolMap, ProcessInfo, QueueInfo, Run
from markup import policy_of, read_safely

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`&\x00\x1b[2J\u202e\ud800\n"


@dataclasses.dataclass
class Finding:
    """What doctor finds."""

    severity: str
    pool: str | None
    sentence: str
    remedy: str


def read(document):
    """Read a page, which has our script and no other, and is safe; return what it says."""
    document.encode()
    found = read_safely(document, [SCRIPT])
    policy = next(attributes["content"] for tag, attributes in found.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert policy_of(SCRIPT) in policy
    return found


def seen(pool, **changes):
    """Look at a pool, and replace what was seen."""
    return dataclasses.replace(snapshot(pool, cells=64), **changes)


def test_it_says_what_was_seen(shared):
    """The page has the pool's name, numbers, holders, processes, runs, queues and names."""
    block = shared.allocate(blocks=3)
    shared.keep("weights", block)
    ticket = block.share()
    queue = shared.queue("jobs", 4)
    queue.put(1)
    at = seen(shared)
    found = read(page([at]))
    for said in (
        shared.name,
        "weights",
        "jobs",
        "1 of 4",
        "Processes",
        "of 16 blocks of 4 KiB",
        f"All {len(at.survey.top)}",
    ):
        assert said in found.text, said
    assert found.tags().count("svg") > 3
    bp.redeem(ticket)


def test_an_empty_pool(shared):
    """A pool in which nothing is allocated, and one without a picture, are shown too."""
    assert "Nothing is allocated" in read(page([seen(shared)])).text
    assert "by holder" not in read(page([seen(shared, map=None)])).text
    assert "no pool" in read(page([])).text


def test_a_pool_that_is_gone(shared):
    """A pool that nobody can attach any more says so."""
    assert "gone" not in read(page([seen(shared)])).text
    assert "The pool is gone" in read(page([seen(shared, exists=False)])).text


def test_several_pools_have_a_table_of_contents(shared):
    """Every pool has a section that a link leads to, and no id is there twice."""
    found = read(page([seen(shared), seen(shared, name=None), seen(shared, name="third")]))
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in found.elements if tag == "a"]
    assert len(ids) == len(set(ids))
    assert len(links) == 3
    assert set(links) <= set(ids)
    for tag, attributes in found.elements:
        for name in ("for", "aria-labelledby"):
            assert attributes.get(name) in {None, *ids}, (tag, attributes)


def test_findings_and_stacks(shared):
    """What doctor found stands first, commands in it are code, and a run that has a stack shows it."""
    block = shared.allocate()
    at = seen(shared)
    traced = dataclasses.replace(at.survey.top[0], stack='File "a<b>.py", line 3\n  work()')
    at = dataclasses.replace(at, survey=dataclasses.replace(at.survey, top=(traced,)))
    found = read(page([at], [Finding("warning", at.name, "It <leaks>.", "Run `blockpool recover <x>`, then look.")]))
    assert "It <leaks>." in found.text
    assert "blockpool recover <x>" in found.text
    assert "work()" in found.text
    assert {"code", "details", "pre"} <= set(found.tags())
    del block


def hostile_snapshot(pool):
    """Return what a pool whose every text is hostile would look like."""
    at = seen(pool)
    process = ProcessInfo(
        slot=0, pid=1, alive=False, command=HOSTILE, started=1e300, allocations=1, failures=1, waits=1, waited=1.0
    )
    run = Run(0, 1, 1, (1, *range(100, 200)), 2**40, (HOSTILE,), 7, 1e9)
    queue = QueueInfo(
        number=1,
        kind=HOSTILE,
        name=HOSTILE,
        capacity=0,
        redeliver=True,
        permanent=True,
        shut=True,
        waiting=2**60,
        taken=tuple((pid, 1) for pid in range(30)),
        oldest=-5.0,
        put=2**60,
        lost=0,
        readers=0,
        processes=tuple(range(300)),
    )
    return dataclasses.replace(
        at,
        name=HOSTILE,
        made_by=HOSTILE,
        on_fork=HOSTILE,
        pool_id=HOSTILE,
        created=-1e300,
        processes=(process,),
        queues=(queue,),
        names=(HOSTILE,),
        exists=False,
        survey=dataclasses.replace(at.survey, top=(run,), held={0: 2**60, 4000: 1}, nobody=3),
    )


def test_hostile_text_is_only_text(shared):
    """Names, commands, kinds and stacks that hold markup or control characters are shown as they are, escaped."""
    block = shared.allocate()
    found = read(page([hostile_snapshot(shared)], [Finding(HOSTILE, HOSTILE, HOSTILE, HOSTILE)]))
    assert found.text.count("<img src=x onerror=alert(1)>") >= 8
    assert "\\x1b[2J\\u202e\\ud800" in found.text
    assert not re.search("[\x00\x1b\u202e]", found.text)
    del block


def test_the_script_gets_commands_as_they_are(shared):
    """What the script shows of a process is its command line, however that looks as HTML."""
    block = shared.allocate()
    at = seen(shared)
    command = "\"'&quot;&lt;<b>"
    at = dataclasses.replace(at, processes=(dataclasses.replace(at.processes[0], command=command),))
    data = next(attributes["data-map"] for _, attributes in read(page([at])).elements if "data-map" in attributes)
    assert any(label.endswith(command) for label in json.loads(data)["labels"])
    del block


def large(cells, kinds):
    """Return the worst map of ten million blocks."""
    return PoolMap(
        first=0,
        blocks=10_000_000,
        cells=cells,
        allocated=array("I", (1 + cell * 7 % 600 for cell in range(cells))),
        holder=array("H", (cell % kinds for cell in range(cells))),
        shared=array("H", bytes(2 * cells)),
        age=array("I", (10 ** (cell % 7) for cell in range(cells))),
    )


@pytest.mark.parametrize("kinds", [12, 300])
def test_the_largest_page_is_below_a_megabyte(shared, kinds):
    """A page with 16384 cells that all differ, many processes and a hundred runs is smaller than 1 MB."""
    at = seen(shared)
    process = at.processes[0]
    at = dataclasses.replace(
        at,
        blocks=10_000_000,
        map=large(16384, kinds),
        processes=tuple(dataclasses.replace(process, slot=slot, command="x" * 60) for slot in range(kinds)),
        survey=dataclasses.replace(
            at.survey, top=tuple(Run(n, 1, 64, (process.pid,) * 9, 0, ("n" * 180,)) for n in range(100))
        ),
    )
    document = page([at])
    read(document)
    assert len(document.encode()) <= 1_000_000


def test_a_map_of_nothing_but_tickets(shared):
    """Holders that are no process have a name too."""
    at = seen(shared)
    drawn = dataclasses.replace(
        at.map, holder=array("H", [BY_TICKETS] * at.map.cells), allocated=array("I", [1] * at.map.cells)
    )
    data = next(a["data-map"] for _, a in read(page([seen(shared, map=drawn)])).elements if "data-map" in a)
    assert "only tickets" in data


def test_doctests():
    """The examples in the modules hold."""
    import doctest

    for module in (colours, html, notebook, parts, svg):
        result = doctest.testmod(module, raise_on_error=True)
        assert result.attempted
