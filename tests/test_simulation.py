"""Every formula of theory against a simulation of events that shares nothing with it: within 1 %.

Each comparison is also made with a formula that is wrong, and has to find that out.
"""

import ast
import math
import random
from pathlib import Path

import pytest
import simulation

from wsdemo import theory

CLOSE = 0.01


def close(value, truth, rel=CLOSE):
    """Whether a value is within 1 % of the truth; none is close to none alone."""
    if value is None or truth is None:
        return value is truth
    return abs(value - truth) <= rel * abs(truth) + 1e-9


def same(found, truth):
    """Whether all of several values are what happened: counts exactly, seconds and shares to within 1 %."""
    pairs = list(zip(found, truth, strict=True))
    return all(one == other if isinstance(other, int) else close(one, other) for one, other in pairs)


def mean(values):
    return sum(values) / len(values) if values else None


def test_the_simulation_knows_no_formula():
    """It imports nothing of the package."""
    tree = ast.parse(Path(simulation.__file__).read_text(encoding="utf-8"))
    named = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "heapq" in named and not any(name.startswith("wsdemo") for name in named)


# What is walked, given the schedule.

DURATION_S = 12.0


def schedules(seed):
    """Sparse, dense, in bursts, at equal distances, one alone, none, and several at one moment; all by this seed."""
    chance = random.Random(seed)
    period, start = chance.uniform(0.05, 1.5), chance.uniform(0, 0.05)
    return [
        simulation.poisson(0.3, DURATION_S, seed),
        simulation.poisson(30.0, DURATION_S, seed),
        simulation.bursts(4.0, DURATION_S, seed),
        [start + k * period for k in range(int((DURATION_S - start) / period))],
        [chance.uniform(0, DURATION_S)],
        [],
        sorted(chance.choice([1.0, 2.5, 2.5, 7.25]) for _ in range(4)),
    ]


def disagreements(cases, formula, happened):
    """Return the cases in which a formula says something else than what happened in the simulation."""
    return [case for case in cases if not same(formula(*case), happened(*case))]


def polls_cases(seeds):
    """Intervals below and above the gaps and the run, one reader and several, at random phases; some with a way."""
    for seed in range(seeds):
        chance = random.Random(seed)
        for at_s in schedules(seed):
            for interval_s in (0.07, 0.5, 3.0, 20.0):
                for readers in (1, 4):
                    phases = [chance.uniform(0, interval_s) for _ in range(readers)]
                    yield at_s, phases, interval_s, DURATION_S, chance.choice([0.0, 0.004])


def polls_happened(*case):
    seen, (_, _, _, duration_s, delay_s) = simulation.poll(*case), case
    late = sum(sent >= duration_s and news > 0 for sent, news in seen.requests)
    waits = [latency - delay_s for latency in seen.latencies]
    return seen.asked(duration_s), seen.wasted(duration_s), late, len(waits), mean(waits), max(waits, default=None)


def polls_said(*case):
    walk = theory.polls(*case)
    return walk.requests, walk.wasted, walk.late_answers, walk.deliveries, walk.mean_s, walk.quantile_s(1.0)


def polls_without_the_further_one(at_s, phases_s, interval_s, duration_s, delay_s):
    requests, wasted, late, *rest = polls_said(at_s, phases_s, interval_s, duration_s, delay_s)
    return requests, wasted - late, late, *rest


def polls_by_the_mean_over_phases(at_s, phases_s, interval_s, duration_s, delay_s):
    requests, _, late, deliveries, mean_s, most_s = polls_said(at_s, phases_s, interval_s, duration_s, delay_s)
    return (
        requests,
        requests * theory.wasted_fraction_given(at_s, interval_s, duration_s),
        late,
        deliveries,
        mean_s and interval_s / 2,
        most_s,
    )


@pytest.mark.large
def test_polls_are_walked_as_they_happen(amount):
    """Requests, waste, deliveries, the mean and the longest wait: of one reader at one phase as of several."""
    cases = list(polls_cases(amount(small=6, large=60)))
    assert disagreements(cases, polls_said, polls_happened) == []
    assert disagreements(cases, polls_without_the_further_one, polls_happened)
    assert disagreements(cases, polls_by_the_mean_over_phases, polls_happened)


