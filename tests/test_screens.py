"""Both pages on every screen: nothing cut, nothing outside, nothing over something else; pictures follow the screen.

What is measured is in boxes.js. The screens are those of screens.py, which takes pictures of them.
"""

from __future__ import annotations

import re
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
import screens
from browser import browser, in_background  # noqa: F401 - browser is a fixture
from patience import patient
from screens import SIZES, Screen

from wsdemo.catalogue import catalogue
from wsdemo.echo import EchoServer
from wsdemo.live.server import LiveServer

BOXES = (Path(__file__).parent / "boxes.js").read_text(encoding="utf-8")
PLAIN = [screen for screen in screens.screens() if not screen.forced]
FORCED = [screen for screen in screens.screens() if screen.forced]
FEW = [Screen("lab-780"), Screen("phone", "zh"), Screen("uhd"), Screen("a4")]


@pytest.fixture
def server(monkeypatch):
    """A live page on which every earthquake has the longest of the places."""
    longest = max((data["place"] for _, data in catalogue()), key=len)
    for _, data in catalogue():
        monkeypatch.setitem(data, "place", longest)
    with in_background(LiveServer(speed=1200, interval_s=0.5)) as running:
        yield running


@pytest.fixture
def echo_server():
    with in_background(EchoServer(heard=lambda _: None)) as running:
        yield running


@contextmanager
def on_screens(browser, url, wanted, prepare=lambda page: None):  # noqa: F811
    """Give an iterator over the screens; at each the page is shown on it, and has drawn everything anew."""

    def each():
        for how, group in screens.contexts(wanted):
            with screens.context_for(browser, how) as context:
                page = context.new_page()
                page.add_init_script(BOXES)
                prepare(page)
                page.goto(url)
                session = context.new_cdp_session(page)
                for screen in group:
                    screens.turn_to(page, session, screen)
                    yield screen, page
                page.unroute_all(behavior="wait")

    with closing(each()) as shown:
        yield shown


def drawn_anew(page) -> list[dict]:
    """Wait until all five pictures have been drawn after this moment; return them with their texts."""
    page.evaluate("boxes.drawn.clear()")
    for _ in range(round(patient(100))):
        found = page.evaluate("boxes.canvases()")
        if len(found) == 5 and sum(bool(one["texts"]) for one in found) == 3:
            return found
        page.evaluate("void dispatchEvent(new Event('resize'))")  # maps rest while nothing moves on them
        page.wait_for_timeout(50)
    raise AssertionError("the pictures are not drawn")


def faults(page, screen: Screen) -> dict[str, list[str]]:
    found = page.evaluate("boxes.faults()")
    return {screen.name: found} if found else {}


def running(page) -> None:
    page.locator(".right .last-text", has_text="M ").wait_for()
    page.locator(".left .vain", has_text="%").wait_for()


def in_trouble(page) -> None:
    """No WebSocket opens, and the server does not answer: whatever the page has to say then, it says."""
    page.locator(".right [data-offer]").first.wait_for()
    page.route("**/beat", lambda route: route.abort())
    page.locator("#note:not(:empty)").wait_for()


@pytest.mark.large
def test_the_live_page_fits_every_screen(browser, server, amount):  # noqa: F811
    """While it runs: nothing cut, outside or over another, in both languages and schemes, on paper and forced."""
    wanted = amount(small=FEW, large=PLAIN + FORCED)
    found = {}
    with on_screens(browser, server.url, wanted) as shown:
        for screen, page in shown:
            running(page)
            drawn_anew(page)
            found |= faults(page, screen)
    assert found == {}


@pytest.mark.large
def test_the_live_page_in_trouble_fits_every_screen(browser, server, amount):  # noqa: F811
    """With its longest sentences, and the buttons that offer another way."""
    wanted = amount(small=FEW[:2], large=[screen for screen in PLAIN if screen.scheme == "light"])

    def refuse(page):
        page.route_web_socket("**/updates**", lambda socket: socket.close())

    found = {}
    with on_screens(browser, server.url, wanted, refuse) as shown:
        for screen, page in shown:
            in_trouble(page)
            found |= faults(page, screen)
    assert found == {}


def with_bad_lines(page) -> None:
    """One side is cut again and again, the other hears nothing: both say so, and the strips show it."""
    if page.locator(".left .struck:not(:empty)").count() == 0:
        page.locator(".left .transport").select_option("sse")
        page.locator(".left select.trouble").select_option("cut")
        page.locator(".right select.trouble").select_option("stall")
    for side in ("left", "right"):
        page.locator(f".{side} .struck:not(:empty)").wait_for()
    for _ in range(round(patient(200))):
        if page.evaluate("['left', 'right'].every((name) => wsdemo.snapshot().sides[name].trouble.last?.knownS)"):
            return
        page.wait_for_timeout(50)
    raise AssertionError("a side knows nothing of its line")


