"""Which transport a workload wants: the cheapest that keeps the deadline, with its numbers and the reason.

It measures nothing. A `Case` is the workload, a `PriceList` is what one of each thing costs the server, in one unit:
seconds of CPU, bytes or money. Symbols as in `theory`: interval `T`, rate `lambda`, `x = lambda * T`, one way `d`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from wsdemo import theory
from wsdemo.words import listed, number, share
from wsdemo.workload import LONG_POLL_TIMEOUT_S, Pace

WAYS = {"polling": 1, "long_polling": 3, "stream": 1}
"""How many ways `d` an update needs at the most, once it may leave. Long polling: RFC 6202 section 2.2."""

EQUAL = 1.05
"""What costs at most this much more is as cheap: then the one that is simplest to run is chosen."""


@dataclass(frozen=True)
class PriceList(theory.Prices):
    """Prices of one server and what stands before it.

    unchanged: an answer 304, None for the price of a request; hit: an answer that a shared cache gives.
    """

    unchanged: float | None = None
    hit: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"the price {name} must be a number from 0 up, not {value!r}")


@dataclass(frozen=True)
class Case:
    """What the service has to do.

    rate_per_s: updates a second; deadline_s: how old news may be when it is heard; clients: how many readers;
    sends_per_s: what each reader sends, a second; binary: updates are bytes, not text; streams_pass: no proxy holds an
    endless answer back; upgrades_pass: no proxy refuses a WebSocket, and the readers have a library for it;
    shared_cache: the answer is the same for all and a cache may keep it; way_s: from server to reader (`d`);
    heartbeat_s: between two signs of life on a held connection; hold_s: how long a long poll is held.
    """

    rate_per_s: float
    deadline_s: float
    clients: int
    sends_per_s: float = 0.0
    binary: bool = False
    streams_pass: bool = True
    upgrades_pass: bool = True
    shared_cache: bool = False
    way_s: float = 0.05
    heartbeat_s: float = Pace.ping_s
    hold_s: float = LONG_POLL_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.clients < 1:
            raise ValueError(f"clients must be a whole number from 1 up, not {self.clients!r}")
        for name in ("rate_per_s", "deadline_s", "heartbeat_s", "hold_s"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be a number above 0, not {value!r}")
        for name in ("way_s", "sends_per_s"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be a number from 0 up, not {value!r}")


@dataclass(frozen=True)
class Option:
    """One way to serve a case. name: such as "sse, at most one message every 0.95 s"; transport: its row.

    every_s: the interval of polling, or the least time between two messages, None if there is none; shared_cache:
    whether readers ask a cache; per_s: requests that the server answers, or messages that it sends, in a second;
    wasted: the share of them without news; held: connections held; cost_per_s: in the unit of the prices.
    """

    name: str
    transport: str
    every_s: float | None
    shared_cache: bool
    per_s: float
    wasted: float
    held: int
    cost_per_s: float

    def __str__(self) -> str:
        what = "messages" if self.transport in ("sse", "websocket") else "requests"
        parts = [f"{number(self.per_s)} {what} a second"]
        if self.wasted >= 0.0005:
            parts.append(f"{share(self.wasted)} of them wasted")
        if self.held:
            parts.append(f"{self.held:,} connection{'s' if self.held > 1 else ''} held")
        return f"{listed(parts)}: {number(self.cost_per_s)} a second"


@dataclass(frozen=True)
class Choice:
    """An answer. option: what to take; others: what fits too, the cheapest first; unfit: the rest, and why."""

    option: Option
    others: tuple[Option, ...]
    unfit: tuple[tuple[str, str], ...]

    @property
    def reason(self) -> str:
        """The numbers of the choice, those of the cheapest other transport, and what did not fit."""
        said = str(self.option)
        if best := next((other for other in self.others if other.transport != self.option.transport), None):
            as_cheap = best.cost_per_s <= EQUAL * self.option.cost_per_s
            said += f"; {'as cheap, and more to run' if as_cheap else 'next'} is {best.name}, {best}"
        return "; ".join([said, *(f"not {name.replace('_', ' ')}: {why}" for name, why in self.unfit)])

    def __str__(self) -> str:
        return f"{self.option.name}: {self.reason}"


def recommend(case: Case, prices: PriceList) -> Choice:
    """Return the cheapest transport that keeps the deadline, with the numbers. Its plain form is built in `07_choose`.

    Of those that cost the same (within `EQUAL`) the first of `options` is taken: the simplest to run. SSE and WebSocket
    cost and wait the same, so they part by direction, binary data, proxies and libraries alone.
    Raises ValueError if nothing keeps the deadline.
    """
    unfit = tuple(_unfit(case))
    found = options(case, prices)
    if not found:
        raise ValueError(
            f"nothing keeps {case.deadline_s:g} s: {listed([f'{name}, because {why}' for name, why in unfit])}. "
            "Allow a later deadline, or shorten the way."
        )
    least = min(option.cost_per_s for option in found)
    chosen = next(option for option in found if option.cost_per_s <= EQUAL * least)
    others = sorted((option for option in found if option is not chosen), key=lambda option: option.cost_per_s)
    return Choice(chosen, tuple(others), unfit)


def options(case: Case, prices: PriceList) -> list[Option]:
    """Return every way to serve the case within its deadline, the simplest to run first.

    Its plain form is built in `07_choose`.
    """
    refused = dict(_unfit(case))
    found: list[Option] = []
    if "polling" not in refused:
        found += _asked(case, prices)
    if "long_polling" not in refused:
        found.append(_held(case, prices))
    for transport in ("sse", "websocket"):
        if transport not in refused:
            found += _streamed(case, prices, transport)
    return found


def _unfit(case: Case) -> Iterator[tuple[str, str]]:
    d, deadline = case.way_s, case.deadline_s
    if deadline < d:
        late = f"the way alone takes {d:g} s"
    elif deadline < WAYS["long_polling"] * d:
        # An interval below a round trip has the next question out before the answer is in.
        late = f"a question and its answer take {WAYS['long_polling'] * d:g} s at the worst"
    else:
        late = ""
    if late:
        yield "polling", late
        yield "long_polling", late
    for transport, why in (
        ("sse", "" if case.streams_pass else "a proxy holds endless answers back"),
        ("sse", "an event stream carries text" if case.binary else ""),
        ("websocket", "" if case.upgrades_pass else "a WebSocket does not get through, or has no library"),
        ("sse", late if deadline < d else ""),
        ("websocket", late if deadline < d else ""),
    ):
        if why:
            yield transport, why


def _asked(case: Case, prices: PriceList) -> Iterator[Option]:
    """Yield polling at the longest interval that keeps the deadline: plain, with an ETag, through a shared cache."""
    longest_s = every_s = case.deadline_s - case.way_s * WAYS["polling"]
    if prices.staleness_s:
        every_s = min(every_s, theory.least_cost_interval(prices.request, prices.staleness_s, case.rate_per_s))
    per_s, wasted = case.clients / every_s, theory.wasted_fraction(case.rate_per_s, every_s)
    # A poll may let its connection go, so none is paid for between two of them.
    cost = theory.polling_cost(prices, case.rate_per_s, every_s, keeps_connection=False)
    plain = case.clients * (cost + case.sends_per_s * prices.request)
    yield Option(f"polling every {number(every_s)} s", "polling", every_s, False, per_s, wasted, 0, plain)
    if prices.unchanged is not None:
        saved = per_s * wasted * (prices.request - prices.unchanged)
        name = f"polling with ETag every {number(every_s)} s"
        yield Option(name, "conditional", every_s, False, per_s, wasted, 0, plain - saved)
    if case.shared_cache:
        yield _cached(case, prices, longest_s / 2)


def _cached(case: Case, prices: PriceList, every_s: float) -> Option:
    """Return polling every T of one cache that keeps an answer for T: news is 2T old at the most, and the way."""
    per_s, wasted = min(1.0, case.clients) / every_s, theory.wasted_fraction(case.rate_per_s, every_s)
    cost = per_s * prices.request + case.rate_per_s * prices.update
    stale = prices.staleness_s * case.rate_per_s * every_s  # T / 2 in the cache, and T / 2 until it is asked
    cost += case.clients * (prices.hit / every_s + stale + case.sends_per_s * prices.request)
    name = f"polling a shared cache every {number(every_s)} s"
    return Option(name, "polling", every_s, True, per_s, wasted, 0, cost)


def _held(case: Case, prices: PriceList) -> Option:
    """Return long polling: a request for each answer, be it news or the timeout, and a connection held."""
    per_s = 1 / theory.long_poll_cycle(case.rate_per_s, case.hold_s, case.way_s)
    wasted = theory.long_poll_wasted_fraction(case.rate_per_s, case.hold_s, case.way_s)
    cost = (per_s + case.sends_per_s) * prices.request + case.rate_per_s * prices.update + prices.connection_s
    n = case.clients
    return Option("long polling", "long_polling", None, False, n * per_s, wasted, n, n * cost)


def _streamed(case: Case, prices: PriceList, transport: str) -> Iterator[Option]:
    """Yield push, one message an update, and conflated: at most one in the longest time that keeps the deadline."""
    rate, n = case.rate_per_s, case.clients
    sent = case.sends_per_s * (prices.request if transport == "sse" else prices.message)
    plain = theory.push_cost(prices, rate, case.heartbeat_s) + sent
    yield Option(transport, transport, None, False, n * rate, 0.0, n, n * plain)
    every_s = case.deadline_s - case.way_s * WAYS["stream"]
    if prices.staleness_s:
        best_s = theory.least_cost_conflation(prices.message, prices.update, prices.staleness_s, rate)
        every_s = min(every_s, best_s)
    if every_s > 0:
        per_s = n * theory.conflated_messages_per_s(rate, every_s)
        cost = theory.conflated_cost(prices, rate, every_s, case.heartbeat_s) + sent
        name = f"{transport}, at most one message every {number(every_s)} s"
        yield Option(name, transport, every_s, False, per_s, 0.0, n, n * cost)
