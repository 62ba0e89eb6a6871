"""The live page in a real browser: its numbers against the schedule, its controls, and what it does in trouble."""

from __future__ import annotations

import bisect
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from math import inf
from urllib.parse import parse_qsl, urlsplit

import pytest
from browser import (  # noqa: F401 - browser is a fixture
    Watch,
    browser,
    in_background,
    jupyter_site,
    notebook_showing,
)
from patience import patient
from tunnel import tunnel

from wsdemo.jupyter import Frame
from wsdemo.live.server import LiveServer
from wsdemo.live.sessions import offered
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import earthquakes

try:
    from playwright.sync_api import expect
except ImportError:
    expect = None  # then the fixture `browser` skips every test here, or fails it in CI
else:
    # Waits between attempts grow and are jittered, so that "it is back" may take longer than Playwright's five seconds.
    expect.set_options(timeout=patient(20_000))

SPEED = 1200
"""Three and a half quakes a second, so that no test waits long for some."""

SLACK_S = 0.03
"""How far the page's clock may be off and its polls late, on a busy machine, without a count being called wrong."""


@pytest.fixture
def server():
    with in_background(LiveServer(speed=SPEED, interval_s=0.5)) as running:
        yield running


@contextmanager
def opened(browser, url, **options):  # noqa: F811
    """The page in a browser context of its own. Nothing may complain, and nothing may go to another host."""
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.set_default_timeout(patient(10_000))
        page.watch = Watch(page)
        page.goto(url)
        wait_until(page, "s.sides.right.state === 'open'")
        yield page
        assert page.watch.complaints == []
        assert {urlsplit(f"//{host}").hostname for host in page.watch.hosts} <= {urlsplit(url).hostname}


@pytest.fixture
def page(browser, server):  # noqa: F811
    with opened(browser, server.url) as page:
        yield page


def snapshot(page) -> dict:
    return page.evaluate("wsdemo.snapshot()")


def wait_until(page, condition: str, seconds: float = 10) -> dict:
    """Wait until `condition` holds of the snapshot `s`; return the snapshot.

    Playwright's wait_for_function would do, but the page's policy forbids the eval that it is made of.
    """
    deadline = time.monotonic() + patient(seconds)
    while time.monotonic() < deadline:
        now = page.evaluate(f"""(() => {{
            const s = globalThis.wsdemo?.snapshot();
            return s && ({condition}) ? s : null;
        }})()""")
        if now is not None:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"not within {seconds} s: {condition}; {page.evaluate('globalThis.wsdemo?.snapshot()')}")


def paused(page) -> dict:
    """Press pause, and return the numbers as they then stand still."""
    page.get_by_role("button", name="Pause").click()
    return wait_until(page, "s.paused && !s.session")


def wasted_polls(at_s: list[float], due_s: list[float], late_s: float) -> tuple[int, int]:
    """The oracle: how many polls find that nothing has happened since the poll before, at the least and at the most.

    Each poll, and each update, may have come late by anything up to `late_s`.
    """
    surely = perhaps = 0
    for before, poll in zip([-inf, *due_s], due_s, strict=False):
        surely += not any(before - late_s < at <= poll + late_s for at in at_s)
        perhaps += not any(before + late_s < at <= poll - late_s for at in at_s)
    return surely, perhaps


def check_against_the_schedule(now: dict) -> None:
    """Both sides' counts, as far as the schedule decides them: to the update, and to the poll.

    And as far as machine and browser were in time: how late they were at the worst is in the numbers, too.
    """
    at_s = earthquakes(now["speed"], now["startS"]).times(now["nowS"] + 1)
    pull, push = now["sides"]["left"], now["sides"]["right"]
    late_s = max(SLACK_S, pull["answerWorstS"], push["latencyWorstS"])
    happened = [bisect.bisect_right(at_s, now["nowS"] + shift) for shift in (-late_s, SLACK_S)]
    assert happened[0] <= push["heard"] <= happened[1]
    left_out = pull["notMade"]
    assert pull["requests"] + left_out == pytest.approx(now["nowS"] / now["intervalS"] + 0.5, abs=1.1)
    due_s = [(k + 0.5) * now["intervalS"] for k in range(pull["answered"] + left_out)]
    surely, perhaps = wasted_polls(at_s, due_s, late_s)
    assert surely - left_out <= pull["wasted"] <= perhaps
    heard = [
        bisect.bisect_right(at_s, due_s[n] + shift) for n, shift in ((pull["answered"] - 1, -late_s), (-1, late_s))
    ]
    assert heard[0] <= pull["heard"] <= heard[1]
    for one in (pull, push):
        assert one["lost"] == one["duplicates"] == one["failures"] == 0
        assert one["seq"] == one["heard"]
    assert push["requests"] == 1 and push["wasted"] == 0


def test_the_counts_are_the_schedules_and_the_share_is_theorys(browser):  # noqa: F811
    """After 20 s at 0.5 s the wasted share is within 2 points of the prediction; every count agrees with an oracle."""
    with in_background(LiveServer(speed=120, interval_s=0.5)) as server, opened(browser, server.url) as page:
        wait_until(page, "s.nowS >= 20", 30)
        now = paused(page)
        check_against_the_schedule(now)
        pull, push = now["sides"]["left"], now["sides"]["right"]
        assert pull["measured"]["share"] == pytest.approx(pull["expected"]["share"], abs=0.02)
        # Seven updates do not have the mean of many; T/2 + d is met by all of them together to a part of T.
        assert pull["measured"]["latency"] == pytest.approx(pull["expected"]["latency"], abs=0.2)
        assert push["measured"]["latency"] < pull["measured"]["latency"] < pull["measured"]["worst"]
        assert pull["measured"]["bytes"] > 5 * push["measured"]["bytes"] > 0


