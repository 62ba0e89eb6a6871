"""The live page's modules: their theory against Python's, what a side counts, and what a new transport needs.

Each module is asked in the browser, by itself and with made-up moments, so that nothing here depends on time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import shutil
import sys

import pytest
from browser import browser, in_background  # noqa: F401 - browser is a fixture
from patience import patient

from wsdemo.live import PAGE, server, sessions
from wsdemo.live.server import LiveServer
from wsdemo.theory import latency_mean, long_poll_latency_mean, long_polls
from wsdemo.transports import TRANSPORTS, polling
from wsdemo.workload import LONG_POLL_TIMEOUT_S, Workload, polls_due

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
            const { Schedule, Walk, predict } = await import("./theory.js");
            const schedule = new Schedule(0);
            schedule.restart(sinceS, moment.intervalS);
            const hadSeq = times.filter((atS) => atS < sinceS).length;
            const walk = new Walk({ sinceS, intervalS: moment.intervalS }, { hadSeq, knownSeq: hadSeq });
            walk.connect(sinceS);
            times.forEach((atS, i) => [schedule, walk].forEach((one) => one.learn(i + 1, atS, moment.delayS)));
            return predict(habit, { schedule, walk, ...moment });
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
    # The page does not choose when its polls begin: it says the mean over all phases, and the package that of its own.
    over_phases = latency_mean(MOMENT["intervalS"], MOMENT["delayS"])
    assert on_page["latency"] == pytest.approx(over_phases if row.habit == "asks" else theory.latency_mean_s)


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


WALKS = """async (cases) => {
    const { Schedule, Walk, predict } = await import("./theory.js");
    return cases.map(({ habit, times, sinceS, intervalS, nowS, hadSeq, askedS, connects }) => {
        const schedule = new Schedule(0);
        schedule.restart(sinceS, intervalS);
        const walk = new Walk({ sinceS, intervalS }, { hadSeq, knownSeq: 0, askedS });
        if (askedS === undefined) {
            walk.connect(sinceS);
        } else {
            walk.connects = 1;
        }
        times.forEach((atS, i) => [schedule, walk].forEach((one) => one.learn(i + 1, atS)));
        return predict(habit, { schedule, walk, nowS, intervalS, ratePerS: 1, delayS: 0 });
    });
}"""


def polled(at_s, since_s, interval_s, now_s, had_seq):
    """The oracle: what each poll at `since + T/2 + k T` brings to a side that has had `had_seq` updates."""
    asked = [since_s + (k + 0.5) * interval_s for k in range(100) if since_s + (k + 0.5) * interval_s <= now_s]
    brought, had = [], had_seq
    for moment in asked:
        there = sum(at <= moment for at in at_s)
        brought.append((moment, at_s[had:there]))
        had = max(had, there)
    waits = [moment - at for moment, news in brought for at in news if at >= since_s]
    wasted = sum(not news for _, news in brought)
    return len(asked), wasted, waits


def test_theory_of_few_polls_knows_their_phase(page):
    """The first polls after any change, late in a run and early: exact, also for what the side lacked before it."""
    cases, expected = [], []
    for seed in range(200):
        chance = random.Random(seed)
        interval_s, since_s = chance.choice([0.1, 1.0, 10.0]), chance.uniform(0, 50)
        times = sorted(chance.uniform(since_s - 3 * interval_s, since_s + 12 * interval_s) for _ in range(seed % 12))
        now_s = since_s + chance.uniform(0, 12) * interval_s
        times = [at for at in times if 0 < at <= now_s]
        had_seq = chance.randint(0, sum(at < since_s for at in times))
        given = {"times": times, "sinceS": since_s, "intervalS": interval_s, "nowS": now_s, "hadSeq": had_seq}
        cases.append({"habit": "asks"} | given)
        expected.append(polled(times, since_s, interval_s, now_s, had_seq))
    for case, found, (requests, wasted, waits) in zip(cases, page.evaluate(WALKS, cases), expected, strict=True):
        assert found["requests"] == requests
        assert found["wasted"] == (pytest.approx(wasted / requests) if requests else None), case
        assert found["latency"] == (pytest.approx(sum(waits) / len(waits)) if waits else None), case
        assert found["worst"] == (pytest.approx(max(waits)) if waits else None), case
    assert sum(requests > 0 for requests, _, _ in expected) > 150


def held(at_s, asked_s, now_s, had_seq):
    """The oracle: one long poll after the other, from the one that was asked at `asked_s`; (requests, timeouts)."""
    requests, timeouts, had = 1, 0, had_seq
    while asked_s <= now_s:
        answered_s = max(at_s[had], asked_s) if had < len(at_s) else math.inf
        if min(answered_s, asked_s + 25) > now_s:
            break
        if answered_s < asked_s + 25:
            asked_s, had = answered_s, sum(at <= answered_s for at in at_s)
        else:
            asked_s, timeouts = asked_s + 25, timeouts + 1
        requests += 1
    return requests, timeouts


def test_theory_of_a_long_poll_goes_on_across_a_change(page):
    """A question that was held when the counting began ends 25 s after it was asked, not after the counting began."""
    cases, expected = [], []
    for seed in range(200):
        chance = random.Random(seed)
        since_s = chance.uniform(30, 50)
        asked_s = since_s - chance.uniform(0, 25) if seed % 2 else None
        now_s = since_s + chance.uniform(0, 150)
        times = sorted(chance.uniform(since_s, now_s) for _ in range(seed % 7))
        given = {"times": times, "sinceS": since_s, "intervalS": 1.0, "nowS": now_s, "hadSeq": 0}
        cases.append({"habit": "held"} | given | ({} if asked_s is None else {"askedS": asked_s}))
        expected.append(held(times, since_s if asked_s is None else asked_s, now_s, 0))
    for case, found, (requests, timeouts) in zip(cases, page.evaluate(WALKS, cases), expected, strict=True):
        assert (found["requests"], found["wasted"]) == (requests, pytest.approx(timeouts / requests)), case
    assert sum(timeouts > 0 for _, timeouts in expected) > 100


def held_cases():
    """Schedules by seed, sparse, dense and in bursts; ways of nothing up to longer than the gaps; many a timeout."""
    for seed in range(60):
        chance = random.Random(seed)
        starts = [chance.uniform(0, 120) for _ in range(seed % 20)]
        size, within_s = chance.choice([(1, 0), (4, 0.05), (3, 0)])
        times = sorted(start + chance.uniform(0, within_s) for start in starts for _ in range(size))
        yield times, chance.choice([0.0, 0.003, 0.05, 0.7]), 125 + chance.uniform(0, 100)


def test_theory_of_long_polls_is_the_packages_walk(page):
    """The same requests, timeouts and mean wait, also where updates share an answer, and once for a wrong delay."""
    wrong = 0
    for times, delay_s, now_s in held_cases():
        found = predicted(page, "held", MOMENT | {"nowS": now_s, "delayS": delay_s}, times)
        walk = long_polls(times, now_s, LONG_POLL_TIMEOUT_S, delay_s, now_s)
        case = times, delay_s, now_s
        assert found["requests"] == walk.requests, case
        assert found["wasted"] == pytest.approx(walk.wasted / walk.requests), case
        assert found["latency"] == pytest.approx(delay_s + (walk.mean_s or 0)), case
        other = long_polls(times, now_s, LONG_POLL_TIMEOUT_S, delay_s / 2, now_s)
        wrong += found["requests"] != other.requests
    assert wrong > 5
    assert found["law"] == pytest.approx(long_poll_latency_mean(MOMENT["ratePerS"], LONG_POLL_TIMEOUT_S, delay_s))


SIDE = """async ([habit, answers]) => {
    const { Side } = await import("./side.js");
    const { numbers } = await import("./numbers.js");
    const { Schedule } = await import("./theory.js");
    const heard = [];
    const run = { epoch: "this", nowS: () => 10 };
    const watcher = { heard: (_, { seq }) => heard.push(seq), asked() {}, changed() {} };
    const side = new Side("left", { habit }, run, watcher);
    side.setTimetable(0, 2, 0);
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
    assert side["expected"]["law"] == 1.25 and side["expected"]["requests"] == 5


def test_nothing_lost_is_counted_as_nothing(page):
    """Several updates in one answer are one request and no gap."""
    side = page.evaluate(SIDE, ["held", [[1, 2, 3], [4]]])
    assert (side["lost"], side["duplicates"], side["wasted"], side["requests"]) == (0, 0, 0, 2)


ACROSS = """async ([habit, steps]) => {
    const { Side } = await import("./side.js");
    const { numbers } = await import("./numbers.js");
    const { Schedule } = await import("./theory.js");
    let nowS = 0;
    const run = { epoch: "this", nowS: () => nowS };
    const watcher = { heard() {}, asked() {}, changed() {} };
    const side = new Side("left", { habit, scheme: "http", hear() {} }, run, watcher);
    side.setTimetable(0, 2, 0);
    let request = null;
    let seq = 0;
    const does = {
        connect: () => side.connect(1),
        disconnect: () => side.disconnect(),
        ask: () => (request = side.asks()),
        open: () => side.opens({ epoch: "this" }),
        fail: () => side.failed(),
        news: () => side.takes([{ seq: (seq += 1), at_s: nowS, data: {} }], habit === "streamed" ? null : request),
        nothing: () => side.takes([], request),
        change: () => side.setTimetable(nowS, 2, seq),
    };
    for (const step of steps.split(" ")) {
        nowS += 1;
        does[step]();
    }
    const schedule = new Schedule(0);
    schedule.restart(0, 2);
    const shown = numbers(side, { schedule, nowS, intervalS: 2, ratePerS: 1, delayS: 0, bytes: 0 });
    const { requests, wasted, judged, updates } = shown.measured;
    return { requests, wasted, judged, updates, failures: side.tally.failures, expected: shown.expected.requests };
}"""


@pytest.mark.parametrize(
    ("habit", "steps", "requests", "wasted", "judged"),
    [
        # A question that is held across a change is in the new count, and so is its answer.
        ("held", "connect ask change news ask", 2, 0, 2),
        ("held", "connect ask nothing ask change nothing ask", 2, 1, 2),
        ("held", "connect ask change change change", 1, 0, 1),
        # A change inside a handshake, and another one: the stream is asked for once.
        ("streamed", "connect ask change open news", 1, 0, 1),
        ("streamed", "connect ask change change open change", 1, 0, 1),
        # A poll on its way belongs to the timetable by which it was made.
        ("asks", "connect ask change nothing", 0, 0, 0),
        ("asks", "connect ask change nothing ask nothing", 1, 1, 1),
        # Of a question that failed nobody knows whether it was wasted; a stream that broke had been answered.
        ("asks", "connect ask fail ask nothing ask news ask fail", 4, 1, 2),
        ("asks", "connect ask change fail ask nothing", 1, 1, 1),
        ("held", "connect ask fail ask news ask", 3, 0, 2),
        ("streamed", "connect ask fail ask open", 2, 0, 1),
        ("streamed", "connect ask open fail ask open", 2, 0, 2),
        # Paused, and on again: it asks anew, and theory knows.
        ("streamed", "connect ask open disconnect connect ask open", 2, 0, 2),
        ("held", "connect ask disconnect connect ask", 2, 0, 2),
    ],
)
def test_counts_are_right_across_a_change(page, habit, steps, requests, wasted, judged):
    """What was asked, what was in vain, and of how many that is known: what the label divides by."""
    found = page.evaluate(ACROSS, [habit, steps])
    assert (found["requests"], found["wasted"], found["judged"]) == (requests, wasted, judged)
    if habit == "streamed" and "fail" not in steps:
        assert found["expected"] == requests


def test_an_update_of_before_the_change_is_not_counted_after_it(page):
    """Heard by the first poll after it, it is no update of the time that is measured."""
    assert page.evaluate(SIDE, ["asks", [[1, 2]]])["measured"]["updates"] == 2
    assert (
        page.evaluate(SIDE.replace("setTimetable(0, 2, 0)", "setTimetable(8.5, 2, 0)"), ["asks", [[1, 2]]])["measured"][
            "updates"
        ]
        == 1
    )


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
        for _ in range(round(patient(200))):
            right = page.evaluate("wsdemo.snapshot().sides.right")
            if right["transport"] == "pigeon" and right["heard"] > 0:
                break
            page.wait_for_timeout(100)
        assert right["transport"] == "pigeon" and right["heard"] > 0 and right["failures"] == 0
        assert right["expected"]["law"] == pytest.approx(0.1, abs=0.05)
        assert page.locator(".right .family").inner_text() == "Pull"
        page.locator("#language").click()
        page.locator("th", has_text="Carrier pigeon").wait_for()


# One module at a time, where no other one runs


@pytest.fixture(scope="module")
def bench(browser):  # noqa: F811
    """A document of the page's own site in which nothing runs, so that a test may stand in for the network."""
    with in_background(LiveServer(speed=600)) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.url + "land.json")
        yield page


