"""Modules that are imported later: a function is called with each as soon as its import is done.

`Finder` stands first in ``sys.meta_path`` and looks for a few names only. It has the other finders find the module, and
puts itself between the module and its loader. When the module was executed, the module has its own loader again, so
nothing can tell the difference.

Rejected: `sys.addaudithook`, because it cannot be removed; a look into ``sys.modules`` with each message, because the
library may send before the first one.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


class Finder:
    """A finder of modules that calls a function after the import of some.

    Parameters
    ----------
    names : collection of str
        The full names of the modules.
    imported : callable
        What to call with each module. It must not raise. It is called in the thread that imports, which holds the
        import lock of that module.
    """

    def __init__(self, names: Collection[str], imported: Callable[[ModuleType], object]) -> None:
        self.names = names
        self.imported = imported

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the finders after this one do; None for modules with other names."""
        if name not in self.names:
            return None
        for finder in sys.meta_path:
            find = None if type(finder) is Finder else getattr(finder, "find_spec", None)  # very old ones have none
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self.imported)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Another loader, which has itself replaced by that one and calls a function when it has executed a module."""

    def __init__(self, loader: Any, imported: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # this is a copy in the making
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module)
