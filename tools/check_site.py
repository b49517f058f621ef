"""Check the documentation's site, as `make docs` made it: it needs no network, its search finds things, it can be read.

    python tools/check_site.py build/docs/html

Always: no page loads anything from elsewhere; each page has a language, a title and one main heading; each picture says
in words what it shows; the index for the search has what people look for. Where there are Chromium and Playwright's
library: the search finds a page without a network, and no page is wider than a phone; with axe-core (`make
browser-test` brings it), pages are accessible, light and dark. Prints a line for each fault, and fails if there is one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
AXE = ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 360, "height": 740}
# What loads when a page is shown; a link that a reader follows may lead anywhere.
LOADING = {
    ("link", "href"), ("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("source", "srcset"),
    ("iframe", "src"), ("object", "data"), ("embed", "src"), ("video", "src"), ("audio", "src"), ("image", "href"),
    ("image", "xlink:href"), ("use", "href"), ("use", "xlink:href"),
}  # fmt: skip
NOT_LOADED = {"canonical", "next", "prev", "index", "search", "author", "license"}
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
# Terms, as the index has them: stemmed; and names.
TERMS = ("ticket", "queue", "recov", "celeri", "iceoryx2", "pytorch", "poolexhaust")
NAMES = ("allocate", "share", "blockpool_queue_get")
# What is typed into the search, and a page that must be among the results.
SEARCHES = {
    "tickets": "how-to/between-processes.html",
    "PoolExhausted": "reference/errors.html",
    "gunicorn": "how-to/gunicorn.html",
    "blockpool_queue_get": "reference/c.html",
}
LOOKED_AT = (
    "index.html", "tutorials/camera.html", "how-to/queues.html", "how-to/top.html", "how-to/browser.html",
    "reference/errors.html", "reference/c.html", "reference/limits.html", "reference/command-line.html",
    "reference/api/pool.html", "explanation/holders.html", "coming-from/iceoryx2.html",
)  # fmt: skip


class Page(HTMLParser):
    """What is wrong with a page."""

    def __init__(self, text: str, *, searches: bool) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.headings = 0
        self.language = self.titled = False
        self.feed(text)
        if not self.language:
            self.faults.append("<html> has no lang")
        if not self.titled:
            self.faults.append("no <title>")
        if self.headings != 1 and not searches:  # the search writes its heading when it runs
            self.faults.append(f"{self.headings} main headings")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        has = dict(attrs)
        self.language |= tag == "html" and bool(has.get("lang"))
        self.titled |= tag == "title"
        self.headings += tag == "h1"
        if tag == "img" and not has.get("alt"):
            self.faults.append(f"a picture without words: {has.get('src')}")
        if tag == "link" and set((has.get("rel") or "").split()) & NOT_LOADED:
            return
        for name, value in attrs:
            if (tag, name) in LOADING and ELSEWHERE.match(value or ""):
                self.faults.append(f"<{tag} {name}> loads {value}")
            if name == "style" and value and re.search(r"url\(\s*['\"]?(?:https?:)?//", value):
                self.faults.append(f"<{tag} style> loads {value}")


def check_pages(site: Path) -> list[str]:
    """Return what is wrong with pages, styles and drawings as they stand."""
    faults = []
    for path in sorted(site.rglob("*.html")):
        page = Page(path.read_text(encoding="utf-8"), searches=path.name == "search.html")
        faults += [f"{path.relative_to(site)}: {fault}" for fault in page.faults]
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        found = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", path.read_text(encoding="utf-8"))
        faults += [f"{path.relative_to(site)} loads {address}" for address in found]
    return faults


def check_index(site: Path) -> list[str]:
    """Return what the index for the search lacks."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    names = {each[-1] for found in index["objects"].values() for each in found}
    faults = [f"the search does not know the word {term}" for term in TERMS if term not in index["terms"]]
    return faults + [f"the search does not know the name {name}" for name in NAMES if name not in names]


def check_in_browser(site: Path, browser: Any) -> list[str]:
    """Return what a browser without a network finds wrong."""
    faults = []
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    for query, wanted in SEARCHES.items():
        page.goto(f"{site.as_uri()}/search.html?q={query}")
        try:
            page.wait_for_selector(f"#search-results a[href^='{wanted}']", timeout=30_000)
        except Exception as error:  # noqa: BLE001 - whatever the browser says
            faults.append(f"searching for {query} does not find {wanted}: {str(error).splitlines()[0]}")
    page.set_viewport_size(PHONE)
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        wider = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            faults.append(f"{path.relative_to(site)}: {wider} pixels wider than a phone")
    context.close()
    return faults


def check_access(site: Path, browser: Any) -> list[str]:
    """Return what axe-core finds, light and dark."""
    faults = []
    axe = AXE.read_text(encoding="utf-8")
    for scheme in ("light", "dark"):
        context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        for name in LOOKED_AT:
            page.goto(f"{site.as_uri()}/{name}")
            page.evaluate(axe)
            found = page.evaluate("async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa']})).violations")
            for each in found:
                node = each["nodes"][0]
                faults.append(f"{name}, {scheme}: {each['id']} ({len(each['nodes'])} ×): {node['html'][:160]}")
        context.close()
    return faults


def look(site: Path) -> list[str]:
    """Return what is wrong in a browser, if there is one; say what was not looked at."""
    chromium = shutil.which(os.environ.get("BLOCKPOOL_BROWSER", "chromium"))
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        chromium = None
    if chromium is None:
        print("not looked at in a browser: Chromium or Playwright's library is missing")
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        faults = check_in_browser(site, browser)
        if AXE.is_file():
            faults += check_access(site, browser)
        else:
            print("accessibility was not checked: axe-core is missing; `make browser-test` installs it")
        browser.close()
    return faults


def main() -> int:
    """Check the site that the command line names."""
    site = Path(sys.argv[1]).resolve()
    faults = [*check_pages(site), *check_index(site), *look(site)]
    for fault in faults:
        print(fault)
    print(f"{site}: {len(list(site.rglob('*.html')))} pages, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
