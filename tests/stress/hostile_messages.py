"""Handles, tickets and pickles with any number of wrong fields: a documented error or the right run, never a crash.

    python tests/stress/hostile_messages.py [--messages 40000] [--seed 1]

Each message is made as a good one, of a block, an array, a buffer or a pool. Then some of its fields are replaced, or
its text or pickle is changed in some places, or nothing is. What is received is read from end to end. The pools are
audited again and again; in the end all their bytes and all their allocations must be as before.

Exit status 0: they were. The seed repeats the messages.
"""

import argparse
import collections
import contextlib
import faulthandler
import gc
import io
import os
import pickle
import random
import resource
import sys
import warnings
from multiprocessing.reduction import ForkingPickler

import numpy as np

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _core, _receive, _receive_arrays

TYPED = (bp.BlockPoolError, ValueError, TypeError, MemoryError)
# What pickle itself and NumPy raise when the pickle is broken before anything of ours is called.
OF_PICKLE = (pickle.UnpicklingError, EOFError, AttributeError, KeyError, IndexError, OverflowError)
OF_PICKLE += (ImportError, SyntaxError, RuntimeError)
REFERENCE = ("pool_id", "index", "generation", "process", "name")
FIELDS = {
    _receive.block: (*REFERENCE, "nbytes", "readonly"),
    _receive_arrays.array: (
        *("threshold", "all_readonly", *REFERENCE),
        *("offset", "shape", "strides", "dtype", "readonly"),
    ),
    _core._receive_buffer: (
        *("threshold", "all_readonly", *REFERENCE),
        *("offset", "nbytes", "readonly"),
    ),
}
EDGES = [0, 1, 2, 7, 8, 16, 63, 64, 65, 255, 2**24, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64]
DTYPES = ["f8", "O", "V0", "S0", "f4", "V5", "T", [("a", "O")], "f8,f8", (("f8", (3,)))]
OURS = {
    ("blockpool._receive", "block"),
    ("blockpool._receive_arrays", "array"),
    ("blockpool._receive_arrays", "parcel"),
    ("blockpool._core", "_attach_pickled"),
    ("blockpool._core", "Pool"),
    ("blockpool._handles", "Handle.parse"),
    ("numpy", "dtype"),
}


class Careful(pickle.Unpickler):
    """An unpickler that calls only what our pickles call, as a changed one could name anything."""

    def find_class(self, module, name):
        """Find a class or function that our pickles name; refuse all others."""
        if (module, name) not in OURS:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