def test_the_table_says_what_was_counted(page):
    """Each number of the table, in the language's own writing, is the number behind it."""
    wait_until(page, "s.sides.left.heard >= 5 && s.sides.right.heard >= 5")
    now = paused(page)
    page.wait_for_timeout(600)
    rows = dict(
        zip(
            ("requests", "wasted", "share", "poisson", "latency", "worst", "updates", "lost", "bytes"),
            ([cell.inner_text() for cell in row.locator("td").all()] for row in page.locator("tbody tr").all()),
            strict=True,
        )
    )
    for number, name in ((0, "left"), (2, "right")):
        measured, expected = now["sides"][name]["measured"], now["sides"][name]["expected"]
        assert rows["requests"][number : number + 2] == [str(measured["requests"]), str(expected["requests"])]
        assert rows["wasted"][number] == str(measured["wasted"])
        assert rows["updates"][number] == str(measured["updates"])
        assert float(rows["share"][number].removesuffix("\u202f%")) == pytest.approx(measured["share"] * 100, abs=0.06)
    assert page.locator(".left .vain").inner_text() == f"{now['sides']['left']['measured']['share'] * 100:.0f}\u202f%"


def test_the_heads_of_the_table_end_where_their_numbers_end(page):
    """Each column's kind, the first one's too, stands flush right over what it names."""
    ends = page.evaluate(
        """() => [...document.querySelectorAll("thead tr:last-child th")].map((head, at) => {
            const cell = document.querySelectorAll("tbody tr:first-child td")[at];
            return [head, cell].map((one) => {
              const text = document.createRange();
              text.selectNodeContents(one);
              return text.getBoundingClientRect().right;
            });
        })"""
    )
    assert len(ends) == 4
    assert [head for head, _ in ends] == pytest.approx([cell for _, cell in ends], abs=1)


def test_every_transport_works_on_either_side(page):
    """All five on the left and on the right hear the same updates; those that push are not asked in vain."""
    for pair in (
        ("polling", "sse"),
        ("conditional", "websocket"),
        ("long_polling", "conditional"),
        ("sse", "polling"),
        ("websocket", "long_polling"),
        ("websocket", "websocket"),
    ):
        check_pair(page, pair)


def check_pair(page, pair):
    for name, chosen in zip(("left", "right"), pair, strict=True):
        page.locator(f".{name} .transport").select_option(chosen)
    wait_until(
        page,
        f"s.sides.left.transport === '{pair[0]}' && s.sides.right.transport === '{pair[1]}'"
        " && s.sides.left.heard >= 3 && s.sides.right.heard >= 3",
    )
    now = paused(page)
    page.get_by_role("button", name="Go on").click()
    for name, chosen in zip(("left", "right"), pair, strict=True):
        one = now["sides"][name]
        assert one["lost"] == one["failures"] == 0
        if TRANSPORTS[chosen].family == "push":
            # Sooner than whoever asks: the bound is the timetable's, which a busy machine keeps.
            assert one["wasted"] == 0 and one["measured"]["latency"] < now["intervalS"] / 2
        heading = page.locator(f".{name} .family").inner_text().lower()
        assert heading == TRANSPORTS[chosen].family


def test_an_etag_makes_wasted_requests_cheaper_not_rarer(browser):  # noqa: F811
    """The browser's own cache asks with If-None-Match: fewer bytes a request, as many in vain."""
    with in_background(LiveServer(speed=30, interval_s=0.1)) as server, opened(browser, server.url) as page:
        page.locator(".right .transport").select_option("conditional")
        wait_until(page, "s.sides.right.transport === 'conditional' && s.sides.right.answered >= 15")
        sides = paused(page)["sides"]
        assert sides["right"]["wasted"] == pytest.approx(sides["left"]["wasted"], abs=2)
        each = {name: one["measured"]["bytes"] / one["requests"] for name, one in sides.items()}
        assert each["right"] != pytest.approx(each["left"], rel=0.001)


def test_the_interval_moves_prediction_and_polls(page):
    """From 0.5 s to 0.1 s and to 10 s by keyboard: theory follows at once, and the polls do."""
    slider = page.get_by_label("Interval between two polls")
    slider.focus()
    page.keyboard.press("Home")
    now = wait_until(page, "s.intervalS === 0.1 && s.sinceS > 0 && s.sides.left.expected.requests >= 30")
    assert now["sides"]["left"]["expected"]["latency"] == pytest.approx(0.05, abs=0.02)
    assert slider.get_attribute("aria-valuetext") == "0.1\u202fs"
    due = (now["nowS"] - now["sinceS"]) / 0.1
    # A page whose timers are whole intervals late leaves polls out. At 0.5 s there would be a fifth of them.
    assert 0.4 * due < now["sides"]["left"]["requests"] < due + 2.5
    page.keyboard.press("End")
    now = wait_until(page, f"s.intervalS === 10 && s.sinceS > {now['nowS']} && s.nowS - s.sinceS > 1")
    assert now["sides"]["left"]["expected"]["law"] == pytest.approx(5, abs=0.05)
    assert now["sides"]["left"]["expected"]["latency"] is None  # no poll yet, so nothing can be said of any
    assert now["sides"]["left"]["requests"] == 0


def test_pause_stands_still_and_goes_on_without_loss(page):
    """Nothing is asked while paused; afterwards every update is heard once, and the pause is in no latency."""
    wait_until(page, "s.sides.left.heard >= 3")
    before = paused(page)
    page.wait_for_timeout(1500)
    still = snapshot(page)
    assert still["nowS"] == before["nowS"] and still["sides"] == before["sides"]
    page.get_by_role("button", name="Go on").click()
    wait_until(page, f"s.sides.left.heard >= {before['sides']['left']['heard'] + 4}")
    now = paused(page)
    assert before["nowS"] < now["nowS"]
    for one in now["sides"].values():
        assert one["lost"] == one["duplicates"] == 0 and one["heard"] == one["seq"]
    assert now["sides"]["left"]["measured"]["worst"] < 1.5  # the pause
    assert now["sides"]["right"]["measured"]["worst"] < 1.5


