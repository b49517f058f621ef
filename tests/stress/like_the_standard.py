"""Random calls of the standard library's shared memory and of ours, side by side, give the same answers and errors.

    python tests/stress/like_the_standard.py [--calls 3000] [--seed 1]

Each call is made of `multiprocessing.shared_memory` and of `blockpool.shared_memory`, on objects with the same history.
Their answers must be equal and their errors of one kind, except for what the head of blockpool/shared_memory.py lists.
Our calls that fail leave no segment; those of the standard library do, and these are removed in the end.

Exit status 0: no difference was found. The seed repeats the calls.
"""

import argparse
import collections
import multiprocessing.resource_tracker
import multiprocessing.shared_memory
import os
import pickle
import random
import struct
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import blockpool.shared_memory

LIBRARIES = multiprocessing.shared_memory, blockpool.shared_memory
ERRORS = (ValueError, TypeError, OSError, MemoryError, LookupError, BufferError, struct.error)
ERRORS += (AttributeError,)
BUILT_IN = (FileExistsError, FileNotFoundError, IndexError, KeyError, ValueError, TypeError)
ITEMS = [1, -5, 2.5, True, None, "abc", "", "\u65e5\u672c", b"xyz", b"", 1 << 62, float("inf")]
WRONG_ITEMS = [object(), 1 << 70, [1], 1j]
SHM = Path("/dev/shm")  # noqa: S108 - where both keep their segments


class Pair:
    """An object of either library, with the same history."""

    def __init__(self, objects, kind):
        self.objects, self.kind = objects, kind
        self.closed = self.unlinked = False


