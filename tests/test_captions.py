"""What figures say in words: whole sentences that state the numbers of the data, for few runs, for many, for none."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from ideal import ALL, compared, made, sweep, unheard

import wsdemo.plots
from wsdemo import plots
from wsdemo.plots import captions, captions_line, quantities
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import catalogue

WEEK = [data for _, data in catalogue()]
RUNS = {
    "none heard": [unheard(), unheard("websocket")],
    "one run": [made()],
    "one push": [made("websocket")],
    "two runs": [made(), made("websocket")],
    "one of two heard": [made(), unheard("websocket")],
    "one client, one update": [made(clients=1, at_s=(2.0,)), made("sse", clients=1, at_s=(2.0,))],
    "five transports": [made(name) for name in ALL],
    "many runs of one transport": [made(interval_s=interval_s) for interval_s in (0.1, 0.2, 0.5, 1.0)],
}


def quake(magnitude=5.0, depth_km=10.0):
    return {"magnitude": magnitude, "depth_km": depth_km, "place": "somewhere"}


def by_depth(events):
    deep = sum(e["depth_km"] >= 70 for e in events)
    return [(0.0, 70.0, len(events) - deep), (70.0, float("inf"), deep)]


def split(runs):
    heard = quantities.heard(runs)
    return [m for m in heard if quantities.pulls(m)], [m for m in heard if not quantities.pulls(m)]


SAID = {
    "overview": lambda runs: captions.overview(runs, 0, 4.0),
    "timeline": lambda runs: captions.timeline(runs, 0, 4.0),
    "latencies": lambda runs: captions.latencies(runs, 0.25),
    "bytes_per_delivery": captions.bytes_per_delivery,
    "wasted_curve": lambda runs: captions.wasted_curve(runs, *quantities.week()),
    "latency_curve": lambda runs: captions.latency_curve(runs, 0.0001),
    "load_curve": captions.load_curve,
    "cost_staleness": lambda runs: captions.cost_staleness(*split(runs), 2.0),
    "memory_per_connection": lambda runs: captions.memory_per_connection(
        list(range(len(runs))), [30 << 20] * len(runs), None if len(runs) == 1 else 16.0, "connection"
    ),
    "storm": lambda runs: captions_line.storm({m.label: 12 for m in runs}, 200, 0.1),
    "silences": lambda runs: captions_line.silences(200, 31_234, {m.label: 4 for m in runs}, 0.93),
    "heartbeat_cost": lambda runs: captions_line.heartbeat_cost([(0.6, 1120.0)] * len(runs), 40.2, 19.4, 0.5),
    "earthquake_map": lambda runs: captions.earthquake_map(WEEK[: len(runs) - 1], by_depth(WEEK[: len(runs) - 1])),
}


def changed(m, **changes):
    return dataclasses.replace(m, **changes)


# --- every figure's words ---------------------------------------------------------------------------------------------


SPEAKERS = (captions, captions_line)


def functions(returning):
    """Return the functions of the captions that return this, by name."""
    own = {
        name: f
        for module in SPEAKERS
        for name, f in vars(module).items()
        if inspect.isfunction(f) and f.__module__ == module.__name__
    }
    return {name for name, f in own.items() if f.__annotations__["return"] == returning and not name.startswith("_")}


def test_every_figure_has_its_function_and_every_function_its_figure():
    """And each of them is tested here, with no run heard, one, two and many."""
    assert functions(returning="Words") == SAID.keys()
    assert functions(returning="Words") == {name for name in dir(plots) if inspect.isfunction(getattr(plots, name))}
    assert FIGURES.keys() >= SAID.keys()


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("runs", RUNS)
def test_words_are_whole_sentences(name, runs):
    """They begin with a capital or a number, end with a full stop, and have neither a hole nor a NaN in them."""
    said = SAID[name](RUNS[runs])
    for text in (said.caption, said.alt):
        assert re.fullmatch(r"[A-Z\d].*[A-Za-z\d%)]\.", text), text
        assert not re.search(
            r"nan\b|inf\b|  |None|[,;:] ?[,;:.]| \.|\(\)|\b1 (clients|events|runs)|[{}]|\d[eE]-?\d", text
        ), text


# --- a comparison -----------------------------------------------------------------------------------------------------


def test_the_overview_says_what_was_measured_and_then_what_theory_says():
    """The wasted share of the run and the predicted one do not change places, in the caption nor in the alt text."""
    run = made()
    run = changed(run, wasted=run.wasted + 9)
    assert (run.requests, run.wasted) == (32, 24)
    said = captions.overview([run], 0, 4.0)
    predicted = f"{run.predicted.wasted_fraction:.1%}"
    assert predicted != "75.0%"
    assert f"Polling every 500 ms wasted 75.0% of its 32 requests (theory: {predicted}) and heard news" in said.caption
    assert f"Polling: 75.0% of 32 requests wasted (theory {predicted}), median latency" in said.alt


def test_the_overview_names_the_worst_poll_and_every_push():
    """One who polls is enough to see the waste; those who push are counted together."""
    worse = changed(made("conditional"), wasted=30)
    late, wasteful = made("websocket", push_s=0.004), changed(made("long_polling"), wasted=1200)
    said = captions.overview([made(), worse, made("sse"), late, wasteful], 0, 4.0).caption
    assert said.startswith("4 clients, 5 updates. Polling with ETag every 500 ms wasted 93.8% of its 32 requests ")
    assert said.endswith(
        "Server-sent events, WebSocket and Long polling wasted 1,200 and heard news 2 ms to 4 ms after the event on "
        "average."
    )
    assert "and heard news 2 ms after" in captions.overview([made("sse"), unheard("websocket")], 0, 4.0).caption


def test_the_overview_says_that_nothing_was_heard():
    """There is no latency then, and nothing to divide the bytes by."""
    said = captions.overview(RUNS["none heard"], 0, 4.0)
    assert said.caption == (
        "4 clients, 0 updates. Polling every 500 ms wasted 100% of its 32 requests (theory: 100%) and heard nothing; "
        "WebSocket wasted none and heard nothing."
    )
    assert said.alt.endswith(
        "Polling: 100% of 32 requests wasted (theory 100%), no delivery; "
        "WebSocket: 0% of 4 requests wasted (theory 0%), no delivery."
    )


def test_one_is_not_many():
    """One client, one update, one event."""
    runs = RUNS["one client, one update"]
    assert captions.overview(runs, 0, 4.0).caption.startswith("1 client, 1 update. ")
    assert (
        "with 1 update. Polling: 8 polls, 7 wasted, 1 update heard after 250 ms" in captions.timeline(runs, 0, 4.0).alt
    )
    assert "for 1 client, " in captions.load_curve(runs).caption
    assert captions.earthquake_map([quake()], by_depth([quake()])).caption.startswith("1 event, 1 of magnitude 4.5")


def test_the_timeline_says_how_much_of_the_run_it_shows():
    """And counts only what it shows: polls and updates before that moment."""
    runs = RUNS["two runs"]
    assert captions.timeline(runs, 0, 4.0).caption == (
        "Client 0 of 4, the same updates for each. Polling: 4 of 8 polls wasted, 5 of 5 updates heard, 170 ms old on "
        "average; WebSocket: 5 of 5 updates heard, 2 ms old on average."
    )
    part = captions.timeline(runs, 0, 0.5)
    assert part.caption.startswith("The first 500 ms. Client 0 of 4, ")
    assert "Polling: 1 of 1 polls wasted, 1 of 1 updates heard, 252 ms old on average;" in part.caption
    assert part.alt.startswith(
        "A timeline of client 0 over 500 ms with 1 update. Polling: 1 polls, 1 wasted, 1 update "
    )
    quiet = captions.timeline(RUNS["none heard"], 0, 4.0)
    assert quiet.caption.endswith(
        "Polling: 8 of 8 polls wasted, 0 of 0 updates heard; WebSocket: 0 of 0 updates heard."
    )
    assert quiet.alt.endswith("Polling: 8 polls, 8 wasted, 0 updates heard. WebSocket: 0 updates heard.")


def heard_after(transport, *latency_s):
    return changed(made(transport), latency_s=np.array(latency_s))


def test_latencies_compare_the_slowest_with_the_fastest():
    """By their medians; a ratio of ten or more needs no decimals, and runs within 3 % of the slowest are as slow."""
    polling, push = heard_after("polling", 0.2, 0.25, 0.3), heard_after("websocket", 0.002)
    assert (
        captions.latencies([polling], 0.25).caption
        == "Polling: half of the news is heard within 250 ms (T/2 = 250 ms)."
    )
    assert captions.latencies([push, polling], 0.25).caption == (
        "Polling: half of the news is heard within 250 ms (T/2 = 250 ms); WebSocket: half within 2 ms, 125 times as "
        "soon."
    )
    near = heard_after("sse", 0.1)
    assert captions.latencies([polling, near], 0.25).caption.endswith(
        "Server-sent events: half within 100 ms, 2.5 times as soon."
    )
    equal = heard_after("conditional", 0.251)
    assert captions.latencies([polling, equal, push], 0.25).caption.startswith("Polling: half of the news")
    assert captions.latencies([equal, polling, push], 0.25).caption.startswith("Polling with ETag: half of the news")
    assert "95% within 295 ms" in captions.latencies([polling], 0.25).alt


def test_latencies_say_who_heard_nothing():
    """Among others that did, and where none did."""
    assert (
        captions.latencies(RUNS["none heard"], 0.25).caption == "No update was heard, so there is no latency to draw."
    )
    assert captions.latencies(RUNS["one of two heard"], 0.25).alt.endswith("; WebSocket: no delivery.")
    assert "WebSocket" not in captions.latencies(RUNS["one of two heard"], 0.25).caption


def test_bytes_compare_the_heaviest_with_the_lightest():
    """Those that heard nothing have no bytes per delivery."""
    two = captions.bytes_per_delivery(RUNS["two runs"])
    assert two.caption == (
        "Polling: 900 bytes for each update that a client hears, 4.5 times as many as WebSocket (200). Payload of TCP, "
        "connections' opening included."
    )
    assert two.alt == (
        "Bars of bytes per delivery. Polling: 580 to and 320 from clients, 900 in all; WebSocket: 160 to and 40 from "
        "clients, 200 in all."
    )
    for alone in ("one run", "one of two heard"):
        assert captions.bytes_per_delivery(RUNS[alone]).caption.startswith(
            "Polling: 900 bytes for each update that a client hears. Payload"
        )
    assert captions.bytes_per_delivery(RUNS["one of two heard"]).alt.endswith("; WebSocket: no delivery.")
    assert captions.bytes_per_delivery(RUNS["none heard"]).caption.startswith(
        "No update was heard, so there is nothing"
    )


# --- a sweep ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intervals_s", "sentence"),
    [
        ((0.5,), "the one run lies within {} percentage points of the prediction given its schedule;"),
        ((0.5, 1.0), "both runs lie within {} percentage points of the prediction given their schedule;"),
        ((0.1, 0.5, 1.0), "all 3 runs lie within {} percentage points of the prediction given their schedule;"),
    ],
)
def test_the_wasted_curve_counts_its_runs_and_names_the_worst(intervals_s, sentence):
    """One run, both, all three: each with the words that belong to it."""
    runs = sweep(*intervals_s)
    runs[0] = changed(runs[0], wasted=runs[0].wasted - 8)
    off = abs(runs[0].wasted_fraction - runs[0].predicted.wasted_fraction) * 100
    said = captions.wasted_curve(runs, 0.1694, 0.844)
    assert sentence.format(f"{off:.1f}") in said.caption
    assert "asked once a minute (0.169 updates an interval) wastes 84.4% where exp(-λT) says 84.4%." in said.caption
    measured, predicted = f"{runs[0].wasted_fraction:.1%}", f"{runs[0].predicted.wasted_fraction:.1%}"
    assert f"{measured} measured, {predicted} predicted" in said.alt


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        (sweep(0.5), ": the one run lies within "),
        (sweep(0.5, 1.0), ": both runs lie within "),
        (sweep(0.1, 0.5, 1.0), ": all 3 runs lie within "),
        ([made("websocket")], "; no poll here heard any."),
        ([unheard()], "; no poll here heard any."),
    ],
)
def test_the_latency_curve_counts_the_polls_that_heard_something(runs, sentence):
    """Those who are pushed to are not asked every T, so the line is not theirs."""
    said = captions.latency_curve(runs, 0.0001)
    law = "Asked every T, news is T/2 + d old on average when it is heard (d = 0.1 ms)"
    assert said.caption.startswith(law + sentence)
    if not quantities.heard(runs):
        assert said.alt.endswith("with the line T/2 + d. No deliveries.")


def test_the_latency_curve_says_how_far_the_worst_mean_is_off():
    """In per cent of the latency that theory gives for its own interval and delay."""
    runs = sweep(0.5, 1.0)
    runs[1] = changed(runs[1], latency_s=np.full(20, 0.75))
    said = captions.latency_curve(runs, 0.0001)
    assert f"both runs lie within {0.75 / 0.5001 - 1:.1%} of that." in said.caption
    assert (
        f"T = 1 s: mean 750 ms, 95th percentile 750 ms, theory {1e3 * runs[1].predicted.latency_mean_s:.0f} ms"
        in said.alt
    )


def test_the_load_curve_names_who_asks_most_and_who_asks_least():
    """Each with its clients and its CPU; alone, one is both."""
    one = captions.load_curve([made(clients=40)])
    assert one.caption == "Polling: 80 requests a second for 40 clients, 0.0142 of a core."
    assert one.alt.endswith("Polling with 40 clients: 80 requests per second (theory 80), 0.0142 cores.")
    middle = changed(made("conditional", clients=40), polls=made("conditional", clients=40).polls[:20])
    many = captions.load_curve([middle, made(clients=40), made("websocket", clients=1000)])
    assert many.caption == (
        "Polling: 80 requests a second for 40 clients, 0.0142 of a core; "
        "WebSocket: 0 requests a second for 1,000 clients, 0.0444 of a core."
    )
    assert many.alt.count("requests per second (theory") == 3


def test_cost_names_the_poll_nearest_the_rate_and_the_quickest_push():
    """And where the two cross; with neither, only that."""
    polls, pushes = sweep(0.1, 0.5, 2.0), [made("sse", push_s=0.004), made("websocket")]
    where = "equests are fewer than updates only where news may be older than 250 ms on average (T above 1/λ)."
    poll, push = (
        "Polling every 500 ms: 2 requests per second and client, news ",
        "WebSocket: 1.25 messages, news 2 ms old; ",
    )
    both = captions.cost_staleness(polls, pushes, 2.0)
    assert both.caption.startswith(poll)
    assert both.caption.endswith(f" old; {push}r{where}")
    assert "Polling, T = 100 ms: " in both.alt
    assert both.alt.endswith("Server-sent events: 4 ms, 1.25 per second; WebSocket: 2 ms, 1.25 per second.")
    assert captions.cost_staleness(polls, [], 2.0).caption.startswith(poll)
    assert captions.cost_staleness([], pushes, 2.0).caption == f"{push}r{where}"
    assert captions.cost_staleness([], [], 2.0).caption == f"R{where}"
    assert captions.cost_staleness([], [], 2.0).alt.endswith("one message an update. No deliveries.")


def test_memory_is_said_with_its_slope_where_there_is_one():
    """One point makes no line."""
    assert captions.memory_per_connection([100], [30 << 20], None, "WebSocket").caption == (
        "100 WebSockets held in 30.0 MiB of resident memory."
    )
    said = captions.memory_per_connection([0, 500, 1000], [20 << 20, 28 << 20, 36 << 20], 16.4, "connection")
    assert said.caption == (
        "Each held connection costs the server about 16.4 KiB: 20.0 MiB with 0, 36.0 MiB with 1,000."
    )
    assert said.alt.endswith("against held connections. 0: 20.0 MiB; 500: 28.0 MiB; 1,000: 36.0 MiB.")


def test_the_map_names_the_largest_event_whose_magnitude_is_known():
    """Counts them by depth, and says how many have no magnitude."""
    events = [quake(None, 80.0), quake(4.5), quake(6.25, 300.0), quake(2.0)]
    said = captions.earthquake_map(events, by_depth(events))
    largest = "; the largest, magnitude 6.25, 300 km deep, somewhere. "
    assert said.caption.startswith(
        f"4 events, 2 of magnitude 4.5 or more{largest}50.0% were 70 km deep or deeper. Sources:"
    )
    assert said.alt == (
        f"World map with 4 dots; less than 70 km deep: 2, 70 km or deeper: 2{largest}1 without a magnitude."
    )
    unknown = captions.earthquake_map([quake(None)], by_depth([quake(None)]))
    assert unknown.caption.startswith("1 event, 0 of magnitude 4.5 or more. 0% were ")
    assert captions.earthquake_map([], []).caption.startswith("No event. Sources:")


def test_what_stands_in_the_drawing_has_its_numbers():
    """Notes, names of axes and keys."""
    assert captions.named("Polling", captions.MEASURED) == "Polling, measured"
    assert captions.equals("T/2", 0.125) == "T/2 = 125 ms"
    assert captions.theory_rate(2.0) == "theory: λ = 2 updates per second"
    assert captions.real_week(0.8439).endswith("asked once a minute: 84.4%")
    assert captions.slope(16.04, "stream") == "16.0 KiB a stream"
    assert captions.held("stream") == "held streams"
    assert captions.magnitude(6) == "magnitude 6"
    depths = [captions.depth(*span) for span in ((0, 70), (70, 300), (300, float("inf")))]
    assert depths == ["less than 70 km deep", "70 to 300 km", "300 km or deeper"]


# --- no other module speaks -------------------------------------------------------------------------------------------

FOLDER = Path(wsdemo.plots.__file__).parent
MODULES = re.findall(r"^    (\w+)  +\S", wsdemo.plots.__doc__, re.MULTILINE)
FIGURES = {
    "overview": lambda: plots.overview(RUNS["five transports"]),
    "timeline": lambda: plots.timeline(compared("polling", "websocket"), until_s=2),
    "timeline with lost polls": lambda: plots.timeline(
        changed(made(), polls=tuple(changed(p, wasted=None) for p in made().polls))
    ),
    "latencies": lambda: plots.latencies(RUNS["five transports"]),
    "latencies, none": lambda: plots.latencies(RUNS["none heard"]),
    "bytes_per_delivery": lambda: plots.bytes_per_delivery(RUNS["five transports"]),
    "bytes_per_delivery, one without": lambda: plots.bytes_per_delivery([unheard(), made("sse")]),
    "wasted_curve": lambda: plots.wasted_curve(sweep(0.1, 0.5)),
    "wasted_curve with a label": lambda: plots.wasted_curve(sweep(0.1), ["Polling"]),
    "latency_curve": lambda: plots.latency_curve(sweep(0.1, 0.5, 2.0)),
    "latency_curve, none": lambda: plots.latency_curve([unheard()]),
    "load_curve": lambda: plots.load_curve([made(clients=n) for n in (10, 20)]),
    "cost_staleness": lambda: plots.cost_staleness(sweep(0.1, 0.5, 2.0), [made("sse")]),
    "memory_per_connection": lambda: plots.memory_per_connection([0, 10], [30 << 20, 31 << 20]),
    "storm": lambda: plots.storm({"jittered": [0.5, 0.7]}, {"jittered": [0.0, 5.0, 10.0]}),
    "storm, none": lambda: plots.storm({"jittered": []}),
    "silences": lambda: plots.silences([[0.1, 0.2, 0.9], [], [0.3]], {"gateway killed": [0.25], "deploy": []}),
    "silences, nothing done": lambda: plots.silences([[0.1, 0.2]], {}),
    "heartbeat_cost": lambda: plots.heartbeat_cost([(0.6, 1120.0), (0.9, 280.0)], **PRICES),
    "earthquake_map": plots.earthquake_map,
}
PRICES = {"beat_bytes": 224, "poll_bytes": 534, "best_period_s": 40.2, "best_interval_s": 19.4, "answer_s": 0.5}


def test_each_module_of_the_figures_knows_only_those_before_it():
    """In the order of the package's docstring, which names every one of them; and none knows how a run is made."""
    assert sorted(MODULES) == sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    for place, name in enumerate(MODULES):
        known = set()
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                known |= {f"{node.module}.{alias.name}" for alias in node.names}
        later = "|".join([*MODULES[place:], "measure"])
        assert known
        assert [module for module in known if re.match(rf"wsdemo\.(plots\.)?({later})\b", module)] == []


