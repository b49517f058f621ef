"""How pages share a sampler, skip updates and come to their end."""

import asyncio
import gc
import json
import re
import shutil
import threading
import time

import pytest

import blockpool as bp
from blockpool.observe import Observer
from blockpool.web.feed import Feeds


def parts(event):
    """Return the id, the kind and the data of an event."""
    lines = dict(line.split(": ", 1) for line in event.decode().splitlines() if line)
    return int(lines.get("id", 0)), lines["event"], json.loads(lines["data"])


async def until(condition):
    """Return when the condition holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.001)


def samplers():
    """Return the threads that look at pools, which have the starts of their ids; tests of others may have left some."""
    return [thread for thread in threading.enumerate() if re.fullmatch(r"blockpool-[0-9a-f]{8}", thread.name)]


def run(main):
    """Run a test that is a coroutine; no sampler may be left after it."""
    asyncio.run(asyncio.wait_for(main, 120))
    deadline = time.monotonic() + 60
    while samplers():
        assert time.monotonic() < deadline, samplers()
        time.sleep(0.001)
    gc.collect()


@pytest.fixture
def looks(monkeypatch):
    """Count the looks at pools."""
    counted = []
    look = Observer.look

    def count(observer):
        counted.append(observer)
        return look(observer)

    monkeypatch.setattr(Observer, "look", count)
    return counted


def test_twenty_pages_share_a_sampler(shared, looks):
    """Twenty pages get the same updates, encoded once, from one sampler with one look for each."""

    async def main():
        feeds = Feeds()
        pages = [feeds.page(bp.inspect(shared), 10).__enter__() for _ in range(20)]
        for _ in range(10):
            before = len(looks)
            events = await asyncio.gather(*(anext(page) for page in pages))
        assert feeds.sampling() == len(samplers()) == 1
        assert all(parts(event)[1] == "snapshot" for event in events)
        newest = max(parts(event)[0] for event in events)
        assert before - 2 <= newest <= len(looks)
        same = [event for event in events if parts(event)[0] == newest]
        assert len({id(event) for event in same}) <= 2  # with the picture, and without
        for page in pages:
            page.__exit__()
        assert feeds.sampling() == 0

    run(main())
    assert len(set(map(id, looks))) == 1


def test_none_looks_without_pages(shared, looks):
    """The sampler ends with its last page, and nobody looks at the pool any more."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10) as first:
            await anext(first)
            with feeds.page(bp.inspect(shared), 10) as second:
                await anext(second)
            await anext(first)
            assert feeds.sampling() == 1
        assert feeds.sampling() == 0
        await until(lambda: not samplers())
        seen = len(looks)
        await asyncio.sleep(0.3)
        assert len(looks) == seen
        with feeds.page(bp.inspect(shared), 10) as third:
            assert parts(await anext(third))[2]["map"] is not None
            assert feeds.sampling() == 1

    run(main())
    assert shared.stats().processes == 1


def test_a_copy_is_another_pool(pool_names, file_of):
    """A copy of a pool's file has the id of that pool, and a feed of its own."""
    name, copied = pool_names(), pool_names()
    shared = bp.Pool.create("4KiB", 16, name=name, permanent=True)  # otherwise any program may sweep the copy
    shutil.copy(file_of(name), file_of(copied))

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10), feeds.page(bp.inspect(copied), 10) as page:
            _, _, data = parts(await anext(page))
            assert data["snapshot"]["name"] == copied
            assert feeds.sampling() == 2

    run(main())


def test_inspectors_are_closed(shared):
    """Each inspector is closed: at once if a sampler runs already, else at its end."""

    async def main():
        feeds = Feeds()
        first, second = bp.inspect(shared), bp.inspect(shared)
        with feeds.page(first, 10), feeds.page(second, 10):
            assert second.closed
            assert not first.closed
        await until(lambda: first.closed)

    run(main())


def test_a_slow_page_skips_updates(shared):
    """A page that takes no updates for a while gets the latest one then, and nothing was kept for it."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10) as slow, feeds.page(bp.inspect(shared), 10) as quick:
            first, _, _ = parts(await anext(slow))
            block = shared.allocate()
            last = first
            while last < first + 5:
                last, _, data = parts(await anext(quick))
            assert data["snapshot"]["counts"]["allocated"] == 1
            number, _, data = parts(await anext(slow))
            assert number >= first + 5
            assert data["map"] is not None, "it missed the picture that changed meanwhile"
            del block

    run(main())


def test_pictures_are_sent_if_they_changed(shared):
    """A page gets the picture with its first update, and then with those in which it is new to the page."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10) as page:
            assert parts(await anext(page))[2]["map"]["cells"] == 16
            assert parts(await anext(page))[2]["map"] is None
            block = shared.allocate()
            drawn = None
            while drawn is None or not drawn["fill"].startswith("/w"):  # the picture may come later than the numbers
                drawn = parts(await anext(page))[2]["map"]
            with feeds.page(bp.inspect(shared), 10) as late:
                assert parts(await anext(late))[2]["map"] is not None
            del block

    run(main())