class Sides:
    """Makes each call on both sides."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = iter(range(10**9))
        self.pairs = []
        self.calls = collections.Counter()
        self.differ = []

    def both(self, what, call, *, same=True):
        """Make a call of both libraries and note a difference; return the two results, or None if a call failed."""
        results = []
        for side in (0, 1):
            try:
                results.append((True, call(side)))
            except ERRORS as error:
                kinds = [kind for kind in BUILT_IN if isinstance(error, kind)]
                results.append((False, kinds[0] if kinds else type(error)))
        (well, first), (also, second) = results
        self.calls[what] += 1
        if first is AttributeError:  # a fault of the standard library's: it takes one item's bytes for another's
            return None
        if well != also or ((same or not well) and repr(first) != repr(second)):
            self.differ.append(f"{what}: {first!r:.80} of the standard library, {second!r:.80} of ours")
        return (first, second) if well and also else None

    def name(self):
        """Return a name that is not in use."""
        return f"standard-{os.getpid()}-{next(self.numbers)}"

    def make(self):
        """Make a segment or a list, with arguments that are right or wrong."""
        r = self.random
        name = r.choice([None, self.name()])
        if r.random() < 0.5:
            size = r.choice([1, 10, 4096, 5000, 100_000, 0, -5, 1.5, "10"])
            made = self.both(
                f"SharedMemory(size={size!r})",
                lambda side: LIBRARIES[side].SharedMemory(self.on(name, side), create=True, size=size),
                same=False,
            )
            kind = "segment"
        else:
            items = r.choices(ITEMS, k=r.randrange(8)) + ([r.choice(WRONG_ITEMS)] if r.random() < 0.1 else [])
            made = self.both(
                f"ShareableList({items!r})",
                lambda side: LIBRARIES[side].ShareableList(items, name=self.on(name, side)),
                same=False,
            )
            kind = "list"
        if made:
            self.pairs.append(Pair(made, kind))

    def on(self, name, side):
        """Return the name for one side: both libraries share /dev/shm."""
        return None if name is None else f"{name}-{side}"

    def segment_of(self, pair, side):
        """Return the segment of one side."""
        return pair.objects[side] if pair.kind == "segment" else pair.objects[side].shm

    def attach(self, pair):
        """Attach a segment, which may be gone."""
        made = self.both(
            "attach",
            lambda side: LIBRARIES[side].SharedMemory(self.segment_of(pair, side).name),
            same=False,
        )
        if made:
            for attached in made:
                attached.close()

    def write(self, pair):
        """Write and read bytes."""
        if pair.closed:
            return
        at, value = self.random.choice([0, 1, 9, 4095, -1]), self.random.randrange(256)
        if pair.kind == "segment":
            size = self.segment_of(pair, 0).size
            self.both("write", lambda side: pair.objects[side].buf.__setitem__(at % size, value))
            self.both("read", lambda side: bytes(pair.objects[side].buf[:size]))

    def use_list(self, pair):
        """Read and change items."""
        if pair.closed or pair.kind != "list":
            return
        at, item = self.random.randrange(-9, 9), self.random.choice(ITEMS + WRONG_ITEMS)
        self.both("get", lambda side: pair.objects[side][at])
        if not self.both(f"set {item!r}", lambda side: pair.objects[side].__setitem__(at, item)):
            # the standard library's list may have a format now that its bytes do not have
            self.close(pair)
            self.unlink(pair)
            return
        self.both("list", lambda side: (list(pair.objects[side]), pair.objects[side].format))
        self.both("count", lambda side: pair.objects[side].count(item))
        self.both("index", lambda side: pair.objects[side].index(item))

    def copy(self, pair):
        """Pickle and unpickle an object."""
        if pair.closed or pair.unlinked:
            return
        made = self.both(
            "pickle",
            lambda side: pickle.loads(pickle.dumps(pair.objects[side])),
            same=False,
        )
        if made:
            for side in (0, 1):
                (made[side] if pair.kind == "segment" else made[side].shm).close()

    def close(self, pair):
        """Close an object, perhaps again."""
        pair.closed = True
        self.both("close", lambda side: self.segment_of(pair, side).close())
        self.both("buf after close", lambda side: self.segment_of(pair, side).buf)

    def unlink(self, pair):
        """Unlink an object, perhaps again."""
        pair.unlinked = True
        self.both("unlink", lambda side: self.segment_of(pair, side).unlink())

    def step(self):
        """Make a random call."""
        if len(self.pairs) < 3:
            self.make()
            return
        pair = self.random.choice(self.pairs)
        way = self.random.choice([self.attach, self.write, self.use_list, self.use_list, self.copy])
        if self.random.random() < 0.2:
            way = self.random.choice([self.close, self.unlink])
        way(pair)
        if pair.closed and pair.unlinked:
            self.pairs.remove(pair)


@contextmanager
def clean_up():
    """Remove what the standard library's calls leave, and switch off its tracker, which would warn of each."""
    standard = multiprocessing.shared_memory
    make_name, made = standard._make_filename, []
    standard._make_filename = lambda: made.append(make_name()) or made[-1]
    for call in ("register", "unregister"):
        setattr(multiprocessing.resource_tracker, call, lambda *_: None)
    try:
        yield
    finally:
        for path in [SHM / name[1:] for name in made] + list(SHM.glob(f"standard-{os.getpid()}-*")):
            path.unlink(missing_ok=True)


def main():
    """Make random calls of both libraries, and print where they differ."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    warnings.simplefilter("ignore")
    sides = Sides(options.seed)
    with clean_up():
        for _ in range(options.calls):
            sides.step()
        for pair in sides.pairs:
            for side in (0, 1):
                segment = sides.segment_of(pair, side)
                with suppress(FileNotFoundError):
                    segment.unlink()
                segment.close()
        left = list(SHM.glob(f"blockpool*standard-{os.getpid()}-*"))
        sides.differ += [f"left by ours: {path}" for path in left]
    print(f"{sides.calls.total()} calls, {len(sides.differ)} differ")
    for line in sorted(set(sides.differ))[:20]:
        print(line)
    return len(sides.differ) > 0


if __name__ == "__main__":
    sys.exit(main())
