"""The directive ``errors``: every exception of blockpool, and which calls raise it, as their docstrings say."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from numpydoc.docscrape import NumpyDocString
from public_api import public
from rst import Generated, indent

import blockpool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx


def exceptions() -> list[type[BaseException]]:
    """Return all exceptions, the base class first, each after those that it derives from."""
    found = [getattr(blockpool, name) for name in blockpool.__all__]
    errors = [each for each in found if isinstance(each, type) and issubclass(each, BaseException)]
    return sorted(errors, key=lambda each: (len([base for base in each.__mro__ if base in errors]), each.__name__))


def documented() -> Iterator[tuple[str, str, Any]]:
    """Return all that is documented: its role, its dotted name and itself."""
    for name, thing in public().items():
        if inspect.isclass(thing):
            yield "class", name, thing
            for own, member in vars(thing).items():
                if not own.startswith("_") and getattr(member, "__doc__", None):
                    yield "attr" if inspect.isdatadescriptor(member) else "meth", f"{name}.{own}", member
        elif callable(thing):
            yield "func", name, thing


def raised_by() -> dict[str, list[str]]:
    """Return, for each exception's name, links to what raises it."""
    found: dict[str, list[str]] = {}
    for role, name, thing in documented():
        for section in NumpyDocString(inspect.getdoc(thing) or "")["Raises"]:
            for error in re.findall(r"[A-Z]\w+", section.type or section.name):
                link = f":py:{role}:`~{name}`"
                if link not in found.setdefault(error, []):
                    found[error].append(link)
    return found


class Errors(Generated):
    """Every exception."""

    def text(self) -> str:
        """Return a part for each."""
        by, parts = raised_by(), []
        for error in exceptions():
            bases = ", ".join(f":py:obj:`{base.__name__}`" for base in error.__bases__)
            lines = [
                f".. autoexception:: blockpool.{error.__name__}",
                "   :no-members:",
                "   :no-show-inheritance:",
                "",
            ]
            lines += [indent(f"**Derives from** {bases}."), ""]
            if links := by.get(error.__name__):
                lines += [indent(f"**Raised by** {', '.join(sorted(links))}."), ""]
            parts.append("\n".join(lines))
        return "\n".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("errors", Errors)
    return {"parallel_read_safe": True}
