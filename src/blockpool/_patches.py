"""What is replaced in the standard library and in loky while arrays go through a pool, and how that is undone.

A patch of another library that was made later stays in place, and so may call ours for ever; without a route, ours only
call what they replaced.
"""

from __future__ import annotations

import sys
from multiprocessing import popen_forkserver, popen_spawn_posix, reduction
from multiprocessing.connection import Connection

from blockpool import _sending, _undelivered
from blockpool._forks import switch_lock

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Where loky, on its own or as part of joblib, has its picklers.
_LOKY = ("loky.backend.reduction", "joblib.externals.loky.backend.reduction")

declined = False  # uninstall was called, so a received array must not install

_undo: list[Callable[[], object]] = []


def install(route: _sending.Route) -> None:
    """Send arrays by a route from now on."""
    global declined  # noqa: PLW0603 - one switch for the whole process
    with switch_lock:
        uninstall()
        try:
            from numpy import ndarray
        except ImportError:
            pass  # there are no arrays then, but there are blocks and buffers
        else:
            _sending.ndarray = ndarray
            _register(_sending.registered, ndarray, _sending.reduce_array)
            for name in _LOKY:
                if name in sys.modules:
                    _install_in_loky(sys.modules[name])
        _patch(reduction.ForkingPickler, "dumps", _sending.dumps_over)
        _patch(reduction, "dump", _undelivered.dump_over)
        _patch(Connection, "_send_bytes", _undelivered.send_bytes_over)
        _patch(popen_spawn_posix.Popen, "_launch", _undelivered.launch_over)
        _patch(popen_forkserver.Popen, "_launch", _undelivered.launch_over)
        _sending.current = route
        declined = False


def uninstall() -> None:
    """Send arrays as before again, and do not install because of a received array."""
    global declined  # noqa: PLW0603 - the same
    with switch_lock:
        while _undo:
            _undo[-1]()
            _undo.pop()
        _sending.current = None
        declined = True


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
            before(self, kind, _sending.reduce_or(reduce) if kind is _sending.ndarray else reduce)

        return register

    _patch(loky.get_loky_pickler(), "register", register_over)
    _register(
        loky._dispatch_table,  # noqa: SLF001
        _sending.ndarray,
        _sending.reduce_or(lambda array: array.__reduce_ex__(5)),
    )
