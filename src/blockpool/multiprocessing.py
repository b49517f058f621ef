"""Send large arrays between processes through a pool.

After `install`, whatever `multiprocessing` pickles (for queues, pipes, pools, executors and managers) carries large
arrays as tickets. An array that is already in a shared pool is sent as a ticket alone. Any other array is copied into
the pool, once, and the receiver works on that copy. Out-of-band buffers (PEP 574) go the same way, for example those of
Arrow tables and pandas columns. Smaller arrays, and all arrays while the pool is full, are sent as without `install`.

An array in the pool is *shared* once it is sent, not copied: sender and receiver see each other's changes. To prevent
that, send it read-only (``view = array.view(); view.flags.writeable = False``), or install with ``readonly=True``.
PyTorch tensors are sent as PyTorch does it. Arrays for which the program registered its own reducer, with `copyreg` or
``ForkingPickler.register``, are sent as that reducer says.

A message puts references to arrays, buffers and blocks in flight. This module takes them back if it knows that the
message is not delivered: the message cannot be pickled, a connection cannot write it because nobody reads any more, or
the process it was an argument of cannot be started. If a message is lost with its receiver, its references stay in
flight: see ``Pool.recover(tickets_older_than=)``.
"""

from __future__ import annotations

import copyreg
import errno
import io
import pickle
import sys
from multiprocessing import context, popen_forkserver, popen_spawn_posix, reduction
from multiprocessing.connection import Connection

from blockpool._core import (
    Block,
    Pool,
    _receive_array,
    _receive_buffer,
    _send_block,
    bytes_to_send,
    copy_array,
    copy_buffer,
    pack,
    packed_behind,
    pool_of,
    require_shared,
    send_array,
    send_block,
    send_buffer,
    take_back,
    transfers,
    undelivered,
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
    _Sent = list[tuple[Any, ...]]
    _Send = Callable[[_V, bool, int, _Sent], tuple[Any, ...] | None]
    _Copy = Callable[[Pool, _V], _V | None]

__all__ = ["install", "stats", "uninstall"]

ForkingPickler = reduction.ForkingPickler
# What was registered with multiprocessing's pickler; there is no public way to ask.
_registered: dict[Any, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]  # noqa: SLF001
# Where loky, on its own or as part of joblib, has its picklers.
_LOKY = ("loky.backend.reduction", "joblib.externals.loky.backend.reduction")


class _Route:
    """How this process sends: through which pool, and arrays of what size."""

    __slots__ = ("pool", "readonly", "threshold")

    def __init__(self, pool: Pool, threshold: int, *, readonly: bool) -> None:
        self.pool = pool
        self.threshold = threshold
        self.readonly = readonly

    def parts(self, view: _V, send: _Send[_V], copy: _Copy[_V], sent: _Sent) -> tuple[Any, ...] | None:
        """Return what to pickle in place of an array or buffer, and note it in `sent`; None to pickle it as before."""
        parts = send(view, self.readonly, self.threshold, sent)
        if parts is None and view.nbytes >= self.threshold:
            copied = copy(self.pool, view)
            if copied is not None:
                parts = send(copied, self.readonly, self.threshold, sent)
        return parts


_route: _Route | None = None
_declined = False  # uninstall was called, so a received array must not install


# --- sending ---


class _Message:
    """The parts of a message that go through the pool rather than into its pickle."""

    __slots__ = ("buffers", "route", "sent")

    def __init__(self, route: _Route) -> None:
        self.route = route
        self.sent: _Sent = []
        self.buffers: _Sent = []

    def array(self, array: NDArray[Any]) -> Any:
        parts = self.route.parts(array, send_array, copy_array, self.sent)
        return array.__reduce__() if parts is None else (receive_array, parts)

    def block(self, block: Block) -> Any:
        return send_block(block, self.sent)

    def buffer(self, pickled: pickle.PickleBuffer) -> bool:
        """Return whether the buffer is to be part of the pickle."""
        parts = self.route.parts(pickled.raw(), send_buffer, copy_buffer, self.sent)
        if parts is None:
            return True
        self.buffers.append(parts)
        return False

    def reduce_in(self, table: dict[Any, Any]) -> None:
        """Make a pickler's table of reducers note what is sent."""
        if _is_ours(_ndarray, table):
            table[_ndarray] = self.array
        if table.get(Block) is _send_block:
            table[Block] = self.block


# Types that neither are nor contain arrays.
_PLAIN = frozenset({bytes, str, int, float, bool, type(None)})


def _is_ours(kind: Any, table: dict[Any, Any]) -> bool:
    """Return whether arrays are ours to send: a reducer that the program registers, before or after, comes first."""
    return table.get(kind) is _reduce_array and kind not in copyreg.dispatch_table


def _call_of(function: bytes, arguments: tuple[Any, ...]) -> bytes:
    """Pickle a call.

    A pickle is a program: GLOBAL ("c") and the function, the arguments, REDUCE ("R"), STOP ("."). Pickle itself would
    produce the same, but looking up the function and setting up a pickler takes longer than everything else.
    """
    return b"\x80\x05c" + function + pickle.dumps(arguments, 3)[2:-1] + b"R."


def _pack_call(function: bytes, parts: tuple[Any, ...], sent: _Sent) -> Any:
    """Pickle a call that is a whole message, and attach its references."""
    try:
        return pack(_call_of(function, parts), sent)
    except BaseException:  # a dtype may have metadata that cannot be pickled
        take_back(sent)
        raise


def _dumps_over(before: Any) -> Any:
    """Make the replacement of ForkingPickler.dumps; `before` is what it replaces."""

    def dumps(cls: type[ForkingPickler], obj: Any, protocol: int | None = None) -> Any:
        """Pickle as ForkingPickler.dumps does, except for what goes through the pool."""
        route = _route  # another thread may change it
        if route is None or cls is not ForkingPickler or protocol is not None:
            return before.__get__(None, cls)(obj, protocol)
        kind = type(obj)
        sent: _Sent = []
        if kind is _ndarray and _is_ours(kind, _registered):
            parts = route.parts(obj, send_array, copy_array, sent)
            if parts is not None:
                return _pack_call(b"blockpool.multiprocessing\nreceive_array\n", parts, sent)
            if not obj.dtype.hasobject:
                return pickle.dumps(obj)
        elif kind is Block and _block_is_ours():
            parts = send_block(obj, sent)[1]
            return _pack_call(b"blockpool._receive\nblock\n", parts, sent)
        return pickle.dumps(obj) if kind in _PLAIN else _dumps_within(route, obj)

    return classmethod(dumps)


def _block_is_ours() -> bool:
    return Block not in _registered and copyreg.dispatch_table.get(Block) is _send_block


def _dumps_within(route: _Route, obj: Any) -> Any:
    """Pickle an object that may contain arrays, blocks and out-of-band buffers."""
    message = _Message(route)
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=message.buffer)
    pickler.dispatch_table = table = copyreg.dispatch_table | _registered
    message.reduce_in(table)
    try:
        pickler.dump(obj)
        if not message.sent:
            return file.getbuffer()
        pickled = file.getvalue()
        if message.buffers:
            function = b"blockpool.multiprocessing\nreceive_parcel\n"
            pickled = _call_of(function, (pickled, message.buffers))
        return pack(pickled, message.sent)
    except BaseException:
        take_back(message.sent)
        raise


