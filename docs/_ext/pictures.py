"""Pictures that the build makes: the page of `blockpool serve`, `blockpool top`, and plots.

They show a pool that three programs have. Where there is no Chromium, the picture of the web page is a box that says
so: a build without it is complete, but for that picture, and says what is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

import blockpool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)
MADE = Path(__file__).parents[1] / "_made"
SCHEMES = ("light", "dark")
CAMERA = """
import select, sys, blockpool
pool = blockpool.Pool.create("64KiB", 192, name=sys.argv[1])
frames = pool.queue("frames", capacity=8)
held = [pool.allocate(blocks=2) for _ in range(9)]
for block in held[:3]:
    frames.put(block)
with pool.allocate(blocks=6) as model:
    pool.keep("model", model)
del held[::2], block
print("ready", flush=True)
coming, number = [], 0
while not select.select([sys.stdin], [], [], 0.02)[0]:
    number += 1
    if number % 13 < 9:
        coming.append(pool.allocate(blocks=2))
    else:
        coming.clear()
"""
DETECTOR = """
import sys, blockpool
pool = blockpool.Pool.attach(sys.argv[1])
held = [pool.allocate(blocks=1 + number % 3) for number in range(24)]
frames = pool.queue("frames")
print("ready", flush=True)
sys.stdin.read()
"""
MISSING = """<svg xmlns="http://www.w3.org/2000/svg" width="640" height="120" viewBox="0 0 640 120">
<rect x="1" y="1" width="638" height="118" fill="none" stroke="#888" stroke-dasharray="6"/>
<text x="320" y="66" text-anchor="middle" font-family="sans-serif" font-size="16" fill="#888">{}</text></svg>
"""


@contextlib.contextmanager
def demonstration() -> Iterator[str]:
    """Start a camera, which makes a pool, and two detectors; give the name of the pool."""
    taken = {pool.name for pool in blockpool.pools()}
    name = "camera" if "camera" not in taken else f"camera-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        for program, text in (("camera.py", CAMERA), ("detector.py", DETECTOR), ("detector.py", DETECTOR)):
            (Path(folder) / program).write_text(text, encoding="utf-8")
            process = subprocess.Popen(  # noqa: S603 - the program is above
                [sys.executable, program, name], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            ends.callback(process.communicate)
            assert process.stdout is not None
            process.stdout.readline()
        yield name


def draw_terminal(name: str) -> None:
    """Have the terminal program drawn by Textual, as SVG."""
    from blockpool.top.app import Top
    from blockpool.top.pool import PoolScreen

    async def run() -> None:
        app = Top(blockpool.inspect(name))
        async with app.run_test(size=(100, 30)) as pilot:
            deadline = time.monotonic() + 60
            while not (isinstance(app.screen, PoolScreen) and app.screen.looks > 3):  # noqa: PLR2004
                if time.monotonic() > deadline:
                    raise TimeoutError("blockpool top shows nothing")
                await pilot.pause(0.05)
            text = app.export_screenshot(title="blockpool top")
        # Textual's picture would load a font from the network.
        start, end = text.find("@font-face"), text.rfind("@font-face")
        if start >= 0:
            text = text[:start] + text[text.index("}", end) + 1 :]
        (MADE / "top.svg").write_text(text, encoding="utf-8")

    asyncio.run(run())


def draw_plots(name: str) -> None:
    """Draw with Matplotlib what `blockpool.plot` draws."""
    import matplotlib as mpl

    mpl.use("agg")

    from blockpool import plot
    from blockpool.observe import Observer

    plot.map(name).figure.savefig(MADE / "plot-map.svg", bbox_inches="tight")
    with Observer(name) as observer:
        seen = []
        for _ in range(60):
            seen.append(observer.look())
            time.sleep(0.02)
    plot.history(seen).figure.savefig(MADE / "plot-history.svg", bbox_inches="tight")


def photograph_page(name: str, chromium: str | None) -> None:
    """Have Chromium show the page of `blockpool serve`, light and dark."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        chromium = None
    if chromium is None:
        for scheme in SCHEMES:
            text = MISSING.format("This site was built without Chromium, so there is no picture of the page.")
            (MADE / f"page-{scheme}.svg").write_text(text, encoding="utf-8")
        logger.info("no picture of the web page: Chromium or Playwright's library is missing")
        return
    server = subprocess.Popen(
        [sys.executable, "-m", "blockpool", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for scheme in SCHEMES:
                page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(f"{address}#/pool/{name}")
                page.wait_for_function("() => document.querySelector('.map')?.meter?.draws > 3", timeout=60_000)
                page.wait_for_timeout(1500)  # until the charts have some seconds
                page.screenshot(path=MADE / f"page-{scheme}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait()


def make(app: Sphinx) -> None:
    """Make all pictures."""
    shutil.rmtree(MADE, ignore_errors=True)
    MADE.mkdir()
    with demonstration() as name:
        draw_terminal(name)
        draw_plots(name)
        photograph_page(name, shutil.which(os.environ.get("BLOCKPOOL_BROWSER", "chromium")))
    del app


def setup(app: Sphinx) -> dict[str, Any]:
    """Make them before pages are read."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True}
