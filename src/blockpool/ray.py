"""Ray: arrays and blocks of a pool pass between the processes of one machine by reference, not through Ray's store.

    import ray, blockpool as bp, blockpool.ray

    pool = bp.Pool.create("1MiB", 1024)
    blockpool.ray.install(pool)
    result = worker.work.remote(pool.zeros((8, 1080, 1920), "uint8"))

What keeps the memory. A message has, for each array or block, the name of its run and a token: an empty object of Ray,
which the sending process owns. Ray counts the references to a token that lies in another object as if they were
references to that object: to arguments until the call is done, to results and to what `ray.put` made while somebody has
its ObjectRef. Until Ray says that the token is out of scope, the sending process keeps the array, and a reference in
flight as well, for what it sent outlives it. So a message may be loaded any number of times, or never, and nothing has
to be given back by hand. A process that loads it takes a reference of its own, and leaves the one in flight.

If the sending process ends before that, Ray says no more, as the tokens are gone with their owner. Then the reference
in flight ends with its lifetime: `Pool.ticket_lifetime`, or ten minutes if the pool has none.

Who sends. Ray's serializers belong to a process. A process that receives the pool, or anything in it, from one that
sends by reference does so as well from then on. So one call in the driver is enough.

Other machines. The sender cannot know who will load. Where the pool is out of sight, the array is fetched instead, by
a task on the sender's node that reads it and returns it through Ray's store.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from blockpool._extras import install_command

NEEDS = (2, 60)
_WATCH_SECONDS = 0.05
_REFERENCES = 2  # that a Block has if only _watched has it: from there, and to ask
_WRITABLE = False  # what is sent is as read-only as it was; readonly= comes later
LIFETIME = 600.0  # seconds, of references in flight in a pool without a `ticket_lifetime`


def _require(found: str | None) -> None:
    """Raise ImportError unless that version of Ray will do."""
    numbers = () if found is None else tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < NEEDS:
        raise ImportError(
            f"blockpool.ray needs Ray {NEEDS[0]}.{NEEDS[1]} or later, and "
            f"{'it is not installed' if found is None else f'finds {found}'}; "
            f"install what it needs with: {install_command('ray')}"
        )


def _installed(name: str) -> str | None:
    """Return the version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


_require(_installed("ray"))

import pickle  # noqa: E402 - a Ray that is too old may not have what comes now

import numpy as np  # noqa: E402
import ray  # noqa: E402
from ray._private import worker as _worker  # noqa: E402 - there is no public way to learn that an object is out of scope
from ray.util import deregister_serializer, register_serializer  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from blockpool._core import Block, Pool, id_of_pool, redeem, require_shared, send_array, send_buffer, take_back  # noqa: E402
from blockpool._forks import ray_kept as _kept  # noqa: E402 - what this process has sent and keeps, by token
from blockpool._forks import ray_lock as _lock  # noqa: E402
from blockpool._handles import Handle  # noqa: E402
from blockpool.errors import PoolForbidden, PoolNotFound, StaleHandle, TooManyTickets  # noqa: E402

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    _Array: TypeAlias = NDArray[Any]
    # The offset in the run, in bytes, shape, strides unless row-major, and type.
    _Layout: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...] | None, np.dtype[Any]]

if not hasattr(ray._raylet.CoreWorker, "add_object_out_of_scope_callback"):  # noqa: SLF001 - as above
    raise ImportError(
        f"blockpool.ray needs to hear from Ray when an object is out of scope, and Ray {ray.__version__} has no "
        "CoreWorker.add_object_out_of_scope_callback; use the newest release of blockpool, or an older one of Ray"
    )

__all__ = ["install", "uninstall"]

# What was installed, by the pool's id.
_pools: dict[str | None, _Installed] = {}
# Tokens, by the id of the array or Block that was sent.
_tokens: dict[int, tuple[ray.ObjectRef[bytes], Handle]] = {}
# Blocks that were sent, with their tokens, and the thread that looks after them.
_watched: list[tuple[Block, ray.ObjectRef[bytes]]] = []
_watcher: threading.Thread | None = None
# The connection to Ray that the tokens are of, and the node that it is on.
_session: tuple[object, str] | None = None