def test_the_clock_believes_the_quickest_round_trip(bench):
    """The server met a question in the middle of its trip, and half of the shortest trip is the largest error."""
    clock = bench.evaluate("""async () => {
        const { Clock } = await import("./clock.js");
        const clock = new Clock();
        const learnt = (...moments) => {
            clock.learn(...moments);
            return [clock.best.offset, clock.error];
        };
        return [
            learnt(1000, 6010, 1020), // in the middle: 5,000 ahead, to within 10
            learnt(2000, 7099, 2100), // a slow answer says less
            learnt(3000, 8003, 3006), // a quicker one says more
            learnt(70000, 75090, 70100), // after more than a minute the old ones say nothing
        ];
    }""")
    assert clock == [[5000, 10], [5000, 10], [5000, 3], [5040, 50]]


ASKED = """async (answers) => {
    const { ask } = await import("./asking.js");
    const taken = [];
    const side = {
        seq: 0, ask: () => location.origin + "/updates", opens() {},
        takes(updates, request) {
            taken.push([updates.map(({ seq }) => seq), request]);
            this.seq = updates.at(-1)?.seq ?? this.seq;
        },
    };
    let asked = 0;
    window.fetch = async () => { asked += 1; return new Response(answers.shift()); };
    await ask(side, "url", "a poll", { signal: AbortSignal.timeout(60_000) });
    return { taken, asked };
}"""