def test_restart_and_speed_begin_a_new_run(page):
    """Restart goes to the beginning of the week; another speed goes on from this moment of it."""
    wait_until(page, "s.sides.right.heard >= 3")
    page.get_by_label("Replay").select_option("3600")
    now = wait_until(page, "s.speed === 3600 && s.sides.right.heard >= 3")
    assert now["startS"] > 0 and now["sides"]["right"]["lost"] == 0
    page.get_by_role("button", name="Restart").click()
    now = wait_until(page, "s.startS === 0 && s.sides.right.heard >= 3")
    assert now["speed"] == 3600 and now["nowS"] < 5


def test_left_then_right_changed_inside_one_handshake(browser, server):  # noqa: F811
    """The left side's stream is asked for, the right side is changed before it opens: it was asked for once."""
    with opened(browser, server.url) as page:
        wait_until(page, "s.sides.left.heard >= 1")
        held = []
        page.route("**/updates**", lambda route: held.append(route))
        page.locator(".left .transport").select_option("sse")
        wait_until(page, "s.sides.left.transport === 'sse' && s.sides.left.requests === 1")
        while not held:
            page.wait_for_timeout(20)
        page.locator(".right .transport").select_option("long_polling")
        wait_until(page, "s.sides.right.transport === 'long_polling'")
        page.unroute("**/updates**")  # which lets what was held go on
        now = wait_until(page, "s.sides.left.state === 'open' && s.sides.right.heard >= 2 && s.sides.left.heard >= 2")
        assert (now["sides"]["left"]["requests"], now["sides"]["left"]["measured"]["judged"]) == (1, 1)
        assert now["sides"]["left"]["expected"]["requests"] == 1


def test_a_held_long_poll_is_counted_across_a_change(browser):  # noqa: F811
    """Two quakes a minute: it is still held when the interval changes, and one request is what there is."""
    with in_background(LiveServer(speed=12, interval_s=0.5)) as server, opened(browser, server.url) as page:
        page.locator(".right .transport").select_option("long_polling")
        wait_until(page, "s.sides.right.transport === 'long_polling' && s.sides.right.requests >= 1")
        page.get_by_label("Interval between two polls").focus()
        page.keyboard.press("Home")
        now = wait_until(page, "s.intervalS === 0.1 && s.sinceS > 0 && s.sides.left.answered >= 3")
        right = now["sides"]["right"]
        assert right["requests"] == right["expected"]["requests"] >= 1


def test_pause_and_go_on_is_in_no_count_and_in_theory(page):
    """A stream and a long poll are asked for again, which is said; the numbers beside each other agree."""
    page.locator(".left .transport").select_option("long_polling")
    wait_until(page, "s.sides.left.transport === 'long_polling' && s.sides.left.heard >= 2 && s.sides.right.heard >= 2")
    paused(page)
    page.get_by_role("button", name="Go on").click()
    wait_until(page, "s.sides.right.state === 'open' && s.sides.left.state === 'open'")
    now = paused(page)
    right = now["sides"]["right"]
    assert right["requests"] == right["expected"]["requests"] == 2


def test_what_failed_is_not_in_the_labels_count(page):
    """Its share is that of the answers, so its count is, too; the table has all requests."""
    wait_until(page, "s.sides.left.answered >= 3")
    page.route("**/updates?**", lambda route: route.abort())
    wait_until(page, "s.sides.left.failures >= 2")
    page.unroute_all(behavior="wait")
    page.watch.complaints.clear()  # the browser's own, of what was cut
    wait_until(page, "s.sides.left.answered >= 6")
    left = paused(page)["sides"]["left"]
    assert left["measured"]["judged"] == left["answered"] == left["requests"] - left["failures"]
    expect(page.locator(".left .vain-label")).to_have_text(f"of {left['measured']['judged']} requests wasted")
    assert left["measured"]["share"] == left["wasted"] / left["measured"]["judged"]


def test_a_slider_in_motion_makes_no_count_wrong(browser):  # noqa: F811
    """While it moves, what is measured goes by the interval that was: nothing is called not made that was not due."""
    with in_background(LiveServer(speed=SPEED, interval_s=10)) as server, opened(browser, server.url) as page:
        wait_until(page, "s.nowS > 3")
        seen = page.evaluate("""async () => {
            const slider = document.querySelector("#interval");
            const seen = [];
            for (let i = 0; i < 20; i += 1) {
                slider.valueAsNumber = i % 2;
                slider.dispatchEvent(new Event("input"));
                await null; // no frame: on a busy machine it would come after the slider has come to rest
                seen.push(wsdemo.snapshot());
            }
            return seen;
        }""")
        assert {now["intervalS"] < 0.2 for now in seen} == {True} and {now["sinceS"] for now in seen} == {0}
        assert {now["sides"]["left"]["notMade"] for now in seen} == {0}
        assert {now["sides"]["left"]["expected"]["requests"] for now in seen} == {0}


def test_bytes_are_counted_from_the_change_on(browser):  # noqa: F811
    """What the last beat did not know of yet belongs to the time before: 20 polls, and then none."""
    with in_background(LiveServer(speed=SPEED, interval_s=0.1)) as server, opened(browser, server.url) as page:
        held = []
        page.route("**/beat", lambda route: held.append(route))
        wait_until(page, "s.sides.left.answered >= 20")
        page.get_by_label("Interval between two polls").focus()
        page.keyboard.press("End")
        wait_until(page, "s.intervalS === 10 && s.sinceS > 0")
        page.unroute("**/beat")  # which lets what was held go on
        page.wait_for_timeout(2500)  # two beats
        left = snapshot(page)["sides"]["left"]
        assert left["requests"] == 0 and left["measured"]["bytes"] < 1500  # a poll on its way when it changed


