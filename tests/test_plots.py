"""Figures show what was measured: hand-made measurements in, and what was drawn is read back."""

import base64
import dataclasses
import html
import io
import math
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from ideal import ALL, AT_S, compared, made, sweep, unheard
from matplotlib.colors import to_hex
from PIL import Image

from wsdemo import plots, theory
from wsdemo.plots import ink, quantities
from wsdemo.result import Comparison
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update, catalogue, earthquakes, every, poisson


def drawn(figure: plots.Figure, gid: str):
    """Return the one artist with this name."""
    (artist,) = [a for ax in figure.figure.axes for a in ax.get_children() if a.get_gid() == gid]
    return artist


def texts(figure: plots.Figure) -> list[str]:
    return [text.get_text() for text in figure.figure.findobj(matplotlib.text.Text) if text.get_text()]


def pixels(figure: plots.Figure, dpi: int = 60) -> Image.Image:
    """Return the drawing as Jupyter gets it; coarse unless asked otherwise, because that is quick."""
    figure.figure.set_dpi(dpi)
    return Image.open(io.BytesIO(base64.b64decode(figure._repr_mimebundle_()["image/png"])))


# --- what Jupyter, a file and a reader get ----------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_jupyter_gets_png_html_and_plain_text_in_one_bundle():
    figure = plots.overview(compared("polling", "websocket"))
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/html", "text/plain"}
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert bundle["text/plain"] == figure.caption
    shown = Tags(bundle["text/html"])
    assert [tag for tag, _ in shown.tags] == ["figure", "img", "figcaption"]
    image = shown.tags[1][1]
    assert image["alt"] == figure.alt
    assert image["src"] == "data:image/png;base64," + bundle["image/png"]
    assert shown.text == figure.caption


def test_words_from_outside_cannot_become_html():
    quake = Update(
        1,
        0.0,
        {
            "magnitude": 5.0,
            "longitude": 0.0,
            "latitude": 0.0,
            "depth_km": 10.0,
            "place": '"><script>alert("x")</script>',
        },
    )
    figure = plots.earthquake_map([quake])
    assert "<script>" in figure.caption
    assert "<script>" in figure.alt
    text = figure._repr_mimebundle_()["text/html"]
    shown = Tags(text)
    assert [tag for tag, _ in shown.tags] == ["figure", "img", "figcaption"]
    assert shown.tags[1][1]["alt"] == figure.alt
    assert html.escape(figure.caption) in text