@pytest.mark.large
def test_the_live_page_with_bad_lines_fits_every_screen(browser, server, amount):  # noqa: F811
    """Its hatching and its words, in the strip and below it; the words follow each other closely."""
    wanted = amount(small=FEW, large=PLAIN + FORCED)
    found = {}
    with on_screens(browser, server.url, wanted) as shown:
        for screen, page in shown:
            running(page)
            with_bad_lines(page)
            pictures = drawn_anew(page)
            words = {text["text"] for picture in pictures for text in picture["texts"]}
            assert words & {"known", "察觉"}, screen.name
            found |= faults(page, screen)
    assert found == {}


@pytest.mark.large
def test_the_echo_page_fits_every_screen(browser, echo_server, amount):  # noqa: F811
    """Open, with short and long messages in its log."""
    wanted = amount(small=FEW, large=PLAIN + FORCED)
    found = {}
    with on_screens(browser, echo_server.page_url, wanted) as shown:
        for screen, page in shown:
            if page.locator("#log p").count() == 0:
                screens.greet(page)
                for _ in range(12):  # more than fits: paper shows what a screen scrolls
                    page.click("#send")
            found |= faults(page, screen)
    assert found == {}


def test_a_planted_fault_is_found(browser, server):  # noqa: F811
    """What is measured can turn red: by a cut, an overlap, what lies outside, and a label without its room."""
    plants = {
        "is cut in": ".choice { max-width: 4rem }",
        "lies outside of": ".below { margin-left: 60px; margin-right: -60px }",
        "sticks out of": ".habit { width: 3rem; flex: none; white-space: nowrap }",
        "lies on": ".habit { margin-left: -3rem }",
        "px wide and shows": "table { width: 120% }",
    }
    with on_screens(browser, server.url, [Screen("laptop")]) as shown:
        for _, page in shown:
            running(page)
            for words, style in plants.items():
                page.evaluate(
                    "text => { globalThis.sheet = new CSSStyleSheet(); sheet.replaceSync(text); "
                    "document.adoptedStyleSheets = [sheet]; }",
                    style,
                )
                assert any(words in fault for fault in page.evaluate("boxes.faults()")), words
            page.evaluate("document.adoptedStyleSheets = []")
            # In one go: the page draws anew with every frame, and would wipe it out.
            drawn = "document.querySelector('.chart').getContext('2d').fillText('a label', -9, 20)"
            assert any("is cut" in fault for fault in page.evaluate(f"() => {{ {drawn}; return boxes.faults(); }}"))


# Pictures


@pytest.mark.large
def test_pictures_follow_the_screen(browser, server, amount):  # noqa: F811
    """A window that is moved, zoomed or printed: letters as large as the page's, and all the pixels of the screen."""
    every = amount(small=["laptop", "uhd", "zoom-200", "a4", "laptop"], large=[*SIZES, "a4", *reversed(SIZES)])
    with on_screens(browser, server.url, [Screen(size) for size in every]) as shown:
        for screen, page in shown:
            running(page)
            root, dense = page.evaluate(
                "[parseFloat(getComputedStyle(document.documentElement).fontSize), devicePixelRatio]"
            )
            for picture in drawn_anew(page):
                assert picture["wide"] == pytest.approx(picture["width"] * dense, abs=1), (screen.name, picture)
                for text in picture["texts"]:
                    assert float(text["font"].partition("px")[0]) == pytest.approx(max(10, 0.8125 * root)), screen.name
                    assert text["scale"] == pytest.approx(dense)


CHARTS = """async ([highs, languages, widths, roots]) => {
    const { Chart } = await import("./chart.js");
    const { pageLook } = await import("./look.js");
    const { Texts } = await import("./texts.js");
    const canvas = document.createElement("canvas");
    canvas.className = "tried";
    Object.assign(canvas.style, { height: "220px", position: "fixed", top: 0, left: 0 });
    document.body.append(canvas);
    const chart = new Chart(canvas);
    const found = [];
    for (const root of roots) {
        document.documentElement.style.fontSize = `${root}px`;
        for (const texts of languages.map((language) => new Texts(language))) {
            chart.setLook({
                ...pageLook(false), sides: { left: { mark: "black" }, right: { mark: "black" } },
                format: (seconds) => texts.duration(seconds),
                ago: (seconds) => (seconds === 0 ? texts.get("now") : texts.get("ago", { seconds })),
            });
            for (const width of widths) {
                canvas.style.width = `${width}px`;
                chart.sheet.fit();
                for (const high of highs) {
                    chart.draw(100, { left: high, right: 0 });
                    const cut = boxes.cut().filter((fault) => fault.startsWith("canvas.tried"));
                    found.push({ high, width, root, cut, labels: boxes.drawn.get(canvas).length });
                }
            }
        }
    }
    return found;
}"""