def test_counters_of_a_port_that_was_are_not_those_of_the_next(page):
    """An answer of before the change of a side comes after it: nothing is counted twice."""
    wait_until(page, "s.sides.left.answered >= 3")
    counted = page.evaluate("""async () => {
        const { Run } = await import("./run.js");
        const row = { habit: "asks", scheme: "http", hear() {} };
        const transports = [{ ...row, name: "one" }, { ...row, name: "other" }];
        const sides = { left: "one", right: "one" };
        const config = { sides, speed: 1, interval_s: 1, rate_per_s_at_speed_1: 1, week_s: 9 };
        const run = new Run(config, transports, { now: () => 0, best: null });
        run.watcher = { begun() {}, heard() {}, asked() {}, recast() {}, changed() {} };
        run.begin(1, 0);
        run.goOn({ epoch: "e", t0_ms: 0, ports: { left: 1, right: 2 } });
        const side = (port, bytes) => ({ port, bytes_sent: bytes, bytes_received: 0 });
        run.beat({ sides: { left: side(1, 700), right: side(2, 50) } });
        run.recast(run.sides.left, "other");
        run.beat({ sides: { left: side(1, 900), right: side(2, 60) } });
        run.sides.left.connect(3);
        run.beat({ sides: { left: side(1, 900), right: side(2, 55) } });
        run.beat({ sides: { left: side(3, 40), right: side(2, 70) } });
        const { left, right } = run.numbers();
        return [left.measured.bytes, right.measured.bytes];
    }""")
    assert counted == [40, 20]


def test_one_page_changes_nothing_for_another(browser, server):  # noqa: F811
    """One pauses, restarts and changes; the other's run has no gap in it."""
    with opened(browser, server.url) as one, opened(browser, server.url) as other:
        one.get_by_label("Replay").select_option("7200")
        one.locator(".right .transport").select_option("sse")
        one.get_by_role("button", name="Restart").click()
        paused(one)
        wait_until(other, "s.sides.right.heard >= 6 && s.sides.left.heard >= 6")
        now = paused(other)
        assert now["speed"] == SPEED
        check_against_the_schedule(now)


def test_the_keyboard_reaches_everything(page):
    """Tab goes through every control in the order of the eye, each with a name and a visible focus."""
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("""() => {
            const node = document.activeElement;
            const name = node.labels?.[0]?.textContent || node.textContent
              || document.getElementById(node.getAttribute("aria-labelledby"))?.textContent;
            return [name.trim(), getComputedStyle(node).outlineStyle, parseFloat(getComputedStyle(node).outlineWidth)];
        }""")
        )
        if page.evaluate("document.activeElement.className === 'scroll'"):
            break
    names = [name for name, _, _ in reached]
    assert [name[:20] for name in names[:6]] == ["Dark", "中文", "Interval between two", "Replay", "Pause", "Restart"]
    for at, side in ((6, "left"), (8, "right")):
        assert names[at].startswith(f"Transport of the {side}") and names[at + 1].startswith(f"Trouble of the {side}")
    assert len(names) == 11  # and the table, which can be scrolled where the screen is narrow
    assert all(style == "solid" and width >= 2 for _, style, width in reached)
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    wait_until(page, "s.paused")
    page.keyboard.press("Space")
    wait_until(page, "!s.paused && s.session")


@pytest.mark.parametrize(
    ("locale", "title", "lang"),
    [
        ("en-US", "Pull and push hear the same", "en-GB"),
        ("zh-CN", "收听同一批地震", "zh-CN"),
        ("fr-FR", "Pull and push hear the same", "en-GB"),
    ],
)
def test_the_browsers_language_is_spoken(browser, server, locale, title, lang):  # noqa: F811
    """English, Chinese, and English for who speaks neither; the switch changes every text there and back."""
    with opened(browser, server.url, locale=locale) as page:
        expect(page.locator("h1")).to_contain_text(title)
        assert page.locator("html").get_attribute("lang") == lang and title in page.title()
        switch = page.locator("#language")
        first_label = page.locator("label[for=interval]").inner_text()
        switch.click()
        expect(page.locator("label[for=interval]")).not_to_have_text(first_label)
        switch.click()
        expect(page.locator("label[for=interval]")).to_have_text(first_label)


def settings(page) -> dict:
    now = wait_until(page, "s.sides.left.state === 'open' && s.sides.right.state === 'open'")
    return {
        "theme": page.locator("html").get_attribute("data-theme"),
        "language": page.locator("html").get_attribute("lang"),
        "interval": now["intervalS"],
        "speed": now["speed"],
        "left": now["sides"]["left"]["transport"],
        "right": now["sides"]["right"]["transport"],
    }


CHOSEN = {"theme": "dark", "language": "zh-CN", "interval": 10, "speed": 600, "left": "sse", "right": "conditional"}


def test_what_is_set_stands_in_the_address_and_survives_a_reload(browser, server):  # noqa: F811
    """Theme, language, interval, speed and both transports; the page's history gets no entries by it."""
    with opened(browser, server.url) as page:
        assert "#" not in page.url
        page.locator("#theme").click()
        page.get_by_label("Interval between two polls").focus()
        page.keyboard.press("End")
        wait_until(page, "s.intervalS === 10 && s.sinceS > 0")
        page.get_by_label("Replay").select_option("600")
        page.locator(".left .transport").select_option("sse")
        page.locator(".right .transport").select_option("conditional")
        page.locator("#language").click()
        assert settings(page) == CHOSEN
        kept = page.url
        assert dict(parse_qsl(urlsplit(kept).fragment)) == {
            name: str(value).removesuffix("-CN") for name, value in CHOSEN.items()
        }
        page.reload()
        assert settings(page) == CHOSEN and page.url == kept
        assert page.evaluate("history.length") == 2  # about:blank, and the page
        assert page.locator("#speed option:checked").get_attribute("value") == "600"
        assert page.locator("#interval").input_value() == "100"


