"""Processes that are started rather than forked: they send as the process that starts them, from their first line on.

A process is started with two pickles, a dict of settings of the interpreter and the object of the process. The second
is replaced by one that first installs (see `blockpool._receive_arrays`). It is read when ``sys.path`` is set and the
main module is imported, so blockpool is found wherever the program found it, and what the main module says comes first.

Rejected: one more entry in the dict, because it is read before ``sys.path`` is set. An initializer, because each
library has its own, some have none, and the program may have one.
"""

from __future__ import annotations

import pickle

from blockpool._log import WARNING, tell

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from blockpool._sending import Route

_begin: Any = None
_begun: Any = None


def name_functions(begin: Callable[[bytes], None], begun: Callable[[None, Any], Any]) -> None:
    """Say what the pickle calls: functions of a module above this one."""
    global _begin, _begun
    _begin, _begun = begin, begun


class _Settings:
    """What a process needs in order to install as its parent did. The pickle in it may fail without harm."""

    def __init__(self, pickled: bytes) -> None:
        self.pickled = pickled

    def __reduce__(self) -> Any:
        return _begin, (self.pickled,)


class _Started:
    """The object of a process, which is unpickled after the settings were."""

    def __init__(self, settings: _Settings, process: Any) -> None:
        self.parts = settings, process

    def __reduce__(self) -> Any:
        return _begun, self.parts


def with_route(obj: Any, route: Route) -> Any:
    """Return what to pickle in place of one of the two objects a process is started with."""
    if type(obj) is dict:
        return obj
    try:
        pickled = pickle.dumps((route.pool, route.threshold, route.readonly, route.on_full, route.timeout))
    except Exception as error:  # noqa: BLE001 - the pool is closed, say; the process starts without it
        tell_without(route.pool, f"{error}")
        return obj
    return _Started(_Settings(pickled), obj)


def tell_without(pool: Any, why: str) -> None:
    """Say in the log that a process starts without what its parent installed; `pool` is None if it cannot be had."""
    name = None if pool is None else pool.name
    tell(
        WARNING,
        "started_without_pool",
        f"a process starts without what blockpool.multiprocessing.install() does in the process that starts it, and "
        f"sends its arrays as before: {why}",
        name,
        reason=why,
    )