def test_quantiles_of_polls_are_those_that_happen():
    """Of many readers at even phases, the waits' percentiles; and `p T + d` for the latency."""
    at_s, phases = simulation.poisson(2.0, 40.0, 0), [(i + 0.5) / 50 * 0.5 for i in range(50)]
    seen, walk = simulation.poll(at_s, phases, 0.5, 40.0, 0.004), theory.polls(at_s, phases, 0.5, 40.0, 0.004)
    for share in (0.5, 0.95, 0.99):
        assert close(walk.quantile_s(share) + 0.004, seen.quantile(share))
        # Fifty phases: a wait is known to a fiftieth of T, and what of that is 1 % of the whole.
        assert theory.latency_quantile(0.5, share, 0.004) == pytest.approx(seen.quantile(share), abs=0.5 / 50)
        assert not close(theory.latency_quantile(0.5, share - 0.05, 0.004), seen.quantile(share))
    assert len(seen.latencies) == 50 * len(at_s)


def long_polls_cases(seeds):
    """Ways such that updates come within `2d` or not, timeouts below the gaps and above the run, an early leave."""
    for seed in range(seeds):
        chance = random.Random(seed)
        for at_s in schedules(seed):
            for delay_s in (0.0003, 0.02, 0.3):
                for timeout_s in (0.8, 25.0):
                    yield at_s, DURATION_S, timeout_s, delay_s, DURATION_S + chance.choice([0.1, 2.0])


def long_polls_happened(*case):
    seen, (_, duration_s, _, delay_s, _) = simulation.long_poll(*case), case
    answers = sum(news is not None and news > 0 for _, news in seen.requests)
    waits = [latency - delay_s for latency in seen.latencies]
    return seen.asked(duration_s), seen.wasted(duration_s), answers, len(waits), mean(waits), max(waits, default=None)


def long_polls_said(*case):
    walk = theory.long_polls(*case)
    return walk.requests, walk.wasted, walk.answers, walk.deliveries, walk.mean_s, walk.quantile_s(1.0)


def long_polls_one_an_update(at_s, duration_s, timeout_s, delay_s, until_s):
    """One request an update and a timeout, as if no two shared an answer."""
    _, wasted, answers, *rest = long_polls_said(at_s, duration_s, timeout_s, delay_s, until_s)
    return 1 + len(at_s) + wasted, wasted, answers, *rest


def long_polls_that_waste_the_last(*case):
    requests, _, *rest = long_polls_said(*case)
    return requests, requests - rest[0], *rest


def long_polls_one_transit_apart(at_s, duration_s, timeout_s, delay_s, until_s):
    return long_polls_said(at_s, duration_s, timeout_s, delay_s / 2, until_s)


@pytest.mark.large
def test_long_polls_are_walked_as_they_happen(amount):
    """Requests, waste, answers and waits, also where updates share an answer or the run ends in a held one."""
    cases = list(long_polls_cases(amount(small=10, large=100)))
    assert disagreements(cases, long_polls_said, long_polls_happened) == []
    for wrong in (long_polls_one_an_update, long_polls_that_waste_the_last, long_polls_one_transit_apart):
        assert disagreements(cases, wrong, long_polls_happened), wrong.__name__


def conflated_cases(seeds):
    """Intervals below and above the gaps, up to longer than the run."""
    return [(at_s, t, DURATION_S) for seed in range(seeds) for at_s in schedules(seed) for t in (0.03, 0.4, 2.0, 20.0)]


def conflated_happened(at_s, at_most_every_s, _duration_s):
    seen = simulation.conflate(at_s, at_most_every_s)
    ends, latest = 0, []
    for carried in seen.messages:
        latest.append(seen.latencies[(ends := ends + carried) - 1])
    return len(seen.messages), len(seen.latencies), mean(seen.latencies), mean(seen.messages), mean(latest)


def conflated_said(*case):
    walk = theory.conflated(*case)
    return walk.messages, walk.deliveries, walk.mean_s, walk.updates_per_message, mean(list(walk.latest_waits_s))