def test_a_long_answer_is_asked_on_for_at_once(bench):
    """Part by part, and for no request of the timetable; what brings nothing new, or fails, ends it."""

    def part(*seqs, more=False):
        return json.dumps({"epoch": "e", "updates": [{"seq": seq} for seq in seqs]} | ({"more": True} if more else {}))

    whole = [part(1, 2, more=True), part(3, 4, more=True), part(5)]
    assert bench.evaluate(ASKED, whole) == {"taken": [[[1, 2], "a poll"], [[3, 4], None], [[5], None]], "asked": 3}
    stuck = [part(1, more=True), part(1, more=True), part(2)]
    assert bench.evaluate(ASKED, stuck)["asked"] == 2
    broken = [part(1, more=True), "<h1>Bad gateway</h1>", part(2)]
    assert bench.evaluate(ASKED, broken) == {"taken": [[[1], "a poll"]], "asked": 2}


RUN = """async (config) => {
    const { Run } = await import("./run.js");
    const { Clock } = await import("./clock.js");
    const hear = () => {};
    const transports = config.transports.map((row) => ({ ...row, hear }));
    const run = new Run(config, transports, new Clock());
    run.watcher = { begun() {}, heard() {}, asked() {}, recast() {}, changed() {} };
    const at = (atS) => { run.frozenS = atS; };
    const bytes = (left, right) => run.takeBytes({ sides: {
        left: { bytes_sent: left, bytes_received: 1 }, right: { bytes_sent: right, bytes_received: 2 },
    } });
    const shown = () => {
        const { left, right } = run.numbers();
        return [left.measured.bytes, right.measured.bytes];
    };
    run.begin(config.speed, 0);
    return PLAYED;
}"""
CONFIG = {
    "transports": [{"name": name, "habit": row.habit, "scheme": row.scheme} for name, row in TRANSPORTS.items()],
    "sides": {"left": "polling", "right": "websocket"},
    "speed": 100,
    "interval_s": 2,
    "rate_per_s_at_speed_1": 0.003,
    "week_s": 604_000,
}


