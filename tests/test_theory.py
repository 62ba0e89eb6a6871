"""Every formula against a simulation that is written here, from the definitions and without the formulas."""

import bisect
import math
import random

import pytest

from wsdemo import theory
from wsdemo.theory import Workload
from wsdemo.workload import Pace

RATES_AND_INTERVALS = [(2.0, 0.5), (0.3, 1.0), (5.0, 1.0)]


def simulate(updates, interval, duration, phase):
    """Return (polls, wasted, latencies of all updates, latencies of those seen if only the latest is kept, missed)."""
    polls, wasted, latencies, seen, missed = 0, 0, [], [], 0
    previous, at = 0.0, phase
    while True:
        fresh = updates[bisect.bisect_right(updates, previous) if previous else 0 : bisect.bisect_right(updates, at)]
        if at < duration:
            polls += 1
            wasted += not fresh
        latencies += [at - u for u in fresh]
        if fresh:
            seen.append(at - fresh[-1])
            missed += len(fresh) - 1
        if at >= duration:
            return polls, wasted, latencies, seen, missed
        previous, at = at, at + interval


def poisson_times(rate, duration, seed):
    chance, times, at = random.Random(seed), [], 0.0
    while (at := at + chance.expovariate(rate)) < duration:
        times.append(at)
    return times


@pytest.mark.parametrize("rate, interval", RATES_AND_INTERVALS)
def test_poisson_formulas_agree_with_a_simulation(rate, interval):
    """With 100,000 updates each Poisson formula is met to within 2 %."""
    duration = 100_000 / rate
    updates = poisson_times(rate, duration, seed=4)
    polls, wasted, latencies, seen, missed = simulate(updates, interval, duration, interval / 2)
    close = {"rel": 0.02}
    assert wasted / polls == pytest.approx(theory.wasted_fraction(rate, interval), **close)
    assert polls / len(updates) == pytest.approx(theory.requests_per_update(rate, interval), **close)
    assert sum(latencies) / len(latencies) == pytest.approx(theory.latency_mean(interval), **close)
    assert sum(seen) / len(seen) == pytest.approx(theory.latency_mean_latest_only(rate, interval), **close)
    assert missed / len(updates) == pytest.approx(theory.missed_fraction_latest_only(rate, interval), **close)


@pytest.mark.parametrize("rate, interval", RATES_AND_INTERVALS)
def test_freshness_is_the_share_of_time_in_which_the_copy_is_right(rate, interval):
    """Between two polls the copy is right until the first update after the poll."""
    duration = 60_000 / rate
    updates = poisson_times(rate, duration, seed=9)
    right, at = 0.0, 0.0
    while at < duration:
        following = bisect.bisect_right(updates, at)
        first = updates[following] if following < len(updates) else math.inf
        right += min(first - at, interval)
        at += interval
    assert right / at == pytest.approx(theory.freshness(rate, interval), rel=0.02)


@pytest.mark.parametrize("interval", [0.2, 0.5, 1.7])
def test_given_the_schedule_there_is_no_luck(interval):
    """Over 2,000 evenly spread phases, the wasted share of one short schedule is met to 0.1 % absolute."""
    updates = poisson_times(2.0, 8, seed=11)
    total = [simulate(updates, interval, 8, (i + 0.5) / 2000 * interval) for i in range(2000)]
    polls, wasted = sum(run[0] for run in total), sum(run[1] for run in total)
    assert wasted / polls == pytest.approx(theory.wasted_fraction_given(updates, interval, 8), abs=0.001)
    latencies = [latency for run in total for latency in run[2]]
    assert sum(latencies) / len(latencies) == pytest.approx(interval / 2, rel=0.001)
    assert len(latencies) == 2000 * len(updates)


@pytest.mark.parametrize("period, interval", [(1.0, 0.25), (0.3, 0.7), (2.0, 2.0)])
def test_periodic_updates(period, interval):
    """Polls of a periodic source are wasted as `max(0, 1 - T / P)` says."""
    updates = [n * period for n in range(1, 2000)]
    duration = 2000 * period
    runs = [simulate(updates, interval, duration, (i + 0.5) / 50 * interval) for i in range(50)]
    share = sum(run[1] for run in runs) / sum(run[0] for run in runs)
    assert share == pytest.approx(theory.wasted_fraction_periodic(period, interval), abs=0.01)