def test_a_saved_file_has_the_kind_its_name_says_and_a_png_carries_the_alt_text(tmp_path):
    figure = plots.wasted_curve(sweep(0.5, 1.0))
    figure.save(tmp_path / "figure.png")
    figure.save(str(tmp_path / "figure.svg"))
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG"
        assert image.info["Description"] == figure.alt
    assert (tmp_path / "figure.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_png_is_white_small_and_keeps_the_colours_of_its_transports():
    figure = plots.bytes_per_delivery(compared(*ALL))
    image = pixels(figure, dpi=150).convert("RGB")
    assert image.getpixel((1, 1)) == (255, 255, 255)
    present = {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in image.getcolors(image.width * image.height)}
    assert {TRANSPORTS[name].colour.lower() for name in ALL} <= present


def test_drawing_leaves_no_trace_in_matplotlib_and_takes_none_from_it():
    plain = pixels(plots.timeline(compared("polling", "websocket"))).tobytes()
    with matplotlib.rc_context(
        {"figure.facecolor": "black", "axes.facecolor": "black", "font.size": 30, "savefig.facecolor": "black"}
    ):
        before = dict(matplotlib.rcParams)
        figure = plots.timeline(compared("polling", "websocket"))
        assert pixels(figure).tobytes() == plain
        assert dict(matplotlib.rcParams) == before
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert pyplot.get_fignums() == []


# --- the timeline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [0, 3])
def test_hollow_ticks_are_the_clients_wasted_polls_and_filled_ones_brought_news(client):
    comparison = compared("polling", "websocket")
    figure = plots.timeline(comparison, client)
    polls = [p for p in comparison["polling"].polls if p.client == client]
    hollow, filled = drawn(figure, "polling:wasted"), drawn(figure, "polling:news")
    assert list(hollow.get_xdata()) == [p.at_s for p in polls if p.wasted]
    assert list(filled.get_xdata()) == [p.at_s for p in polls if not p.wasted]
    assert len(hollow.get_xdata()) > 0
    assert to_hex(hollow.get_markerfacecolor()) == "#ffffff"
    assert to_hex(filled.get_markerfacecolor()) == TRANSPORTS["polling"].colour.lower()
    assert f"{len(hollow.get_xdata())} of {len(polls)} polls wasted" in figure.caption
    assert f"{len(polls)} polls, {len(hollow.get_xdata())} wasted" in figure.alt


def test_updates_are_lines_pushes_are_dots_and_bars_reach_from_one_to_the_other():
    comparison = compared("polling", "websocket")
    figure = plots.timeline(comparison, 2)
    assert [segment[0][0] for segment in drawn(figure, "updates").get_segments()] == list(AT_S)
    assert list(drawn(figure, "websocket:pushes").get_xdata()) == [at_s + 0.002 for at_s in AT_S]
    heard = [h for h in comparison["polling"].heard if h.client == 2]
    waits = [(segment[0][0], segment[1][0]) for segment in drawn(figure, "polling:waits").get_segments()]
    assert np.array(waits) == pytest.approx(np.array([(AT_S[h.seq - 1], h.received_s) for h in heard]))
    assert figure.figure.axes[0].get_xlabel().startswith("seconds after the start")


def test_what_is_heard_after_the_clock_stopped_is_drawn_but_not_counted():
    figure = plots.timeline(compared("polling", at_s=(1.0, 3.99)))
    late = drawn(figure, "polling:after").get_xdata()
    assert len(late) == 1
    assert late[0] > 4.0
    assert "of 8 polls" in figure.caption
    assert "2 of 2 updates heard" in figure.caption


def test_a_poll_without_an_answer_is_a_cross_and_counts_as_neither():
    run = made()
    run = dataclasses.replace(run, polls=tuple(dataclasses.replace(p, wasted=None) for p in run.polls))
    figure = plots.timeline(run)
    assert len(drawn(figure, "polling:lost").get_xdata()) == 8
    assert len(drawn(figure, "polling:wasted").get_xdata()) == 0
    assert "no answer" in texts(figure)


def test_a_long_run_shows_its_first_sixty_intervals_and_says_so():
    run = made(duration_s=100.0, at_s=tuple(np.arange(0.7, 100, 3.1)))
    figure = plots.timeline(run)
    assert figure.caption.startswith("The first 30 s.")
    ticks = [*drawn(figure, "polling:wasted").get_xdata(), *drawn(figure, "polling:news").get_xdata()]
    assert len(ticks) == 60
    assert max(ticks) < 30
    assert plots.timeline(run, until_s=5).caption.startswith("The first 5 s.")


def test_there_is_no_client_beyond_the_last():
    with pytest.raises(ValueError, match="between 0 and 3"):
        plots.timeline(compared("polling"), client=4)
    with pytest.raises(ValueError, match="above 0"):
        plots.timeline(compared("polling"), until_s=0)
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.timeline(Comparison(()))


# --- theory beside measurement ----------------------------------------------------------------------------------------


def test_the_wasted_points_lie_at_the_measured_shares_and_the_curve_is_theory():
    runs = sweep(1.0, 0.1, 0.4)
    figure = plots.wasted_curve(runs)
    points = drawn(figure, "polling:measured").get_xydata()
    assert points == pytest.approx(np.array([(2 * m.interval_s, m.wasted / m.requests) for m in runs]))
    given = drawn(figure, "given").get_xydata()
    assert sorted(y for _, y in given) == pytest.approx(sorted(m.predicted.wasted_fraction for m in runs))
    x, y = drawn(figure, "theory").get_data()
    assert np.interp(0.7, x, y) == pytest.approx(math.exp(-0.7), abs=1e-3)
    assert figure.figure.axes[0].get_xscale() == "log"


def test_the_real_week_of_earthquakes_lies_on_the_curve():
    figure = plots.wasted_curve(sweep(0.5))
    ((x, y),) = drawn(figure, "earthquakes").get_xydata()
    times = [at_s for at_s, _ in catalogue()]
    gaps = np.diff(times)
    assert x == pytest.approx(60 / gaps.mean(), rel=1e-3)
    assert y == pytest.approx(1 - np.minimum(gaps, 60).sum() / times[-1], abs=1e-3)
    assert y == pytest.approx(math.exp(-x), abs=5e-3)
    assert "84.4%" in figure.caption
    assert "84.4%" in figure.alt


def test_the_wasted_curve_says_how_far_the_worst_run_is_off():
    good, bad = made(), made(interval_s=1.0)
    bad = dataclasses.replace(bad, wasted=bad.wasted + 4)
    off = abs(bad.wasted_fraction - bad.predicted.wasted_fraction) * 100
    assert off > 10
    assert f"within {off:.1f} percentage points" in plots.wasted_curve([good, bad]).caption


def test_the_band_holds_nine_in_ten_schedules_and_shows_how_far_luck_goes():
    """About the curve, wide where few updates fall in a run; none where the recipe has no luck in it."""
    run = dataclasses.replace(made(), schedule=poisson(2), duration_s=4.0)
    xs = np.array([0.2, 1.0, 7.0, 9.0])
    low, high = quantities.spread(run, xs)
    assert np.isnan([low[3], high[3]]).all()  # an interval longer than the run
    assert (low[:3] < high[:3]).all() and high[1] - low[1] > 0.2
    other = [theory.wasted_fraction_given(poisson(2, seed=s).times(4), 0.5, 4) for s in range(1000, 2000)]
    assert 0.8 < sum(low[1] <= share <= high[1] for share in other) / 1000 < 0.97
    assert drawn(plots.wasted_curve([run]), "band")
    assert quantities.spread(dataclasses.replace(run, schedule=every(0.5)), xs) is None


def test_labels_are_written_as_they_are_and_joined_where_points_coincide():
    runs = [made("polling"), made("conditional"), made("websocket")]
    said = texts(plots.wasted_curve(runs, ["$a_b$", "ETag", "push"]))
    assert "$a_b$ and ETag" in said
    assert "push" in said
    with pytest.raises(ValueError, match="3 measurements need as many labels, not 1"):
        plots.wasted_curve(runs, ["one"])


@pytest.mark.parametrize("share", [0, 1])
def test_a_share_of_nought_or_one_is_drawn_like_any_other(share):
    run = made()
    run = dataclasses.replace(run, wasted=run.requests * share)
    curve, slide = plots.wasted_curve([run]), plots.overview(Comparison((run,)))
    assert drawn(curve, "polling:measured").get_ydata()[0] == share
    assert f"{share * 100}%" in texts(slide)
    for figure in (curve, slide):
        assert pixels(figure).width > 400


def test_the_latency_sweep_is_drawn_in_any_order_with_whiskers_to_the_95th_percentile():
    runs = sweep(2.0, 0.1, 0.5)
    figure = plots.latency_curve(runs)
    ordered = sorted(runs, key=lambda m: m.interval_s)
    assert list(drawn(figure, "polling:measured").get_xdata()) == [0.1, 0.5, 2.0]
    assert list(drawn(figure, "polling:measured").get_ydata()) == [m.latency_s.mean() for m in ordered]
    tops = [segment[1][1] for segment in drawn(figure, "polling:whiskers").get_segments()]
    assert tops == pytest.approx([np.percentile(m.latency_s, 95) for m in ordered])
    x, y = drawn(figure, "theory").get_data()
    assert y == pytest.approx(x / 2 + 0.0001)
    assert plots.latency_curve(runs[::-1]).caption == figure.caption
    assert plots.latency_curve(runs[:1]).figure.axes[0].get_xscale() == "linear"


def test_a_latency_distribution_rises_to_one_through_every_sample():
    comparison = compared("polling", "websocket")
    figure = plots.latencies(comparison)
    samples = comparison["polling"].latency_s
    x, y = drawn(figure, "polling:ecdf").get_data()
    assert list(x) == sorted(samples)
    assert y == pytest.approx(np.arange(1, len(samples) + 1) / len(samples))
    assert drawn(figure, "half").get_xdata()[0] == 0.25
    assert figure.figure.axes[0].get_xscale() == "log"
    assert "T/2 = 250 ms" in texts(figure)
    median = np.median(samples)
    assert f"{median * 1e3:.3g} ms" in figure.caption
    assert "WebSocket: half within 2 ms" in figure.caption


def test_many_samples_are_thinned_without_leaving_the_distribution():
    run = made("websocket", clients=1000)
    run = dataclasses.replace(run, latency_s=np.random.default_rng(1).exponential(0.003, 5000))
    x, y = drawn(plots.latencies(run), "websocket:ecdf").get_data()
    assert len(x) == 400
    assert [(run.latency_s <= value).mean() for value in x] == pytest.approx(y)
    assert (x[0], x[-1]) == (run.latency_s.min(), run.latency_s.max())


def test_load_counts_the_requests_of_the_clock_beside_theory():
    runs = [made(name, clients=n) for name in ("websocket", "polling") for n in (40, 10, 20)]
    figure = plots.load_curve(runs)
    left, right = figure.figure.axes
    assert left.get_title(loc="left") == "requests per second"
    assert right.get_title(loc="left") == "server CPU, cores"

    def line(ax, gid):
        (found,) = [a for a in ax.lines if a.get_gid() == gid]
        return found.get_xydata().tolist()

    assert line(left, "polling:measured") == [[10, 20], [20, 40], [40, 80]]
    assert line(left, "polling:theory") == [[0, 0], [10, 20], [20, 40], [40, 80]]
    assert line(left, "websocket:measured") == [[10, 0], [20, 0], [40, 0]]  # it subscribed before the clock
    cpu = [0.0002 * 2 * n * 4 / 4.5 for n in (10, 20, 40)]
    assert [y for _, y in line(right, "polling:measured")] == pytest.approx(cpu)
    assert "80 requests per second (theory 80)" in figure.alt
    assert "Polling: 80 requests a second for 40 clients" in figure.caption


def test_cost_against_staleness_has_a_curve_for_polling_and_a_point_for_each_push():
    runs, pushes = sweep(2.0, 0.1, 0.5), [made("websocket"), made("sse", push_s=0.004)]
    figure = plots.cost_staleness(runs, pushes)
    points = drawn(figure, "polling:measured").get_xydata()
    assert points == pytest.approx(
        np.array([[m.latency_mean_s, 1 / m.interval_s] for m in sorted(runs, key=lambda m: m.interval_s)])
    )
    assert drawn(figure, "websocket:measured").get_xydata() == pytest.approx(np.array([[0.002, len(AT_S) / 4]]))
    assert drawn(figure, "sse:measured").get_xydata() == pytest.approx(np.array([[0.004, len(AT_S) / 4]]))
    x, y = drawn(figure, "theory").get_data()
    assert y == pytest.approx(1 / (2 * (x - 0.0001)))
    assert drawn(figure, "rate").get_ydata()[0] == 2.0
    assert "older than 250 ms on average" in figure.caption  # 1 / (2 lambda)
    assert "WebSocket: 1.25 messages, news 2 ms old" in figure.caption
    assert pixels(plots.cost_staleness(runs)).width > 400


# --- bars, memory, overview -------------------------------------------------------------------------------------------


def test_bars_are_bytes_per_delivery_to_and_from_clients():
    comparison = compared("polling", "websocket")
    figure = plots.bytes_per_delivery(comparison)
    bars = {bar.get_gid(): bar for bar in figure.figure.axes[0].patches}
    for m in comparison:
        to, back = bars[f"{m.transport}:to"], bars[f"{m.transport}:from"]
        assert to.get_width() == pytest.approx(m.bytes_sent / m.deliveries)
        assert back.get_x() == pytest.approx(to.get_width())
        assert back.get_width() == pytest.approx(m.bytes_received / m.deliveries)
        assert f"{m.bytes_per_delivery:,.0f}" in texts(figure)
    ratio = comparison["polling"].bytes_per_delivery / comparison["websocket"].bytes_per_delivery
    assert f"{ratio:.1f} times as many as WebSocket" in figure.caption


def test_the_slope_of_memory_is_what_a_connection_costs():
    counts = [1000, 0, 500]
    figure = plots.memory_per_connection(counts, [20 * 2**20 + 16 * 1024 * n for n in counts])
    assert list(drawn(figure, "measured").get_xdata()) == [0, 500, 1000]
    assert drawn(figure, "measured").get_ydata() == pytest.approx([20, 20 + 500 / 64, 20 + 1000 / 64])
    assert "16.0 KiB" in figure.caption
    assert "16.0 KiB a connection" in texts(figure)
    assert "KiB" not in plots.memory_per_connection([100], [30 << 20]).caption
    with pytest.raises(ValueError, match="one length"):
        plots.memory_per_connection([1, 2], [1])
    with pytest.raises(ValueError, match="one length"):
        plots.memory_per_connection([], [])


def test_the_overview_holds_all_four_views_and_the_numbers_it_captions():
    comparison = compared("polling", "websocket")
    figure = plots.overview(comparison)
    polling = comparison["polling"]
    bars = {bar.get_gid(): bar for ax in figure.figure.axes for bar in ax.patches}
    assert len(figure.figure.axes) == 4
    assert bars["polling:wasted"].get_width() == polling.wasted_fraction
    assert bars["polling:bytes"].get_width() == pytest.approx(polling.bytes_per_delivery)
    assert drawn(figure, "polling:theory").get_xdata()[0] == polling.predicted.wasted_fraction
    assert drawn(figure, "polling:median").get_xdata()[0] == np.median(polling.latency_s)
    assert drawn(figure, "websocket:pushes").get_xdata() == pytest.approx(np.array(AT_S) + 0.002)
    share = f"{polling.wasted / polling.requests:.1%}"
    assert f"wasted {share} of its {polling.requests} requests" in figure.caption
    assert "WebSocket wasted none and heard news 2 ms after" in figure.caption
    assert share in figure.alt


def uneven(transport, scale_s):
    """Return a run whose latencies are spread so that half of them, or their mean, would give another picture."""
    run = made(transport)
    latency_s = scale_s * np.geomspace(1, 900, 101)
    return dataclasses.replace(run, latency_s=latency_s, deliveries=len(latency_s))


def test_the_overviews_dots_show_every_latency_of_the_run():
    """Percentiles of all samples, in whatever order they came: half of the dots lie on either side of the median."""
    runs = [uneven("polling", 1e-3), uneven("websocket", 1e-5)]
    runs.append(dataclasses.replace(uneven("sse", 1e-4), latency_s=runs[0].latency_s[::-1] / 10))
    figure = plots.overview(Comparison(tuple(runs)))
    for m in runs:
        dots = np.sort(drawn(figure, f"{m.transport}:latency").get_xdata())
        assert dots == pytest.approx(np.percentile(m.latency_s, np.linspace(1, 99, len(dots))))
        assert (dots < np.median(m.latency_s)).sum() == len(dots) / 2 > 20


def test_the_overviews_dark_bar_and_its_number_are_the_median():
    """Half of the news is younger, and it is not the mean, nor what 95 % were younger than."""
    run = uneven("polling", 1e-3)
    figure = plots.overview(Comparison((run, uneven("websocket", 1e-5))))
    assert drawn(figure, "polling:median").get_xdata() == pytest.approx([0.03, 0.03])
    assert drawn(figure, "websocket:median").get_xdata() == pytest.approx([0.0003, 0.0003])
    assert {"30 ms", "0.3 ms"} <= set(texts(figure))
    assert "median latency 30 ms" in figure.alt


def test_the_overview_does_not_take_theory_for_what_was_measured():
    """Bar, number, caption and alt text have the measured share; the dark line, and the words for it, the other."""
    run = made()
    run = dataclasses.replace(run, wasted=run.wasted + 9)
    figure = plots.overview(Comparison((run,)))
    measured, predicted = f"{run.wasted / run.requests:.1%}", f"{run.predicted.wasted_fraction:.1%}"
    assert (measured, predicted) == ("75.0%", "47.0%")
    assert f"wasted {measured} of its 32 requests (theory: {predicted})" in figure.caption
    assert f"{measured} of 32 requests wasted (theory {predicted})" in figure.alt
    assert measured in texts(figure)
    assert predicted not in texts(figure)
    (bar,) = [bar for ax in figure.figure.axes for bar in ax.patches if bar.get_gid() == "polling:wasted"]
    assert bar.get_width() == 0.75
    assert set(drawn(figure, "polling:theory").get_xdata()) == {run.predicted.wasted_fraction}


def test_a_comparison_is_drawn_and_saved(tmp_path):
    figure = plots.overview(compared("polling", "websocket"))
    assert isinstance(figure, plots.Figure)
    figure.save(tmp_path / "overview.png")
    assert (tmp_path / "overview.png").stat().st_size < 90_000


# --- the map ----------------------------------------------------------------------------------------------------------


def test_the_map_has_a_dot_for_every_event_of_the_week_coloured_by_depth():
    figure = plots.earthquake_map()
    by_depth = {low: drawn(figure, f"depth:{low}") for low in (0, 70, 300)}
    depths = np.array([data["depth_km"] for _, data in catalogue()])
    assert [len(dots.get_offsets()) for dots in by_depth.values()] == [
        (depths < 70).sum(),
        ((depths >= 70) & (depths < 300)).sum(),
        (depths >= 300).sum(),
    ]
    assert len({to_hex(dots.get_facecolor()[0]) for dots in by_depth.values()}) == 3
    assert figure.caption.startswith(f"{len(depths):,} events")
    assert "U.S. Geological Survey" in figure.caption
    assert "Natural Earth" in figure.caption
    largest = max((data for _, data in catalogue()), key=lambda data: data["magnitude"] or 0)
    assert f"magnitude {largest['magnitude']:g}" in figure.alt
    assert f"300 km or deeper: {(depths >= 300).sum()}" in figure.alt
    assert figure.figure.axes[0].get_aspect() == 1  # equirectangular: a degree is as wide as high


def test_no_outline_of_the_land_crosses_the_map_at_the_date_line():
    rings = [path.vertices for path in drawn(plots.earthquake_map([]), "land").get_paths()]
    assert len(rings) > 100
    jumps = [np.abs(np.diff(ring[:, 0]))[np.abs(ring[1:, 1]) < 89.9].max() for ring in rings]
    assert max(jumps) < 60


def test_area_grows_with_magnitude_and_events_without_one_are_the_smallest():
    def quake(number, magnitude):
        return Update(
            number,
            0.0,
            {
                "magnitude": magnitude,
                "longitude": 10.0 * number,
                "latitude": 0.0,
                "depth_km": -1.0,
                "place": "somewhere",
            },
        )

    figure = plots.earthquake_map([quake(1, None), quake(2, -0.6), quake(3, 4.0), quake(4, 6.0)])
    dots = drawn(figure, "depth:0")
    area = dict(zip(dots.get_offsets()[:, 0], dots.get_sizes(), strict=True))
    assert area[10.0] == area[20.0] < area[30.0] < area[40.0]
    assert area[40.0] / area[30.0] == pytest.approx(10)
    assert "1 without a magnitude" in figure.alt
    assert "magnitude 6" in plots.earthquake_map([quake(1, 6.0)]).caption
    assert plots.earthquake_map([quake(1, None)]).caption.startswith("1 event, 0 of magnitude 4.5 or more.")
    assert plots.earthquake_map([]).caption.startswith("No event.")


def test_the_map_takes_what_a_schedule_yields():
    updates = list(earthquakes(speed=240).updates(20.0))
    assert f"{len(updates)} events" in plots.earthquake_map(iter(updates)).caption


# --- a bad line -------------------------------------------------------------------------------------------------------


def test_a_storm_has_a_panel_a_rule_and_counts_a_second():
    """Three come in the first tenth of a second after one second, one in the next: 30 and 10 a second."""
    figure = plots.storm({"at once": [1.01, 1.02, 1.03, 1.14], "jittered": [1.0]}, {"at once": [0.0] * 10 + [40.0]})
    bars = drawn(figure, "at once:returns")
    assert list(bars.get_data().values[10:12]) == pytest.approx([30, 10])
    assert drawn(figure, "at once:expected").get_data().values[10] == 40
    assert len(figure.figure.axes) == 2
    assert "at once 3 and jittered 1" in figure.caption
    assert "at once 3" in figure.alt


def test_a_storm_refuses_what_is_none():
    with pytest.raises(ValueError, match="at least one rule"):
        plots.storm({})
    with pytest.raises(ValueError, match="from 0 on"):
        plots.storm({"at once": [-0.1]})


def test_what_a_heartbeat_costs_is_drawn_where_theory_has_it():
    """The diamond of a period of 40 s lies at half of it and the patience, and at its bytes a second."""
    figure = plots.heartbeat_cost(
        [(0.6, 1120.0)], beat_bytes=240, poll_bytes=500, best_period_s=40, best_interval_s=20, answer_s=0.5
    )
    marks = {a.get_gid(): a.get_xydata() for a in figure.figure.axes[0].get_lines() if a.get_gid()}
    assert [float(marks[gid][0][0]) for gid in marks if gid.endswith(":best")] == pytest.approx([10, 20.5])
    assert [float(marks[gid][0][1]) for gid in marks if gid.endswith(":best")] == pytest.approx([25, 6])
    assert marks["measured"].tolist() == [[0.6, 1120.0]]
    assert "a heartbeat costs least every 40 s, a poll every 20 s" in figure.caption


def test_a_silence_is_what_is_blank_in_a_readers_row():
    """Two readers, of whom one hears nothing for 0.7 s; each blow is a line across, and is counted in the caption."""
    figure = plots.silences([[0.1, 0.2, 0.9], [0.1, 0.3]], {"gateway killed": [0.25, 0.5], "deploy": [0.7]})
    assert drawn(figure, "heard").get_xydata().tolist() == [[0.1, 1], [0.2, 1], [0.9, 1], [0.1, 2], [0.3, 2]]
    blows = [
        line.get_xdata()[0] for line in figure.figure.axes[0].get_lines() if line.get_gid() == "gateway killed:struck"
    ]
    assert blows == [0.25, 0.5]
    assert (
        "Meanwhile: gateway killed (2) and deploy (1). The longest silence of any reader was 700 ms." in figure.caption
    )


def test_silence_needs_two_updates():
    with pytest.raises(ValueError, match="no reader has heard two"):
        plots.silences([[0.1], []], {})


# --- every figure, at the edges ---------------------------------------------------------------------------------------


EDGES = {
    "one transport": [made()],
    "five transports": [made(name) for name in ALL],
    "no deliveries": [unheard(), unheard("websocket")],
    "one without": [made(), unheard("websocket")],
    "one client, one update": [made(clients=1, at_s=(2.0,)), made("sse", clients=1, at_s=(2.0,))],
    "a thousand clients": [made(clients=1000), made("websocket", clients=1000)],
}
FIGURES = {
    "overview": lambda runs: plots.overview(Comparison(tuple(runs))),
    "timeline": lambda runs: plots.timeline(Comparison(tuple(runs))),
    "wasted_curve": plots.wasted_curve,
    "latency_curve": plots.latency_curve,
    "latencies": lambda runs: plots.latencies(Comparison(tuple(runs))),
    "load_curve": plots.load_curve,
    "cost_staleness": lambda runs: plots.cost_staleness(runs[:1], runs[1:]),
    "bytes_per_delivery": lambda runs: plots.bytes_per_delivery(Comparison(tuple(runs))),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_holds_at_the_edges(name, edge):
    figure = FIGURES[name](EDGES[edge])
    for words in (figure.alt, figure.caption):
        assert len(words) > 30
        assert words.endswith(".")
        assert words[0].isupper() or words[0].isdigit()
        assert "nan" not in words.lower()
        assert "inf " not in words.lower()
    if edge == "five transports":
        assert len(base64.b64decode(figure._repr_mimebundle_()["image/png"])) < 90_000
    image = np.asarray(pixels(figure).convert("L"))
    assert image.shape[1] == figure.figure.get_figwidth() * 60
    assert image.min() < 100
    for border in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
        assert border.min() == 255, "ink touches the edge: something is cut off"


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_smaller_than_eleven_points_on_a_figure_eight_inches_wide(name):
    figure = FIGURES[name](EDGES["five transports"]).figure
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert len(sizes) > 5
    assert min(sizes) / (figure.get_figwidth() / 8) >= 10.8


def test_text_in_a_transports_colour_has_contrast_on_white():
    for row in TRANSPORTS.values():
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in matplotlib.colors.to_rgb(ink.text_colour(row.colour))
        ]
        assert 1.05 / (np.dot(parts, (0.2126, 0.7152, 0.0722)) + 0.05) >= 4.5


def test_labels_move_apart_but_not_below_the_axis():
    assert ink.apart([100.0, 300.0], 17, lowest=0) == [100, 300]
    assert ink.apart([100.0, 100.0], 17, lowest=0) == pytest.approx([91.5, 108.5])
    assert ink.apart([5.0, 0.0, 1.0, 200.0], 17, lowest=0) == pytest.approx([34, 0, 17, 200], abs=3)


def test_transports_of_one_family_differ_in_shape_and_line_not_only_in_colour():
    for family in ("pull", "push"):
        rows = [row for row in TRANSPORTS.values() if row.family == family]
        assert len({ink.marker(row) for row in rows}) == len(rows)
        assert len({str(ink.dash(row)) for row in rows}) == len(rows)


# --- mistakes that a reader would see and no number shows -------------------------------------------------------------


@pytest.mark.parametrize("names", [ALL, ALL[::-1], ("websocket", "polling")])
def test_each_row_bears_the_name_of_the_transport_that_is_drawn_in_it(names):
    """In the overview, in the timeline and in the bars of bytes: the first on top."""
    comparison = compared(*names)
    overview = plots.overview(comparison).figure.axes
    timeline = plots.timeline(comparison).figure.axes
    weight = plots.bytes_per_delivery(comparison).figure.axes
    for row, y in ((TRANSPORTS[name], len(names) - 1 - place) for place, name in enumerate(names)):
        for ax, gid in ((overview[1], "wasted"), (overview[3], "bytes"), (weight[0], "to")):
            (bar,) = [bar for bar in ax.patches if bar.get_gid() == f"{row.name}:{gid}"]
            assert bar.get_y() + bar.get_height() / 2 == pytest.approx(y)
        for ax in (overview[0], timeline[0]):
            (waits,) = [lines for lines in ax.collections if lines.get_gid() == f"{row.name}:waits"]
            assert {segment[0][1] for segment in waits.get_segments()} == {y}
        for ax in (overview[0], overview[1], timeline[0], weight[0]):
            named = dict(zip(ax.get_yticks(), ax.get_yticklabels(), strict=True))
            assert named[y].get_text() == row.label
            assert named[y].get_color() == ink.text_colour(row.colour)


def test_text_on_a_colour_is_black_or_white_whichever_reads_better():
    """By WCAG's contrast, for every transport."""
    for row in TRANSPORTS.values():
        chosen, other = ("white", ink.INK) if ink.on(row.colour) == "white" else (ink.INK, "white")
        assert contrast(chosen, row.colour) > contrast(other, row.colour)


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)]
    return np.dot(parts, (0.2126, 0.7152, 0.0722))


def test_no_large_earthquake_hides_a_small_one():
    """Dots are drawn in the order of their size, the largest first."""
    figure = plots.earthquake_map()
    for low in (0, 70, 300):
        sizes = drawn(figure, f"depth:{low}").get_sizes()
        assert len(set(sizes)) > 5
        assert list(sizes) == sorted(sizes, reverse=True)


def test_the_leaders_of_the_pushes_do_not_cross():
    """The slowest is named right below its point, the others lower and lower, from right to left."""
    pushes = [made("sse", push_s=0.004), made("long_polling", push_s=0.03), made("websocket")]
    axes = plots.cost_staleness(sweep(0.1, 0.5), pushes).figure.axes[0]
    labels = {row.label for row in TRANSPORTS.values()}
    below = {text.get_text(): text.xyann[1] for text in axes.texts if text.get_text() in labels}
    assert sorted(below, key=below.get, reverse=True) == ["Long polling", "Server-sent events", "WebSocket"]