def played(bench, script):
    return bench.evaluate(RUN.replace("PLAYED", f"(() => {{{script}}})()"), CONFIG)


def test_the_week_begins_again_after_its_end(bench):
    """What the page says of the moment, and asks for after another speed, lies within the week."""
    assert played(bench, "at(6000); const [a, b] = [run.weekS(), run.weekS(6050)]; return [a, b];") == [
        600_000,
        605_000 - 604_000,
    ]


def test_bytes_are_counted_from_when_the_measuring_began(bench):
    """What was sent before belongs to the numbers before; a new port, which counts from 0, takes nothing away."""
    script = """
        bytes(1000, 500);
        const first = shown();
        run.measureAnew();
        const anew = shown();
        bytes(1300, 600);
        const then = shown();
        run.recast(run.sides.left, "sse");
        const recast = shown();
        delete run.sides.left.port; // it has its new one: here all ports are none
        bytes(40, 700);
        return [first, anew, then, recast, shown()];
    """
    assert played(bench, script) == [[1001, 502], [0, 0], [300, 100], [0, 0], [41, 100]]


TABLE = """async ([nows, limitMs]) => {
    const { Side } = await import("./side.js");
    let nowS = 0;
    const run = { epoch: "this", nowS: () => nowS };
    const watcher = { heard() {}, asked() {}, changed() {} };
    const side = new Side("left", { habit: "asks" }, run, watcher);
    side.setTimetable(0, 2);
    const due = [];
    for (const now of nows) {
        nowS = Math.abs(now);
        const dueS = await side.nextPoll(AbortSignal.timeout(limitMs));
        const request = side.asks(dueS);
        if (now < 0) {
            side.unasked(request);
        }
        due.push(dueS);
    }
    return { due, requests: side.tally.requests };
}"""


