"""What notebooks show: every state of every object, without touching a pool, and quickly."""

import os
import subprocess
import sys
import time

import pytest

import blockpool as bp
from blockpool.report.notebook import map_of_bits, map_of_runs, view
from markup import read_safely


def shown(thing):
    """Return the text of what a notebook shows of a thing, which is safe HTML that brings its styles along."""
    html = thing._repr_html_()
    assert html == html.strip()
    found = read_safely(html)
    assert not {"style", "script", "html", "body", "link"} & set(found.tags())
    assert not any("class" in attributes or "id" in attributes for _, attributes in found.elements)
    return found.text


def test_a_pool_of_each_kind(each, unchanged):
    """It shows how much is allocated, and changes nothing: not even the counts of anything."""
    blocks = [each.allocate(blocks=n) for n in (1, 2, 3)]
    with unchanged(each):
        text = shown(each)
        assert "6 of 16 blocks, 38 %" in text
        assert "10 of 10 free blocks" in text
        assert "svg" in each._repr_html_()
    del blocks


def test_looking_takes_no_place(shared):
    """Looking at a shared pool attaches nobody."""
    before = shared.stats().processes
    text = shown(shared)
    assert shared.name in text
    assert (before, shared.stats().processes) == (1, 1)
    with bp.inspect(shared) as inspector:
        assert "Inspector of pool" in shown(inspector)
        assert len(inspector.processes()) == 1


def test_closed_ones(shared, pool):
    """Whatever is closed says so."""
    queue, topic, latest = shared.queue("q", 4), shared.topic("t", 4), shared.latest("l")
    inspector = bp.inspect(shared)
    for thing in (queue, topic, latest, inspector, shared, pool):
        assert "closed" not in shown(thing)
    for thing in (queue, topic, latest, inspector, shared, pool):
        thing.close()
        assert "closed" in shown(thing)


def test_blocks(each):
    """A block shows its place and size; a freed one says that it is."""
    first = each.allocate()
    block = each.allocate(nbytes=5000)
    text = shown(block)
    assert "5,000 bytes of 2 blocks" in text
    assert f"{block.index} of 16" in text
    twin = block.readonly()
    assert "read-only" in shown(twin)
    del twin
    block.free()
    assert "no longer valid" in shown(block)
    assert "freed" in shown(block)
    del first


def test_who_holds_a_block(shared):
    """A block of a shared pool says which process holds it, and whether it was sent."""
    block = shared.allocate()
    assert "held by" in shown(block)
    assert "others held it too" not in shown(block)
    ticket = block.share()
    assert "others held it too" in shown(block)
    bp.redeem(ticket)


def test_channels(shared):
    """Queues, topics and latest values show their numbers."""
    queue = shared.queue("jobs", 4, overflow="raise")
    queue.put(1)
    assert "jobs" in shown(queue)
    assert "1 of 4" in shown(queue)
    assert "put() raises" in shown(queue)
    topic = shared.topic("news", 8)
    topic.publish("x")
    assert "the last 8" in shown(topic)
    latest = shared.latest("pose")
    assert "never" in shown(latest)
    latest.set(1)
    latest.set(2)
    assert "2 times" in shown(latest)


def test_index_pools():
    """An index pool shows its bitmap."""
    indices = bp.IndexPool(1000)
    indices.allocate_run(250)
    assert "250 of 1,000, 25 %" in shown(indices)
    assert "1 of 1" in shown(bp.IndexPool(1))


