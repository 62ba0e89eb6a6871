"""What is recommended, for two dozen workloads: the cheapest that keeps the deadline, found here by counting.

The walks below play a schedule update by update and count what each transport asks and sends. They share no formula
with `wsdemo.choose`, and look at nothing but moments.
"""

import itertools
import math
import random

import pytest

from wsdemo.choose import Case, Option, PriceList, options, recommend

UPDATES = 20_000

# In microseconds of CPU, of the order that lesson 07 measures among twenty readers.
CPU = PriceList(request=210, update=10, message=20, heartbeat=30)
# Alone, a message costs what an answer costs: no frame is shared.
CPU_ALONE = PriceList(request=250, update=10, message=230, heartbeat=230)
# Bytes of payload, and with 52 bytes of TCP and IP for each segment: three a poll, two a message, four a ping.
PAYLOAD = PriceList(request=383, update=96, message=96, heartbeat=8, unchanged=300)
WIRE = PriceList(request=383 + 156, update=96, message=96 + 104, heartbeat=8 + 208, unchanged=300 + 156)
# Millionths of a dollar, by a price list of a gateway: a held connection is billed by the minute.
MONEY = PriceList(request=1, update=0, message=1, connection_s=0.25 / 60)
# A cache in front that takes its own money for each answer.
CDN = PriceList(request=210, update=10, message=20, heartbeat=30, hit=1)

DAY = 1 / 86_400
BLIND = {"streams_pass": False, "upgrades_pass": False}
TABLE = [
    # what it is, the case, its prices, what is chosen, and a piece of the reason
    ("one update a day, known within 0.2 s", Case(DAY, 0.2, 20), CPU, "sse", "20 connections held"),
    ("the same on the wire", Case(DAY, 0.2, 20), WIRE, "sse", "as cheap, and more to run is websocket"),
    ("one update a day, known within the day", Case(DAY, 86_400, 20), CPU, "polling every", "36.8% of them wasted"),
    ("an earthquake, a minute old is fine", Case(1 / 354, 60, 1), WIRE, "polling with ETag", "84.4% of them wasted"),
    ("the same, only payload counted", Case(1 / 354, 60, 1), PAYLOAD, "sse", "1 connection held"),
    ("the same, a ping in five minutes", Case(1 / 354, 60, 1, heartbeat_s=300), WIRE, "sse", "1 connection held"),
    ("an earthquake, five seconds old is fine", Case(1 / 354, 5, 1), WIRE, "sse", "1 connection held"),
    ("a million readers", Case(1, 1, 10**6), CPU, "sse, at most one message every 0.95 s", "748,088 messages"),
    ("a million, a cache may answer", Case(1, 1, 10**6, shared_cache=True), CPU, "polling a shared", "2.11 requests"),
    ("a million, the cache is billed", Case(1, 0.3, 10**6, shared_cache=True), CDN, "polling a shared", "8 requests"),
    ("a million readers, 50 a second", Case(50, 1, 10**6), CPU, "sse, at most one message every", "1,052,632 messages"),
    ("the same, streams held back", Case(50, 1, 10**6, streams_pass=False), CPU, "websocket, at most", "not sse"),
    ("a wall of 50 readings a second", Case(50, 1, 200), CPU, "sse, at most one message every", "211 messages"),
    ("the wall, short answers only", Case(50, 1, 200, **BLIND), CPU, "polling every 0.95 s", "211 requests a second"),
    ("a wall of five, connections are billed", Case(5, 30, 200), MONEY, "polling every 29.9 s", "6.68 requests"),
    ("a game, as fresh as can be", Case(20, 0.06, 100, sends_per_s=20), CPU, "websocket", "not polling: a question"),
    ("a chat", Case(0.2, 1, 500, sends_per_s=0.02), CPU, "websocket", "500 connections held"),
    ("a chat without a library", Case(0.2, 1, 500, 0.02, upgrades_pass=False), CPU, "sse", "has no library"),
    ("a chat, short answers only", Case(0.2, 1, 500, 0.02, **BLIND), CPU, "long polling", "not sse"),
    ("a hall, one direction", Case(0.2, 1, 500), CPU, "sse", "as cheap, and more to run is websocket"),
    ("a camera's pictures", Case(0.5, 0.2, 50, binary=True), CPU, "websocket", "an event stream carries text"),
    ("prices within 10 ms in one house", Case(100, 0.01, 30, way_s=0.001), CPU, "sse, at most", "2,296 messages"),
    ("the lift of lesson 02", Case(1 / 3600, 5, 50_000), CPU, "sse", "50,000 connections held"),
    ("the lift, connections are billed", Case(1 / 3600, 5, 50_000), MONEY, "sse", "50,000 connections held"),
    ("the lift, ten minutes are soon enough", Case(1 / 3600, 600, 50_000), MONEY, "polling every", "83.3 requests"),
    ("one reader, nobody shares a frame", Case(5, 1, 1, **BLIND), CPU_ALONE, "polling every 0.95 s", "not websocket"),
    ("bytes at a high rate", Case(100, 2, 20), PAYLOAD, "polling every 1.95 s", "as cheap, and more to run is sse"),
]
NAMES = [row[0] for row in TABLE]


