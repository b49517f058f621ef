"""What goes through the pool instead of into a pickle: arrays, blocks and out-of-band buffers, and messages of them.

`dumps_over` makes the replacement of ``ForkingPickler.dumps``, which everything that `multiprocessing` sends goes
through. An array or block that is a whole message is pickled here, by hand, and everything else by a pickler whose
reducers put the parts of the message into the pool. The references in a message are noted as they are taken, and taken
back if it cannot be pickled. What is replaced in other libraries uses `dumps_within` with their picklers. Plain
ForkingPicklers use the reducers alone.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from multiprocessing.reduction import ForkingPickler
from sys import modules

from blockpool import _receive
from blockpool._core import (
    Block,
    Pool,
    _send_block,
    copy_array,
    copy_buffer,
    name_packer,
    pack,
    require_shared,
    send_array,
    send_block,
    send_buffer,
    take_back,
    tell_of_kind,
)
from blockpool._sizes import parse_size

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    from numpy.typing import NDArray

    class _View(Protocol):
        @property
        def nbytes(self) -> int: ...

    _V = TypeVar("_V", bound=_View)
    Sent = list[tuple[Any, ...]]
    _Send = Callable[[_V, bool, int, Sent], tuple[Any, ...] | None]
    _Copy = Callable[[Pool, _V, bool, float | None], _V | None]
    _Make = Callable[[io.BytesIO, Callable[[pickle.PickleBuffer], bool]], Any]

# What was registered with multiprocessing's pickler; there is no public way to ask.
registered: dict[Any, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]  # noqa: SLF001


ON_FULL = ("copy", "wait", "raise")


class Route:
    """How this process sends: through which pool, arrays of what size, and what it does while the pool is full."""

    __slots__ = ("must", "on_full", "pool", "readonly", "threshold", "timeout", "wait")

    def __init__(
        self, pool: Pool, threshold: str | int, *, readonly: bool, on_full: str = "copy", timeout: float | None = None
    ) -> None:
        if not isinstance(pool, Pool):
            raise TypeError(f"pool must be a blockpool.Pool, not {type(pool).__name__}")
        require_shared(pool)
        self.pool = pool
        self.threshold = parse_size(threshold, "threshold")
        self.readonly = bool(readonly)
        if not isinstance(on_full, str):
            raise TypeError(f"on_full must be 'copy', 'wait' or 'raise', not {type(on_full).__name__} {on_full!r:.60}")
        if on_full not in ON_FULL:
            raise ValueError(f"on_full must be 'copy', 'wait' or 'raise', not {on_full!r:.60}")
        self.on_full = on_full
        self.timeout = _checked_timeout(on_full, timeout)
        self.must = on_full != "copy"
        self.wait = self.timeout if on_full == "wait" else 0

    def parts(self, view: _V, send: _Send[_V], copy: _Copy[_V], sent: Sent) -> tuple[Any, ...] | None:
        """Return what to pickle in place of an array or buffer, and note it in `sent`; None to pickle it as before."""
        parts = send(view, self.readonly, self.threshold, sent)
        if parts is None and view.nbytes >= self.threshold:
            copied = copy(self.pool, view, self.must, self.wait)
            if copied is not None:
                parts = send(copied, self.readonly, self.threshold, sent)
        return parts


def _checked_timeout(on_full: str, timeout: Any) -> float | None:
    """Return how many seconds a send may wait; None means as long as it takes."""
    if timeout is None:
        return None
    if on_full != "wait":
        raise ValueError(
            f"timeout={timeout!r:.60} says how long on_full='wait' waits; on_full={on_full!r} does not wait"
        )
    if isinstance(timeout, str) or not hasattr(timeout, "__float__"):
        raise TypeError(f"timeout must be a number of seconds, or None, not {type(timeout).__name__} {timeout!r:.60}")
    try:
        seconds = float(timeout)
    except OverflowError:
        raise ValueError("timeout is too large; pass None to wait as long as it takes") from None
    if not seconds >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None to wait as long as it takes, not {seconds}")
    return seconds


# These are set by blockpool._patches, for the whole process.
current: Route | None = None
ndarray: Any = None  # the class, if NumPy is installed
subclasses: tuple[Any, ...] = ()  # those that NumPy has, but for masked arrays


# --- objects of other libraries, such as tensors ---


class Adapter:
    """How objects of another library's type are sent: by reference if they lie in a pool, and otherwise as before.

    Parameters
    ----------
    kind : type
        Their class. Subclasses are not affected.
    send : callable
        ``send(obj, sent)`` returns what to pickle in place of an object that lies in a shared pool, a callable and its
        arguments, and appends the references that it put in flight to `sent`; None for any other object.
    """

    __slots__ = ("before", "kind", "send")

    def __init__(self, kind: type, send: Callable[[Any, Sent], tuple[Any, ...] | None]) -> None:
        self.kind = kind
        self.send = send
        self.before: Callable[[Any], Any] = registered.get(kind) or (lambda obj: obj.__reduce_ex__(5))

    def reduce(self, obj: Any) -> Any:
        """Reduce an object for any of multiprocessing's picklers."""
        return self.send(obj, []) or self.before(obj)

    def noting(self, sent: Sent, before: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
        """Make a reducer that notes what it puts in flight; `before` is for all other objects."""
        otherwise = before or self.before
        return lambda obj: self.send(obj, sent) or otherwise(obj)


adapters: dict[type, Adapter] = {}


def adapt(
    kind: type,
    send: Callable[[Any, Sent], tuple[Any, ...] | None],
    pack_it: Callable[[Any], tuple[Any, ...] | None] | None = None,
) -> None:
    """Send objects of another library's type through `multiprocessing` by reference if they lie in a pool.

    Holds from now on, with and without `install`. Once for each type. `pack_it` is for queues of the pool and `put`,
    which have references of their own: it returns what to pickle in place of an object that lies in a shared pool, with
    its memory in a PickleBuffer. A `send` that puts references in flight needs it: nobody would take those back.
    """
    if pack_it is not None:
        name_packer(kind, pack_it)
    adapter = Adapter(kind, send)
    adapters[kind] = adapter
    registered[kind] = adapter.reduce


# --- what pickles call ---


def _name_of(function: Callable[..., Any]) -> bytes:
    """Return how a pickle names a function."""
    return f"{function.__module__}\n{function.__qualname__}\n".encode()


_BLOCK = _name_of(_receive.block)
_receive_array: Any = None
_array_name = _parcel_name = b""


def name_receivers(array: Callable[..., Any], parcel: Callable[..., Any]) -> None:
    """Say what pickles call for an array, and for an object with its buffers: functions of a module above this one."""
    global _receive_array, _array_name, _parcel_name
    _receive_array, _array_name, _parcel_name = array, _name_of(array), _name_of(parcel)


# --- messages ---


class Message:
    """The parts of a message that go through the pool rather than into its pickle."""

    __slots__ = ("buffers", "route", "sent")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.sent: Sent = []
        self.buffers: Sent = []

    def array(self, array: NDArray[Any]) -> Any:
        parts = self.route.parts(array, send_array, copy_array, self.sent)
        return array.__reduce__() if parts is None else (_receive_array, parts)

    def array_or(self, otherwise: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Make a reducer that comes before joblib's, which sends the name of a file for an array that maps one."""

        def reduce(array: NDArray[Any]) -> Any:
            parts = None if _maps_file(array) else self.route.parts(array, send_array, copy_array, self.sent)
            return otherwise(array) if parts is None else (_receive_array, parts)

        return reduce

    def subclass(self, array: Any) -> Any:
        if array.nbytes >= self.route.threshold:
            tell_of_kind(self.route.pool, type(array).__name__)
        return array.__reduce_ex__(5)

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
        before = table.get(ndarray)
        if before is reduce_array:
            if ndarray not in copyreg.dispatch_table:
                table[ndarray] = self.array
        elif before is not None and _is_of_joblib(before):
            table[ndarray] = self.array_or(before)
        subclass = self.subclass
        for kind in subclasses:
            table.setdefault(kind, subclass)
        if "numpy.ma.core" in modules:  # NumPy loads it when it is needed
            table.setdefault(getattr(modules["numpy.ma.core"], "MaskedArray", ndarray), subclass)
        if table.get(Block) is _send_block:
            table[Block] = self.block
        for kind, adapter in adapters.items():
            if table.get(kind) == adapter.reduce:
                table[kind] = adapter.noting(self.sent)
            elif kind not in table:  # a pickler that is not of multiprocessing
                table[kind] = adapter.noting(self.sent, lambda obj: obj.__reduce_ex__(5))


def _is_of_joblib(reduce: Any) -> bool:
    """Return whether joblib's own code, rather than the program, says how arrays are to be sent."""
    return str(getattr(reduce, "__module__", "")).startswith("joblib.")


def _maps_file(array: Any) -> bool:
    """Return whether an array is a view of a mapped file."""
    base = array.base
    while type(base) is ndarray:
        base = base.base
    return isinstance(base, ndarray)  # of a subclass, which is np.memmap; ask for no name, as NumPy loads it lazily


# Types that neither are nor contain arrays.
_PLAIN = frozenset({bytes, str, int, float, bool, type(None)})


def _is_ours(kind: Any, table: dict[Any, Any]) -> bool:
    """Return whether arrays are ours to send: a reducer that the program registers, before or after, comes first."""
    return table.get(kind) is reduce_array and kind not in copyreg.dispatch_table


def _call_of(function: bytes, arguments: tuple[Any, ...]) -> bytes:
    """Pickle a call.

    A pickle is a program: GLOBAL ("c") and the function, the arguments, REDUCE ("R"), STOP ("."). Pickle itself would
    produce the same, but looking up the function and setting up a pickler takes longer than everything else.
    """
    return b"\x80\x05c" + function + pickle.dumps(arguments, 3)[2:-1] + b"R."


def _pack_call(function: bytes, parts: tuple[Any, ...], sent: Sent) -> Any:
    """Pickle a call that is a whole message, and attach its references."""
    try:
        return pack(_call_of(function, parts), sent)
    except BaseException:  # a dtype may have metadata that cannot be pickled
        take_back(sent)
        raise


def dumps_over(forking: Any, make: _Make) -> Callable[[Any], Any]:
    """Say how to replace ``dumps`` of a ForkingPickler, whose picklers `make` makes; takes what is replaced."""
    reducers = forking._extra_reducers  # noqa: SLF001 - there is no public way to ask

    def over(before: Any) -> Any:
        def dumps(cls: type[Any], obj: Any, protocol: int | None = None, **more: Any) -> Any:
            """Pickle as ForkingPickler.dumps does, except for what goes through the pool."""
            route = current  # another thread may change it
            if route is None or cls is not forking or protocol is not None or more:
                return before.__get__(None, cls)(obj, protocol, **more)
            kind = type(obj)
            sent: Sent = []
            if kind is ndarray and _is_ours(kind, reducers):
                parts = route.parts(obj, send_array, copy_array, sent)
                if parts is not None:
                    return _pack_call(_array_name, parts, sent)
                if not obj.dtype.hasobject:
                    return pickle.dumps(obj)
            elif kind is Block and _block_is_ours(reducers):
                parts = send_block(obj, sent)[1]
                return _pack_call(_BLOCK, parts, sent)
            return pickle.dumps(obj) if kind in _PLAIN else dumps_within(route, obj, make)

        return classmethod(dumps)  # type: ignore[arg-type] # of which class, is seen when it is called

    return over


def _block_is_ours(reducers: dict[Any, Any]) -> bool:
    return Block not in reducers and copyreg.dispatch_table.get(Block) is _send_block


def make_pickler(file: io.BytesIO, buffer: Callable[[pickle.PickleBuffer], bool]) -> Any:
    """Make a pickler that pickles as multiprocessing's does."""
    pickler = pickle.Pickler(file, 5, buffer_callback=buffer)
    pickler.dispatch_table = copyreg.dispatch_table | registered
    return pickler


def dumps_within(route: Route, obj: Any, make: _Make) -> Any:
    """Pickle an object that may contain arrays, blocks and out-of-band buffers; `make` makes the pickler."""
    message = Message(route)
    file = io.BytesIO()
    pickler = make(file, message.buffer)
    message.reduce_in(pickler.dispatch_table)
    try:
        pickler.dump(obj)
        if not message.sent:
            return file.getbuffer()
        pickled = file.getvalue()
        if message.buffers:
            pickled = _call_of(_parcel_name, (pickled, message.buffers))
        return pack(pickled, message.sent)
    except BaseException:
        take_back(message.sent)
        raise


def reduce_array(array: NDArray[Any]) -> Any:
    """Reduce an array for a pickler that notes nothing; a reducer in copyreg comes first."""
    reduce: Callable[[Any], Any] | None = copyreg.dispatch_table.get(type(array))
    if reduce is not None:
        return reduce(array)
    route = current
    parts = None if route is None else route.parts(array, send_array, copy_array, [])
    return array.__reduce__() if parts is None else (_receive_array, parts)
