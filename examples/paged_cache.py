"""A small paged cache: page tables that grow a page at a time, on a free list that is a deque or an IndexPool.

    python examples/paged_cache.py

A server that generates text keeps what it computed for each sequence (its keys and values) in pages of one big array. A
sequence has a table of page numbers, which come from a free list. The program prints the cost of each free list, and
what two common accidents lead to: a sequence that is freed twice, and a page that is in two tables.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol, TypeVar

import blockpool

PAGES = 4096
TOKENS_A_PAGE = 16
ROUNDS = 5

T = TypeVar("T")


class FreeList(Protocol):
    """The interface of a free list of page numbers; both classes below have it."""

    def take(self, count: int) -> list[int]:
        """Return that many page numbers."""

    def give_back(self, pages: list[int]) -> None:
        """Take page numbers back."""


class DequeFreeList:
    """The usual free list: it checks nothing."""

    name = "deque"

    def __init__(self, pages: int) -> None:
        self._free = deque(range(pages))

    def take(self, count: int) -> list[int]:
        """Return the numbers that were given back longest ago."""
        return [self._free.popleft() for _ in range(count)]

    def give_back(self, pages: list[int]) -> None:
        """Append them."""
        self._free.extend(pages)


class IndexPoolFreeList:
    """The same two calls on an IndexPool, which knows what numbers are allocated."""

    name = "IndexPool"

    def __init__(self, pages: int) -> None:
        self._ids = blockpool.IndexPool(pages)

    def take(self, count: int) -> list[int]:
        """Return free numbers."""
        return [self._ids.allocate()] if count == 1 else self._ids.allocate_many(count)

    def give_back(self, pages: list[int]) -> None:
        """Free them all, or none and raise."""
        self._ids.free_many(pages)


class Cache:
    """Page tables by the name of their sequence."""

    def __init__(self, free_list: FreeList) -> None:
        self._free_list = free_list
        self.tables: dict[str, list[int]] = {}
        self._tokens: dict[str, int] = {}

    def start(self, name: str, tokens: int) -> None:
        """Start a sequence with a prompt of that many tokens."""
        self.tables[name] = self._free_list.take(-(-tokens // TOKENS_A_PAGE))
        self._tokens[name] = tokens

    def step(self, name: str) -> None:
        """Add a token; every sixteenth needs a page."""
        if self._tokens[name] % TOKENS_A_PAGE == 0:
            self.tables[name] += self._free_list.take(1)
        self._tokens[name] += 1

    def finish(self, name: str) -> list[int]:
        """Free the sequence's pages; return its table."""
        table = self.tables.pop(name)
        self._free_list.give_back(table)
        return table

    def shared_pages(self) -> dict[int, list[str]]:
        """Return the pages that are in more than one table, and whose contents are therefore corrupted."""
        count = Counter(page for table in self.tables.values() for page in table)
        return {
            page: [name for name, table in self.tables.items() if page in table]
            for page, times in sorted(count.items())
            if times > 1
        }


def serve(cache: Cache, sequences: int = 300, steps: int = 64) -> int:
    """Start, grow and finish sequences; return how many pages they had in total."""
    chance = random.Random(1)
    pages = 0
    running: deque[str] = deque()
    for number in range(sequences):
        running.append(f"sequence {number}")
        cache.start(running[-1], chance.randrange(1, 1500))
        for _ in range(steps):
            cache.step(running[-1])
        if len(running) > PAGES * TOKENS_A_PAGE // 1600:
            pages += len(cache.finish(running.popleft()))
    while running:
        pages += len(cache.finish(running.popleft()))
    return pages


def page_churn(free_list: FreeList, rounds: int = 2000) -> int:
    """Make the free list's calls alone: 32 pages for a prompt, 8 single ones, all back; return how many pages."""
    for _ in range(rounds):
        table = free_list.take(32)
        for _ in range(8):
            table += free_list.take(1)
        free_list.give_back(table)
    return rounds * 40


def nanoseconds(work: Callable[[T], int], on: T) -> float:
    """Return the cost of a page."""
    start = time.perf_counter()
    pages = work(on)
    return (time.perf_counter() - start) / pages * 1e9


def costs() -> None:
    """Print the cost of a page with each free list, measured in turn; the best of each."""
    print(f"{'free list':<12}{'calls alone':>16}{'in the cache':>16}")
    kinds = (DequeFreeList, IndexPoolFreeList)
    alone = {kind: float("inf") for kind in kinds}
    served = dict(alone)
    for _ in range(ROUNDS):
        for kind in kinds:
            alone[kind] = min(alone[kind], nanoseconds(page_churn, kind(PAGES)))
            served[kind] = min(served[kind], nanoseconds(serve, Cache(kind(PAGES))))
    for kind in kinds:
        print(f"{kind.name:<12}{alone[kind]:>8.0f} ns/page{served[kind]:>8.0f} ns/page")


def freed_twice(cache: Cache) -> None:
    """Finish a sequence in two places, as when a timeout and a normal end coincide."""
    cache.start("a", 40)
    cache.tables["a"] = cache.finish("a")  # the other place still has the table in hand
    cache.finish("a")


def page_in_two_tables(cache: Cache) -> None:
    """Start a sequence with a page of another one, as for a common prompt, and finish both."""
    cache.start("a", 40)
    cache.start("b", 40)
    cache.tables["b"][0] = cache.tables["a"][0]
    cache.finish("a")
    cache.finish("b")


def accidents() -> None:
    """Print what each accident leads to."""
    for title, accident in (
        ("A sequence is freed twice:", freed_twice),
        ("A page stands in two tables, and both sequences are freed:", page_in_two_tables),
    ):
        print(f"\n{title}")
        for kind in (DequeFreeList, IndexPoolFreeList):
            cache = Cache(kind(8))
            try:
                accident(cache)
            except blockpool.DoubleFree as error:
                print(f"  {kind.name}: DoubleFree at the call: {error}")
                continue
            for name in "cdefg":
                cache.start(name, 40)
                if shared := cache.shared_pages():
                    break
            page, owners = next(iter(shared.items()))
            print(f"  {kind.name}: no error; now page {page} belongs to {' and '.join(owners)} at once")


def main() -> None:
    """Print both."""
    costs()
    accidents()


if __name__ == "__main__":
    main()