def test_an_address_sets_the_page(browser, server):  # noqa: F811
    """A link that a teacher sends; and a change of it by hand, which is another page."""
    with opened(browser, f"{server.url}?from=a-mail#speed=7200&interval=2.5&left=long_polling") as page:
        now = settings(page)
        assert (now["speed"], now["interval"], now["left"]) == (7200, 2.5, "long_polling")
        assert (now["right"], now["theme"], now["language"]) == ("websocket", None, "en-GB")
        with page.expect_event("load"):
            page.evaluate("void setTimeout(() => { location.hash = '#speed=60&language=zh'; })")
        wait_until(page, "s.speed === 60")
        assert settings(page)["language"] == "zh-CN"


@pytest.mark.parametrize(
    "fragment",
    [
        "theme=pink&language=tlh&interval=0&speed=-1&left=telnet&right=",
        "theme=&language=&interval=&speed=&left=&right=",
        "interval=NaN&speed=Infinity&left=__proto__&right=constructor&language=__proto__&theme=toString",
        "interval=11&speed=1e9&interval=1&theme=%&language=%zz",
        "&&&=&==%FF%00",
        "interval=0x1&speed=[]&left=sse%00",
    ],
)
def test_an_address_that_makes_no_sense_is_fallen_back_from(browser, server, fragment):  # noqa: F811
    """Each value that cannot be is as if it were not there; nothing breaks, nothing complains."""
    with opened(browser, f"{server.url}#{fragment}") as page:
        now = settings(page)
        interval = 1 if "0x1" in fragment else 0.5  # which is how JavaScript, too, writes one
        assert now == {
            "theme": None,
            "language": "en-GB",
            "interval": interval,
            "speed": SPEED,
            "left": "polling",
            "right": "websocket",
        }


def test_both_languages_have_the_same_texts(page):
    """No key is missing in either, and no placeholder is left on the page in Chinese."""
    page.locator("#language").click()
    wait_until(page, "s.sides.left.heard >= 2")
    page.wait_for_timeout(500)
    text = page.locator("body").inner_text()
    assert not re.search(r"[{}]|undefined|NaN|null", text)
    assert page.evaluate("""async () => {
        const { keys } = await import("./texts.js");
        const [en, zh] = [keys("en"), keys("zh")].map((all) => all.filter((key) => !/_one$|^labels$/.test(key)).sort());
        return JSON.stringify(en) === JSON.stringify(zh);
    }""")


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}, {"locale": "zh-CN"}],
    ids=["light", "dark", "phone", "zh"],
)
def test_no_serious_barrier(browser, server, options):  # noqa: F811
    """axe-core finds no serious or critical violation, and the page never scrolls sideways."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with opened(browser, server.url, **options) as page:
        wait_until(page, "s.sides.left.heard >= 1")
        expect(page.locator(".right .strip")).to_have_attribute("aria-label", re.compile("20"))
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["target"] for node in one["nodes"]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_addresses_of_the_sides(page):
    """At the root by port, behind a proxy as a sibling, for a tile below the proxy; or below the page. Secure as it."""
    cases = {
        "http://127.0.0.1:8000/": "ws://127.0.0.1:99/updates",
        "http://[::1]:8000/?a=b#c": "ws://[::1]:99/updates",
        "https://hub.example/user/me/proxy/8000/": "wss://hub.example/user/me/proxy/99/updates",
        "http://127.0.0.1:8888/proxy/8000/": "ws://127.0.0.1:8888/proxy/99/updates",
        "https://hub.example/user/me/wsdemo/": "wss://hub.example/user/me/proxy/99/updates",
    }
    ask = """async ([here, scheme]) => {
        const { updatesUrls } = await import("./place.js");
        const { direct, relayed } = updatesUrls({ port: 99, session: "ID", side: "left" }, scheme, new URL(here));
        return [direct.href, relayed.href];
    }"""
    for here, direct in cases.items():
        relayed = re.sub(r"^http", "ws", re.sub(r"[?#].*", "", here)) + "side/ID/left/updates"
        assert page.evaluate(ask, [here, "ws"]) == [direct, relayed]
        assert page.evaluate(ask, [here, "http"]) == [url.replace("ws", "http", 1) for url in (direct, relayed)]


def test_a_message_is_shown_as_text(browser, server):  # noqa: F811
    """A place whose name is markup is a text on the page, and nothing of it runs."""
    with browser.new_context() as context:
        page = context.new_page()
        hostile = "<img src=x onerror=\"document.title='fired'\">"

        def answer(route):
            response = route.fetch()
            message = response.json()
            for update in message["updates"]:
                update["data"]["place"] = hostile
            route.fulfill(response=response, body=json.dumps(message))

        page.route("**/updates?**", answer)
        page.goto(server.url)
        expect(page.locator(".left .last-text")).to_contain_text(hostile, timeout=patient(10_000))
        assert page.locator("img").count() == 0 and page.title() != "fired"
        page.unroute_all(behavior="wait")  # an answer under way must not outlive the page


# Trouble


@contextmanager
def killable(port: int):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "wsdemo",
            "live",
            "--no-browser",
            "--port",
            str(port),
            "--speed",
            "600",
            "--interval",
            "0.5",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("http")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_in_a_notebooks_frame_it_says_what_to_do_when_its_server_is_gone(browser):  # noqa: F811
    """While it is shown, and when the notebook is opened again."""
    with browser.new_context() as context, ExitStack() as stack:
        page = context.new_page()
        page.set_default_timeout(patient(15_000))
        frame = page.frame_locator("iframe")
        with in_background(LiveServer()) as server:
            markup = Frame(server.url, "The live page", lasting=True)._repr_html_()
            page.goto(stack.enter_context(notebook_showing(markup)))
            expect(frame.locator(".left .state")).to_have_text("Connected")
        expect(frame.locator("#note")).to_contain_text("run the cell again")
        page.reload()
        expect(frame.get_by_text("Run the cell again")).to_be_visible()


def test_a_server_killed_and_restarted_loses_nothing(browser):  # noqa: F811
    """The page says so, comes back by itself, and both sides hear every update once, those of the gap late."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(patient(15_000))
        uncaught = []
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        with killable(port) as process:
            page.goto(f"http://127.0.0.1:{port}/")
            before = wait_until(page, "s.sides.left.heard >= 3 && s.sides.right.heard >= 3")
            process.kill()
            expect(page.locator("#note")).to_contain_text("does not answer")
            expect(page.locator(".right .state")).to_contain_text("Connection lost")
            page.wait_for_timeout(1500)
        with killable(port):
            expect(page.locator("#note")).to_contain_text("is back")
            wait_until(
                page,
                f"s.sides.right.state === 'open' && s.nowS > {before['nowS'] + 4}"
                " && s.sides.left.heard === s.sides.right.heard",
                20,
            )
            now = paused(page)
            at_s = earthquakes(600.0).times(now["nowS"] + 1)
            for one in now["sides"].values():
                assert one["lost"] == one["duplicates"] == 0 and one["heard"] == one["seq"]
            push = now["sides"]["right"]
            assert push["heard"] == pytest.approx(bisect.bisect_right(at_s, now["nowS"]), abs=1)
            assert push["measured"]["worst"] > 1  # what happened while the server was away was heard late
        assert uncaught == []  # a lost network is no fault of the page