def conflated_by_a_grid(at_s, at_most_every_s, duration_s):
    """As if messages went out at k T, as polls do."""
    waits = [math.ceil(at / at_most_every_s) * at_most_every_s - at for at in at_s]
    return (
        *conflated_said(at_s, at_most_every_s, duration_s)[:2],
        mean(waits),
        *conflated_said(at_s, at_most_every_s, duration_s)[3:],
    )


@pytest.mark.large
def test_a_conflated_stream_is_walked_as_it_happens(amount):
    """Messages, waits, updates a message, and the waits of the newest in each."""
    cases = conflated_cases(amount(small=20, large=200))
    assert disagreements(cases, conflated_said, conflated_happened) == []
    assert disagreements(cases, conflated_by_a_grid, conflated_happened)
    for at_s, at_most_every_s, duration_s in cases:
        polls = theory.polls(at_s, [at_most_every_s / 2], at_most_every_s, duration_s)
        assert theory.conflated(at_s, at_most_every_s, duration_s).messages <= polls.requests + 2


@pytest.mark.large
def test_heartbeats_are_counted_as_they_are_sent(amount):
    """Beside the news, and in silence alone; a period longer than the run sends none."""
    cases = [
        (at_s, DURATION_S, period_s, only_in_silence)
        for seed in range(amount(small=10, large=100))
        for at_s in schedules(seed)
        for period_s in (0.13, 1.7, 20.0)
        for only_in_silence in (False, True)
    ]

    def said(*case):
        return (theory.heartbeats(*case[:3], only_in_silence=case[3]),)

    def always(*case):
        return (theory.heartbeats(*case[:3]),)

    def one_at_the_start(*case):
        return (said(*case)[0] + 1,)

    def sent(*case):
        return (simulation.beat(*case),)

    assert disagreements(cases, said, sent) == []
    assert disagreements(cases, always, sent) and disagreements(cases, one_at_the_start, sent)


# What holds for Poisson updates, in the long run.

RATES_AND_INTERVALS = [(0.3, 1.0), (2.0, 0.5), (5.0, 0.6)]


def runs(updates, rate, seeds):
    """Return one schedule a seed, of so many updates in the mean, and their duration."""
    return [simulation.poisson(rate, updates / rate, seed) for seed in range(seeds)], updates / rate


@pytest.mark.large
@pytest.mark.parametrize("rate, interval", RATES_AND_INTERVALS)
def test_polling_of_poisson_updates(rate, interval, amount):
    """Waste, requests an update, latency, its percentiles, and the cost of it all by a price list."""
    phases = [(i + 0.5) / 10 * interval for i in range(10)]
    seen, asked, wasted, seconds = [], 0, 0, 0.0
    for seed in range(amount(small=2, large=20)):
        at_s = simulation.poisson_without_luck(rate, 4_000, seed)
        duration = at_s[-1] + 1e-9
        seen.append(simulation.poll(at_s, phases, interval, duration, 0.004))
        seconds += duration * len(phases)
        asked, wasted = asked + seen[-1].asked(duration), wasted + seen[-1].wasted(duration)
    prices = theory.Prices(request=3.0, update=0.5, message=2.0, connection_s=0.1, staleness_s=1.5)
    latencies = sorted(latency for one in seen for latency in one.latencies)
    assert close(theory.wasted_fraction(rate, interval), wasted / asked)
    assert not close(theory.wasted_fraction(rate, interval * 1.1), wasted / asked)
    assert close(theory.requests_per_update(rate, interval), asked / len(latencies))
    assert close(theory.latency_mean(interval, 0.004), mean(latencies))
    assert not close(theory.latency_mean_latest_only(rate, interval), mean(latencies))
    for share in (0.5, 0.95, 0.99):
        happened = latencies[int(share * len(latencies))]
        assert close(theory.latency_quantile(interval, share, 0.004), happened)
        assert not close(theory.latency_quantile(interval, share - 0.02, 0.004), happened)
    stale = sum(latencies) - 0.004 * len(latencies)  # without the way
    paid = 3.0 * asked + 0.5 * len(latencies) + 1.5 * stale + 0.1 * seconds
    assert close(theory.polling_cost(prices, rate, interval), paid / seconds)
    assert not close(theory.polling_cost(prices, rate, interval, keeps_connection=False), paid / seconds)


