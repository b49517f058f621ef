"""What is replaced in the standard library and in others while arrays go through a pool, and how that is undone.

A patch of another library that was made later stays in place, and so may call ours for ever; without a route, ours only
call what they replaced.
"""

from __future__ import annotations

import importlib
import sys
from multiprocessing import connection, popen_forkserver, popen_spawn_posix, reduction

from blockpool import _libraries, _sending
from blockpool._forks import switch_lock
from blockpool._late_imports import Finder
from blockpool._log import WARNING, tell

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

declined = False  # uninstall was called, so a received array must not install

_undo: list[Callable[[], object]] = []


def install(route: _sending.Route, *, over: bool = True) -> None:
    """Send arrays by a route from now on; not `over`: only if nothing is installed, and `uninstall` was not called."""
    global declined  # noqa: PLW0603 - one switch for the whole process
    try:
        import numpy as np
    except ImportError:  # there are no arrays then, but there are blocks and buffers
        array_types: tuple[Any, ...] = (None,)
    else:
        array_types = np.ndarray, np.memmap, np.recarray
    with switch_lock:
        if not over and (_sending.current is not None or declined):
            return
        _undo_all()  # and nothing else: other threads look at `declined` meanwhile
        _sending.ndarray, *others = array_types
        _sending.subclasses = tuple(others)
        to = _Patcher()
        _libraries.multiprocessing(to, reduction, connection)
        _libraries.launching(to, popen_spawn_posix)
        _libraries.launching(to, popen_forkserver)
        _watch_imports()
        untold = [_apply(name, sys.modules[name]) for name in _libraries.BY_MODULE if sys.modules.get(name) is not None]
        _sending.current = route
        declined = False
    untold += [_import_alongside(name) for name in _libraries.ALONGSIDE if sys.modules.get(name) is not None]
    for error in untold:
        _tell_of_unknown(error)


def uninstall() -> None:
    """Send arrays as before again, and do not install because of a received array."""
    global declined  # noqa: PLW0603 - the same
    with switch_lock:
        _undo_all()
        declined = True


def _undo_all() -> None:
    while _undo:
        _undo[-1]()
        _undo.pop()
    _sending.current = None


# The undo of a change is in `_undo` before the change is made and until it is undone, so that a child that another
# thread forks in between can undo it too.


class _Patcher:
    """How other modules are changed until `uninstall`; see `_libraries.Patcher`."""

    def register(self, table: dict[Any, Any], kind: Any, reduce: Callable[[Any], Any]) -> None:
        """Register a reducer, unless the type has one."""
        _undo.append(lambda: table.pop(kind) if table.get(kind) is reduce else None)
        table.setdefault(kind, reduce)

    def patch(self, owner: Any, name: str, over: Callable[[Any], Any]) -> None:
        """Replace a function by what `over` makes of it. Undoing that leaves later patches in place."""
        before = vars(owner)[name]
        ours = over(before)

        def undo() -> None:
            if vars(owner).get(name) is ours:  # otherwise a later patch may call ours, which then only calls `before`
                setattr(owner, name, before)

        _undo.append(undo)
        setattr(owner, name, ours)


# --- other libraries ---


def _watch_imports() -> None:
    """Have the libraries that are imported from now on changed too."""
    finder = Finder(_libraries.BY_MODULE.keys() | _libraries.ALONGSIDE.keys(), _imported)
    _undo.append(lambda: sys.meta_path.remove(finder) if finder in sys.meta_path else None)
    sys.meta_path.insert(0, finder)


def _imported(module: ModuleType) -> None:
    name = module.__name__
    error = None
    if name in _libraries.ALONGSIDE:
        error = None if _sending.current is None else _import_alongside(name)
    else:
        with switch_lock:
            error = None if _sending.current is None else _apply(name, module)
    _tell_of_unknown(error)


def _import_alongside(name: str) -> str | None:
    """Import what goes with a library; return what is wrong with it, if that cannot be done.

    Never with `switch_lock`: the import may wait for another thread, which imports the library and waits for the lock.
    """
    try:
        importlib.import_module(_libraries.ALONGSIDE[name])
    except Exception as error:  # noqa: BLE001 - it may be anything, such as a stand-in that a test made
        return f"{name} of this version: {type(error).__name__}: {error}"
    return None


def _apply(name: str, module: ModuleType) -> str | None:
    """Change a module of another library; return what is wrong with it, if that cannot be done."""
    try:
        _libraries.BY_MODULE[name](_Patcher(), module)
    except Exception as error:  # noqa: BLE001 - it may be anything, such as a stand-in that a test made
        return f"{name} of this version: {type(error).__name__}: {error}"
    return None


def _tell_of_unknown(error: str | None) -> None:
    if error is not None:
        tell(
            WARNING,
            "library_unknown",
            f"arrays are sent without blockpool.multiprocessing.install() by a library that blockpool does not know: "
            f"{error}; use another version of it, or tell the authors of blockpool",
            reason=error,
        )
