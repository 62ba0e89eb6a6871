"""Results: what JSON says of them, and runs in which something never happened."""

import numpy as np
import pytest
from ideal import compared, made, unheard


def test_json_has_each_figure_under_its_own_name():
    """Of a run whose figures all differ, so that none can stand in another's place; p50 is the median, and so on."""
    counted = {"bytes_sent": 7001, "bytes_received": 5003, "missed": 3, "duplicates": 9, "connections": 6}
    more = {"opening_bytes_sent": 800, "opening_bytes_received": 500, "held_connections": 4, "heartbeats": 11}
    run = made(**counted, **more, segments=222, server_cpu_s=0.0125, notes=("it was disturbed",))
    latency_s = {
        "mean": np.mean(run.latency_s),
        "p50": np.median(run.latency_s),
        "p95": np.percentile(run.latency_s, 95),
        "p99": np.percentile(run.latency_s, 99),
        "predicted_mean": run.predicted.latency_mean_s,
    }
    figures = counted | {
        "requests": run.requests,
        "wasted": run.wasted,
        "wasted_fraction": run.wasted / run.requests,
        "predicted_wasted_fraction": run.predicted.wasted_fraction,
        "predicted_wasted_fraction_poisson": run.predicted.wasted_fraction_poisson,
        "published": run.published,
        "deliveries": run.deliveries,
        "server_cpu_s": 0.0125,
        "server_peak_rss_bytes": run.server_peak_rss_bytes,
        "opening_bytes": 1300,
        "held_connections": 4,
        "heartbeats": 11,
        "segments": 222,
    }
    told = run.to_dict()
    assert told.pop("latency_s") == pytest.approx(latency_s)
    assert told.pop("notes")[0] == "it was disturbed"
    assert told.pop("line_did") is None
    said = told.pop("predicted")
    assert {name: getattr(run.predicted, name) for name in said} == said
    assert set(told.pop("predicted_within")) == set(said)
    assert told == pytest.approx(figures)
    assert len(set(figures.values())) == len(figures)
    assert len(set(latency_s.values())) == len(latency_s)


def test_a_run_in_which_nothing_was_asked_or_heard_has_figures_all_the_same():
    """No request: none was wasted. No delivery: no latency, and nothing to divide the bytes by."""
    assert made(requests=0, wasted=0).wasted_fraction == 0
    silent = unheard()
    assert np.isnan([silent.latency_mean_s, silent.latency_percentile_s(50), silent.bytes_per_delivery]).all()
    assert silent.to_dict()["latency_s"]["p50"] is None


def test_json_of_a_comparison_tells_each_transport_by_its_own_name():
    """In the order in which they were measured, with the schedule that all of them heard."""
    runs = compared("websocket", "polling")
    told = runs.to_dict()
    assert list(told["transports"]) == ["websocket", "polling"]
    assert told["transports"]["polling"] == runs["polling"].to_dict() != told["transports"]["websocket"]
    assert (told["clients"], told["interval_s"], told["schedule"]["duration_s"]) == (4, 0.5, 4.0)
    assert told["schedule"]["at_s"] == list(runs["polling"].at_s)
    assert told["schedule"]["updates"] == len(runs["polling"].at_s)