def test_a_pool_that_vanished(pool_name):
    """An inspector outlives the pool's name and its last process, and says that it is gone."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name)
    inspector = bp.inspect(pool)
    assert "gone" not in shown(inspector)
    pool.unlink()
    pool.close()
    assert "The pool is gone" in shown(inspector)


def test_a_file_cut_short(pool_name, file_of):
    """An inspector of a file that was cut short says what is wrong, rather than raise or crash."""
    bp.Pool.create("4KiB", 4, name=pool_name, permanent=True).close()
    inspector = bp.inspect(pool_name)
    with file_of(pool_name).open("r+b") as file:
        file.truncate(100)
    assert "is damaged" in shown(inspector)


def test_a_child_without_a_part(run_python):
    """In a forked child that has no part in the pool, the pool, its blocks and queues say so."""
    out = run_python("""
        import os
        import blockpool as bp

        pool = bp.Pool.create("4KiB", 4, on_fork="detach")
        things = [pool, pool.allocate(), pool.queue("q", 2), bp.inspect(pool)]
        child = os.fork()
        if not child:
            print([thing._repr_html_() for thing in things], flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    assert out.count("<div") >= 8
    assert out.count("no part") + out.count("detach") + out.count("forked") >= 4


def test_it_needs_no_extras(run_python):
    """It works without Click, Rich and NumPy, and does not import them."""
    out = run_python("""
        import sys

        for name in ("rich", "click", "numpy", "matplotlib"):
            sys.modules[name] = None
        import blockpool as bp

        pool = bp.Pool.create("4KiB", 4)
        assert not any(name.startswith("blockpool.report") for name in sys.modules)
        print([each._repr_html_() for each in (pool, pool.allocate(), pool.queue("q", 2), bp.Pool(8, 8))])
    """)
    assert out.count("<svg") >= 4


def test_hostile_command_lines(shared):
    """The command line of a process is text, whatever it holds."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e"
    code = "import sys, blockpool; p = blockpool.Pool.attach(sys.argv[1]); b = p.allocate(); print(); sys.stdin.read()"
    # what comes first in a command line is what others see of it
    with subprocess.Popen(
        [hostile, "-c", code, shared.name],
        executable=sys.executable,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        text = shown(shared)
        assert "<img src=x onerror=alert(1)>" in text  # what comes before a slash is taken for a folder
        assert "\x1b" not in text
        assert "\u202e" not in text
        process.stdin.close()


class Failing:
    """An object that cannot even say what it is."""

    def __repr__(self):
        raise RuntimeError("<no>")


def test_it_never_raises(monkeypatch):
    """What goes wrong while looking is said in words; a thing that is not known has its repr."""
    assert "Failing" in view(Failing())
    assert "&lt;object object at" in view(object()) or "object object" in view(object())
    monkeypatch.setattr("blockpool.report.notebook._pool", lambda _: 1 / 0)
    text = read_safely(view(bp.Pool(64, 1))).text
    assert "division by zero" in text


def test_maps_of_runs_and_bits_agree():
    """The maps of private pools and of bitmaps count each block in its cell, for any number of cells."""
    indices, pool = bp.IndexPool(1000), bp.Pool(8, 1000)
    blocks = [pool.allocate(blocks=1 + n % 7) for n in range(200)]
    del blocks[::3]
    indices.allocate_run(1000)
    used = {index for run in pool.runs() for index in range(run.index, run.index + run.blocks)}
    indices.free_many([index for index in range(1000) if index not in used])
    for cells in (1, 7, 512, 999, 1000, 5000):
        with indices.bitmap as bits:
            by_bits = map_of_bits(bits, 1000, cells)
        by_runs = map_of_runs(pool.runs(), 1000, cells)
        assert by_bits == by_runs
        counted = [len(used & set(by_runs.range_of(cell))) for cell in range(by_runs.cells)]
        assert list(by_runs.allocated) == counted
        assert all((holder == 0) == (count > 0) for holder, count in zip(by_runs.holder, counted, strict=True))


def least(call, tries=7):
    """Return the least processor time of a call, in seconds."""
    times = []
    for _ in range(tries):
        begin = time.thread_time()
        call()
        times.append(time.thread_time() - begin)
    return min(times)


@pytest.mark.parametrize(
    "make", [bp.Pool, bp.Pool.create, lambda _, n: bp.IndexPool(n)], ids=["own", "shared", "index"]
)
def test_ten_million_blocks_are_shown_quickly(make):
    """At ten million blocks, a tenth of them allocated one by one, a view takes at most 20 ms of processor time."""
    pool = make(64, 10_000_000)
    blocks = pool.allocate_many(1_000_000)
    if not isinstance(pool, bp.IndexPool):
        assert least(blocks[1000]._repr_html_) <= 0.02
    taken = least(pool._repr_html_)
    assert taken <= 0.02
    if make == bp.Pool.create:
        with bp.inspect(pool) as inspector:
            assert taken < least(inspector.survey), "it went through all runs"