def install(pool: Pool, *, readonly: bool = False) -> None:
    """Send arrays and blocks of a pool by reference from now on, in this process and those that it sends to.

    It may be called before or after ``ray.init()``, and for several pools. Processes that get the pool, or something
    in it, as an argument or result do the same from then on; one that attaches the pool by its name calls `install`
    itself. All other arrays go through Ray's store as before, without a copy when they are loaded.

    Parameters
    ----------
    pool : Pool
        A shared pool. It stays attached until `uninstall`.
    readonly : bool
        Whether receivers get read-only arrays and blocks, as they do from Ray. Otherwise all see the same writable
        memory.

    Raises
    ------
    TypeError
        If `pool` is not a Pool.
    ValueError
        If the pool is private: no other process can reach it.
    PoolClosed, TooManyProcesses, PoolBusy
        If the pool is closed, or this process is a forked child without a part in it (see Notes of `Pool`).

    Notes
    -----
    Any thread may call this. It replaces serializers for `numpy.ndarray`, `Block` and `Pool` that were registered
    before with ``ray.util.register_serializer``.

    An array that was sent stays allocated as long as Ray keeps the object that it is in. If the process that sent it
    ends before that, the array can be loaded for the pool's `ticket_lifetime`, or ten minutes if the pool has none,
    since it was sent. Loading it later may raise ``ray.exceptions.RaySystemError`` with a `StaleHandle` in its message.
    """
    if not isinstance(pool, Pool):
        raise TypeError(f"pool must be a Pool, not {type(pool).__name__}")
    require_shared(pool)
    with _lock:
        _pools[id_of_pool(pool)] = _Installed(pool, bool(readonly), pool.ticket_lifetime or LIFETIME)
        register_serializer(np.ndarray, serializer=_pack_array, deserializer=_load)
        register_serializer(Block, serializer=_pack_block, deserializer=_load)
        register_serializer(Pool, serializer=_pack_pool, deserializer=_load)


def uninstall() -> None:
    """Send everything as Ray does, from this process. What was sent can still be loaded.

    After ``ray.shutdown()`` it also drops what this process sent: Ray no longer tells what is out of scope.

    Notes
    -----
    Any thread may call this. Other processes go on as they are.
    """
    with _lock:
        for kind in (np.ndarray, Block, Pool):
            deregister_serializer(kind)
        _pools.clear()
        if not ray.is_initialized():
            _forget_all()


# --- sending ---


@dataclass(frozen=True, slots=True)
class _Installed:
    """A pool that stays attached, and how what lies in it is sent."""

    pool: Pool
    readonly: bool
    lifetime: float  # of references in flight, in seconds


@dataclass(slots=True)
class _Kept:
    """What this process keeps for others: a Block of its own, and a reference in flight."""

    block: Block
    sent: list[tuple[Any, ...]]  # what takes the reference back
    ends: float = 0.0  # when its lifetime is over, on the monotonic clock

    def land(self) -> None:
        """Take the reference back, unless its time is over: it may be gone then, and another one in its place."""
        if time.monotonic() < self.ends:
            take_back(list(self.sent))

    def fly(self, lifetime: float) -> None:
        """Put the reference in flight, or have it fly for longer."""
        self.land()
        self.ends = time.monotonic() + lifetime
        self.block.share(lifetime=lifetime)


@dataclass(frozen=True, slots=True)
class _Sent:
    """An array or a block in a message: where it is, and the token by which Ray says how long it is needed."""

    handle: Handle
    token: ray.ObjectRef[bytes]
    node: str
    readonly: bool
    installs: bool  # whether what the receiver sends is to be read-only
    layout: _Layout | None  # None for a block


@dataclass(frozen=True, slots=True)
class _SentPool:
    """A pool in a message."""

    reduced: tuple[Any, ...]
    readonly: bool | None  # None to install nothing