class Hostile:
    """Makes wrong messages of good blocks."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pools = [
            bp.Pool.create(64, 64, name=f"hostile-{os.getpid()}"),
            bp.Pool.create(4096, 8),
        ]
        lengths = [1, 2, 3, 1, 1, 2]
        self.blocks = [self.pools[0].allocate(blocks=blocks) for blocks in lengths]
        self.blocks += [self.pools[1].allocate() for _ in range(3)]
        for number, block in enumerate(self.blocks):
            block.buf[:] = bytes([number]) * block.nbytes
        self.allocated = [pool.stats().allocated for pool in self.pools]

    def number(self):
        """Choose a number, or something that is not one."""
        edge = self.random.choice(EDGES)
        others = [
            edge,
            edge - 1,
            -edge,
            self.random.randrange(70),
            True,
            None,
            1.5,
            "3",
            np.int64(3),
        ]
        return self.random.choice(others)

    def sizes(self):
        """Choose a shape or strides."""
        length = self.random.choice([0, 1, 1, 2, 2, 3, 5, 64, 65])
        return tuple(self.random.choice([*EDGES, -1, -8, 1, 1, 3]) for _ in range(length))

    def anything(self):
        """Choose something that can be in a message."""
        r = self.random
        ids = [bytes.fromhex(block.handle.pool_id) for block in self.blocks]
        kinds = [
            self.number,
            self.sizes,
            lambda: r.choice(ids),
            lambda: r.randbytes(r.choice([0, 15, 16, 17])),
            lambda: r.choice(["", "x", "../x", "0" * 32, [], {}, (), object(), bp.Pool]),
            lambda: np.dtype(r.choice(DTYPES[:-1])),
            lambda: r.choice(DTYPES),
        ]
        return r.choice(kinds)()

    def changed(self, text, letters):
        """Change a few places of a text or of bytes."""
        parts = list(text)
        for _ in range(self.random.choice([0, 1, 1, 2, 3, 10])):
            parts[self.random.randrange(len(parts))] = self.random.choice(letters)
        return parts

    def by_fields(self, block):
        """Receive the parts of a message, some of them replaced."""
        receive, names = self.random.choice(list(FIELDS.items()))
        if receive is _receive.block:
            good = _core._send_block(block)[1]
        elif receive is _receive_arrays.array:
            array = block.array(block.nbytes, "u1")[: self.random.randrange(1, block.nbytes)]
            good = _core.send_array(array, False, 1, [])  # noqa: FBT003 - readonly
        else:
            good = _core.send_buffer(block.buf[1:], False, 1, [])  # noqa: FBT003 - readonly
        parts = list(good)
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 5])):
            at = self.random.randrange(len(parts))
            kind = names[at]
            wrong = self.sizes if kind in {"shape", "strides"} and self.random.random() < 0.5 else self.anything
            parts[at] = wrong()
        return receive(*parts)

    def by_text(self, block):
        """Redeem the text of a handle or ticket, changed."""
        text = str(block.share() if self.random.random() < 0.5 else block.handle)
        text = "".join(self.changed(text, "0123456789abcdef:-._xZ\0é"))
        return bp.redeem(self.random.choice([text, text.encode()]))

    def by_hand(self, block):
        """Redeem a Handle or Ticket made by hand from other parts."""
        parts = [getattr(block.handle, name) for name in REFERENCE]
        for _ in range(self.random.choice([1, 1, 2])):
            parts[self.random.randrange(5)] = self.anything()
        return bp.redeem(self.random.choice([bp.Handle, bp.Ticket])(*parts))

    def by_pickle(self, block):
        """Unpickle a message, changed."""
        message = self.random.choice(
            [
                block,
                block.array(8, "u1"),
                [block, block.array(8, "u1"), pickle.PickleBuffer(block.buf)],
                block.pool,
                block.handle,
            ]
        )
        pickled = bytes(self.changed(bytes(ForkingPickler.dumps(message)), range(256)))
        try:
            return Careful(io.BytesIO(pickled)).load()
        except (*OF_PICKLE, MemoryError) as error:
            raise ValueError(error) from None

    def read(self, got):
        """Read all that was received."""
        if isinstance(got, bp.Block):
            bytes(got.buf)
        elif isinstance(got, np.ndarray) and got.size < 10**7:
            got.tobytes()
        elif isinstance(got, memoryview):
            bytes(got)
        elif isinstance(got, list):
            for each in got:
                self.read(each)

    def audit(self):
        """Drop what is in flight, and check that the pools are as before."""
        carrier.uninstall()
        gc.collect()
        for pool, allocated in zip(self.pools, self.allocated, strict=True):
            pool.recover(tickets_older_than=0)
            assert pool.check().allocated == allocated, pool.runs()
        for number, block in enumerate(self.blocks):
            assert bytes(block.buf) == bytes([number]) * block.nbytes


def main():
    """Make hostile messages, and print what came of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    faulthandler.enable()
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):
        # pickle itself makes a memo of gigabytes for a changed message
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")  # NumPy's, of odd dtypes
    hostile = Hostile(options.seed)
    ways = [hostile.by_fields] * 3 + [hostile.by_text, hostile.by_hand, hostile.by_pickle]
    carrier.install(hostile.pools[0], threshold=1)
    outcomes = collections.Counter()
    for number in range(options.messages):
        try:
            got = hostile.random.choice(ways)(hostile.random.choice(hostile.blocks))
        except TYPED as error:
            outcomes[type(error).__name__] += 1
            del error
        else:
            outcomes["received"] += 1
            with contextlib.suppress(MemoryError):
                hostile.read(got)
            del got
        if number % 1000 == 999:
            hostile.audit()
            carrier.install(hostile.pools[0], threshold=1)
    hostile.audit()
    print(f"{outcomes.total()} messages: {dict(outcomes.most_common())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
