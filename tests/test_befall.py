"""What a line does to a run: measured through one, beside predictions that know its delay and say what they cannot."""

import asyncio
import json
import math
from dataclasses import replace

import pytest
from patience import patient

from wsdemo.befall import behind, foreseen, grace_through, line_through, most_open, probes_through
from wsdemo.line import Fault, parse_line
from wsdemo.measure import compare
from wsdemo.processes.clients import GRACE_S, PROBES
from wsdemo.processes.lines import LineProcess
from wsdemo.result import PREDICTED
from wsdemo.serve import Server
from wsdemo.theory.calibration import Both, Calibration, Lag, Round
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every
from wsdemo.workload import DEFAULT_PACE, Workload

WORK = Workload(tuple(0.3 + 0.4 * k for k in range(9)), 2.5, 4.0, 0.5, 10, (100,) * 9)
FOUND = Calibration(
    delay_s=0.0002,
    opening=Both(400, 200),
    silent=Both(220, 150),
    news=Both(230, 150),
    rss_bytes=30e6,
    reader_bytes=1e4,
    rounds=(Round(0.001, 1e-4),) * 3,
    few_s=(0.0, 0.0, 0.001),
    many_s=(0.0, 0.0, 0.001),
    way_s=(0.001, 0.002),
    poll_cpu_s=((40.0, 4e-4), (400.0, 2e-4)),
    update_cpu_s=1e-4,
    message_cpu_s=1e-5,
)
KNOWN = ("latency_mean_s", "latency_p50_s", "latency_p95_s")


def said(name, words, work=WORK):
    """Return what theory says of a run through a line."""
    fault = parse_line(words)
    found = behind(FOUND, fault, work)
    prediction = TRANSPORTS[name].predict(work, FOUND.delay_s, found, DEFAULT_PACE)
    return foreseen(prediction, TRANSPORTS[name], fault, work, FOUND.delay_s, found)


def bare(name, work=WORK):
    return TRANSPORTS[name].predict(work, FOUND.delay_s, FOUND, DEFAULT_PACE)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_line_in_order_changes_no_prediction(name):
    """Nothing is added where there is nothing to add."""
    assert said(name, "") == bare(name)


@pytest.mark.parametrize("name", ["sse", "websocket"])
def test_a_push_is_late_by_the_delay_and_half_the_jitter(name):
    """One way, for the mean and the median; the latest are later by what is left of the jitter."""
    late, plain = said(name, "delay=50ms,jitter=10ms"), bare(name)
    assert late.latency_mean_s == pytest.approx(plain.latency_mean_s + 0.055)
    assert late.latency_p95_s == pytest.approx(plain.latency_p95_s + 0.055 + 0.45 * 0.01)
    assert late.within["latency_mean_s"] == pytest.approx(plain.within["latency_mean_s"] + 0.005)
    assert (late.requests, late.bytes_sent) == (plain.requests, plain.bytes_sent)


def test_a_poll_is_late_both_ways():
    """It finds what came while it was on its way there, and its answer is late by the way back: `T / 2 + d` again."""
    # An interval of three times the gap: each client has the same phases of updates, so the mean wait stays T / 2.
    late, plain = said("polling", "delay=50ms"), bare("polling")
    assert late.latency_mean_s == pytest.approx(plain.latency_mean_s + 0.05, abs=0.03)
    assert late.requests == plain.requests


def test_a_long_poll_asks_again_two_transits_later():
    """So at 2d above the gap of the updates each answer carries more than one."""
    assert bare("long_polling").requests == 10 * (1 + 9)
    assert said("long_polling", "delay=250ms").requests < 10 * 9


