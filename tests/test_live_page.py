"""The live page's modules: their theory against Python's, what a side counts, and what a new transport needs.

Each module is asked in the browser, by itself and with made-up moments, so that nothing here depends on time.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys

import pytest
from browser import browser, in_background  # noqa: F401 - browser is a fixture

from wsdemo.live import PAGE, server, sessions
from wsdemo.live.server import LiveServer
from wsdemo.transports import TRANSPORTS, polling
from wsdemo.workload import Workload, polls_due

MODULES = sorted(PAGE.rglob("*.js"))
NAMES = re.compile(rf"\b({'|'.join(TRANSPORTS)})\b")


# What is written where


def without_comments(text: str) -> str:
    """Return a module's code. It writes no URL and no "//" in a text, so what looks like a comment is one."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def test_no_module_but_its_own_file_knows_a_transport_by_name():
    """What is said and drawn of a transport follows from its row; only the labels of other languages go by name."""
    assert len(MODULES) > 20
    for path in MODULES:
        code = without_comments(path.read_text(encoding="utf-8"))
        if path.name == "texts.js":
            code, labels = re.subn(r"labels: \{.*?\}", "", code, flags=re.DOTALL)
            assert labels == 1
        if path.parent.name != "transports":
            assert NAMES.findall(code) == [], path.name


def test_no_file_is_named_after_a_transport_that_does_not_exist():
    """A misspelt name would only take a transport off the page's lists, and nobody would be told."""
    assert {path.stem for path in (PAGE / "transports").iterdir()} <= set(TRANSPORTS)


