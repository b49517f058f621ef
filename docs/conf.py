"""How Sphinx makes the site from these pages: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import blockpool

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "tools")]

project = "blockpool"
author = "blockpool contributors"
project_copyright = author
version = release = blockpool.__version__
SOURCE = "https://github.com/blockpool/blockpool/blob/main/"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "c_headers",
    "errors_table",
    "json_schema",
    "limits",
    "pictures",
    "public_names",
    "source_module",
]
exclude_patterns = ["_made/**"]
default_role = "py:obj"  # what docstrings have in backquotes are names
# A page may begin its parts at any level; a word of a type ("blocks") may be the name of several members.
suppress_warnings = ["myst.header", "ref.python"]

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections of a docstring have the types
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"blockpool {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


def adapt(_: Sphinx, name: str, content: list[str]) -> None:
    """Turn links to files outside of docs/ into links to the repository; drop what a doctest needs at its end."""
    here = (DOCS / name).parent

    def replace(match: re.Match[str]) -> str:
        target = (here / match[1]).resolve()
        return f"]({SOURCE}{target.relative_to(DOCS.parent).as_posix()}{match[2] or ''})"

    if not (DOCS / "benchmarks-report.md").exists():  # it is there once `make bench-report` made it
        content[0] = content[0].replace("\n../benchmarks-report\n", "\n")
    root = "../" * (len(Path(name).parts))
    content[0] = re.sub(r"\n\n( *```)$", r"\n\1", content[0], flags=re.MULTILINE)
    content[0] = re.sub(rf"\]\(({re.escape(root)}[^)#\s]+)(#[^)]*)?\)", replace, content[0])


def skip(_: Sphinx, what: str, name: str, thing: object, skipped: bool, __: object) -> bool | None:  # noqa: FBT001
    """Leave out of a module's page what `blockpool` itself has, and of a class what its docstring describes."""
    if what == "module" and name in blockpool.__all__ and getattr(blockpool, name) is thing:
        return True
    return True if type(thing).__name__ == "_tuplegetter" else skipped or None


def setup(app: Sphinx) -> None:
    """Have Sphinx call what is above."""
    app.connect("autodoc-skip-member", skip)
    app.connect("source-read", adapt)