def test_every_axis_has_room_for_its_labels(browser, server):  # noqa: F811
    """Whatever the latencies, the language, the letters and the width: labels are measured, not assumed."""
    ways = [[1e-4, 0.0123, 0.4, 5.1, 99, 4000], ["en", "zh"], [160, 330, 900], [12, 16, 36]]
    with on_screens(browser, server.url, [Screen("laptop")]) as shown:
        for _, page in shown:
            running(page)
            tried = page.evaluate(CHARTS, ways)
            assert len(tried) == 6 * 2 * 3 * 3
            assert [one for one in tried if one["cut"] or one["labels"] < 3] == []


# Paper and forced colours


def dark(colour: str) -> bool:
    assert colour.startswith("#"), colour
    return max(int(colour[i : i + 2], 16) for i in (1, 3, 5)) < 128


def test_paper_is_drawn_in_the_colours_of_paper(browser, server):  # noqa: F811
    """Printed from a dark screen: what is drawn is drawn dark, before the pages are made; the screen is as before."""
    note = """() => {
        globalThis.seen = [];
        for (const when of ["beforeprint", "afterprint"]) {
            addEventListener(when, () => seen.push({
                when, pictures: boxes.canvases(),
                style: getComputedStyle(document.documentElement).colorScheme,
                held: [...document.querySelectorAll("canvas")].every(({ style }) => style.width.endsWith("px")),
            }));
        }
    }"""
    for forced in (False, True):
        with on_screens(browser, server.url, [Screen("laptop", scheme="dark", forced=forced)]) as shown:
            for _, page in shown:
                running(page)
                page.evaluate(note)
                page.pdf(format="A4")
                before, after = page.evaluate("seen")
                assert (before["when"], before["held"], before["style"]) == ("beforeprint", True, "light")
                assert (after["when"], after["held"]) == ("afterprint", False)
                for moment, is_dark in ((before, True), (after, False)):
                    colours = {text["colour"] for picture in moment["pictures"] for text in picture["texts"]}
                    assert colours and {dark(colour) for colour in colours} == {is_dark}, moment["when"]
                exact = "getComputedStyle(document.querySelector('.mark')).printColorAdjust"
                assert page.evaluate(exact) == "exact"


def middle(page, selector: str) -> tuple:
    """Return the colour that is seen in the middle of an element."""
    from PIL import Image

    session = page.context.new_cdp_session(page)
    rect = page.evaluate("selector => document.querySelector(selector).getBoundingClientRect().toJSON()", selector)
    at = [round((rect[low] + rect[high]) / 2) for low, high in (("left", "right"), ("top", "bottom"))]
    with Image.open(BytesIO(screens.picture(session))) as picture:
        return picture.convert("RGB").getpixel(tuple(at))


HOLLOW = """() => {
    const full = document.querySelector(".right .mark.full");
    const hollow = Object.assign(full.cloneNode(), { className: "mark", id: "hollow" });
    full.after(hollow);
}"""


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_was_filled_is_not_hollow(browser, server, scheme, forced):  # noqa: F811
    """The mark of an update that was heard is filled, in forced colours too, and that of none is not."""
    with on_screens(browser, server.url, [Screen("laptop", scheme=scheme, forced=forced)]) as shown:
        for _, page in shown:
            running(page)
            full = middle(page, ".right .mark.full")
            page.evaluate(HOLLOW)
            hollow = middle(page, "#hollow")
            assert sum(abs(one - other) for one, other in zip(full, hollow, strict=True)) > 150


def test_forced_colours_are_those_of_the_pictures_too(browser, server):  # noqa: F811
    """Letters of a picture have the colour that the system forces on letters."""
    for scheme in ("light", "dark"):
        with on_screens(browser, server.url, [Screen("laptop", scheme=scheme, forced=True)]) as shown:
            for _, page in shown:
                running(page)
                forced = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
                ink = "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", forced)[:3])
                for picture in drawn_anew(page):
                    assert {text["colour"] for text in picture["texts"]} <= {ink}
                assert page.locator("#theme").is_hidden()