def test_the_pages_colours_stand_in_one_place():
    """In style.css, and those of the transports in the registry; elsewhere only the icon, and black and white."""
    for path in PAGE.rglob("*.*"):
        if path.name in ("style.css", "icon.svg"):
            continue
        found = re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(\d|\bhsla?\(\d", without_comments(path.read_text("utf-8")))
        assert set(found) <= {"#000000", "#ffffff"}, path.name
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    palette = style[style.index(":root {") : style.index("}", style.index(":root {"))]
    assert palette.count("light-dark(") > 8
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", style.replace(palette, "")) == []


# Theory and counts


@pytest.fixture(scope="module")
def page(browser):  # noqa: F811
    with in_background(LiveServer(speed=600)) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.url)
        yield page


MOMENT = {"nowS": 130.0, "intervalS": 2.0, "ratePerS": 0.04, "delayS": 0.003}
TIMES = [3.0, 3.4, 40.0, 41.0, 100.0]
"""Two within an interval; gaps without, with one and with two timeouts of a long poll."""


def predicted(page, habit, moment=MOMENT, times=TIMES, since_s=0.0):
    return page.evaluate(
        """async ([habit, moment, times, sinceS]) => {
            const { Schedule, predict } = await import("./theory.js");
            const schedule = new Schedule(0);
            schedule.restart(sinceS, moment.intervalS);
            times.forEach((atS, i) => schedule.learn(i + 1, atS));
            return predict(habit, schedule, moment);
        }""",
        [habit, moment, times, since_s],
    )


@pytest.mark.parametrize("name", TRANSPORTS)
def test_the_pages_theory_is_the_packages(page, name):
    """Requests, wasted share and mean latency of one client, by the same schedule; the timeout is the same too."""
    row = TRANSPORTS[name]
    on_page = predicted(page, row.habit)
    work = Workload(tuple(TIMES), MOMENT["ratePerS"], MOMENT["nowS"], MOMENT["intervalS"], clients=1)
    theory = row.predict(work, MOMENT["delayS"])
    assert on_page["requests"] == theory.requests
    assert on_page["wasted"] == pytest.approx(theory.wasted_fraction)
    assert on_page["poisson"] == pytest.approx(theory.wasted_fraction_poisson)
    assert on_page["latency"] == pytest.approx(theory.latency_mean_s)


def test_theory_of_one_run_in_numbers(page):
    """By hand: 65 polls, long polls for 5 updates and 4 timeouts, one stream; the worst waits T + d, 3 d, unknown."""
    asks, held, streamed = (predicted(page, habit) for habit in ("asks", "held", "streamed"))
    assert (asks["requests"], held["requests"], streamed["requests"]) == (65, 10, 1)
    assert asks["worst"] == pytest.approx(2.003) and asks["latency"] == pytest.approx(1.003)
    assert held["worst"] == pytest.approx(0.009) and held["latency"] == pytest.approx(0.003)
    assert streamed["worst"] is None and streamed["latency"] == pytest.approx(0.003)
    assert held["wasted"] == pytest.approx(4 / 10) and streamed["wasted"] == 0
    assert asks["wasted"] == pytest.approx(1 - (0.4 + 2 + 1 + 2 + 2) / 130)


def test_theory_counts_from_when_the_measuring_began(page):
    """What happened before is in no prediction: 89.5 s, two updates, three timeouts of a long poll."""
    later = predicted(page, "asks", since_s=40.5)
    assert later["requests"] == polls_due(1, 2.0, 89.5) == 45
    assert later["wasted"] == pytest.approx(1 - (2 + 2) / 89.5)
    assert predicted(page, "held", since_s=40.5)["requests"] == 1 + 2 + 3


@pytest.mark.parametrize("elapsed_s", [0, 0.9, 1.0, 1.1, 3.0, 59.99, 1000.3])
@pytest.mark.parametrize("interval_s", [0.3, 2.0, 7.0])
def test_polls_due_are_the_packages(page, elapsed_s, interval_s):
    """At T/2 + k T, before the moment asked for; a poll that is due at this very moment may be counted or not."""
    asking = 'async ([elapsed, T]) => (await import("./theory.js")).pollsDue(elapsed, T)'
    due = page.evaluate(asking, [elapsed_s, interval_s])
    assert polls_due(1, interval_s, elapsed_s) <= due <= polls_due(1, interval_s, elapsed_s + 1e-9)


SIDE = """async ([habit, answers]) => {
    const { Side } = await import("./side.js");
    const { numbers } = await import("./numbers.js");
    const { Schedule } = await import("./theory.js");
    const heard = [];
    const run = { epoch: "this", nowS: () => 10 };
    const watcher = { heard: (_, { seq }) => heard.push(seq), asked() {}, changed() {} };
    const side = new Side("left", { habit }, run, watcher);
    side.setTimetable(0, 2);
    for (const seqs of answers) {
        side.takes(seqs.map((seq) => ({ seq, at_s: 10 - seq, data: {} })), side.asks(9));
    }
    const schedule = new Schedule(0);
    schedule.restart(0, 2);
    const moment = { schedule, nowS: 10, intervalS: 2, ratePerS: 1, delayS: 0.25, bytes: 0 };
    return { seqs: heard, seq: side.seq, lost: side.lost, ...side.tally, ...numbers(side, moment) };
}"""


def test_a_gap_in_the_numbers_is_lost_and_a_repetition_is_wasted(page):
    """Of 1 to 6, two never came, one came twice; the latencies of the others are summed, the worst one is kept."""
    side = page.evaluate(SIDE, ["asks", [[1, 2, 5], [5], [], [6]]])
    assert side["seqs"] == [1, 2, 5, 6] and side["seq"] == 6
    assert side["lost"] == side["measured"]["lost"] == 2 and side["expected"]["lost"] == 0
    assert side["duplicates"] == 1
    assert (side["requests"], side["answered"], side["wasted"]) == (4, 4, 2)
    assert side["measured"]["share"] == 0.5
    assert side["measured"]["latency"] == (1 + 2 + 5 + 6) / 4 and side["measured"]["worst"] == 6
    assert side["expected"]["worst"] == 2.25 and side["expected"]["latency"] == 1.25


def test_nothing_lost_is_counted_as_nothing(page):
    """Several updates in one answer are one request and no gap."""
    side = page.evaluate(SIDE, ["held", [[1, 2, 3], [4]]])
    assert (side["lost"], side["duplicates"], side["wasted"], side["requests"]) == (0, 0, 0, 2)


def test_a_side_takes_no_other_run_for_its_own(page):
    """A port may have been given to somebody else: that is trouble with the line, and no fault of the page."""
    assert page.evaluate("""async () => {
        const { Side } = await import("./side.js");
        const { NoAnswer } = await import("./net.js");
        const nothing = { heard() {}, asked() {}, changed() {} };
        const side = new Side("left", { habit: "asks" }, { epoch: "this", nowS: () => 0 }, nothing);
        side.opens({ epoch: "this" });
        try {
            side.opens({ epoch: "another" });
        } catch (error) {
            return error instanceof NoAnswer && side.state.kind === "open";
        }
    }""")


def test_a_fault_is_said_at_once_and_before_all_else(page):
    """Without waiting for a frame, since what draws may be what is broken; only the first is said, and for good."""
    said = page.evaluate("""async () => {
        const { Note } = await import("./note.js");
        const note = new Note(document.createElement("p"));
        const said = [];
        const show = (otherwise) => {
            note.show(otherwise);
            said.push(note.node.textContent);
        };
        show("nothing else");
        note.say(() => "over", -1);
        show("nothing else");
        note.say(() => "the network");
        show("nothing else");
        note.fault(new Error("the first"));
        said.push(note.node.textContent);
        note.fault(new Error("the second"));
        note.say(() => "the network");
        show("nothing else");
        return said;
    }""")
    assert said[:3] == ["nothing else", "nothing else", "the network"]
    assert all("fault of its own: the first." in text for text in said[3:]) and len(said) == 5


# A transport more


@pytest.fixture
def pigeon(tmp_path, monkeypatch):
    """A sixth transport: a file in Python (that of polling), a file of the page, and a row. Nothing else is touched."""
    shutil.copytree(PAGE, tmp_path / "page")
    shutil.copy(PAGE / "transports" / "polling.js", tmp_path / "page" / "transports" / "pigeon.js")
    for module in (server, sessions):
        monkeypatch.setattr(module, "PAGE", tmp_path / "page")
    monkeypatch.setitem(sys.modules, "wsdemo.transports.pigeon", polling)
    row = dataclasses.replace(TRANSPORTS["polling"], name="pigeon", label="Carrier pigeon", colour="#009E73")
    monkeypatch.setitem(TRANSPORTS, "pigeon", row)


def test_a_new_transport_needs_a_file_and_a_row(browser, pigeon):  # noqa: F811
    """It can be chosen on either side, hears, is predicted by its habit, and has a name in every language."""
    with in_background(LiveServer(speed=1200, interval_s=0.2)) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.url)
        page.locator(".right .transport").select_option("pigeon")
        page.locator(".right .last-text", has_text="heard").wait_for()
        right = page.evaluate("wsdemo.snapshot().sides.right")
        assert right["transport"] == "pigeon" and right["heard"] > 0 and right["failures"] == 0
        assert right["expected"]["latency"] == pytest.approx(0.1, abs=0.05)
        assert page.locator(".right .family").inner_text() == "Pull"
        page.locator("#language").click()
        page.locator("th", has_text="Carrier pigeon").wait_for()