def test_pages_that_want_fewer_updates(shared):
    """A page gets no more updates than it wants, while the sampler serves the most eager one."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 1) as calm:
            taken = []
            began = time.monotonic()

            async def take():
                while True:
                    number, _, _ = parts(await anext(calm))
                    taken.append(number)
                    assert len(taken) <= 2 + 1.1 * (time.monotonic() - began)

            with feeds.page(bp.inspect(shared), 10) as eager:
                task = asyncio.create_task(take())
                while time.monotonic() < began + 4 or len(taken) < 2 or taken[-1] <= len(taken) + 5:
                    assert not task.done(), task
                    await anext(eager)
                task.cancel()

    run(main())


def test_an_eager_page_does_not_wait_for_a_calm_one(shared):
    """A sampler that looks every two minutes begins to look more often at once when a page wants that."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 1 / 120) as calm:
            await anext(calm)
            await asyncio.sleep(0.3)  # the sampler most probably sleeps by now
            with feeds.page(bp.inspect(shared), 10) as eager:
                async with asyncio.timeout(60):
                    for _ in range(3):
                        await anext(eager)

    run(main())


def test_a_pool_that_vanishes(pool_name):
    """When the pool vanishes, each page gets an event that says so, and then the end."""

    async def main():
        pool = bp.Pool.create("4KiB", 16, name=pool_name)
        feeds = Feeds()
        with feeds.page(bp.inspect(pool_name), 10) as first, feeds.page(bp.inspect(pool_name), 10) as second:
            await anext(first)
            pool.close()
            for page in (first, second):
                *_, last = [parts(event) async for event in page]
                assert last[1:] == (
                    "gone",
                    {"schema": 1, "kind": "gone", "error": "PoolNotFound", "message": "the pool is gone"},
                )
                with pytest.raises(StopAsyncIteration):
                    await anext(page)
        assert feeds.sampling() == 0

    run(main())


def test_a_pool_that_is_cut_short(pool_name, file_of):
    """When the pool's file is cut short, pages are told; the server goes on."""

    async def main():
        pool = bp.Pool.create("4KiB", 16, name=pool_name)
        feeds = Feeds()
        with feeds.page(bp.inspect(pool_name), 10) as page:
            await anext(page)
            content = file_of(pool_name).read_bytes()
            with file_of(pool_name).open("r+b") as file:
                file.truncate(4096)
            *_, last = [parts(event) async for event in page]
            file_of(pool_name).write_bytes(content)
        assert (last[1], last[2]["error"]) == ("gone", "PoolCorrupt")
        del pool

    run(main())


def test_an_error_of_ours(shared, monkeypatch, caplog):
    """An error that nobody foresaw is logged, and ends the pages rather than leaving them without updates."""

    async def main():
        def fail(_):
            raise ZeroDivisionError("planted")

        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10) as page:
            await anext(page)
            monkeypatch.setattr(Observer, "look", fail)
            *_, last = [parts(event) async for event in page]
            assert (last[1], last[2]["error"]) == ("gone", "ZeroDivisionError")

    run(main())
    assert "planted" in caplog.text


def test_history(shared):
    """What happened is kept, second by second, also when no page is open any more."""

    async def main():
        feeds = Feeds()
        with bp.inspect(shared) as inspector:
            shown = inspector.pool_id, inspector.name
        assert feeds.history(*shown) == []
        with feeds.page(bp.inspect(shared), 10) as page:
            await anext(page)
            block = shared.allocate(blocks=4)
            while not (seen := [one for one in feeds.history(*shown) if one.allocated])[1:]:
                await anext(page)
        first, second = seen[:2]
        assert (first.allocated, first.largest_free_run, first.tickets) == (4, 12, 0)
        assert 0 < first.allocations <= 1
        assert second.allocations == 0
        assert 1 <= second.time - first.time < 60
        assert feeds.knew(shown[0])
        assert feeds.knew(shared.name)
        del block

    run(main())


def test_histories_are_not_kept_for_ever(pool_names, monkeypatch):
    """Of too many pools, those without pages are forgotten."""
    monkeypatch.setattr("blockpool.web.feed._MOST_FEEDS", 4)

    async def main():
        feeds = Feeds()
        pools = [bp.Pool.create("4KiB", 16, name=pool_names()) for _ in range(8)]
        with feeds.page(bp.inspect(pools[0]), 10):
            for pool in pools:
                with feeds.page(bp.inspect(pool), 10) as page:
                    await anext(page)
                assert sum(feeds.knew(each.name) for each in pools) <= 4
            assert feeds.knew(pools[0].name)

    run(main())


def test_closing(shared):
    """When the server ends, all pages end, also one that waits for its turn."""

    async def main():
        feeds = Feeds()
        with feeds.page(bp.inspect(shared), 10) as page, feeds.page(bp.inspect(shared), 1 / 120) as calm:
            await anext(page)
            await anext(calm)
            waiting = asyncio.create_task(anext(calm))
            for _ in range(3):
                await anext(page)
            feeds.close()
            async with asyncio.timeout(60):
                with pytest.raises(StopAsyncIteration):
                    await anext(page)
                with pytest.raises(StopAsyncIteration):
                    await waiting
        assert feeds.closed

    run(main())
