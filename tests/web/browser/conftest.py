"""Fixtures that show the web page in Chromium.

Without Chromium or Playwright's library the tests are skipped; if BLOCKPOOL_BROWSER is set, as `make browser-test`
does, they fail. Each page must be without errors on its console, and must ask nobody but its server.
"""

import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SECONDS = 60
_AXE = (
    os.environ.get("BLOCKPOOL_AXE"),
    "build/axe/node_modules/axe-core/axe.min.js",
)

# Copies the pixel first: reading from the page's own canvas would change how it is kept.
_COLOUR = """async cell => {
  const map = document.querySelector(".map").blockMap;
  while (!map.grid) await new Promise(requestAnimationFrame); // another part was just loaded, and is not drawn yet
  const { canvas, grid: { columns, size } } = map;
  window.probe ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const x = (cell % columns) * size + Math.floor(size * 0.15);
  const y = Math.floor(cell / columns) * size + Math.floor(size * 0.8);
  window.probe.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
  return Array.from(window.probe.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


def _missing(what):
    if os.environ.get("BLOCKPOOL_BROWSER"):
        pytest.fail(f"{what} is missing, and BLOCKPOOL_BROWSER is set")
    pytest.skip(f"{what} is missing: `make browser-test` installs what these tests need, or says how")


@pytest.fixture(scope="module")
def chromium():
    """Run Chromium without a window.

    It is of a module, not of the session: while Playwright's library runs, no other test can use asyncio.
    """
    path = shutil.which(os.environ.get("BLOCKPOOL_BROWSER", "chromium"))
    if path is None:
        _missing("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing("Playwright's library for Python")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def axe():
    """Return the source of axe-core."""
    found = [Path(path) for path in _AXE if path and Path(path).is_file()]
    if not found:
        _missing("axe-core")
    return found[0].read_text(encoding="utf-8")


class Shown:
    """A page of the server in the browser, with what its tests ask again and again."""

    def __init__(self, page, port):
        self.page = page
        self.origin = f"http://127.0.0.1:{port}"
        self.errors = []
        self.hosts = set()
        self.forgiven = ()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: message.type in {"error", "warning"} and self._error(message))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _error(self, message):
        self.errors.append(f"{message.text} {message.location.get('url')}")

    def forgive(self, *texts):
        """Expect errors on the console that have one of these texts, such as those of a server that ended."""
        self.forgiven = texts

    def check(self):
        """Check that nothing went wrong, and nobody else was asked."""
        errors = [error for error in self.errors if not any(text in error for text in self.forgiven)]
        assert errors == []
        assert self.hosts <= {urlsplit(self.origin).netloc}

    def until(self, condition, what="the condition"):
        """Wait until a function returns something true, and return that."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < deadline, f"{what} did not hold within {SECONDS} s"
            self.page.wait_for_timeout(30)

    def list(self):
        """Show all pools."""
        self.page.goto(f"{self.origin}/")
        self.page.locator("h1").wait_for()

    def pool(self, pool_id):
        """Show a pool, and wait until its map is drawn."""
        self.page.goto(f"{self.origin}/#/pool/{pool_id}")
        self.until(lambda: self.meter()["draws"], "the map is drawn")

    def meter(self):
        """Return what the map counts: updates, draws, their time in milliseconds."""
        return self.page.evaluate("() => document.querySelector('.map')?.meter ?? { updates: 0, draws: 0 }")

    def map(self, expression):
        """Evaluate an expression of `map`, the map of the page."""
        return self.page.evaluate(
            f"() => {{ const map = document.querySelector('.map').blockMap; return {expression}; }}"
        )

    def place(self, cell):
        """Return where a cell is in the window, in its lower left quarter."""
        self.until(lambda: self.map("map.grid !== null && map.grid !== undefined"), "the map is drawn")
        return self.map(
            f"(() => {{ const box = map.canvas.getBoundingClientRect(); const {{ columns, rows }} = map.grid;"
            f" return [box.left + (({cell} % columns) + 0.25) * box.width / columns,"
            f" box.top + (Math.floor({cell} / columns) + 0.75) * box.height / rows]; }})()"
        )

    def colour(self, cell):
        """Return the colour of a cell on the canvas, away from its sign: (red, green, blue)."""
        return tuple(self.page.evaluate(_COLOUR, cell))

    def text(self, selector):
        """Return the text of an element, as it is shown."""
        return self.page.locator(selector).inner_text()

    def said(self):
        """Return what a screen reader was told last."""
        return self.page.locator("#announcement").text_content()

    def sideways(self):
        """Return by how many pixels the page is wider than the window."""
        return self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture
def show(chromium):
    """Return a function that opens a page of a server on that port, with options of Playwright's contexts."""
    opened = []

    def start(port, **options):
        context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | options
        )
        shown = Shown(context.new_page(), port)
        opened.append((context, shown))
        return shown

    yield start
    for context, _ in opened:
        context.close()
    for _, shown in opened:
        shown.check()


@pytest.fixture
def shown(serving, show):
    """Open a page of a server, which ends after it; nothing is loaded yet."""
    return show(serving.port)


@pytest.fixture
def id_of():
    """Return a function that gives the id of a pool."""
    import blockpool as bp

    def find(pool):
        with bp.inspect(pool) as inspector:
            return inspector.pool_id

    return find
