"""The page for everybody: without a mouse, with a screen reader, in light and dark, on a phone."""

import pytest

import blockpool as bp

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LIGHT, DARK = "rgb(246, 248, 250)", "rgb(13, 17, 22)"
BACK = "() => getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def busy(pool_name):
    """Make a pool with runs, tickets, names and queues."""
    pool = bp.Pool.create("4KiB", 1000, name=pool_name)
    held = [pool.allocate(blocks=5) for _ in range(20)]
    held[0].share()
    pool.keep("a-name-of-some-length-that-a-phone-has-to-break", held[1])
    queue = pool.queue("frames", 8)
    queue.put(pool.allocate())
    yield pool
    del held, queue
    pool.close()


@pytest.fixture
def seen(serving, show, busy, id_of):
    """Return a function that shows a view with options of Playwright's contexts: "list", "pool", "age" or "dialog"."""
    opened = []

    def start(view, **options):
        shown = show(serving.port, **options)
        opened.append(shown)
        if view == "list":
            shown.list()
            shown.until(lambda: shown.page.locator(".card").count(), "pools are listed")
            return shown
        shown.pool(id_of(busy))
        shown.until(
            lambda: "a-name-of" in shown.page.get_by_role("table", name="Runs").text_content(), "lists are filled"
        )
        if view == "age":
            shown.page.get_by_label("age", exact=True).check()
        if view == "dialog":
            shown.page.get_by_role("button", name="Recover …").click()
        return shown

    yield start
    for shown in opened:
        shown.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["list", "pool", "age", "dialog"])
def test_axe_finds_nothing(seen, axe, view, scheme):
    """axe-core has no finding in any view, in light or dark."""
    shown = seen(view, color_scheme=scheme)
    shown.page.evaluate(axe)
    found = shown.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    violations = [
        (each["id"], node["target"], node["failureSummary"]) for each in found["violations"] for node in each["nodes"]
    ]
    assert violations == []
    assert len(found["passes"]) > 10, "it looked at something"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["list", "pool", "dialog"])
def test_a_phone_needs_no_sideways_scrolling(seen, axe, view, scheme):
    """At 360 pixels nothing is wider than the screen, and axe-core has no finding."""
    shown = seen(view, color_scheme=scheme, **PHONE)
    assert shown.sideways() == 0
    assert shown.page.evaluate("() => innerWidth") == 360
    shown.page.evaluate(axe)
    assert shown.page.evaluate("async () => (await axe.run()).violations.map((each) => each.id)") == []


def test_touching_a_cell_says_what_it_is(seen):
    """On a touch screen, touching a cell shows its tooltip."""
    shown = seen("pool", **PHONE)
    shown.page.touchscreen.tap(*shown.place(5))
    shown.until(lambda: shown.text(".tip").startswith("Block"), "the tooltip is shown")


def test_colours_follow_the_system_and_the_switch(seen):
    """The page is light or dark as the system is; the switch overrules it, also after a reload, and the map follows."""
    shown = seen("pool", color_scheme="light")
    free = 999
    assert shown.page.evaluate(BACK) == LIGHT
    light = shown.colour(free)
    shown.page.emulate_media(color_scheme="dark")
    assert shown.page.evaluate(BACK) == DARK
    shown.until(lambda: sum(shown.colour(free)) < sum(light), "the map is dark")
    shown.page.get_by_label("Colours", exact=False).first.select_option("light")
    assert shown.page.evaluate(BACK) == LIGHT
    shown.until(lambda: shown.colour(free) == light, "the map is light")
    shown.page.reload()
    assert shown.page.evaluate(BACK) == LIGHT
    shown.page.get_by_label("Colours", exact=False).first.select_option("auto")
    assert shown.page.evaluate(BACK) == DARK


def test_the_skip_link_leads_to_the_content(seen):
    """The first Tab reaches a link to the content, which does not leave the page."""
    shown = seen("pool")
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    before = shown.page.url
    shown.page.keyboard.press("Enter")
    shown.until(lambda: shown.page.evaluate("() => document.activeElement.id") == "main", "the content has the focus")
    assert shown.page.url == before


def test_the_keyboard_reaches_everything_and_the_focus_is_seen(seen):
    """Tab goes through each control once, with a visible outline."""
    shown = seen("pool")
    wanted = shown.page.evaluate(
        "() => Array.from(document.querySelectorAll('a, button:enabled, select, input, [tabindex=\"0\"]'))"
        ".filter((each) => each.checkVisibility() && !(each.type === 'radio' && !each.checked)).length"
    )
    reached = set()
    for _ in range(wanted):
        shown.page.keyboard.press("Tab")
        text, style, width = shown.page.evaluate(
            "() => { const at = document.activeElement; const { outlineStyle, outlineWidth } = getComputedStyle(at);"
            " at.dataset.reached ??= Math.random();"
            " return [at.dataset.reached, outlineStyle, parseFloat(outlineWidth)]; }"
        )
        assert style != "none", text
        assert width >= 2, text
        reached.add(text)
    assert len(reached) >= wanted - 3, "lists may change meanwhile"


def test_colours_of_holders_differ_enough(seen):
    """Each holder's colour has a contrast of 3 to a free block, in light and dark, and signs on it of 4.5."""
    shown = seen("list")
    for scheme in ("light", "dark"):
        shown.page.emulate_media(color_scheme=scheme)
        contrasts = shown.page.evaluate(
            """async () => {
              const all = await import("/static/palette.js");
              const colours = all.palette();
              const free = all.channels(colours.free);
              const holders = [...Array(12).keys(), 4096, 4097, 4098, 4099];
              const full = holders.map((holder) => all.channels(all.holderColour(colours, holder)));
              const ages = [...Array(256).keys()].map((age) => all.ageColour(colours, age));
              return {
                holders: full.map((colour) => all.contrast(colour, free)),
                ages: ages.map((colour) => all.contrast(colour, free)),
                signs: full.map((colour) => all.contrast(colour, all.channels(all.ink(colour)))),
                distinct: new Set(full.map(String)).size,
              };
            }"""
        )
        assert min(contrasts["holders"]) >= 3, (scheme, contrasts["holders"])
        assert min(contrasts["ages"]) >= 3, (scheme, min(contrasts["ages"]))
        assert min(contrasts["signs"]) >= 4.5, (scheme, contrasts["signs"])
        assert contrasts["distinct"] == 16