def test_a_narrow_line_takes_time_for_each_byte():
    """What is said is late by its size over the bandwidth, as long as that is not used up."""
    late, plain = said("sse", "bandwidth=10KB"), bare("sse")
    assert late.latency_mean_s == pytest.approx(plain.latency_mean_s + (230 + 100) / 10_000)
    used_up = said("sse", "bandwidth=800B")
    assert math.isnan(used_up.latency_mean_s) and "bandwidth" in used_up.reasons["latency_mean_s"]
    assert used_up.bytes_sent == plain.bytes_sent


@pytest.mark.parametrize("words", ["cut=1s", "cut=500B", "cut-every=2s", "vanish=up", "status=503,for=1s", "idle=1s"])
@pytest.mark.parametrize("name", TRANSPORTS)
def test_what_nobody_can_foresee_has_a_reason_and_no_number(name, words):
    """Each number that a cut touches; who is streamed to wastes nothing all the same."""
    late = said(name, f"delay=5ms,{words}")
    lost = {field for field in PREDICTED if (value := getattr(late, field)) is None or math.isnan(value)}
    assert lost == set(PREDICTED) - ({"wasted"} if TRANSPORTS[name].habit == "streamed" else set())
    assert all(words.split(",")[0] in late.reasons[field] for field in lost)
    assert not lost & set(late.within)
    assert late.deliveries == bare(name).deliveries


@pytest.mark.parametrize("words", ["cut=1min", "idle=60s", "cut=1s,from=10s", "hold=1KB"])
def test_what_does_not_come_to_pass_changes_nothing(words):
    """A cut after the end of the run; a proxy that holds back answers which end."""
    assert said("polling", words) == bare("polling")
    assert said("websocket", words) == bare("websocket")


def test_a_stream_through_a_proxy_that_holds_it_back_cannot_be_foreseen():
    """And only that."""
    assert "hold=1000B" in said("sse", "hold=1KB").reasons["latency_mean_s"]


def test_polls_that_take_longer_than_an_interval_keep_no_timetable():
    """Theory has a wait for none of them; how many there are it knows."""
    late = said("polling", "delay=300ms")
    assert math.isnan(late.latency_mean_s) and math.isnan(late.wasted)
    assert late.requests == bare("polling").requests
    assert "longer than an interval" in late.reasons["wasted"]


def test_without_a_rehearsal_the_probe_knows_the_delay():
    """It goes through the line, too."""
    fault = parse_line("delay=50ms")
    prediction = TRANSPORTS["websocket"].predict(WORK, 0.0503, None, DEFAULT_PACE)
    assert foreseen(prediction, TRANSPORTS["websocket"], fault, WORK, 0.0503, None).latency_mean_s == 0.0503


def test_what_a_slow_line_needs_more_of():
    """Fewer probes, longer patience in the end, room for connections that the server still believes in."""
    assert (probes_through(Fault()), grace_through(Fault()), most_open(20, None)) == (PROBES, GRACE_S, 28)
    slow = parse_line("delay=1s,cut=1s")
    assert probes_through(slow) == 5 and probes_through(parse_line("delay=25ms")) == 20
    assert grace_through(slow) == GRACE_S + 2 + 1
    assert most_open(20, slow) == 48 and most_open(20, parse_line("delay=1s")) == 28


def test_a_line_is_named_by_words_or_by_its_fault():
    """And refused before anything starts."""
    rows = [TRANSPORTS["websocket"]]
    assert line_through(rows, None) is None
    assert line_through(rows, "") == Fault()
    assert line_through(rows, "delay=1s") == line_through(rows, Fault(delay_s=1.0)) == Fault(delay_s=1.0)
    with pytest.raises(ValueError, match="choose other transports"):
        line_through(rows, "upgrade=426")
    assert line_through([TRANSPORTS["sse"]], "upgrade=426") == Fault(upgrade_status=426)


# --- through a real one -----------------------------------------------------------------------------------------------