# Names that matplotlib gives to places and fonts.
NOT_WORDS = {
    "axes fraction",
    "offset points",
    "lower left",
    "upper left",
    "upper center",
    "upper right",
    "outside upper right",
    "DejaVu Sans",
}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith(("captions", "quantities"))])
def test_no_drawing_module_has_two_words_in_a_row(name):
    """But in docstrings and tags: a translation is one file. (What `quantities` refuses is an error, not a caption.)"""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        re.sub(r"<[^>]*", "", node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    assert len(texts) > 10
    assert [text for text in texts if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text) and text not in NOT_WORDS] == []


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_of_a_drawing_comes_from_the_captions(name, monkeypatch):
    """Speak another language there, and no English is left but the names of the transports."""
    for module in SPEAKERS:
        for word in [word for word in vars(module) if word.isupper()]:
            monkeypatch.setattr(module, word, "§")
        for word in functions(returning="str") & vars(module).keys():
            monkeypatch.setattr(module, word, lambda *_: "§")
    texts = {text.get_text() for text in FIGURES[name]().figure.findobj(matplotlib.text.Text)} - {"", "§"}
    spoken = texts - {row.label for row in TRANSPORTS.values()}
    number = r"−?[\d.,]+( s| ms| µs|%)?"
    assert [text for text in spoken if not re.fullmatch(number, text)] == []