@pytest.mark.large
@pytest.mark.parametrize(
    "rate, timeout, delay", [(0.5, 1.0, 0.2), (2.0, 25.0, 0.1), (20.0, 0.1, 0.05), (300.0, 1, 0.01)]
)
def test_long_polling_of_poisson_updates(rate, timeout, delay, amount):
    """From rare news to more than a request can follow: requests a second, waste, latency."""
    schedules, duration = runs(20_000, rate, amount(small=10, large=50))
    seen = [simulation.long_poll(at_s, duration, timeout, delay, duration + 2) for at_s in schedules]
    asked, wasted = sum(one.asked(duration) for one in seen), sum(one.wasted(duration) for one in seen)
    latency = mean([latency for one in seen for latency in one.latencies])
    assert close(theory.long_poll_cycle(rate, timeout, delay), duration * len(seen) / asked)
    assert not close(2 * delay + 1 / rate, duration * len(seen) / asked)
    assert close(theory.long_poll_latency_mean(rate, timeout, delay), latency)
    assert not close(theory.long_poll_latency_mean(rate, timeout, delay / 2), latency)
    if wasted > 10_000:  # else the share of so few is not known to 1 %
        assert close(theory.long_poll_wasted_fraction(rate, timeout, delay), wasted / asked)
        assert not close(math.exp(-rate * timeout), wasted / asked)
    else:
        assert theory.long_poll_wasted_fraction(rate, timeout, delay) * asked < 100_000


@pytest.mark.large
@pytest.mark.parametrize("rate, interval", RATES_AND_INTERVALS)
def test_conflation_of_poisson_updates(rate, interval, amount):
    """Messages a second and waits: never more messages than polls, never staler; and the cost by a price list."""
    schedules, duration = runs(20_000, rate, amount(small=5, large=50))
    seen = [simulation.conflate(at_s, interval) for at_s in schedules]
    messages, waits = sum(len(one.messages) for one in seen), [wait for one in seen for wait in one.latencies]
    a_second = messages / duration / len(seen)
    assert close(theory.conflated_messages_per_s(rate, interval), a_second) and a_second < 1 / interval
    assert not close(rate / (1 + rate * interval), a_second)  # as if each message opened a silence anew
    assert close(theory.conflated_wait_mean(rate, interval), mean(waits)) and mean(waits) < interval / 2
    assert not close(interval / 2, mean(waits))
    prices = theory.Prices(request=3.0, update=0.5, message=2.0, connection_s=0.1, heartbeat=0.7, staleness_s=1.5)
    paid = 2.0 * messages + 0.5 * (len(waits) - messages) + 1.5 * sum(waits)
    paid = paid / duration / len(seen) + 0.1 + 0.7 * simulation.beat([], 20_000.0, 2.0, False) / 20_000.0
    assert close(theory.conflated_cost(prices, rate, interval, 2.0), paid)
    assert not close(theory.push_cost(prices, rate, 2.0), paid)


@pytest.mark.parametrize("readers", [1, 5, 20, 100])
def test_push_to_many_readers(readers):
    """The mean and the quantiles over readers, where a push is over before the next update; and what it costs."""
    at_s = [k * 1.0 for k in range(40)]
    seen = simulation.push(at_s, readers, 0.0008, 0.00004)
    assert close(theory.push_latency_mean(0.0008, 0.00004, readers), seen.mean)
    assert close(theory.push_latency_quantile(0.0008, 0.00004, readers, 0.95), seen.quantile(0.95))
    assert readers == 1 or not close(theory.push_latency_mean(0.0008, 0.00004, 2 * readers), seen.mean)
    prices = theory.Prices(request=3.0, message=2.0, connection_s=0.1)
    paid = (2.0 * len(seen.messages) + 0.1 * 40.0 * readers) / 40.0 / readers
    assert close(theory.push_cost(prices, 1.0), paid)
    assert not close(theory.push_cost(prices, 1.1), paid)