def test_a_line_in_a_process_begins_when_it_is_told_and_ends_with_it():
    """At first only what is steady; then all of it; and it says what it did."""

    async def scenario():
        async with Server("polling", schedule=every(0.1)) as server:
            line = LineProcess(parse_line("delay=1ms,cut=10B"))
            try:
                first, second = await line.start([server.port(), server.probe_port])
                assert first != second
                reader, writer = await asyncio.open_connection("127.0.0.1", second)
                writer.write(bytes(20))
                assert await reader.readexactly(20) == bytes(20)
                await line.begin(0)
                writer.write(bytes(20))
                assert await reader.readexactly(20) == bytes(20)  # the second stays as it was
                asking, ask = await asyncio.open_connection("127.0.0.1", first)
                ask.write(b"GET /updates HTTP/1.1\r\n\r\n")
                assert await asking.read(1) == b""
                did = await line.did()
                assert (did["counts"]["open"], did["counts"]["cut"], did["bytes_up"]) == (1, 1, 10)
                for one in (writer, ask):
                    one.transport.abort()
            finally:
                line.kill()
            line.kill()
            with pytest.raises(RuntimeError, match="not running"):
                await line.did()

    asyncio.run(asyncio.wait_for(scenario(), patient(60)))


def test_a_line_that_never_started_says_so():
    """And may be ended all the same."""
    line = LineProcess()
    line.kill()
    with pytest.raises(RuntimeError, match="not running"):
        asyncio.run(line.did())


@pytest.fixture(scope="module")
def late():
    """Every habit through a line that is late."""
    names = ["polling", "long_polling", "websocket"]
    options = {"clients": 6, "interval_s": 0.4, "duration_s": 2.0, "progress": False}
    return asyncio.run(compare(names, every(0.3), line="delay=60ms,jitter=5ms", **options))


def test_through_a_slow_line_counts_are_those_of_theory(late):
    """Nothing is lost, and both sides count the same."""
    for run in late:
        assert (run.missed, run.duplicates) == (0, 0)
        assert run.client_requests == run.server_requests
        assert run.line == "delay=60ms,jitter=5ms" and run.line_did["open"] == run.connections == 6
    assert late["polling"].requests == late["polling"].predicted.requests == 30
    assert late["websocket"].requests == 6


def test_nothing_is_sooner_than_the_line_lets_it(late):
    """By no transport; and the floor that was probed lies above the delay, too."""
    for run in late:
        assert run.delay_s >= 0.06
        assert min(run.latency_s) >= 0.06
        assert run.predicted.latency_mean_s > 0.06
        assert all(heard.latency_s >= 0.06 for heard in run.heard)


def test_through_a_line_that_is_cut_all_is_heard_and_the_rest_is_said_to_be_unknown():
    """Each is cut again and again, comes back, and lost nothing; JSON has null, and the notes the reason."""
    options = {"clients": 4, "interval_s": 0.3, "duration_s": 2.0, "rehearsal": False, "progress": False}
    found = asyncio.run(compare(["polling", "sse"], every(0.25), line=Fault(cut_after_s=0.4, rst=True), **options))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["line"] == "cut=400ms,end=rst"
    for run in found:
        assert (run.missed, run.duplicates) == (0, 0)
        assert run.line_did["cut"] >= 4 and run.connections > 4
        assert run.predicted.deliveries == run.deliveries
        assert not any("do not trust" in note for note in run.notes)
        assert any(note.startswith("the line had") for note in run.notes)
        figures = told["transports"][run.transport]
        assert figures["predicted"]["latency_mean_s"] is figures["predicted"]["requests"] is None
        assert figures["latency_s"]["predicted_mean"] is None
        assert figures["line_did"]["cut"] == run.line_did["cut"]
        assert any("cut=400ms,end=rst" in note for note in figures["notes"])
    assert "–" in str(found) and "through a line with cut=400ms,end=rst" in str(found)
    assert replace(found["sse"], line=None).line is None


def test_the_lag_of_a_line_is_none_by_default():
    """A calibration without a line has nothing added."""
    assert FOUND.lag == Lag()