def plant(page, file: str, before: str, after: str) -> None:
    """Change a module on its way to the browser."""

    def answer(route):
        response = route.fetch()
        text = response.text()
        assert text.count(before) == 1, f"{file} has no longer one {before!r}"
        route.fulfill(response=response, body=text.replace(before, after))

    page.route(f"**/{file}*", answer)


@contextmanager
def broken(browser, server, *planted: str, left: str = "polling"):  # noqa: F811
    """The page with a fault in it, and `left` on its left side from the first; gives it and what nobody caught."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(patient(10_000))
        uncaught = []
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        plant(page, *planted)

        def start_with(route):
            response = route.fetch()
            config = response.json()
            config["sides"]["left"] = left
            route.fulfill(response=response, json=config)

        page.route("**/config", start_with)
        page.goto(server.url)
        yield page, uncaught
        page.unroute_all(behavior="wait")


@pytest.mark.parametrize("name", [row.name for row in offered()])
def test_a_fault_of_the_page_is_not_taken_for_the_networks(browser, server, name):  # noqa: F811
    """A slip in what hears an update: it is uncaught, the page says so and for good, and no line is called lost."""
    slip = ("screen.js", "panel.map.add(update.data);", 'if (side.name === "left") { undefined.planted(); }')
    with broken(browser, server, *slip, left=name) as (page, uncaught):
        expect(page.locator("#note")).to_contain_text("fault of its own")
        expect(page.locator("#note")).to_contain_text("planted")
        page.wait_for_timeout(1500)  # longer than a beat, and than the first waits before another attempt
        expect(page.locator("#note")).to_contain_text("fault of its own")
        now = snapshot(page)
        assert now["sides"]["left"]["state"] != "broken" and now["sides"]["left"]["failures"] == 0
        assert now["sides"]["left"]["transport"] == name
        assert now["sides"]["right"]["state"] == "open" and now["sides"]["right"]["heard"] > 0
        assert uncaught and all("planted" in error for error in uncaught)
        page.locator("#language").click()
        expect(page.locator("#note")).to_contain_text("本页自身出错")


@pytest.mark.parametrize(
    "slip",
    [
        ("conductor.js", "this.run.beat(counters);", "undefined.planted();"),
        ("conductor.js", "this.run.goOn(about);", "undefined.planted();"),
        ("side.js", "this.tally.requests += 1;", "undefined.planted();"),
        ("chart.js", "const startS = nowS - WINDOW_S;", "undefined.planted();"),
        ("transports/polling.js", 'return poll(side, url, signal, "no-store");', "undefined.planted();"),
        ("transports/websocket.js", "side.asks();", "undefined.planted();"),
        ("transports/sse.js", "export function hear", "undefined.planted(); export function hear"),
    ],
    ids=lambda slip: f"{slip[0]}: {slip[1]}",
)
def test_a_fault_anywhere_is_said(browser, server, slip):  # noqa: F811
    """In what the session tells, in what is counted, in what is drawn, in a transport's own file."""
    with broken(browser, server, *slip) as (page, uncaught):
        expect(page.locator("#note")).to_contain_text("fault of its own")
        page.wait_for_timeout(1200)
        expect(page.locator("#note")).to_contain_text("planted")
        assert uncaught and all("planted" in error for error in uncaught)


@pytest.mark.parametrize("body", ["<h1>Bad gateway</h1>", "{}", "[]", "null", ""], ids=repr)
def test_an_answer_that_is_not_ours_is_trouble_and_no_fault(browser, server, body):  # noqa: F811
    """A proxy that answers in the server's place, with 200 and whatever: said as lost, and mended by itself."""
    with browser.new_context() as context:
        page = context.new_page()
        uncaught = []
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        page.goto(server.url)
        wait_until(page, "s.sides.left.heard >= 1")
        page.route("**/updates?**", lambda route: route.fulfill(body=body))
        page.route("**/beat", lambda route: route.fulfill(body=body))
        expect(page.locator("#note")).to_contain_text("does not answer")
        expect(page.locator(".left .state")).to_contain_text("Connection lost")
        page.unroute_all(behavior="wait")
        expect(page.locator("#note")).not_to_contain_text("does not answer")
        wait_until(page, "s.sides.left.state === 'open' && s.sides.left.lost === 0")
        assert uncaught == []


