"""Check that the code stands in layers: no part of the binding, room of the C library or module names one above it.

    python tools/layers.py [ROOT]

The binding (src/blockpool/_binding) is one extension, put together by the includes of _core.pyx; their order is that of
the layers. For each part this reads which names it defines, in its .pxd and its .pxi, and which names of other parts it
uses. A fault is: a name of a later part; a name that the other part does not have in its contract, the .pxd; a name in
a contract that no other part uses.

The rooms of the C library (core/src) are told by their folders, and what they use by their #include lines.

The Python modules of the package may import each other in any order that has no circle, inside functions as well; what
is imported only for types is not counted.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

# The rooms of core/src, each with those that it may include. "" is what stands in core/src itself.
ROOMS = {
    "os": set(),
    "bitmap": {"os"},
    "private": {"os", "bitmap"},
    "replay": {"os", "bitmap", "private"},
    "shared": {"os", "bitmap"},
    "": {"os", "bitmap", "private", "shared"},
    "public": {"os", "bitmap", "private", "shared", ""},
}

STRING = re.compile(
    r"""(?P<prefix>(?<!\w)[A-Za-z]{0,2})(?P<text>'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|\#[^\n]*""",
    re.DOTALL,
)
NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
METHOD = re.compile(r"^ +(?:cdef [^(=\n]*?|def )\w+(?=\((?:self|cls)\b)", re.MULTILINE)
FUNCTION = re.compile(r"^(?:cdef|cpdef|def)\b[^=\n]*?(\w+)\(", re.MULTILINE)
CLASS = re.compile(r"^(?:cdef )?class (\w+)", re.MULTILINE)
STRUCT = re.compile(r"^cdef (?:struct|enum|union) (\w+)", re.MULTILINE)
POINTER = re.compile(r"^cdef [\w ]+\(\*(\w+)(?:\[\w+\])?\)\(", re.MULTILINE)
VARIABLES = re.compile(
    r"^cdef (?:object|dict|list|tuple|bytes|str|int|bint|double|size_t|uint\d+_t|\w+ \*)(?!\w)([^(\n]*)$", re.MULTILINE
)
ASSIGNED = re.compile(r"^(\w+) = ", re.MULTILINE)
DECLARED = [
    re.compile(r"^    (?! )(?:ctypedef )?(?:struct|union|enum) (\w+)", re.MULTILINE),
    re.compile(r"^    (?! )[\w *]*?(\w+)\(", re.MULTILINE),
    re.compile(r"^    (?! )(?:ctypedef |const )?[\w *]*?\b(\w+)$", re.MULTILINE),
    re.compile(r"^        ([A-Z]\w+)$", re.MULTILINE),
]
ENUM = re.compile(r"^cdef enum(?: \w+)?:(?: (.*)|((?:\n    .*)+))$", re.MULTILINE)
EXTERN = re.compile(r"^cdef extern from .*:\n((?:(?:    .*)?\n)+)", re.MULTILINE)


def code_of(text: str) -> str:
    """Return the code without comments and strings, but with what stands in the braces of f-strings."""

    def code(match: re.Match[str]) -> str:
        prefix = match["prefix"] or ""
        if "f" not in prefix.lower():
            return " "
        return " " + " ; ".join(re.findall(r"(?<!\{)\{([^{}]+)\}", match["text"])) + " "

    return STRING.sub(code, text)


def defined_in(text: str) -> set[str]:
    """Return the names that a file defines at its top level."""
    code = code_of(text)
    found = {name for pattern in (FUNCTION, CLASS, STRUCT, POINTER, ASSIGNED) for name in pattern.findall(code)}
    for names in VARIABLES.findall(code):
        found |= set(re.findall(r"(?:^|,)[ *]*(\w+)", names))
    for one_line, lines in ENUM.findall(code):
        found |= set(re.findall(r"\b([A-Z]\w+)\b", one_line or lines))
    return found | extern_in(text)


def extern_in(text: str) -> set[str]:
    """Return the names of C that a file declares."""
    found = set()
    for block in EXTERN.findall(code_of(text)):
        for pattern in DECLARED:
            found |= set(pattern.findall(block))
    return found - {"enum"}