def test_the_classic_mistake_flatters_polling():
    """Timing only the update that was seen gives less than T / 2, and the difference grows with the rate."""
    means = [theory.latency_mean_latest_only(rate, 1.0) for rate in (0.01, 1, 5)]
    assert means == sorted(means, reverse=True)
    assert means[0] == pytest.approx(0.5, abs=0.001) and means[2] < 0.25


def test_the_interval_of_least_cost_is_a_minimum():
    """Around T* every other interval costs more."""

    def cost(interval, a=3.0, b=2.0, rate=0.7):
        return a / interval + b * rate * theory.latency_mean(interval)

    best = theory.least_cost_interval(3.0, 2.0, 0.7)
    assert all(cost(best) < cost(best * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))


@pytest.mark.parametrize(
    "clients, interval, duration", [(1, 0.5, 10), (20, 0.25, 10), (7, 0.3, 1), (1000, 1, 10), (3, 2, 2)]
)
def test_polls_due_are_counted_as_they_are_made(clients, interval, duration):
    """The count is that of the timetable `(i + 0.5) / N * T + k * T`, and about `N * duration / T`."""
    made = 0
    for client in range(clients):
        k = 0
        while (client + 0.5) / clients * interval + k * interval < duration:
            made, k = made + 1, k + 1
    assert theory.polls_due(clients, interval, duration) == made
    assert made == pytest.approx(clients * duration / interval, abs=clients)


def test_a_schedule_without_updates_wastes_everything():
    """Nothing to hear: every poll is wasted and there is no delivery."""
    assert theory.wasted_fraction_given([], 0.5, 8) == 1
    assert theory.polling(Workload((), 0.1, 8, 0.5, 4), 0.0).wasted == 64


def test_push_wastes_nothing():
    """One request a client, all connections held, latency of one delay."""
    prediction = theory.push(Workload((1.0, 2.0), 1, 3, 0.5, 10), 0.002)
    assert (prediction.requests, prediction.wasted, prediction.deliveries) == (10, 0, 20)
    assert (prediction.latency_mean_s, prediction.held_connections) == (0.002, 10)


def test_long_polling_asks_once_an_update_and_once_a_timeout():
    """Simulated reader: asks, waits for news or the timeout, asks again."""
    at_s, duration, timeout_s, delay = (1.0, 7.5, 7.5001, 18.0), 30.0, 5.0, 0.001
    requests, wasted, now, heard, latencies = 0, 0, 0.0, 0, []
    while now < duration:
        requests += 1
        arrival = now + delay
        waiting = [u for u in at_s[heard:] if u <= arrival] or [u for u in at_s[heard:] if u <= arrival + timeout_s][:1]
        answered = max([arrival, *waiting]) if waiting else arrival + timeout_s
        waiting = [u for u in at_s[heard:] if u <= answered]
        now = answered + delay
        heard += len(waiting)
        wasted += not waiting and now < duration + 1
        latencies += [now - u for u in waiting]
    prediction = theory.long_polling(Workload(at_s, 0.13, duration, 1, 1), delay, pace=Pace(hold_s=timeout_s))
    assert (requests, wasted) == (prediction.requests, prediction.wasted)
    assert sum(latencies) / len(latencies) == pytest.approx(prediction.latency_mean_s, rel=0.02)


def test_a_poll_that_would_be_due_at_the_very_end_is_not_of_the_run():
    """Polls fall before the end: one client at T / 2 + k T makes two in 2.5 T, and three in a little more."""
    assert theory.poll_times(0.5, 1.0, 2.5) == [0.5, 1.5]
    assert theory.polls_due(1, 1.0, 2.5) == 2
    assert theory.polls_due(1, 1.0, 2.6) == 3


def test_the_poisson_column_is_by_the_recipes_rate():
    """Luck gave four updates where the rate promises eight: exp(-lambda T) knows of no luck."""
    prediction = theory.polling(Workload((1.0, 2.0, 3.0, 3.5), 2.0, 4.0, 0.5, 4), 0.0)
    assert prediction.wasted_fraction_poisson == pytest.approx(math.exp(-2.0 * 0.5))
    held = theory.long_polling(Workload((1.0, 2.0), 2.0, 4.0, 0.5, 4), 0.0, pace=Pace(hold_s=3.0))
    assert held.wasted_fraction_poisson == pytest.approx(math.exp(-2.0 * 3.0))