def test_a_file_of_a_transport_that_does_not_come_is_asked_for_again(browser, server):  # noqa: F811
    """A proxy's moment: the page begins a little later, and nothing is called a fault."""
    with browser.new_context() as context:
        page = context.new_page()
        refused = []
        uncaught = []
        page.on("pageerror", lambda error: uncaught.append(str(error)))

        def refuse_thrice(route):
            if len(refused) < 3:  # the file, whether it is there, and the file again
                refused.append(route.request.url)
                route.abort()
            else:
                route.continue_()

        page.route("**/transports/polling.js*", refuse_thrice)
        page.goto(server.url)
        wait_until(page, "s.sides.left.heard >= 1")
        assert len(refused) == 3 and uncaught == []


def test_a_websocket_that_never_opens_offers_another_way(browser, server):  # noqa: F811
    """A proxy that refuses the upgrade: the side says so and offers SSE or long polling; either works at once."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route_web_socket("**/updates**", lambda socket: socket.close())
        page.goto(server.url)
        offer = page.locator(".right [data-offer=sse]")
        offer.wait_for(timeout=patient(10_000))
        assert "does not open" in page.locator(".right .state").inner_text()
        offers = page.locator(".right [data-offer]").all()
        # All that push over plain HTTP, first what streams as it does.
        assert [one.get_attribute("data-offer") for one in offers] == ["sse", "long_polling"]
        wait_until(page, "s.sides.left.heard > 0")  # the other side does not mind
        offer.click()
        now = wait_until(page, "s.sides.right.transport === 'sse' && s.sides.right.heard >= 2")
        assert now["sides"]["right"]["lost"] == 0
        assert page.locator(".right [data-offer]").count() == 0


def test_what_fails_over_plain_http_is_offered_nothing_else(browser, server):  # noqa: F811
    """Where the page came through, plain HTTP comes through: a side that fails there waits for its server."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/updates?**", lambda route: route.abort())
        page.goto(server.url)
        page.locator(".right .transport").select_option("sse")
        wait_until(page, "s.sides.left.failures >= 3 && s.sides.right.failures >= 3")
        for name in ("left", "right"):
            expect(page.locator(f".{name} .state")).to_contain_text("Not connected yet")
        assert page.locator("[data-offer]").count() == 0
        page.unroute_all(behavior="wait")


def test_a_network_that_is_cut_is_said_and_mended(browser, server):  # noqa: F811
    """Offline for three seconds: both sides say so; then they resume, nothing lost, nothing twice."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        wait_until(page, "s.sides.left.heard >= 2")
        context.set_offline(True)
        expect(page.locator(".left .state")).to_contain_text("Connection lost")
        expect(page.locator("#note")).to_contain_text("does not answer")
        page.wait_for_timeout(1500)
        context.set_offline(False)
        wait_until(page, "s.sides.left.state === 'open' && s.sides.right.state === 'open'", 15)
        expect(page.locator("#note")).not_to_contain_text("does not answer", timeout=patient(10_000))
        wait_until(page, "s.sides.left.heard === s.sides.right.heard")
        for one in paused(page)["sides"].values():
            assert one["lost"] == one["duplicates"] == 0 and one["heard"] == one["seq"]


def test_a_full_server_says_so_and_lets_in_later(browser):  # noqa: F811
    """The page after the last shows the server's sentence, and starts when there is room."""
    with in_background(LiveServer(speed=600, max_sessions=1)) as server, browser.new_context() as context:
        with opened(browser, server.url):
            waiting = context.new_page()
            waiting.goto(server.url)
            expect(waiting.locator("#note")).to_contain_text("room for 1 pages")
        wait_until(waiting, "s.sides.right.heard >= 1", 20)


def test_a_closed_page_ends_its_session(browser, server):  # noqa: F811
    """Leaving the page says goodbye: its ports close at once, not after a minute."""
    with opened(browser, server.url) as page:
        assert len(server.sessions) == 1
        page.goto("about:blank")
        deadline = time.monotonic() + patient(5)
        while len(server.sessions) and time.monotonic() < deadline:
            page.wait_for_timeout(50)
        assert len(server.sessions) == 0
        page.go_back()
        wait_until(page, "s.sides.right.heard >= 1")


def test_a_tab_out_of_sight_is_noted(page):
    """Browsers slow the timers of hidden tabs; on return the page says for how long."""
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(2300)
    page.evaluate(hide, False)
    expect(page.locator("#note")).to_contain_text("out of sight for 2")


def test_ten_pages_at_once(browser, server):  # noqa: F811
    """Ten pages, ten sessions; each hears its own run completely."""
    with browser.new_context() as context:
        pages = [context.new_page() for _ in range(10)]
        for page in pages:
            page.set_default_timeout(patient(20_000))
            page.goto(server.url)
        for page in pages:
            now = wait_until(page, "s.sides.left.heard >= 2 && s.sides.right.heard >= 2", 20)
            for one in now["sides"].values():
                assert one["lost"] == one["duplicates"] == one["failures"] == 0
        assert len(server.sessions) == 10


def test_it_stays_small_and_quick(browser):  # noqa: F811
    """At 20 quakes a second: what is kept has a bound, and no count is missed. Times are left to live_frames.py."""
    with in_background(LiveServer(speed=7200, interval_s=0.1)) as server, opened(browser, server.url) as page:
        wait_until(page, "s.nowS > 1", 20)
        nodes = page.evaluate("document.querySelectorAll('*').length")
        wait_until(page, "s.nowS > 3", 20)
        now = snapshot(page)
        assert page.evaluate("document.querySelectorAll('*').length") == nodes
        assert now["sides"]["right"]["heard"] == pytest.approx(len(earthquakes(7200.0).times(now["nowS"])), abs=3)
        assert now["sides"]["left"]["lost"] == now["sides"]["right"]["lost"] == 0


# Behind a tunnel


PAIRS = (("polling", "websocket"), ("conditional", "sse"), ("long_polling", "polling"), ("sse", "long_polling"))


