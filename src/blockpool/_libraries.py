"""What is replaced in other libraries, by the modules that have it, so that they send through a pool.

None of it has a public place to be set from outside: loky and multiprocess are made like `multiprocessing`, and joblib
makes its reducers itself. If a name is missing, `blockpool._patches` says so in the log, and the library sends as
before.
"""

from __future__ import annotations

import sys
from multiprocessing import context
from multiprocessing.reduction import ForkingPickler

from blockpool import _sending, _undelivered
from blockpool._core import take_back

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    import io
    import pickle
    from collections.abc import Callable
    from typing import Any, Protocol

    class Patcher(Protocol):
        """What changes other modules, and can undo it."""

        def patch(self, owner: Any, name: str, over: Callable[[Any], Any]) -> None:
            """Replace a function or class by what `over` makes of it."""

        def register(self, table: dict[Any, Any], kind: Any, reduce: Callable[[Any], Any]) -> None:
            """Register a reducer, unless the type has one."""

    _Buffer = Callable[[pickle.PickleBuffer], bool]


# --- multiprocessing ---


def multiprocessing(to: Patcher, reduction: Any, connection: Any) -> None:
    """Have multiprocessing send through the pool."""
    if _sending.ndarray is not None:
        to.register(_sending.registered, _sending.ndarray, _sending.reduce_array)
    to.patch(ForkingPickler, "dumps", _sending.dumps_over(ForkingPickler, _sending.make_pickler))
    to.patch(reduction, "dump", _undelivered.dump_over(context.get_spawning_popen, ForkingPickler))
    to.patch(connection.Connection, "_send_bytes", _undelivered.send_bytes_over)


def launching(to: Patcher, popen: Any) -> None:
    """Take back what a process was to get that cannot be started."""
    to.patch(popen.Popen, "_launch", _undelivered.launch_over)


# --- multiprocess, which pathos uses ---


def multiprocess_reduction(to: Patcher, reduction: Any) -> None:
    """Have multiprocess pickle as multiprocessing does, by its own pickler, which is dill's."""
    forking = reduction.ForkingPickler
    if _sending.ndarray is not None:
        to.register(forking._extra_reducers, _sending.ndarray, _sending.reduce_array)  # noqa: SLF001

    def make(file: Any, *arguments: Any, **options: Any) -> Any:
        pickler = forking(file, *arguments, **options)
        table = pickler.dispatch_table

        def override(obj: Any) -> Any:
            """Reduce arrays as the table says, which dill does not ask for them."""
            reduce = table.get(type(obj)) if type(obj) is _sending.ndarray else None
            return NotImplemented if reduce is None else reduce(obj)

        pickler.reducer_override = override
        return pickler

    def make_for_message(file: io.BytesIO, buffer: _Buffer) -> Any:
        return make(file, 5, buffer_callback=buffer)

    def spawning() -> Any:
        return reduction.context.get_spawning_popen()  # looked up late: the two modules import each other

    to.patch(forking, "dumps", _sending.dumps_over(forking, make_for_message))
    to.patch(reduction, "dump", _undelivered.dump_over(spawning, make))


def multiprocess_connection(to: Patcher, connection: Any) -> None:
    """Have multiprocess take back what it cannot write."""
    _undelivered.writing.add(connection.Connection._send.__code__)  # noqa: SLF001
    to.patch(connection.Connection, "_send_bytes", _undelivered.send_bytes_over)


# --- loky, on its own and in joblib ---


def loky_reduction(to: Patcher, reduction: Any) -> None:
    """Have loky start processes that install themselves."""
    if _sending.ndarray is not None:
        to.register(reduction._dispatch_table, _sending.ndarray, _sending.reduce_array)  # noqa: SLF001

    def make(file: Any, *arguments: Any, **options: Any) -> Any:
        return reduction.get_loky_pickler()(file, *arguments, **options)

    to.patch(reduction, "dump", _undelivered.dump_over(context.get_spawning_popen, make))


def loky_queues(to: Patcher, queues: Any) -> None:
    """Have loky's queues, which carry its tasks and results, pickle as multiprocessing's do."""
    reduction = sys.modules[f"{queues.__package__}.reduction"]

    def dumps_over(before: Any) -> Any:
        def dumps(obj: Any, reducers: Any = None, protocol: int | None = None) -> Any:
            route = _sending.current
            if route is None or protocol is not None:
                return before(obj, reducers=reducers, protocol=protocol)
            kind = reduction.get_loky_pickler()

            def make(file: io.BytesIO, buffer: _Buffer) -> Any:
                pickler = kind(file, reducers=reducers, protocol=5)
                table = pickler.dispatch_table
                kind._loky_pickler_cls.__init__(  # noqa: SLF001 - its own __init__ takes no buffer_callback
                    pickler, file, protocol=5, buffer_callback=buffer
                )
                pickler._set_dispatch_table(table)  # noqa: SLF001
                return pickler

            return _sending.dumps_within(route, obj, make)

        return dumps

    to.patch(queues, "dumps", dumps_over)


def joblib_pool(to: Patcher, pool: Any) -> None:
    """Have the pickler of joblib's backend "multiprocessing" ask us first."""

    def pickler_over(before: Any) -> Any:
        class CustomizablePickler(before):  # type: ignore[misc]
            def dump(self, obj: Any) -> Any:
                route = _sending.current
                if route is None:
                    return super().dump(obj)
                message = _sending.Message(route)
                message.reduce_in(self.dispatch_table)
                try:
                    return super().dump(obj)
                except BaseException:
                    take_back(message.sent)
                    raise

        return CustomizablePickler

    to.patch(pool, "CustomizablePickler", pickler_over)


_LOKY = {
    "reduction": loky_reduction,
    "queues": loky_queues,
    "popen_loky_posix": launching,
}

# By the module that a function is given once it is imported.
BY_MODULE: dict[str, Callable[[Patcher, Any], None]] = {
    **{f"{where}loky.backend.{name}": apply for where in ("", "joblib.externals.") for name, apply in _LOKY.items()},
    "joblib.pool": joblib_pool,
    "multiprocess.reduction": multiprocess_reduction,
    "multiprocess.connection": multiprocess_connection,
    "multiprocess.popen_spawn_posix": launching,
    "multiprocess.popen_forkserver": launching,
}

# What is imported once a library is: `blockpool.torch` has tensors that lie in a pool sent by reference, which PyTorch
# would move out of it.
ALONGSIDE = {"torch": "blockpool.torch"}
