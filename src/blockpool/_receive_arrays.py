"""What pickles of arrays, buffers and started processes call.

A process that receives its first array sends as its sender does from then on, and a process that is started sends as
the one that starts it. What pickles of blocks call is in `blockpool._receive`, which needs none of this.
"""

from __future__ import annotations

import pickle

from blockpool import _patches, _sending, _starting
from blockpool._core import _receive_array, _receive_buffer, pool_of
from blockpool.errors import InvalidBlock

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def array(*parts: Any) -> NDArray[Any]:
    """Unpickle an array that came through a pool."""
    received = _receive_array(*parts)
    if _sending.current is None:
        _join(received, *parts[:2])
    return received


def parcel(pickled: bytes, buffers: list[tuple[Any, ...]]) -> Any:
    """Unpickle an object whose out-of-band buffers came through a pool."""
    if type(buffers) is not list or not buffers:
        raise InvalidBlock(
            f"a message arrived garbled: its buffers are {buffers!r:.60}; "
            "send it again, with the same version of blockpool"
        )
    views = [_receive_buffer(*parts) for parts in buffers]
    if _sending.current is None:
        _join(views[0], *buffers[0][:2])
    return pickle.loads(pickled, buffers=views)  # noqa: S301 - like every message of this sender


def _join(view: Any, threshold: int, readonly: bool) -> None:  # noqa: FBT001 - as it was sent
    """Install as in the sender, so that a worker's results go the way its tasks came."""
    if _patches.declined:
        return
    pool = pool_of(view)
    if not pool.closed:
        _patches.install(_sending.Route(pool, threshold, readonly=readonly), over=False)


def begin(settings: bytes) -> None:
    """Install as in the process that starts this one, unless the main module has said otherwise by now."""
    if _sending.current is not None or _patches.declined:
        return
    try:
        pool, threshold, readonly, on_full, timeout = pickle.loads(settings)  # noqa: S301 - like the rest of the process
        route = _sending.Route(pool, threshold, readonly=readonly, on_full=on_full, timeout=timeout)
        _patches.install(route, over=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the process starts
        _starting.tell_without(None, f"{error}")


def begun(_: None, process: Any) -> Any:
    """Return the object of a process."""
    return process


_sending.name_receivers(array, parcel)
_starting.name_functions(begin, begun)
