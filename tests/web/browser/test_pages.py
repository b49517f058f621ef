"""The page of all pools and the page of one, in a browser: what they say, and what happens when things end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import blockpool as bp

# What nobody should put into a command line, and what a careless page would run.
HOSTILE = "<img src=x onerror=document.title='owned'>\x1b[31m\u202e&lt;b&gt;"
VISIBLE = "<img src=x onerror=document.title='owned'>\\x1b[31m\\u202e&lt;b&gt;"

_HOLDER = """
import sys
import blockpool as bp
pool = bp.Pool.attach(sys.argv[1])
block = pool.allocate(blocks=3)
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Return a function that starts a process which holds three blocks of a pool, under any name."""
    started = []

    def start(name, program=sys.executable):
        # Python finds packages by the name of the program, and here it may be any.
        paths = {"PYTHONPATH": str(Path(bp.__file__).parents[1])}
        process = subprocess.Popen(
            [program, "-c", _HOLDER, name],
            executable=sys.executable,
            env=os.environ | paths,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"holds\n"
        return process

    yield start
    for process in started:
        process.communicate(timeout=60)


@pytest.fixture
def pool(pool_name, shown):
    """Make a pool that outlives the page."""
    made = bp.Pool.create("4KiB", 32, name=pool_name)
    yield made
    if not shown.page.is_closed():
        shown.page.close()
    made.close()


def refuse(shown):
    """Expect that the browser reports requests that failed, as the server or the pool is gone."""
    shown.forgive("net::ERR_", "404 (Not Found)", "410 (Gone)")


def answer_with(shown, where, answer):
    """Let requests for an address be answered with made-up data, not by the server."""
    body = json.dumps({"schema": 1} | answer)
    shown.page.route(f"**/{where}", lambda route: route.fulfill(body=body, content_type="application/json"))


def test_the_list_leads_to_a_pool(shown, pool):
    """The first page lists the pool with its name, use and processes; its link shows it live."""
    block = pool.allocate(blocks=8)
    shown.list()
    card = shown.page.locator(".card", has=shown.page.get_by_role("link", name=pool.name, exact=True))
    shown.until(lambda: "25 % used: 8 of 32 blocks" in card.inner_text(), "it says how much is used")
    assert "128 KiB, blocks of 4 KiB" in card.inner_text()
    assert "in order" in card.inner_text()
    block.free()
    shown.until(lambda: "0 % used" in card.inner_text(), "the list is brought up to date")
    card.get_by_role("link").click()
    shown.until(lambda: shown.meter()["draws"], "its page is shown")
    assert shown.text("h1") == pool.name
    assert shown.page.title() == f"{pool.name} \u2013 blockpool"


def test_the_list_says_why_a_pool_cannot_be_shown(shown):
    """Damaged pools, those of other versions and what was left over are listed with the reason, without a link."""
    nothing = dict.fromkeys(
        ("pool_id", "block_size", "blocks", "nbytes", "allocated", "permanent", "max_processes", "made_by", "created")
    )
    states = ("damaged", "truncated", "other version", "not a pool", "unreadable")
    pools = [
        nothing | {"name": f"p-{i}", "state": state, "segment_bytes": 5000, "processes": [], "leftover": False}
        for i, state in enumerate(states)
    ]
    left = nothing | {
        "name": "left",
        "state": "ok",
        "pool_id": "0f" * 16,
        "block_size": 64,
        "blocks": 10,
        "nbytes": 640,
        "allocated": 5,
        "segment_bytes": 5000,
        "processes": [],
        "leftover": True,
        "created": 1.0,
    }
    answer_with(shown, "api/pools", {"kind": "pools", "pools": [*pools, left]})
    shown.list()
    shown.until(lambda: shown.page.locator(".card").count() == 6, "all are listed")
    badges = shown.page.locator(".card .badge").all_inner_texts()
    assert badges[0] == "left over: nobody uses it"
    assert badges[1:4] == ["damaged", "damaged: its file has the wrong size", "made by another version"]
    assert shown.page.locator(".card a").all_inner_texts() == ["left"]
    assert shown.page.get_by_role("button", name="Remove what is left over").is_visible()


def test_figures_charts_and_lists_follow_the_pool(shown, pool, id_of):
    """Numbers, charts, holders, queues and runs say what the pool has, and change with it."""
    first = pool.allocate(blocks=16)
    queue = pool.queue("frames", 4)
    message = pool.allocate(blocks=2)
    queue.put(message)
    shown.pool(id_of(pool))
    shown.until(lambda: "56 %" in shown.text(".figures"), "18 of 32 blocks are allocated")
    chart = shown.page.locator(".chart canvas").first
    shown.until(lambda: "allocated: now 56 %" in chart.get_attribute("aria-label"), "the chart knows it")
    processes = shown.page.get_by_role("table", name="Processes that have the pool attached")
    shown.until(lambda: str(os.getpid()) in processes.inner_text(), "this process is there")
    row = processes.get_by_role("row").nth(1)
    shown.until(lambda: row.get_by_role("cell").nth(2).inner_text() in {"16", "18"}, "with the blocks that it holds")
    queues = shown.page.get_by_role("table", name="Queues, topics and latest values")
    shown.until(lambda: "1 of 4" in queues.inner_text(), "the depth of the queue")
    assert queues.get_by_role("rowheader").inner_text() == "frames"
    runs = shown.page.get_by_role("table", name="Runs")
    shown.until(lambda: "in queue" in runs.inner_text(), "the run of the message")
    first.free()
    shown.until(lambda: "6.3 %" in shown.text(".figures"), "2 of 32 blocks are allocated")
    shown.until(lambda: "allocated: now 6.3 %" in chart.get_attribute("aria-label"), "the chart follows")
    lit = """canvas => {
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      const data = copy.getImageData(0, 0, width, height).data;
      let blue = 0;
      for (let at = 0; at < data.length; at += 4) blue += data[at + 3] > 200 && data[at + 2] - data[at] > 100;
      return blue;
    }"""
    shown.until(lambda: chart.evaluate(lit) > 20, "the chart has a line")


def test_a_run_of_the_list_is_shown_in_the_map(shown, pool, id_of):
    """The button with the blocks of a run moves the map's cursor to it."""
    _held = pool.allocate(blocks=3)
    (run,) = pool.runs()
    shown.pool(id_of(pool))
    shown.page.get_by_role("button", name=f"{run.index}\u2013{run.index + 2}").click()
    assert shown.map("document.activeElement === map.surface")
    assert shown.map("map.cursor") == run.index


