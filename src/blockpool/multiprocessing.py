"""Large arrays that processes send each other, through a pool.

After `install`, what `multiprocessing` pickles (for queues, pipes, pools, executors and managers) carries large arrays
as tickets. An array that is in a shared pool already goes by its ticket alone; any other is copied into the pool, once,
and the receiver works on that copy. The buffers of whatever pickles itself with out-of-band buffers (PEP 574) go the
same way: Arrow tables, columns of pandas. Smaller ones, and all while the pool is full, travel as without `install`.

An array that is in the pool is *shared* once it is sent, not copied: sender and receiver see each other's changes. To
prevent that, send it read-only (``view = array.view(); view.flags.writeable = False``), or install with
``readonly=True``. PyTorch's tensors keep PyTorch's own way.

A message that is lost with its receiver leaves its reference in flight: see ``Pool.recover(tickets_older_than=)``.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from multiprocessing.reduction import ForkingPickler

from blockpool._core import (
    Block,
    Pool,
    _receive_array,
    _receive_buffer,
    _send_block,
    copy_array,
    copy_buffer,
    pool_of,
    require_shared,
    send_array,
    send_buffer,
    transfers,
    withdraw,
)
from blockpool._forks import switch_lock
from blockpool._sizes import parse_size
from blockpool.errors import InvalidBlock
from blockpool.stats import Transfers

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from numpy.typing import NDArray

    class _View(Protocol):
        @property
        def nbytes(self) -> int: ...

    _V = TypeVar("_V", bound=_View)
    _Send = Callable[[_V, bool, int], tuple[Any, ...] | None]
    _Copy = Callable[[Pool, _V], _V | None]

__all__ = ["install", "stats", "uninstall"]

# What was registered with multiprocessing's pickler; nothing else tells.
_registered: dict[Any, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]  # noqa: SLF001
# Where loky, by itself or within joblib, has its picklers.
_LOKY = ("loky.backend.reduction", "joblib.externals.loky.backend.reduction")


class _Route:
    """How this process sends: through which pool, from which size on."""

    __slots__ = ("pool", "readonly", "threshold")

    def __init__(self, pool: Pool, threshold: int, *, readonly: bool) -> None:
        self.pool = pool
        self.threshold = threshold
        self.readonly = readonly

    def parts(
        self, view: _V, send: _Send[_V], copy: _Copy[_V]
    ) -> tuple[tuple[Any, ...] | None, _V]:
        """Return what is pickled of an array or buffer, None if it is to go as ever; and who holds its memory."""
        sent = send(view, self.readonly, self.threshold)
        if sent is None and view.nbytes >= self.threshold:
            copied = copy(self.pool, view)
            if copied is not None:
                view = copied
                sent = send(view, self.readonly, self.threshold)
        return sent, view


_route: _Route | None = None
_declined = False  # uninstall was called: nobody installs this process but itself


# --- sending ---


class _Message:
    """What a message sends through the pool besides its pickle."""

    __slots__ = ("buffers", "route", "sent")

    def __init__(self, route: _Route) -> None:
        self.route = route
        self.sent: list[Any] = []
        self.buffers: list[tuple[Any, ...]] = []

    def array(self, array: NDArray[Any]) -> Any:
        parts, holder = self.route.parts(array, send_array, copy_array)
        if parts is None:
            return array.__reduce__()
        self.sent.append(holder)
        return receive_array, parts

    def block(self, block: Block) -> Any:
        view = block.buf  # holds the memory, even if the block is released meanwhile
        reduced = _send_block(block)
        self.sent.append(view)
        return reduced

    def buffer(self, pickled: pickle.PickleBuffer) -> bool:
        """Say whether the buffer is to be part of the pickle."""
        parts, holder = self.route.parts(pickled.raw(), send_buffer, copy_buffer)
        if parts is None:
            return True
        self.sent.append(holder)
        self.buffers.append(parts)
        return False


# What neither is nor holds an array.
_PLAIN = frozenset({bytes, str, int, float, bool, type(None)})


def _call_of(function: bytes, arguments: tuple[Any, ...]) -> bytes:
    """Pickle a call.

    A pickle is a program: GLOBAL ("c") and the function, the arguments, REDUCE ("R"), STOP ("."). Pickle itself would
    come to the same, but looks the function up and sets up a pickler, for longer than all the rest takes.
    """
    return b"\x80\x05c" + function + pickle.dumps(arguments, 3)[2:-1] + b"R."


def _call_with(holder: Any, parts: tuple[Any, ...]) -> bytes:
    """Pickle an array that is a message by itself."""
    try:
        return _call_of(b"blockpool.multiprocessing\nreceive_array\n", parts)
    except BaseException:  # its dtype has metadata that cannot be pickled
        withdraw(holder)
        raise


def _dumps(cls: type[ForkingPickler], obj: Any, protocol: int | None = None) -> Any:
    """Pickle as ForkingPickler.dumps does, with what goes through the pool apart."""
    route = _route  # another thread may change it
    if route is None or cls is not ForkingPickler or protocol is not None:
        return _plain_dumps(cls, obj, protocol)
    kind = type(obj)
    if kind is _ndarray:
        parts, holder = route.parts(obj, send_array, copy_array)
        if parts is not None:
            return _call_with(holder, parts)
        if not obj.dtype.hasobject:
            return pickle.dumps(obj)
    elif kind is Block:
        return _call_of(b"blockpool._receive\nblock\n", _send_block(obj)[1])
    return pickle.dumps(obj) if kind in _PLAIN else _dumps_within(route, obj)


def _dumps_within(route: _Route, obj: Any) -> Any:
    """Pickle what may have arrays, blocks and out-of-band buffers somewhere within it."""
    message = _Message(route)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=message.buffer)
    table = copyreg.dispatch_table | _registered
    if _ndarray is not None:
        table[_ndarray] = message.array
    table[Block] = message.block
    pickler.dispatch_table = table
    try:
        pickler.dump(obj)
        if not message.buffers:
            return file.getbuffer()
        function = b"blockpool.multiprocessing\nreceive_parcel\n"
        return _call_of(function, (file.getvalue(), message.buffers))
    except BaseException:
        for holder in message.sent:
            withdraw(holder)
        raise


def _reduce_or(otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a reducer of arrays for picklers that are not ours."""

    def reduce(array: NDArray[Any]) -> Any:
        route = _route
        parts = None if route is None else route.parts(array, send_array, copy_array)[0]
        return otherwise(array) if parts is None else (receive_array, parts)

    return reduce