def _dump_over(before: Any) -> Any:
    """Make the replacement of multiprocessing.reduction.dump, which pickles what a process is started with."""

    def dump(obj: Any, file: Any, protocol: int | None = None) -> Any:
        route, process = _route, context.get_spawning_popen()
        if route is None or process is None:
            return before(obj, file, protocol)
        message = _Message(route)
        pickler = ForkingPickler(file, protocol)
        message.reduce_in(pickler.dispatch_table)
        vars(process).setdefault("_sent", []).append(message.sent)  # for _launch
        pickler.dump(obj)
        return None

    return dump


def _reduce_or(otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a reducer of arrays for other libraries' picklers."""

    def reduce(array: NDArray[Any]) -> Any:
        route = _route
        parts = None if route is None else route.parts(array, send_array, copy_array, [])
        return otherwise(array) if parts is None else (receive_array, parts)

    return reduce


_reduce_into_pool = _reduce_or(lambda array: array.__reduce__())


def _reduce_array(array: NDArray[Any]) -> Any:
    """Reduce an array for any of multiprocessing's picklers; a reducer in copyreg comes first."""
    reduce: Callable[[Any], Any] = copyreg.dispatch_table.get(type(array), _reduce_into_pool)
    return reduce(array)


# --- what is not delivered ---
#
# A message is taken back only if it is certain that nobody has it or ever will. A reference that is withdrawn although
# its receiver comes is worse than one that stays until `recover`.

# Errors that say that the reader's end is gone, in every process.
_NOBODY_READS = frozenset({errno.EPIPE, errno.ECONNRESET})
_WRITING = Connection._send.__code__  # type: ignore[attr-defined]  # noqa: SLF001


def _was_cut_off(error: BaseException) -> bool:
    """Return whether the write itself failed because nobody reads: then no receiver has the message or ever will.

    The kernel did not take the last byte, or the write would not have failed. A receiver unpickles only a message that
    it has read completely, and the rest can never follow, as nobody has the other end any more. After other errors the
    message may still be received. So it may after an error that a signal handler raised, because that can come when
    everything was written.
    """
    if not isinstance(error, OSError) or error.errno not in _NOBODY_READS:
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code is _WRITING


def _send_bytes_over(before: Any) -> Any:
    """Make the replacement of Connection._send_bytes, through which everything is sent."""

    def send_bytes(self: Connection, buf: Any) -> Any:
        packed = packed_behind(buf)
        if packed is None:
            return before(self, buf)
        try:
            return before(self, bytes_to_send(packed, buf))
        except OSError as error:
            if _was_cut_off(error):
                undelivered(packed)
            raise

    return send_bytes


def _launch_over(before: Any) -> Any:
    """Make the replacement of Popen._launch, which pickles a process, starts it, and then sends it the pickle."""

    def launch(self: Any, process: Any) -> Any:
        try:
            return before(self, process)
        except BaseException:
            # without these attributes there is no process, so the pickle was not sent
            if "pid" not in vars(self) and "sentinel" not in vars(self):
                for sent in vars(self).get("_sent", []):
                    take_back(sent)
            raise
        finally:
            vars(self).pop("_sent", None)

    return launch


# --- receiving ---


def receive_array(*parts: Any) -> NDArray[Any]:
    """Unpickle an array that came through a pool."""
    array = _receive_array(*parts)
    if _route is None:
        _join(array, *parts[:2])
    return array


def receive_parcel(pickled: bytes, buffers: list[tuple[Any, ...]]) -> Any:
    """Unpickle an object whose out-of-band buffers came through a pool."""
    if type(buffers) is not list or not buffers:
        raise InvalidBlock(
            f"a message arrived garbled: its buffers are {buffers!r:.60}; "
            "send it again, with the same version of blockpool"
        )
    views = [_receive_buffer(*parts) for parts in buffers]
    if _route is None:
        _join(views[0], *buffers[0][:2])
    return pickle.loads(pickled, buffers=views)  # noqa: S301 - like every message of this sender


def _join(view: Any, threshold: int, readonly: bool) -> None:  # noqa: FBT001 - as it was sent
    """Install as in the sender, so that a worker's results go the way its tasks came."""
    with switch_lock:
        pool = pool_of(view)
        if _route is None and not _declined and not pool.closed:
            install(pool, threshold=threshold, readonly=readonly)


# --- the switch ---

_ndarray: Any = None
_undo: list[Callable[[], object]] = []


def install(pool: Pool, *, threshold: str | int = "64KiB", readonly: bool = False) -> None:
    """Send this process's large arrays through a pool from now on.

    Processes forked later do the same, and so does every process once it has received an array this way. A worker that
    sends before it receives has to install itself, as in ``Pool(4, install, (pool,))``. Import joblib or loky, if you
    use them, before this call. Installing again replaces what was installed.

    Parameters
    ----------
    pool : Pool
        A shared pool. It stays attached until `uninstall`.
    threshold : int or str
        Size in bytes, or a string such as ``"64KiB"``. Smaller arrays are sent as before, unless they are in a pool
        already.
    readonly : bool
        Whether what receivers get cannot be written to.

    Raises
    ------
    TypeError
        If `pool` is not a Pool, or `threshold` is not a size.
    ValueError
        If the pool is private, or `threshold` is less than 1 or not a size.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it.

    Notes
    -----
    May be called from any thread, and applies to the whole process.
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
            pass  # there are no arrays then, but there are blocks and buffers
        else:
            _ndarray = ndarray
            _register(_registered, ndarray, _reduce_array)
            for name in _LOKY:
                if name in sys.modules:
                    _install_in_loky(sys.modules[name])
        _patch(ForkingPickler, "dumps", _dumps_over)
        _patch(reduction, "dump", _dump_over)
        _patch(Connection, "_send_bytes", _send_bytes_over)
        _patch(popen_spawn_posix.Popen, "_launch", _launch_over)
        _patch(popen_forkserver.Popen, "_launch", _launch_over)
        _route, _declined = route, False


def uninstall() -> None:
    """Send arrays as before `install` again.

    This process then no longer installs itself when it receives an array through a pool, even if `install` was never
    called. May be called from any thread.
    """
    global _route, _declined
    with switch_lock:
        while _undo:
            _undo[-1]()
            _undo.pop()
        _route, _declined = None, True


def stats() -> Transfers:
    """Return what this process has sent since it was started or forked.

    Returns
    -------
    Transfers
        Numbers of arrays and buffers, and of bytes.
    """
    return Transfers(*transfers())


# The undo of a change is in `_undo` before the change is made and until it is undone, so that a child that another
# thread forks in between can undo it too.


def _register(table: dict[Any, Any], kind: Any, reduce: Callable[[Any], Any]) -> None:
    """Register a reducer until `uninstall`, unless the type has one."""
    _undo.append(lambda: table.pop(kind) if table.get(kind) is reduce else None)
    table.setdefault(kind, reduce)


def _patch(owner: Any, name: str, over: Callable[[Any], Any]) -> None:
    """Replace a function by what `over` makes of it until `uninstall`, which leaves later patches in place."""
    before = vars(owner)[name]
    ours = over(before)

    def undo() -> None:
        if vars(owner).get(name) is ours:  # otherwise a later patch may call ours, which then only calls `before`
            setattr(owner, name, before)

    _undo.append(undo)
    setattr(owner, name, ours)


def _install_in_loky(loky: Any) -> None:
    """Make loky's pickler ask us first; joblib registers its own reducers with every pickler."""

    def register_over(before: Any) -> Any:
        def register(self: Any, kind: type, reduce: Callable[[Any], Any]) -> None:
            before(self, kind, _reduce_or(reduce) if kind is _ndarray else reduce)

        return register

    _patch(loky.get_loky_pickler(), "register", register_over)
    _register(
        loky._dispatch_table,  # noqa: SLF001
        _ndarray,
        _reduce_or(lambda array: array.__reduce_ex__(5)),
    )