def all_transports_hear(page, way: str) -> None:
    """Each on either side: heard, nothing lost, by this way, and counted at the side's own socket."""
    for pair in PAIRS:
        for name, chosen in zip(("left", "right"), pair, strict=True):
            page.locator(f".{name} .transport").select_option(chosen)
        now = wait_until(
            page,
            f"s.sides.left.transport === '{pair[0]}' && s.sides.right.transport === '{pair[1]}'"
            " && s.sides.left.heard >= 2 && s.sides.right.heard >= 2 && s.sides.left.measured.bytes > 0"
            " && s.sides.right.measured.bytes > 0",
            30,
        )
        for one in now["sides"].values():
            assert one["lost"] == one["failures"] == one["duplicates"] == 0
            assert one["way"] == way


@pytest.mark.parametrize("host", ["far.example", "127.0.0.1"])
def test_behind_a_tunnel_for_one_port_all_is_heard(browser, host):  # noqa: F811
    """No other port is there, or one is that refuses a page of this address: both sides hear by all transports."""
    with (
        in_background(LiveServer(speed=SPEED, interval_s=0.5, allowed_hosts=[host])) as server,
        in_background(tunnel(server.port, "::1" if host == "far.example" else host)) as port,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.watch = Watch(page)
        page.goto(f"http://{host}:{port}/")
        all_transports_hear(page, "relayed")
        sides = paused(page)["sides"]
        assert sides["left"]["measured"]["latency"] < 0.5
        assert {complaint for complaint in page.watch.complaints if "/reach" not in complaint} <= {
            "error: Failed to load resource: net::ERR_CONNECTION_REFUSED",
            "error: Failed to load resource: net::ERR_FAILED",
            "error: Failed to load resource: the server responded with a status of 403 (Forbidden)",
        }


def test_where_all_ports_are_reached_none_is_relayed(page):
    """Each side has the browser's connections for itself."""
    all_transports_hear(page, "direct")


def test_a_firewall_that_swallows_what_it_forbids_is_not_waited_for(browser, server):  # noqa: F811
    """Neither an answer nor a refusal comes from another port: after two seconds the page goes by its own."""
    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/reach", lambda route: None)
        page.goto(server.url)
        now = wait_until(page, "s.sides.left.heard >= 2 && s.sides.right.heard >= 2")
        assert {one["way"] for one in now["sides"].values()} == {"relayed"}
        assert {one["failures"] for one in now["sides"].values()} == {0}
        page.unroute_all(behavior="ignoreErrors")


def test_a_way_that_fails_is_left_for_the_other(browser, server):  # noqa: F811
    """One port could be reached, those of the sides cannot: the second attempt goes by the page's own, and is it."""
    with browser.new_context() as context:
        page = context.new_page()
        own = re.escape(f":{server.port}/")
        page.route(re.compile(rf"^http://[^/]+(?<!{own[:-1]})/updates"), lambda route: route.abort())
        page.goto(server.url)
        page.locator(".right .transport").select_option("sse")
        now = wait_until(
            page, "s.sides.left.heard >= 2 && s.sides.right.transport === 'sse' && s.sides.right.heard >= 2"
        )
        assert {one["way"] for one in now["sides"].values()} == {"relayed"}
        assert now["sides"]["left"]["failures"] <= 1
        page.locator(".left .transport").select_option("long_polling")
        now = wait_until(page, "s.sides.left.transport === 'long_polling' && s.sides.left.heard >= 1")
        assert now["sides"]["left"]["failures"] == 0  # what worked is what is tried first
        page.unroute_all(behavior="wait")


def test_the_page_does_not_blame_what_it_has_not_tried(browser, server):  # noqa: F811
    """After one failure it says no more than that it is not connected; after both ways, that neither opens."""
    with browser.new_context() as context:
        page = context.new_page()
        tried = []

        def refuse(socket):
            tried.append(urlsplit(socket.url).path)
            socket.close()

        page.route_web_socket("**/updates**", refuse)
        page.goto(server.url)
        state = page.locator(".right .state-text")
        said = set()
        while "neither" not in (text := state.inner_text()):
            said.add(re.sub(r"\d.*", "", text))
            page.wait_for_timeout(20)
        assert len(tried) >= 2 and tried[0] == "/updates" and re.fullmatch(r"/side/[\w-]+/right/updates", tried[1])
        assert said <= {"", "Connecting", "Not connected yet; next attempt in ", "Not connected"}


# Behind Jupyter


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Jupyter under a base URL of Binder's shape; gives its port and the path that logs in."""
    pytest.importorskip("jupyter_server_proxy")
    with jupyter_site(str(tmp_path_factory.mktemp("site"))) as running:
        yield running


@pytest.mark.parametrize("where", ["proxy", "tile"])
def test_the_page_behind_jupyters_proxy(browser, server, site, where):  # noqa: F811
    """By port and as the launcher's tile, all five transports work, and everything goes through Jupyter's site."""
    port, login = site
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(patient(30_000))
        page.watch = Watch(page)
        address = f"http://127.0.0.1:{port}"
        page.goto(address + login)
        page.goto(f"{address}/user/someone/{f'proxy/{server.port}/' if where == 'proxy' else 'wsdemo/'}")
        page.get_by_label("Replay").select_option("3600")
        for pair in (("polling", "websocket"), ("conditional", "sse"), ("polling", "long_polling")):
            for name, chosen in zip(("left", "right"), pair, strict=True):
                page.locator(f".{name} .transport").select_option(chosen)
            now = wait_until(
                page,
                f"s.sides.left.transport === '{pair[0]}' && s.sides.right.transport === '{pair[1]}'"
                " && s.sides.left.heard >= 2 && s.sides.right.heard >= 2",
                30,
            )
            for one in now["sides"].values():
                assert one["lost"] == one["failures"] == 0
        assert page.watch.complaints == []
        assert page.watch.hosts == {f"127.0.0.1:{port}"}