def _pack_array(array: _Array) -> Any:
    sent: list[tuple[Any, ...]] = []
    try:
        parts = send_array(array, _WRITABLE, 1, sent) if _pools and _goes_into_an_object() else None
    except TooManyTickets as error:
        raise TooManyTickets(f"{error}; or call ray.put once, and pass the ObjectRef instead of the array") from None
    if parts is None:
        return array.__reduce_ex__(5)
    take_back(list(sent))  # as it may have no end; the next one has
    pool_id, index, generation, process, name, offset, shape, strides, _, fixed = parts[2:]
    handle = Handle(pool_id.hex(), index, generation, process, name)
    found = _pools.get(handle.pool_id)
    if found is None:
        return array.__reduce_ex__(5)
    return _sent(found, array, sent, handle, (offset, shape, strides, array.dtype), fixed=fixed)


def _pack_block(block: Block) -> Any:
    handle = block.handle
    found = _pools.get(handle.pool_id)
    if found is None or not _goes_into_an_object():
        return block.__reduce_ex__(5)
    sent: list[tuple[Any, ...]] = []
    view = block.buf
    send_buffer(view, _WRITABLE, 1, sent)
    take_back(list(sent))
    return _sent(found, block, sent, handle, None, fixed=view.readonly)


def _pack_pool(pool: Pool) -> Any:
    found = _pools.get(id_of_pool(pool))
    return _SentPool(pool.__reduce_ex__(5), None if found is None else found.readonly)


def _sent(
    found: _Installed, what: _Array | Block, sent: list[tuple[Any, ...]], handle: Handle, layout: Any, *, fixed: bool
) -> _Sent:
    """Keep the memory of `what` until the object that it goes into is out of scope; `sent` takes a reference back."""
    core, node = _connection()
    with _lock:
        token, before = _tokens.get(id(what), (None, None))
        if token is None or before != handle:
            token = ray.put(b"")
            _kept[token.binary()] = _Kept(redeem(handle), sent)
            # Ray does not count tokens that are made while arguments are pickled until the call is submitted; `what`
            # is an argument, so it lives longer than that. If it is sent again, it has its token.
            _tokens[id(what)] = token, handle
            if isinstance(what, Block):
                _watch(what, token)
            else:
                weakref.finalize(what, _forget_token, id(what), token).atexit = False
            if not core.add_object_out_of_scope_callback(token, _forget):
                raise RuntimeError("Ray does not watch over an object that it has just made; please report this")
        _kept[token.binary()].fly(found.lifetime)
    return _Sent(handle, token, node, fixed or found.readonly, found.readonly, layout)


def _watch(block: Block, token: ray.ObjectRef[bytes]) -> None:
    """Keep a token until only this module has the Block, which cannot be referred to weakly; _lock is held."""
    global _watcher  # noqa: PLW0603 - there is one
    _watched.append((block, token))
    if _watcher is None:
        _watcher = threading.Thread(target=_watch_all, name="blockpool-ray", daemon=True)
        _watcher.start()


def _watch_all() -> None:
    """Drop the tokens of Blocks that nobody else has any more, until there are none."""
    global _watcher  # noqa: PLW0603 - as above
    while True:
        time.sleep(_WATCH_SECONDS)
        with _lock:
            for at in reversed(range(len(_watched))):
                if sys.getrefcount(_watched[at][0]) <= _REFERENCES:
                    block, token = _watched.pop(at)
                    _forget_token(id(block), token)
                    del block, token
            if not _watched:
                _watcher = None
                return


def _forget_token(number: int, token: ray.ObjectRef[bytes]) -> None:
    """Leave a token to Ray, as the array or Block that it was made for is gone."""
    if (found := _tokens.get(number)) is not None and found[0] is token:
        del _tokens[number]


def _forget(token: bytes) -> None:
    """Drop what messages needed. Called by a thread of Ray, which must not wait, and must not see an error."""
    kept = _kept.pop(token, None)
    if kept is not None:
        kept.land()