# --- counted, update by update ----------------------------------------------------------------------------------------


def moments(rate_per_s):
    luck = random.Random(1)
    return list(itertools.accumulate(luck.expovariate(rate_per_s) for _ in range(UPDATES)))


def polled(at_s, interval_s):
    """Return how many polls there are to the last update, and how many of them find nothing."""
    polls = math.ceil(at_s[-1] / interval_s)
    return polls, polls - len({math.ceil(at / interval_s) for at in at_s})


def asked_again(at_s, way_s, hold_s):
    """Return how many long polls it takes: each is answered by news or its timeout, and away for two ways."""
    requests, free_s, heard = 0, 0.0, 0
    while heard < len(at_s):
        answered_s = min(max(free_s, at_s[heard]), free_s + hold_s)
        # Long silences: as many timeouts as fit, at once.
        skipped = max(0, int((at_s[heard] - free_s) / (hold_s + 2 * way_s)) - 1)
        if skipped:
            requests, free_s = requests + skipped, free_s + skipped * (hold_s + 2 * way_s)
            continue
        requests, free_s = requests + 1, answered_s + 2 * way_s
        while heard < len(at_s) and at_s[heard] <= answered_s:
            heard += 1
    return requests


def thinned(at_s, least_s):
    """Return how many messages go out if there are `least_s` between two of them."""
    messages, sent_s, heard = 0, -math.inf, 0
    while heard < len(at_s):
        sent_s, messages = max(at_s[heard], sent_s + least_s), messages + 1
        while heard < len(at_s) and at_s[heard] <= sent_s:
            heard += 1
    return messages


def counted(case, prices):
    """Return what each way that fits the case costs in a second, by name, the simplest to run first."""
    at_s = moments(case.rate_per_s)
    long_s, n, c = at_s[-1], case.clients, prices.update * UPDATES
    asks = case.sends_per_s * long_s * prices.request
    found = {}
    if case.deadline_s >= 3 * case.way_s:
        spare_s = case.deadline_s - case.way_s
        polls, empty = polled(at_s, spare_s)
        found["polling every"] = n * (polls * prices.request + c + asks)
        if prices.unchanged is not None:
            cheap = polls * prices.request - empty * (prices.request - prices.unchanged)
            found["polling with ETag"] = n * (cheap + c + asks)
        if case.shared_cache:
            polls, _ = polled(at_s, spare_s / 2)
            found["polling a shared cache"] = min(n, 1) * polls * prices.request + c + n * (polls * prices.hit + asks)
        requests = asked_again(at_s, case.way_s, case.hold_s)
        found["long polling"] = n * (requests * prices.request + c + long_s * prices.connection_s + asks)
    for name, fits, up in (
        ("sse", case.streams_pass and not case.binary, prices.request),
        ("websocket", case.upgrades_pass, prices.message),
    ):
        if fits and case.deadline_s >= case.way_s:
            held = long_s * (prices.connection_s + prices.heartbeat / case.heartbeat_s + case.sends_per_s * up)
            messages = thinned(at_s, case.deadline_s - case.way_s)
            found[name] = n * (UPDATES * prices.message + held)
            found[f"{name}, at most"] = n * (messages * prices.message + (UPDATES - messages) * prices.update + held)
    return {name: cost / long_s for name, cost in found.items()}


def cheapest(costs):
    """Return the simplest of those within a twentieth of the least cost."""
    return next(name for name, cost in costs.items() if cost <= 1.05 * min(costs.values()))


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_asks_for_every_answer():
    """At least twenty workloads, and every way to serve one is right for somebody."""
    answers = {cheapest(counted(case, prices)) for _, case, prices, _, _ in TABLE}
    assert len(TABLE) >= 20 and len(set(NAMES)) == len(TABLE)
    assert answers >= {"polling every", "polling with ETag", "polling a shared cache", "long polling"}
    assert answers >= {"sse", "websocket", "sse, at most", "websocket, at most"}


@pytest.mark.parametrize(("name", "case", "prices", "expected", "reason"), TABLE, ids=NAMES)
def test_the_choice_is_the_cheapest_by_counting(name, case, prices, expected, reason):
    """The expected answer is what counting finds, and the function says the same, with numbers for it."""
    by_count = cheapest(counted(case, prices))
    choice = recommend(case, prices)
    assert choice.option.name.startswith(expected)
    assert choice.option.name.startswith(by_count)
    assert ("at most" in choice.option.name) == ("at most" in by_count)
    assert reason in choice.reason


