"""Check that every public name of the installed package is documented, in NumPy style, by numpydoc's validation.

    python tools/check_docstrings.py

Prints a line for each fault, and fails if there is one.
"""

from __future__ import annotations

import contextlib
import inspect
import pkgutil
import sys

from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from public_api import MODULES, public

# `blockpool` has most of their names, and the site needs no page for the rest; all have docstrings.
MORE = ("blockpool.errors", "blockpool.stats")

# What numpydoc asks for and we do without.
IGNORED = {
    "GL01": "a docstring starts right after its quotes",
    "GL02": "a docstring of one line ends on that line",
    "ES01": "nothing follows a summary that says it all",
    "SA01": "the guide says what belongs together",
    "EX01": "examples are in the guide, and in the docstrings of classes and modules",
}


def public_names() -> list[str]:
    """Return the dotted names of all that is documented: modules, functions, classes and their members."""
    modules = (*MODULES, *MORE)
    names = list(modules)
    for name, thing in public(modules).items():
        if not callable(thing):
            continue  # a constant has no docstring
        names.append(name)
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            names += [f"{name}.{member}" for member in vars(thing) if not member.startswith("_")]
    return names


def faults_of(name: str) -> list[str]:
    """Return what is wrong with the docstring of a name.

    What a class describes in its section Attributes needs no description as a parameter of the class, nor a docstring
    of its own.
    """
    if inspect.ismodule(thing := pkgutil.resolve_name(name)):  # numpydoc fails at one that only imports
        return [] if thing.__doc__ else ["GL08 The object does not have a docstring"]
    faults = []
    owner, _, own = name.rpartition(".")
    for code, text in validate(name)["errors"]:
        if code in IGNORED:
            continue
        if code == "GL08" and own in attributes_of(owner):
            continue
        if code == "PR01" and attributes_of(name) and attributes_of(name) >= parameters_of(name):
            continue
        faults.append(f"{code} {text}")
    unknown = [error for error in errors_of(name) if not is_error(error)]
    return faults + [f"Raises names {error}, which is not an exception" for error in unknown]


def errors_of(name: str) -> list[str]:
    """Return the names in the section Raises."""
    listed = NumpyDocString(inspect.getdoc(pkgutil.resolve_name(name)) or "")["Raises"]
    return [error.strip() for entry in listed for error in entry.type.split(",")]


def is_error(name: str) -> bool:
    """Return whether that is the name of an exception: of blockpool, of Python, or with its module."""
    for full in (f"blockpool.{name}", f"builtins.{name}", name):
        with contextlib.suppress(ValueError, ImportError, AttributeError):
            found = pkgutil.resolve_name(full)
            return isinstance(found, type) and issubclass(found, Exception)
    return False


def attributes_of(name: str) -> set[str]:
    """Return the names in the sections Attributes of a class and its bases; none if it is no class."""
    thing = pkgutil.resolve_name(name)
    if not inspect.isclass(thing):
        return set()
    texts = [inspect.cleandoc(each.__doc__ or "") for each in thing.__mro__ if each.__module__.startswith("blockpool")]
    listed = [entry for text in texts for entry in NumpyDocString(text)["Attributes"]]
    return {attribute.strip() for entry in listed for attribute in entry.name.split(",")}


def parameters_of(name: str) -> set[str]:
    """Return the names of what a class is called with."""
    return set(inspect.signature(pkgutil.resolve_name(name)).parameters)


def main() -> int:
    """Check all public names; return the exit status."""
    names = public_names()
    faults = {name: found for name in names if (found := faults_of(name))}
    for name, found in faults.items():
        for fault in found:
            print(f"{name}: {fault}")
    print(f"{len(names)} public names, {len(faults)} with faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