def test_stacks_and_findings_are_shown_as_text(shown, pool, id_of):
    """Where a run was allocated, and what the doctor says, is shown; HTML in it stays text."""
    finding = {
        "code": "dead",
        "severity": "error",
        "pool": pool.name,
        "sentence": HOSTILE,
        "remedy": "Do it.",
        "details": {},
    }
    run = {
        "index": 3,
        "blocks": 1,
        "nbytes": 10,
        "holders": [],
        "tickets": 1,
        "names": [HOSTILE],
        "queue": None,
        "age": 9.0,
    }
    for what, answer in (
        ("doctor", {"kind": "doctor", "findings": [finding]}),
        ("runs?*", {"kind": "runs", "runs": [run | {"handle": None, "stack": f"line one\n{HOSTILE}"}]}),
    ):
        answer_with(shown, what, answer)
    shown.pool(id_of(pool))
    shown.until(lambda: "Do it." in shown.text(".findings"), "the finding is shown")
    assert VISIBLE in shown.text(".findings")
    shown.page.get_by_label("Show the").select_option("largest")
    stack = shown.page.locator("details summary")
    stack.click()
    assert "line one\n<img src=x" in shown.text("details pre")
    assert shown.page.locator("main img").count() == 0


def test_a_hostile_command_line_stays_text(shown, pool, id_of, holder):
    """HTML and control characters in a command line are shown as characters, wherever the command is."""
    process = holder(pool.name, HOSTILE)
    shown.pool(id_of(pool))
    processes = shown.page.get_by_role("table", name="Processes that have the pool attached")
    shown.until(lambda: str(process.pid) in processes.inner_text(), "the process is listed")
    assert VISIBLE in processes.inner_text()
    shown.until(lambda: "<img src=x onerror=" in shown.text(".legend"), "so it is in the legend")
    assert shown.page.locator("main img").count() == 0
    assert shown.page.title() == f"{pool.name} \u2013 blockpool"
    shown.page.locator(".surface").focus()
    (run,) = pool.runs()
    for _ in range(run.index):
        shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("Enter")
    shown.until(lambda: VISIBLE in shown.said(), "it is read out as text")
    shown.page.mouse.move(*shown.place(run.index))
    shown.until(lambda: VISIBLE in shown.text(".tip"), "so it is in the tooltip")
    assert "\x1b" not in shown.page.content()
    assert "\u202e" not in shown.page.content()