def test_a_sleep_is_followed_by_one_poll_and_not_by_a_burst(bench):
    """At T/2 + k T: a late poll keeps its due time; of those that are whole intervals late the last is made."""
    made = bench.evaluate(TABLE, [[1.0, 3.5, 20.9, 21.0], patient(5000)])
    assert made == {"due": [1, 3, 19, 21], "requests": 4}


def test_a_poll_that_a_control_cut_off_is_made_when_the_run_goes_on(bench):
    """It is taken back from the tally, and from the timetable."""
    made = bench.evaluate(TABLE, [[1.0, -3.0, 3.2, 5.0], patient(5000)])
    assert made == {"due": [1, 3, 3, 5], "requests": 3}


def test_what_waited_under_other_rules_is_in_no_mean(bench):
    """An update from before the counting is heard, and counted as heard; its latency belongs to the interval before."""
    tally = bench.evaluate("""async () => {
        const { Side } = await import("./side.js");
        const nothing = { heard() {}, asked() {}, changed() {} };
        const side = new Side("left", { habit: "asks" }, { epoch: "this", nowS: () => 10 }, nothing);
        side.setTimetable(8, 2);
        side.takes([1, 7.9, 8, 9.5].map((at_s, i) => ({ seq: i + 1, at_s, data: {} })), side.asks(9));
        return side.tally;
    }""")
    assert (tally["heard"], tally["timed"]) == (4, 2)
    assert (tally["latencySumS"], tally["latencyWorstS"]) == (2.5, 2)


def test_polls_that_were_due_and_not_made_are_said_of_who_polls(bench):
    """Of ten intervals' polls three were made; whoever is streamed to has no timetable to miss."""
    missed = bench.evaluate("""async () => {
        const { Side } = await import("./side.js");
        const { numbers } = await import("./numbers.js");
        const { Schedule } = await import("./theory.js");
        const nothing = { heard() {}, asked() {}, changed() {} };
        const schedule = new Schedule(0);
        schedule.restart(0, 2);
        return ["asks", "held", "streamed"].map((habit) => {
            const side = new Side("left", { habit }, { epoch: "this", nowS: () => 20 }, nothing);
            [1, 3, 5].forEach((atS) => side.takes([], side.asks(atS)));
            const moment = { schedule, nowS: 20, intervalS: 2, ratePerS: 1, delayS: 0, bytes: 0 };
            return numbers(side, moment).notMade;
        });
    }""")
    assert missed == [7, 0, 0]


def test_waits_grow_are_jittered_and_bounded(bench):
    """As the package's: soon at first, then double each time up to ten seconds, and no two pages alike."""
    waits = bench.evaluate("""async () => {
        const { backoff } = await import("./waits.js");
        return [0, 1, 2, 5, 6, 2000].map((attempt) => Array.from({ length: 50 }, () => backoff(attempt)));
    }""")
    for longest, drawn in zip((250, 250, 500, 4000, 8000, 10_000), waits, strict=True):
        assert 0 <= min(drawn) < longest / 2 < max(drawn) <= longest
        assert len(set(drawn)) > 40


