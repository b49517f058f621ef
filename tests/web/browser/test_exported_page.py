"""The exported page and the fragments of notebooks in a real browser, opened as files."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

import advising
import blockpool as bp
from blockpool.observe import snapshot
from blockpool.report.advice_page import advice_page
from blockpool.report.html import page

playwright = pytest.importorskip("playwright.sync_api")
# make browser-test sets them: the command of a browser, and the file axe.min.js of the npm package axe-core.
CHROMIUM = shutil.which(os.environ.get("BLOCKPOOL_BROWSER", ""))
AXE = os.environ.get("BLOCKPOOL_AXE", "")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="BLOCKPOOL_BROWSER does not name a browser; make browser-test")


@pytest.fixture(scope="module")
def browser():
    """Start a browser."""
    with playwright.sync_playwright() as start:
        opened = start.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def show(browser, tmp_path):
    """Return a function that opens a document from a file; whatever the browser complains of fails the test."""
    complaints, requests, opened = [], [], []
    file = tmp_path / "page.html"

    def go(document, **options):
        file.write_text(document)
        tab = browser.new_page(**options)
        opened.append(tab)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(file.as_uri())
        tab.wait_for_load_state("networkidle")
        return tab

    yield go
    for tab in opened:
        tab.close()
    assert complaints == []
    assert set(requests) <= {file.as_uri(), "data:,"}


@pytest.fixture
def document(shared):
    """Return a page of a pool with a bit of everything."""
    blocks = [shared.allocate(blocks=n) for n in (2, 1, 3)]
    shared.keep("weights", blocks[0])
    queue = shared.queue("jobs", 4)
    queue.put("x")
    return page([snapshot(shared, cells=64)])


def test_it_opens_from_a_file(show, document):
    """It requests nothing, logs nothing, and shows the picture by holder."""
    tab = show(document)
    assert tab.locator("figure.by-holder > svg").is_visible()
    assert not tab.locator("figure.by-age > svg").is_visible()


def test_the_picture_by_age(show, document):
    """A click, or a key, shows the picture by age instead."""
    tab = show(document)
    tab.get_by_label("by holder", exact=True).focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("figure.by-age > svg").is_visible()
    assert not tab.locator("figure.by-holder > svg").is_visible()
    tab.get_by_text("by holder", exact=True).click()
    assert tab.locator("figure.by-holder > svg").is_visible()


def test_the_pointer_tells_what_a_cell_is(show, shared):
    """While the pointer is on a cell, the page says which block it is, how full, and whose."""
    block = shared.allocate()
    tab = show(page([snapshot(shared, cells=16)]))
    box = tab.locator("figure.by-holder > svg").bounding_box()
    said = tab.locator(".under-pointer")
    column, row = block.index % 8, block.index // 8
    tab.mouse.move(box["x"] + box["width"] * (column + 0.4) / 8, box["y"] + box["height"] * (row + 0.4) / 2)
    assert said.inner_text().startswith(f"Block {block.index}: 100 % allocated, {os.getpid()}")
    other = (column + 3) % 8
    tab.mouse.move(box["x"] + box["width"] * (other + 0.4) / 8, box["y"] + box["height"] * (row + 0.4) / 2)
    assert "free" in said.inner_text()
    tab.mouse.move(0, 0)
    assert said.inner_text() == ""


def test_without_scripts(show, document):
    """All of it can be used without scripts."""
    tab = show(document, java_script_enabled=False)
    tab.get_by_text("by age", exact=True).click()
    assert tab.locator("figure.by-age > svg").is_visible()


@pytest.mark.parametrize("width", [320, 1200])
def test_it_fits(show, document, width):
    """Nothing sticks out to the right, on a phone either; wide tables can be scrolled."""
    tab = show(document, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.skipif(not Path(AXE).is_file(), reason="BLOCKPOOL_AXE does not name the file axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(show, document, scheme):
    """The page is accessible, as far as axe-core can tell, on a light and on a dark background."""
    tab = show(document, color_scheme=scheme, bypass_csp=True)
    tab.evaluate(Path(AXE).read_text())
    found = tab.evaluate("axe.run()")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert found["passes"]


@pytest.mark.parametrize("width", [320, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_advice(show, width, scheme):
    """It requests and runs nothing whatever a trace says, fits, and is accessible as far as axe-core can tell."""
    advice = advising.advice()
    hostile = advising.outline(source=advising.HOSTILE, filter=advising.HOSTILE)
    for each in (advice, dataclasses.replace(advice, outline=hostile, reasons=(advising.HOSTILE,), use=False)):
        tab = show(
            advice_page(each),
            color_scheme=scheme,
            viewport={"width": width, "height": 800},
            bypass_csp=Path(AXE).is_file(),
        )
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("figure svg[role=img]").is_visible()
        if Path(AXE).is_file():
            tab.evaluate(Path(AXE).read_text())
            found = tab.evaluate("axe.run()")
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
            assert found["passes"]


@pytest.mark.parametrize("colours", ["background:#fff;color:#222", "background:#111;color:#ddd"])
def test_fragments_take_the_colours_around_them(show, shared, colours):
    """A fragment has the colours of the notebook, light or dark, and sets no background."""
    html = shared._repr_html_() + bp.Pool(64, 100)._repr_html_()
    start = "<!doctype html><meta charset=utf-8><title>notebook</title>"
    tab = show(f'{start}<div id="out" style="{colours}">{html}</div>')
    seen = tab.evaluate("""
        [...document.querySelectorAll("#out *")].filter((each) => each instanceof HTMLElement).map((each) => {
          const style = getComputedStyle(each);
          return [style.color === getComputedStyle(document.querySelector("#out")).color, style.backgroundColor];
        })
    """)
    assert len(seen) > 20
    assert all(same and background == "rgba(0, 0, 0, 0)" for same, background in seen)
