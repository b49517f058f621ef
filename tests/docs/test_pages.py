"""The examples of the README and of all pages, run as they stand there; and where links lead."""

from __future__ import annotations

import os
import re
import textwrap
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import blockpool as bp
from pages import DOCS, PAGES, ROOT, blocks, run_page

if TYPE_CHECKING:
    from pathlib import Path

# What needs an engine, a server or the C library is run by tests of these, which name the page.
ELSEWHERE = {
    "how-to/c.md": "tests/package/test_examples_c.py",
    "how-to/celery.md": "tests/support/servers.py",
    "how-to/containers.md": "tests/support/servers.py",
    "how-to/dask.md": "tests/engines/dask/test_documents.py",
    "how-to/gevent.md": "tests/support/servers.py",
    "how-to/gunicorn.md": "tests/support/servers.py",
    "how-to/jupyter.md": "tests/support/servers.py",
    "how-to/pytorch.md": "tests/engines/torch/test_documents.py",
    "how-to/ray.md": "tests/engines/ray/test_ray_docs.py",
    "how-to/uvicorn.md": "tests/support/servers.py",
    "how-to/uwsgi.md": "tests/docs/test_pages.py",
}
CODE_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    """Return how a page is called here: its path in docs/, or its name at the top."""
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()


WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python", "c", "cpp")]
RUN_HERE = [page for page in WITH_EXAMPLES if name_of(page) not in ELSEWHERE]


@pytest.mark.parametrize("page", RUN_HERE, ids=name_of)
def test_examples_do_what_they_say(page: Path, tmp_path: Path) -> None:
    """Every example of a page runs and prints what is below it."""
    run_page(page, tmp_path)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_pages_that_are_run_elsewhere(name: str) -> None:
    """A page that is not run here has examples, and the test that runs it names it."""
    assert DOCS / name in WITH_EXAMPLES
    assert name.rpartition("/")[2] in (ROOT / ELSEWHERE[name]).read_text(encoding="utf-8")


def test_the_hook_of_uwsgi() -> None:
    """What how-to/uwsgi.md has as a hook attaches the pool again; uWSGI itself would call it in each worker."""
    ((_, text),) = blocks(DOCS / "how-to/uwsgi.md", "python")
    hook = SimpleNamespace(postfork=lambda function: function)
    names = {"bp": bp, "uwsgidecorators": hook}
    exec(textwrap.dedent(text).replace('"cache"', f'"cache-{os.getpid()}"'), names)  # noqa: S102 - the page is ours
    first = names["pool"]
    names["attach"]()
    assert names["pool"] is not first
    with first.allocate() as block:
        assert block.index == 0
        assert names["pool"].stats().allocated == 1


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and the site give to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page is to a file that is there, and to a heading that this file has."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        if "/src/" in file and not (ROOT / "src").exists():  # with a wheel; see tools/wheel-test.sh
            continue
        assert target.exists(), link
        assert not heading or target.suffix != ".md" or heading in anchors(target.read_text(encoding="utf-8")), link