@pytest.mark.large
@pytest.mark.parametrize("answer, update, message", [(3.0, 0.5, 2.0), (1.0, 0.9, 1.0), (5.0, 0.0, 10.0)])
def test_beyond_the_crossover_polling_is_cheaper(answer, update, message, amount):
    """2 % before it the messages of a run cost less than its polls, 2 % behind it more."""
    interval = 0.5
    for side, push_is_dearer in ((0.98, False), (1.02, True)):
        rate = side * theory.crossover(answer, update, message) / interval
        schedules, duration = runs(20_000, rate, amount(small=3, large=25))
        polls, messages = 0.0, 0.0
        for at_s in schedules:
            seen = simulation.poll(at_s, [interval / 2], interval, duration)
            polls += answer * seen.asked(duration) + update * len(seen.latencies)
            messages += message * len(simulation.push(at_s, 1, 0.0, 0.0).messages)
        assert (messages > polls) is push_is_dearer


def test_where_a_message_costs_no_more_than_an_update_polling_is_never_cheaper():
    """As in bytes: infinity, and no error."""
    assert theory.crossover(1.0, 2.0, 2.0) == theory.crossover(1.0, 3.0, 2.0) == math.inf


@pytest.mark.parametrize("rate", [0.02, 1.0, 40.0])
@pytest.mark.parametrize("staleness_s", [0.3, 4.0, 60.0])
def test_conflation_of_least_cost_is_a_minimum(rate, staleness_s):
    """Any other T costs more; where none pays, every T above 0 does."""
    prices = theory.Prices(request=3.0, update=0.5, message=2.0, staleness_s=staleness_s)
    best = theory.least_cost_conflation(2.0, 0.5, staleness_s, rate)
    least = theory.conflated_cost(prices, rate, best)
    others = [best * by for by in (0.5, 0.9, 1.1, 2.0)] if best else [by / rate for by in (0.1, 1.0, 10.0)]
    assert all(theory.conflated_cost(prices, rate, other) > least for other in others)
    assert (best == 0) is ((2.0 - 0.5) * rate <= staleness_s)
    assert theory.conflated_cost(prices, rate, 0.0) == pytest.approx(theory.push_cost(prices, rate))


def test_at_the_equal_period_the_signs_of_life_cost_what_the_polls_cost():
    """A silent time, counted: pings cost what polls cost; no period does where messages alone are dearer."""
    prices = theory.Prices(request=3.0, heartbeat=4.0, message=2.0)
    period = theory.equal_heartbeat_period(prices, 0.0, 60.0)
    polls = 3.0 * simulation.poll([], [30.0], 60.0, 360_000.0).asked(360_000.0)
    assert close(4.0 * simulation.beat([], 360_000.0, period, False), polls)
    assert not close(4.0 * simulation.beat([], 360_000.0, period * 1.05, False), polls)
    assert close(theory.silence_cost(4.0, period) * 360_000.0, polls)
    assert theory.equal_heartbeat_period(prices, 1.0, 60.0) == math.inf


def test_heartbeats_of_least_cost_are_a_minimum():
    """Signs of life, and ignorance of cuts at random moments until the next one."""

    def cost(period_s):
        chance = random.Random(0)
        cuts = sorted(chance.uniform(0, 100_000.0) for _ in range(20_000))
        unknown = simulation.poll(cuts, [period_s / 2], period_s, 100_000.0).latencies
        return 4.0 * simulation.beat([], 100_000.0, period_s, False) + 1.5 * sum(unknown)

    best = theory.least_cost_heartbeat_period(4.0, 0.2, 1.5)
    assert all(cost(best) < cost(best * by) for by in (0.7, 1.4))


def test_least_cost_orders_the_ways_by_their_price():
    """One update a day within 0.2 s is pushed; much cheap news that may wait is polled or held back."""
    prices = theory.Prices(request=3.0, update=0.1, message=2.0, connection_s=0.001, heartbeat=2.0)
    rare = theory.least_cost(prices, 1 / 86_400, most_wait_s=0.2, heartbeat_period_s=20.0)
    assert rare[0].habit in ("push", "conflated") and rare[-1].habit == "polling"
    much = theory.least_cost(prices, 50.0, most_wait_s=10.0, heartbeat_period_s=20.0)
    assert much[-1].habit == "push" and all(one.wait_s <= 10 for one in much)
    assert [one.cost_per_s for one in much] == sorted(one.cost_per_s for one in much)
    assert [one.habit for one in theory.least_cost(prices, 1.0)] == ["push"]  # nothing bounds a T
