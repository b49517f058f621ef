"""Where the memory of Arrow's data and of pandas' columns is."""

import pickle


def spans_of(data):
    """Return (address, length) of all memory that pickle leaves out of an object: of Arrow's buffers, of columns."""
    import numpy as np

    buffers = []
    pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    views = [np.frombuffer(buffer.raw(), "u1") for buffer in buffers]
    return [(view.__array_interface__["data"][0], view.nbytes) for view in views if view.nbytes]


def is_in(data, pool):
    """Say whether all that memory is in a pool."""
    return all(start - pool.address >= 0 and start - pool.address + n <= pool.nbytes for start, n in spans_of(data))
