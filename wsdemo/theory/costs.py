"""What it costs: latency of many readers from two measured prices, and sums of prices a client and second.

A price is in any unit, as long as all are in the same: CPU seconds, bytes, segments, money. Symbols as in `closed`:
`a` an answer or request, `c` each update in it, `m` a message with one update to one reader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wsdemo.theory.closed import (
    conflated_messages_per_s,
    conflated_wait_mean,
    latency_mean,
    least_cost_interval,
)


def push_latency_mean(first_s: float, further_s: float, readers: int) -> float:
    """Return the latency of a push in the mean over its readers, in seconds: `c0 + s (N - 1) / 2`.

    first_s `c0`: one reader's way through timer, library and wake-ups; further_s `s`: what each further reader adds for
    those after it. Readers are served one after the other, so the last hears `s (N - 1)` after the first.
    """
    return first_s + further_s * (readers - 1) / 2


def push_latency_quantile(first_s: float, further_s: float, readers: int, share: float) -> float:
    """Return the latency that this share of readers does not exceed, in seconds: `c0 + p s (N - 1)`.

    first_s: one reader's own quantile of the same share, over updates; share: from 0 to 1, as in 0.95.
    """
    return first_s + share * further_s * (readers - 1)


def crossover(answer: float, update: float, message: float) -> float:
    """Return the `x`, updates in an interval, above which polling is cheaper than push: `a / (m - c)`.

    A poll costs `a + c x`, the messages of the same time `m x`. Infinity, never, where a message costs no more than an
    update in an answer.
    """
    return answer / (message - update) if message > update else math.inf


@dataclass(frozen=True)
class Prices:
    """What things cost, all in one unit.

    request: a poll and its answer without updates; update: each update in an answer, and each but the first in a
    message; message: to one reader, with one update; connection_s: a held connection, each second; heartbeat: one sign
    of life and its reply; staleness_s: one second of latency of one update at one reader.
    """

    request: float
    update: float = 0.0
    message: float = 0.0
    connection_s: float = 0.0
    heartbeat: float = 0.0
    staleness_s: float = 0.0


@dataclass(frozen=True)
class Choice:
    """One way to hear, what it costs one client a second, and how stale it is in the mean beyond the way `d`.

    habit: "polling", "push" or "conflated"; interval_s: its T, None for push; wait_s: mean wait in seconds.
    """

    habit: str
    interval_s: float | None
    cost_per_s: float
    wait_s: float


def polling_cost(prices: Prices, rate_per_s: float, interval_s: float, *, keeps_connection: bool = True) -> float:
    """Return what polling costs one client a second: `a / T + c lambda + b lambda T / 2`, and its connection.

    keeps_connection: whether the connection stays open between two polls, and is paid for.
    """
    stale = prices.staleness_s * rate_per_s * latency_mean(interval_s)
    held = prices.connection_s if keeps_connection else 0.0
    return prices.request / interval_s + prices.update * rate_per_s + stale + held


def silence_cost(heartbeat: float, period_s: float) -> float:
    """Return what a silent line costs a second, by one sign of life in a period: `heartbeat / period`; inf is none."""
    return heartbeat / period_s


def push_cost(prices: Prices, rate_per_s: float, heartbeat_period_s: float = math.inf) -> float:
    """Return what push costs one client a second: `m lambda`, its connection, and its signs of life.

    heartbeat_period_s: between two signs of life, which are sent in silence or not; infinity for none.
    """
    return prices.message * rate_per_s + prices.connection_s + silence_cost(prices.heartbeat, heartbeat_period_s)


def conflated_cost(
    prices: Prices, rate_per_s: float, at_most_every_s: float, heartbeat_period_s: float = math.inf
) -> float:
    """Return what a conflated stream costs one client a second, staleness included, for Poisson updates.

    A message costs `m` and each update in it but the first `c`. With T = 0 this is `push_cost`.
    """
    messages = conflated_messages_per_s(rate_per_s, at_most_every_s)
    carried = prices.message * messages + prices.update * (rate_per_s - messages)
    stale = prices.staleness_s * rate_per_s * conflated_wait_mean(rate_per_s, at_most_every_s)
    return carried + stale + prices.connection_s + silence_cost(prices.heartbeat, heartbeat_period_s)


def least_cost_conflation(message: float, update: float, staleness_s: float, rate_per_s: float) -> float:
    """Return the `T` of least cost of a conflated stream in seconds, for Poisson updates; 0 where none pays.

    With `k = (m - c) lambda / b` the cost has its minimum where
    `k (1 - exp(-x)) = x^2 / 2 * (1 + exp(-x)) + x exp(-x)`, which for much news nears `sqrt(2 (m - c) / (b lambda))`,
    and at T = 0 if `k <= 1`: holding news back saves less than its staleness costs. Infinite where staleness is free.
    """
    if message <= update:
        return 0.0
    if staleness_s == 0:
        return math.inf
    worth = (message - update) * rate_per_s / staleness_s
    if worth <= 1:
        return 0.0

    def too_short(x: float) -> bool:
        return worth * -math.expm1(-x) > x**2 / 2 * (1 + math.exp(-x)) + x * math.exp(-x)

    low, high = 0.0, 2 + 2 * math.sqrt(worth)
    for _ in range(60):  # halves; more would change no digit
        middle = (low + high) / 2
        low, high = (middle, high) if too_short(middle) else (low, middle)
    return high / rate_per_s


def equal_heartbeat_period(prices: Prices, rate_per_s: float, interval_s: float) -> float:
    """Return the period of push's signs of life, in seconds, at which it costs what polling with `T` costs.

    With shorter ones push is dearer, with longer ones cheaper; both connections are held. Infinity where push costs no
    less even without any. Staleness is left out: it is paid in another coin.
    """
    left = prices.request / interval_s + (prices.update - prices.message) * rate_per_s
    return prices.heartbeat / left if left > 0 else math.inf


def least_cost_heartbeat_period(heartbeat: float, cuts_per_s: float, silence_per_s: float) -> float:
    """Return the period of least cost in seconds: a cut line is found out after half a period in the mean.

    cuts_per_s: how often a line dies unnoticed; silence_per_s: the price of a second in which nobody knows. Signs of
    life cost `heartbeat / P`, ignorance `cuts * price * P / 2`: as with polls, the minimum is at the root.
    """
    return least_cost_interval(heartbeat, silence_per_s, cuts_per_s)


def least_cost(
    prices: Prices, rate_per_s: float, most_wait_s: float = math.inf, heartbeat_period_s: float = math.inf
) -> list[Choice]:
    """Return the ways to hear, the cheapest first, each with the T that is best for it, for Poisson updates.

    most_wait_s: how stale an update may be at the worst, beyond the way `d`; a `T` is at most this. Polling is left out
    where nothing bounds its T: who does not mind when asks never. So is conflation where it does not pay.
    """
    free = math.inf if prices.staleness_s == 0 else least_cost_interval(prices.request, prices.staleness_s, rate_per_s)
    ask_s = min(free, most_wait_s)
    hold_s = min(least_cost_conflation(prices.message, prices.update, prices.staleness_s, rate_per_s), most_wait_s)
    choices = [Choice("push", None, push_cost(prices, rate_per_s, heartbeat_period_s), 0.0)]
    if 0 < ask_s < math.inf:
        choices.append(Choice("polling", ask_s, polling_cost(prices, rate_per_s, ask_s), latency_mean(ask_s)))
    if 0 < hold_s < math.inf:
        cost = conflated_cost(prices, rate_per_s, hold_s, heartbeat_period_s)
        choices.append(Choice("conflated", hold_s, cost, conflated_wait_mean(rate_per_s, hold_s)))
    return sorted(choices, key=lambda choice: choice.cost_per_s)