def test_a_page_spreads_as_the_server_says(bench):
    """What is said in a position or beside an update; nonsense is not heard. A first attempt is soon all the same."""
    told, drawn = bench.evaluate("""async () => {
        const { Side } = await import("./side.js");
        const { backoff } = await import("./waits.js");
        const nothing = { heard() {}, asked() {}, changed() {} };
        const side = new Side("left", { habit: "streamed" }, { epoch: "this", nowS: () => 20 }, nothing);
        const told = [side.spreadS];
        side.opens({ epoch: "this", seq: 0, recovered: true, spread_s: 4 });
        for (const spread_s of [undefined, "x", -1, 1e9, 2]) {
            side.takes([{ seq: 0, at_s: 0, data: {}, spread_s }]);
            told.push(side.spreadS);
        }
        return [told, [0, 1, 2, 9].map((attempt) => Array.from({ length: 50 }, () => backoff(attempt, 4)))];
    }""")
    assert told == [0, 4, 4, 4, 4, 2]
    for longest, waits in zip((400, 4000, 8000, 10_000), drawn, strict=True):
        assert longest / 2 < max(waits) <= longest


def test_land_across_the_date_line_is_drawn_at_both_edges(bench):
    """A ring that jumps from 180 to -180 degrees goes on beyond the edge; no line crosses the whole map."""
    rings = bench.evaluate("""async () => {
        const { unrolled } = await import("./map.js");
        const across = [[170, 0], [-175, 1], [-170, 2], [175, 3], [170, 0]];
        return [unrolled(across), unrolled([[10, 0], [20, 1], [10, 0]])];
    }""")
    middle = [[170, 0], [185, 1], [190, 2], [175, 3], [170, 0]]
    assert rings[0] == [[[x + shift, y] for x, y in middle] for shift in (-360, 0, 360)]
    assert rings[1] == [[[10, 0], [20, 1], [10, 0]]]


def test_an_axis_has_steps_of_one_two_or_five_and_no_more_than_four(bench):
    """From fractions of a millisecond to minutes."""
    most = [0.004, 0.0041, 0.5, 0.79, 0.81, 1, 3.9, 4, 4.1, 17, 90]
    steps = bench.evaluate('async (most) => most.map((await import("./chart.js")).niceStep)', most)
    for high, step in zip(most, steps, strict=True):
        assert 1.6 - 1e-9 <= high / step <= 4 + 1e-9
        assert f"{step:.0e}"[0] in "125"


def test_amounts_are_written_in_the_unit_that_suits_them(bench):
    """kB and MB are of a thousand, as the table's other numbers are decimal; times as in the package's words."""
    written = bench.evaluate("""async () => {
        const { Texts } = await import("./texts.js");
        const texts = new Texts("en");
        return [
            [0, 999, 1000, 12_345, 999_999, 1e6, 2_500_000].map((count) => texts.bytes(count)),
            [0, 0.00994, 0.00996, 0.25, 0.9994, 0.9996, 9.99, 10, 99.9, 100].map((time) => texts.duration(time)),
            [30, 60, 90, 3600].map((span) => texts.span(span)),
        ];
    }""")
    plain = [[text.replace("\u202f", " ") for text in texts] for texts in written]
    assert plain[0] == ["0 B", "999 B", "1 kB", "12.3 kB", "1,000 kB", "1 MB", "2.5 MB"]
    assert plain[1] == [
        *("0.0 ms", "9.9 ms", "10 ms", "250 ms", "999 ms"),
        *("1.00 s", "9.99 s", "10.0 s", "99.9 s", "100 s"),
    ]
    assert plain[2] == ["30 seconds", "1 minute", "1.5 minutes", "1 hour"]