class Part:
    """A part of the binding: its contract, its code, and what it has of others."""

    def __init__(self, folder: Path, name: str) -> None:
        contract, code = folder / f"{name}.pxd", folder / f"{name}.pxi"
        self.name = name
        self.contract = defined_in(contract.read_text()) if contract.exists() else set()
        self.foreign = extern_in(contract.read_text()) if contract.exists() else set()
        self.defined = self.contract | defined_in(code.read_text())
        texts = [code.read_text(), *([contract.read_text()] if contract.exists() else [])]
        self.used = {name for text in texts for name in NAME.findall(METHOD.sub("", code_of(text)))}


def check_binding(folder: Path) -> tuple[list[str], list[str]]:
    """Return what the parts use of each other, a line each, and what is wrong with that."""
    includes = re.findall(r'^include "_binding/(\w+)\.pxi"', (folder / "_core.pyx").read_text(), re.MULTILINE)
    parts = [Part(folder / "_binding", name) for name in includes]
    lines, faults = [], []
    needed = defaultdict(set)
    others = "".join(file.read_text() for file in folder.glob("*.pyx"))
    for at, part in enumerate(parts):
        arrows = []
        for other_at, other in enumerate(parts):
            if other is part:
                continue
            needed[other.name] |= part.used & other.contract
            names = sorted(part.used & (other.defined - part.defined))
            if not names:
                continue
            if other_at > at:
                faults.append(f"{part.name} names a later part, {other.name}: {', '.join(names)}")
            elif hidden := [name for name in names if name not in other.contract]:
                faults.append(f"{part.name} uses what is not in {other.name}.pxd: {', '.join(hidden)}")
            arrows.append(other.name)
        lines.append(f"{part.name:16} {' '.join(arrows) or '-'}")
    for part in parts:
        idle = sorted(part.contract - part.foreign - needed[part.name] - set(re.findall(r"\w+", others)))
        faults += [f"{part.name}.pxd has what no other part needs: {name}" for name in idle]
    return lines, faults


def check_rooms(sources: Path) -> tuple[list[str], list[str]]:
    """Return what the rooms of the C library include, a line each, and what is wrong with that."""
    lines, faults = [], []
    for room, below in ROOMS.items():
        used = set()
        for file in sorted((sources / room).glob("*.[ch]")):
            for included in re.findall(r'^#include "([\w/.]+)"', file.read_text(), re.MULTILINE):
                there, _, _ = included.rpartition("/")
                if there in ROOMS and there != room and (sources / included).exists():
                    used.add(there)
                    if there not in below:
                        faults.append(f"core/src/{room}/{file.name} includes {included}, which is not below it")
        lines.append(f"{room or '(core/src)':16} {' '.join(sorted(used)) or '-'}")
    return lines, faults


def imports_of(tree: ast.AST) -> set[str]:
    """Return what a module imports, but not for types; `from a import b` as a.b, for b may be a module."""
    found, left = set(), [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            left += node.orelse
            continue
        left += ast.iter_child_nodes(node)
    return found


def check_modules(package: Path) -> tuple[list[str], list[str]]:
    """Return what the modules of the package import of each other, a line each, bottom up, and whether in a circle."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    uses = {}
    for name, file in files.items():
        imported = imports_of(ast.parse(file.read_text()))
        names = {module if module in files else module.rpartition(".")[0] for module in imported}
        # every module needs the package, and imports it first
        uses[name] = (names & set(files)) - {name, package.name}
    try:
        order = list(TopologicalSorter(uses).static_order())
    except CycleError as error:
        return [], [f"modules import each other in a circle: {' '.join(reversed(error.args[1]))}"]
    return [f"{name:32} {' '.join(sorted(uses[name])) or '-'}" for name in order], []


def main(root: Path) -> int:
    """Print the layers, lowest first, and what is wrong with them; return how many faults there are."""
    binding, faults = check_binding(root / "src" / "blockpool")
    rooms, more = check_rooms(root / "core" / "src")
    modules, circles = check_modules(root / "src" / "blockpool")
    print("The binding, bottom up, each part with those that it uses:", *binding, sep="\n  ")
    print("The C library, each room with those that it includes:", *rooms, sep="\n  ")
    print("The Python modules, bottom up, each with those that it imports:", *modules, sep="\n  ")
    faults += more + circles
    print(*(f"FAULT: {fault}" for fault in faults), sep="\n")
    arrows = sum(len(line.split()) - 1 for line in binding if not line.endswith(" -"))
    print(f"{len(binding)} parts, {arrows} arrows, {len(faults)} faults")
    return len(faults)


if __name__ == "__main__":
    here = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    sys.exit(min(main(here), 100))