# --- receiving ---


def receive_array(*parts: Any) -> NDArray[Any]:
    """Unpickle an array that came through a pool."""
    array = _receive_array(*parts)
    if _route is None:
        _join(array, *parts[:2])
    return array


def receive_parcel(pickled: bytes, buffers: list[tuple[Any, ...]]) -> Any:
    """Unpickle what has out-of-band buffers that came through a pool."""
    if type(buffers) is not list or not buffers:
        raise InvalidBlock(
            f"a message came garbled: its buffers are {buffers!r:.60}; send it again, by the same version of blockpool"
        )
    views = [_receive_buffer(*parts) for parts in buffers]
    if _route is None:
        _join(views[0], *buffers[0][:2])
    return pickle.loads(pickled, buffers=views)  # noqa: S301 - as its sender's other messages are


def _join(view: Any, threshold: int, readonly: bool) -> None:  # noqa: FBT001 - as it came
    """Send as the sender does: a worker's results go the way its tasks came."""
    with switch_lock:
        pool = pool_of(view)
        if _route is None and not _declined and not pool.closed:
            install(pool, threshold=threshold, readonly=readonly)


# --- the switch ---

_plain_dumps = ForkingPickler.dumps.__func__  # type: ignore[attr-defined]
_ndarray: Any = None
_undo: list[Callable[[], object]] = []


def install(pool: Pool, *, threshold: str | int = "64KiB", readonly: bool = False) -> None:
    """Send large arrays of this process through a pool from now on.

    Processes that are forked later send likewise, and so does every process once it has received an array this way. A
    worker that is to send before it receives installs itself, as in ``Pool(4, install, (pool,))``. With joblib or loky,
    import that first. Installing again replaces what was installed.

    Parameters
    ----------
    pool : Pool
        A shared pool. It stays attached until `uninstall`.
    threshold : int or str
        Arrays of fewer bytes travel as ever, unless they are in a pool already.
    readonly : bool
        What is received cannot be written to.

    Raises
    ------
    ValueError
        If the pool is private, or the threshold less than 1.
    PoolClosed
        If the pool is closed.

    Notes
    -----
    May be called from any thread, and holds for all of them.
    """
    global _route, _declined, _ndarray  # noqa: PLW0603 - one switch for the whole process
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
    require_shared(pool)
    route = _Route(pool, parse_size(threshold, "threshold"), readonly=bool(readonly))
    with switch_lock:
        uninstall()
        try:
            from numpy import ndarray
        except ImportError:
            pass  # then there are no arrays, but blocks and buffers
        else:
            _ndarray = ndarray
            _replace(_registered, ndarray, _reduce_or(ndarray.__reduce__))
            for name in _LOKY:
                if name in sys.modules:
                    _install_in_loky(sys.modules[name])
        ForkingPickler.dumps = classmethod(_dumps)  # type: ignore[method-assign, assignment]
        _undo.append(lambda: setattr(ForkingPickler, "dumps", classmethod(_plain_dumps)))
        _route, _declined = route, False


def uninstall() -> None:
    """Send arrays as ever again. Without `install` before, it keeps this process from installing itself."""
    global _route, _declined
    with switch_lock:
        while _undo:
            _undo.pop()()
        _route, _declined = None, True


def stats() -> Transfers:
    """Return what this process has sent, since it was started or forked.

    Returns
    -------
    Transfers
    """
    return Transfers(*transfers())


def _replace(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Set an entry until `uninstall`."""
    had, before = key in table, table.get(key)
    table[key] = value
    _undo.append(lambda: table.update({key: before}) if had else table.pop(key, None))


def _install_in_loky(reduction: Any) -> None:
    """Have loky's pickler ask us first; joblib registers reducers of its own with every pickler."""
    pickler = reduction.get_loky_pickler()
    register = pickler.register

    def register_after_ours(self: Any, kind: type, reduce: Callable[[Any], Any]) -> None:
        register(self, kind, _reduce_or(reduce) if kind is _ndarray else reduce)

    pickler.register = register_after_ours
    _undo.append(lambda: setattr(pickler, "register", register))
    _replace(reduction._dispatch_table, _ndarray, _reduce_or(lambda array: array.__reduce_ex__(5)))  # noqa: SLF001