def test_a_session_that_nobody_wants_any_more_is_ended(bench):
    """Something else was wanted while it was being opened: the server is told, and the page is not."""
    said = bench.evaluate("""async () => {
        const { Session } = await import("./session.js");
        const said = [];
        const { fetch } = globalThis;
        navigator.sendBeacon = (address) => said.push(`goodbye: ${address}`);
        globalThis.fetch = async ({ url }) => {
            const about = { now_ms: 0, id: "its-id", epoch: "e", t0_ms: 0, ports: {} };
            if (url.endsWith("/session")) {
                session.close(); // while the answer is on its way
            }
            return new Response(JSON.stringify(about));
        };
        const watcher = { wanted: () => ({}), opened: () => said.push("opened"), unreachable() {}, refused() {} };
        const session = new Session({ learn() {} }, watcher);
        try {
            session.keep();
            for (let turn = 0; turn < 100 && said.length === 0; turn += 1) {
                await new Promise((resolve) => setTimeout(resolve, 10));
            }
            return said;
        } finally {
            globalThis.fetch = fetch;
            delete navigator.sendBeacon;
        }
    }""")
    assert said == ["goodbye: session/its-id/end"]


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (503, '{"error": "full"}', "Refused"),
        (502, '{"error": 502}', "NoAnswer"),
        (502, "{}", "NoAnswer"),
        (502, "<h1>Bad gateway</h1>", "NoAnswer"),
        (200, '{"seq": 1}', "NoAnswer"),
    ],
)
def test_only_the_servers_own_sentence_is_its_no(bench, status, body, name):
    """A proxy may answer in its place, in JSON too: that is trouble with the line, and tried again as such."""
    thrown = bench.evaluate(
        """async ([status, body]) => {
        const net = await import("./net.js");
        const { fetch } = globalThis;
        globalThis.fetch = async () => new Response(body, { status });
        try {
            await net.askJson("session", ["id"]);
        } catch (error) {
            return [error.constructor.name, error instanceof net.Trouble];
        } finally {
            globalThis.fetch = fetch;
        }
    }""",
        [status, body],
    )
    assert thrown == [name, True]


def test_a_long_poll_is_waited_for_longer_than_the_server_holds_it(bench):
    """Whoever gave up in the same moment would take every quiet minute for a fault of the line."""
    patience_ms, held_s = bench.evaluate("""async () => {
        const { hear } = await import("./transports/long_polling.js");
        const { LONG_POLL_TIMEOUT_S } = await import("./theory.js");
        const { timeout } = AbortSignal;
        const { fetch } = globalThis;
        const limits = [];
        AbortSignal.timeout = (ms) => {
            limits.push(ms);
            return timeout.call(AbortSignal, ms);
        };
        const leaving = new AbortController();
        globalThis.fetch = async () => {
            leaving.abort();
            return new Response('{"epoch": "e", "updates": []}');
        };
        try {
            const side = { asks: () => ({}), ask: (url) => url, opens() {}, takes() {}, failed: () => 0 };
            await hear(side, new URL("updates", location), leaving.signal);
            return [limits[0], LONG_POLL_TIMEOUT_S];
        } finally {
            AbortSignal.timeout = timeout;
            globalThis.fetch = fetch;
        }
    }""")
    assert held_s == LONG_POLL_TIMEOUT_S
    assert patience_ms > 1.5 * 1000 * held_s


@pytest.mark.parametrize(("readied", "leaves", "closed"), [(0, True, [0, 1]), (1, True, [1, 1]), (0, False, [1, 1])])
def test_a_socket_that_is_left_while_it_opens_is_closed_once_it_is_open(page, readied, leaves, closed):
    """A browser warns of a handshake that is cut short; one that never ends is cut short all the same."""
    counts = page.evaluate(
        """async ([readied, leaves]) => {
            const { hear } = await import("./transports/websocket.js");
            const own = window.WebSocket;
            let made, closed = 0;
            window.WebSocket = class {
                static CONNECTING = 0;
                readyState = readied;
                constructor() { made = this; }
                close() { closed += 1; }
            };
            const control = new AbortController();
            const side = { asks() {}, ask: (url) => url, failed: () => 60 };
            const heard = hear(side, "ws://localhost/", control.signal);
            if (!leaves) {
                made.onclose();
                await new Promise((resolve) => setTimeout(resolve));
            }
            const before = leaves ? (control.abort(), await heard, closed) : closed;
            made.onopen?.();
            control.abort();
            window.WebSocket = own;
            return [before, closed];
        }""",
        [readied, leaves],
    )
    assert counts == closed