def _forget_all() -> None:
    """Drop what was sent over a connection to Ray that has ended."""
    _tokens.clear()
    for token in list(_kept):
        _forget(token)


def _at_exit() -> None:
    """Drop what a driver sent, as its objects end with it. What a worker sent outlives it."""
    if _worker.global_worker.mode != _worker.WORKER_MODE:
        _forget_all()


def _goes_into_an_object() -> bool:
    """Return whether Ray is making an object now, rather than a pickle of its own, which it would keep for ever."""
    worker = _worker.global_worker
    inside: bool = worker.connected and worker.get_serialization_context().is_in_band_serialization()
    return inside


def _connection() -> tuple[Any, str]:
    """Return what tokens are registered with, and the node. What was sent by an earlier connection is dropped."""
    global _session  # noqa: PLW0603 - there is one connection a process
    core = _worker.global_worker.core_worker
    session = _session
    if session is None or session[0] is not core:
        with _lock:
            _forget_all()
            session = _session = core, ray.get_runtime_context().get_node_id()
    return session


# --- loading ---


def _load(sent: Any) -> Any:
    """Make what was sent, in any process."""
    if isinstance(sent, _Sent):
        return _load_block(sent) if sent.layout is None else _load_array(sent, sent.layout)
    if isinstance(sent, _SentPool):
        make, arguments, *_ = sent.reduced
        pool = make(*arguments)
        if sent.readonly is not None and id_of_pool(pool) not in _pools:
            install(pool, readonly=sent.readonly)
        return pool
    make, arguments, *state = sent
    made = make(*arguments)
    if state and state[0] is not None:
        made.__setstate__(state[0])
    return made


def _redeemed(sent: _Sent) -> Block:
    """Take a reference to the run."""
    try:
        block = redeem(sent.handle)
    except StaleHandle:
        raise StaleHandle(
            f"the memory in this message is gone: process {sent.handle.process}, which sent it, has ended, and so has "
            "the lifetime of its reference in flight (ticket_lifetime of the pool); send it again"
        ) from None
    if sent.handle.pool_id not in _pools:
        install(block.pool, readonly=sent.installs)
    return block.readonly() if sent.readonly else block


def _load_block(sent: _Sent) -> Block:
    try:
        return _redeemed(sent)
    except (PoolNotFound, PoolForbidden) as error:
        raise type(error)(
            f"a block cannot go to a process that its pool is out of sight of, such as one on another machine; send "
            f"an array, which can ({error})"
        ) from None


def _array(
    sent: _Sent, offset: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: np.dtype[Any]
) -> _Array:
    return np.ndarray(shape, dtype, _redeemed(sent).buf, offset, strides)


def _load_array(sent: _Sent, layout: _Layout) -> _Array:
    try:
        return _array(sent, *layout)
    except (PoolNotFound, PoolForbidden) as error:
        _, shape, _, dtype = layout
        return np.frombuffer(_fetched(sent, layout, error), dtype).reshape(shape)


def _fetched(sent: _Sent, layout: _Layout, why: Exception) -> Any:
    """Get a copy of an array's elements from the node that sent it."""
    place = NodeAffinitySchedulingStrategy(sent.node, soft=False)
    try:
        return ray.get(_read_there.options(scheduling_strategy=place).remote(sent, layout))
    except ray.exceptions.RayError as error:
        raise StaleHandle(
            f"the array in this message is in a pool out of this process's sight ({why}), and cannot be fetched from "
            f"node {sent.node}: {error}"
        ) from error


def _read(sent: _Sent, layout: _Layout) -> pickle.PickleBuffer:
    """Return the elements of an array, for a process that does not see the pool. Runs on the sender's node."""
    return pickle.PickleBuffer(np.ascontiguousarray(_array(sent, *layout)).data)


_read_there = ray.remote(num_cpus=0)(_read)


os.register_at_fork(after_in_child=_kept.clear)  # what was sent is the parent's business
atexit.register(_at_exit)
