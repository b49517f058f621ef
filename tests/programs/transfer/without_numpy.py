"""Send an out-of-band buffer through a pool where NumPy cannot be imported; print its length and what was copied."""

import pickle
import sys
from multiprocessing.reduction import ForkingPickler

sys.modules["numpy"] = None

import blockpool as bp  # noqa: E402 - from here on there is no NumPy
import blockpool.multiprocessing as carrier  # noqa: E402 - the same


class OutOfBand:
    """Pickles itself as bytes with an out-of-band buffer."""

    def __reduce_ex__(self, protocol):
        return bytes, (pickle.PickleBuffer(bytes(100_000)),)


carrier.install(bp.Pool.create("64KiB", 16))
print(len(ForkingPickler.loads(ForkingPickler.dumps(OutOfBand()))), carrier.stats().copied)
