"""The directive ``source-module``: a module's public functions and classes, read from its source without an import.

For modules that need PyTorch, Dask or Ray, which are too large to be installed for their docstrings' sake.
"""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any

from headers import ROOT
from rst import Generated, indent
from sphinx.ext.napoleon.docstring import NumpyDocstring

if TYPE_CHECKING:
    from pathlib import Path

    from sphinx.application import Sphinx

Described = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def path_of(module: str) -> Path:
    """Return the file of a module."""
    base = ROOT / "src" / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def find(module: str, name: str) -> Described:
    """Return the definition of a name, wherever the module has it from."""
    for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, Described) and node.name == name:
            return node
        if isinstance(node, ast.ImportFrom) and any((each.asname or each.name) == name for each in node.names):
            return find(str(node.module), name)
    raise LookupError(f"{module} has no {name}")


class SourceModule(Generated):
    """A module."""

    def described(self, node: Described, name: str) -> str:
        """Return the directive for a function or class, and the methods of the latter."""
        text = str(NumpyDocstring(inspect.cleandoc(ast.get_docstring(node) or ""), self.config, self.env.app))
        if isinstance(node, ast.ClassDef):
            head = f".. py:class:: {name}"
            methods = [each for each in node.body if isinstance(each, Described) and not each.name.startswith("_")]
            text += "\n" + "\n".join(self.described(each, each.name) for each in methods if ast.get_docstring(each))
        else:
            for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
                argument.annotation = None
            head = f".. py:function:: {name}({ast.unparse(node.args)})"
        return f"{head}\n\n{indent(text)}\n"

    def text(self) -> str:
        """Return the module's docstring, and all names of its ``__all__``."""
        module = self.arguments[0]
        tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
        parts = [f".. py:module:: {module}\n", str(ast.get_docstring(tree)), ""]
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                parts += [
                    self.described(find(module, name), f"{module}.{name}") for name in ast.literal_eval(node.value)
                ]
        return "\n".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("source-module", SourceModule)
    return {"parallel_read_safe": True}