@pytest.mark.parametrize(("name", "case", "prices", "expected", "reason"), TABLE, ids=NAMES)
def test_every_option_costs_what_counting_finds(name, case, prices, expected, reason):
    """Within 3 %, four standard errors of the rate that twenty thousand random updates have."""
    costs = counted(case, prices)
    found = options(case, prices)
    assert len(found) == len(costs)
    for option, (kind, cost) in zip(found, costs.items(), strict=True):
        assert option.name.startswith(kind)
        assert option.cost_per_s == pytest.approx(cost, rel=0.03)


# --- what it must not say ---------------------------------------------------------------------------------------------


def test_a_day_of_silence_is_not_a_hundred_requests_a_second():
    """Twenty readers who want to know at once hold twenty connections, whatever a request costs."""
    for prices in (CPU, CPU_ALONE, PAYLOAD, WIRE, MONEY):
        option = recommend(Case(DAY, 0.2, 20), prices).option
        assert option.held == 20 and option.per_s < 1, option


@pytest.mark.parametrize("rate_per_s", [0.001, 0.1, 1, 50])
@pytest.mark.parametrize("shared_cache", [True, False])
def test_a_million_readers_are_never_a_million_polls_a_second(rate_per_s, shared_cache):
    """They ask a cache, or are pushed to, thinned where updates come closer than a deadline."""
    option = recommend(Case(rate_per_s, 1, 10**6, shared_cache=shared_cache), CPU).option
    assert option.shared_cache is shared_cache
    assert option.per_s < 3 if shared_cache else option.transport == "sse" and option.per_s <= 1.06e6


def test_no_deadline_parts_sse_from_websocket():
    """Both hear as soon and cost the same, so only the case parts them, and never its deadline."""
    for deadline_s in (0.06, 0.1, 0.19, 0.2, 0.21, 0.5, 2):
        one_way = {o.name.partition(",")[0]: o.cost_per_s for o in reversed(options(Case(3, deadline_s, 10), CPU))}
        assert one_way["websocket"] == one_way["sse"]
        assert recommend(Case(3, deadline_s, 10, binary=True, sends_per_s=9), CPU).option.transport == "websocket"


@pytest.mark.parametrize("rate_per_s", [0.01, 0.5, 1, 3, 40, 1000])
def test_conflated_push_never_sends_more_than_polling_with_the_same_interval_asks(rate_per_s):
    """At no rate: a crossover in messages comes of comparing a server that thins with one that does not."""
    at_s = moments(rate_per_s)
    assert thinned(at_s, 1.0) <= polled(at_s, 1.0)[0] + 1
    asked, conflated = polled(at_s, 1.0)[0], thinned(at_s, 1.0)
    assert rate_per_s > 1 or conflated < asked


def test_where_staleness_has_a_price_the_interval_of_least_cost_is_taken():
    """If the deadline allows it: `sqrt(2 a / (b lambda))` for polls, and nothing held back where that saves less."""
    dear = PriceList(request=200, update=10, message=20, staleness_s=10_000)
    polling = next(o for o in options(Case(1, 60, 10), dear) if o.transport == "polling")
    assert polling.every_s == pytest.approx(0.2)
    assert [o.every_s for o in options(Case(1, 60, 10), dear) if o.transport == "sse"] == [None]
    tight = next(o for o in options(Case(1, 0.16, 10), dear) if o.transport == "polling")
    assert tight.every_s == pytest.approx(0.11)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_case_that_nothing_serves_is_refused_with_what_would_help():
    with pytest.raises(
        ValueError, match=r"nothing keeps 0.01 s: polling, because .*the way alone takes 0.05 s.*Allow a later deadline"
    ):
        recommend(Case(1, 0.01, 1), CPU)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rate_per_s": 0}, "rate_per_s must be a number above 0, not 0"),
        ({"deadline_s": math.nan}, "deadline_s must be a number above 0, not nan"),
        ({"clients": 0}, "clients must be a whole number from 1 up, not 0"),
        ({"way_s": -1}, "way_s must be a number from 0 up, not -1"),
        ({"sends_per_s": math.inf}, "sends_per_s must be a number from 0 up, not inf"),
    ],
)
def test_a_case_that_cannot_be_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Case(**{"rate_per_s": 1, "deadline_s": 1, "clients": 1} | wrong)


def test_prices_are_not_below_nothing():
    with pytest.raises(ValueError, match="the price heartbeat must be a number from 0 up, not -1"):
        PriceList(1, 1, 1, heartbeat=-1)


def test_an_option_says_its_numbers():
    option = Option("polling", "polling", 1.0, False, 20.0, 0.5, 0, 4200.0)
    assert str(option) == "20 requests a second and 50.0% of them wasted: 4,200 a second"
    assert str(recommend(Case(0.2, 1, 500), CPU)).startswith("sse: 100 messages a second and 500 connections held: ")