def test_the_button_recovers_what_dead_processes_held(shown, pool, id_of, holder):
    """Recover asks first, brings back the blocks of a dead process, says so, and the map shows it."""
    process = holder(pool.name)
    process.kill()
    process.wait(60)
    (run,) = pool.runs()
    shown.pool(id_of(pool))
    shown.until(lambda: "dead" in shown.page.get_by_role("table", name="Processes").inner_text(), "it is shown as dead")
    button = shown.page.get_by_role("button", name="Recover …")
    button.click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    shown.until(lambda: not dialog.is_visible(), "the dialog is closed")
    assert pool.runs() == [run], "nothing was done"
    button.click()
    dialog.get_by_role("button", name="Recover", exact=True).click()
    shown.until(
        lambda: "Recovered: 1 dead process, 0 tickets dropped." in dialog.inner_text(), "it says what came back"
    )
    assert pool.runs() == []
    shown.page.keyboard.press("Escape")
    shown.until(lambda: not dialog.is_visible(), "the dialog is closed")
    shown.until(lambda: button.evaluate("element => element === document.activeElement"), "the focus is back")
    shown.until(lambda: "0 blocks" in shown.text(".figures"), "nothing is allocated")


def test_the_button_drops_tickets_of_an_age(shown, pool, id_of):
    """Recover drops tickets in flight if it is told their age."""
    block = pool.allocate()
    block.share()
    block.release()
    shown.pool(id_of(pool))
    shown.until(lambda: "1 ticket in flight" in shown.text("main"), "the ticket is shown")
    shown.page.get_by_role("button", name="Recover …").click()
    dialog = shown.page.get_by_role("dialog")
    dialog.get_by_label("Seconds").fill("0")
    assert dialog.get_by_role("checkbox").is_checked()
    dialog.get_by_role("button", name="Recover", exact=True).click()
    shown.until(lambda: "0 dead processes, 1 ticket dropped." in dialog.inner_text(), "it says what was dropped")
    assert pool.runs() == []


def test_a_pool_that_vanishes_says_so(shown, pool, id_of):
    """When the pool goes, the page says so, and stays with what it knew."""
    refuse(shown)
    shown.pool(id_of(pool))
    pool.close()
    shown.until(lambda: "gone" in shown.text(".badge"), "the page says that the pool is gone")
    shown.until(lambda: shown.text("#notice").startswith("This pool is gone"), "and above")
    assert shown.text("h1") == pool.name
    shown.page.get_by_role("link", name="All pools").click()
    shown.until(lambda: shown.text("h1") == "Pools", "the list is shown")
    shown.until(lambda: not shown.page.locator("#notice").is_visible(), "the notice is gone")


def test_an_address_of_no_pool_says_so(shown):
    """An address with an id that no pool has says that there is no such pool."""
    refuse(shown)
    shown.page.goto(f"{shown.origin}/#/pool/{'0f' * 16}")
    shown.until(lambda: shown.page.locator("#notice").is_visible(), "it says so")
    assert "gone" in shown.text("#notice")
    shown.until(lambda: shown.text(".badge") == "gone", "so does the badge")


def test_the_page_waits_for_a_server_that_was_ended(show, serve, pool_name, id_of):
    """When the server ends, the page says so; when it is back, the page goes on, and its buttons work."""
    pool = bp.Pool.create("4KiB", 32, name=pool_name)
    with serve() as server:
        port = server.port
        shown = show(port)
        refuse(shown)
        shown.pool(id_of(pool))
        server.end()
    shown.until(lambda: shown.text(".badge") == "no answer", "the page says that the server is gone")
    shown.until(lambda: "does not answer" in shown.text("#notice"), "and above")
    with serve("--port", str(port)):
        shown.until(lambda: shown.text(".badge") == "live", "the page is live again")
        shown.until(lambda: not shown.page.locator("#notice").is_visible(), "the notice is gone")
        before = shown.meter()["updates"]
        shown.until(lambda: shown.meter()["updates"] > before + 3, "updates come")
        shown.forgive("net::ERR_", "403 (Forbidden)")
        shown.page.get_by_role("button", name="Recover …").click()
        shown.page.get_by_role("dialog").get_by_role("button", name="Recover", exact=True).click()
        shown.until(lambda: "Recovered: 0 dead processes" in shown.text("dialog"), "it uses the new server's token")
        shown.page.close()
    pool.close()


def test_a_hidden_page_closes_its_stream(shown, pool, id_of):
    """While the page is hidden it takes no updates; when it is seen again, it goes on."""
    shown.pool(id_of(pool))
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    shown.page.evaluate(hide, arg=True)
    assert shown.text(".badge") == "paused"
    before = shown.meter()
    for _ in range(5):
        pool.allocate()
        shown.page.wait_for_timeout(100)
    assert shown.meter() == before
    shown.page.evaluate(hide, arg=False)
    shown.until(lambda: shown.meter()["updates"] > before["updates"], "it goes on")
    shown.until(lambda: shown.text(".badge") == "live", "it says so")
