"""What processes tell each other, all of it ready for JSON: the job that a child is given, its answers, its tally.

A child is started with the words `child KIND` and given its job as the first line on its stdin; the lines after it
are orders. Every answer is one line on its stdout. Servers, clients and pages are all spoken to in this way.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from wsdemo.meter import Counters as Counters
from wsdemo.returns import Kinds

Kind = Literal["server", "clients", "rehearsal", "legs", "line", "tls", "live", "echo", "trials", "broker", "publisher"]


class ServerJob(TypedDict):
    """What a server is to do. schedule: a `Schedule.recipe`; hold: whether the feed waits for `Start`.

    pace: the fields of a `workload.Pace`; port: of the first transport, 0 for any that is free, or that of
    each, by name; log, log_size: the file of the feed's log, None for one in memory, and how many
    updates it keeps; broker: where the news come from instead of a schedule; host, allowed_hosts, allowed_origins: as
    for `serving`.
    """

    transports: list[str]
    schedule: dict[str, Any] | None
    duration_s: float | None
    hold: bool
    max_connections: int
    pace: dict[str, Any]
    port: NotRequired[int | dict[str, int]]
    log: NotRequired[str | None]
    log_size: NotRequired[int]
    broker: NotRequired[str | None]
    host: NotRequired[str]
    allowed_hosts: NotRequired[list[str]]
    allowed_origins: NotRequired[list[str]]


class ServerAbout(TypedDict):
    """A server's first answer: where each transport listens, and the feed's start (None while it holds) and epoch."""

    urls: dict[str, str]
    ports: dict[str, int]
    t0_ns: int | None
    epoch: str


class Start(TypedDict):
    """The order to start the clock, at a moment of `time.perf_counter_ns()`."""

    start_ns: int


Stall = tuple[int, float]
"""When a process stood still, as a moment of `time.perf_counter_ns()`, and for how many seconds; see `stalls`."""


class ServerCounters(TypedDict):
    """A server's answer to every order: the counters of each transport, its feed's seq, its stalls since `Start`.

    arrivals: when the connections of each transport came, of `time.perf_counter_ns()`, for whoever asks for them.
    """

    meters: dict[str, Counters]
    seq: int
    stalls: list[Stall]
    arrivals: NotRequired[dict[str, list[int]]]


class ClientsJob(TypedDict):
    """What a process of clients is to do.

    probe_port: of a plain TCP echo on the server's host; phases_s: the first poll of each client: as many clients as
    phases; hold_s: how long the server holds a long poll; probes: how often the bare line is probed; grace_s: how long
    after the end the last news may take; returning: the kind of a `returns.Returning`. The rest as for `Workload`.
    """

    transport: str
    url: str
    host: str
    probe_port: int
    interval_s: float
    duration_s: float
    phases_s: list[float]
    hold_s: NotRequired[float]
    probes: NotRequired[int]
    grace_s: NotRequired[float]
    returning: NotRequired[Kinds]


class ClientsReady(TypedDict):
    """The first answer of clients, once every one is connected: the one-way delay `d` of the bare line."""

    delay_s: float


class Tally(TypedDict):
    """What one reader asked and heard, times in seconds after the start.

    requests: `(at_s, wasted, aside)` each, wasted None where no answer came, aside for those that no timetable asks
    for (`reader.Request`); heard: `(seq, received_s, latency_s)`.
    """

    requests: list[tuple[float, bool | None, bool]]
    heard: list[tuple[int, float, float]]
    duplicates: int
    resets: int
    failures: int
    polls_due: int
    polls_left_out: int


class ClientsTally(TypedDict):
    """The last answer of clients: a tally for each reader, in the order of its phases, and the stalls since `Start`."""

    readers: list[Tally]
    stalls: list[Stall]


class RehearsalJob(TypedDict):
    """What a process of clients that only try is to do: where to ask, and by which transport."""

    transport: str
    url: str
    host: str
    probe_port: int


class Scene(TypedDict):
    """The order to open so many readers, which is answered with `{}`, and to listen once that is told by a `Start`.

    phases_s: as in `ClientsJob`; none for a process that has no part in it. seconds: how long they ask; rest_s: how
    much longer they listen; probes: how many times the bare delay is probed meanwhile.
    """

    phases_s: list[float]
    interval_s: float
    seconds: float
    rest_s: float
    probes: int


class SceneHeard(TypedDict):
    """What was heard in a scene, before its readers leave.

    heard: `(seq, latency_s, way_s)` of each delivery, the way being the time since its question was due; both are None
    for what was published before `Start`, since it has waited for the clock. requests, wasted, answered: of all
    readers, answered being those with news; delays_s: of the probes.
    """

    heard: list[tuple[int, float | None, float | None]]
    requests: int
    wasted: int
    answered: int
    delays_s: list[float]


class LegsJob(TypedDict):
    """What a server that notes its moments is to do: push by this transport, an update every `gap_s`."""

    transport: str
    gap_s: float


class LegsAbout(TypedDict):
    """Its first answer."""

    url: str


class LegsSeen(TypedDict):
    """Its last answer: `(seq, wake_s, write_s)` of each update, see `legs.Legs`."""

    legs: list[tuple[int, float, float]]


class LineJob(TypedDict):
    """What a line is to do: lead to these ports, each from a port of its own. steady: the words of how, at first."""

    to_ports: list[int]
    steady: str


class LineAbout(TypedDict):
    """A line's first answer: where clients go instead, in the order of the ports it leads to."""

    ports: list[int]


class LineOrder(TypedDict):
    """The order to have another fault, in words, from a moment of `time.perf_counter_ns()` on."""

    at_ns: int
    fault: str


class LineDid(TypedDict):
    """A line's answer to every order: the fields of `line.Did`."""

    counts: dict[str, int]
    events: list[dict[str, Any]]
    bytes_up: int
    bytes_down: int


class TlsJob(TypedDict):
    """What a proxy that ends TLS is to do. pem: its key and certificates; None: it encrypts nothing."""

    to_port: int
    pem: str | None


class TlsAbout(TypedDict):
    """Such a proxy's first answer: where clients go."""

    port: int


class EchoJob(TypedDict):
    """What the echo server is to do; see `echo.EchoServer`."""

    max_connections: int
    open_timeout_s: float
    keepalive_s: float


class EchoAbout(TypedDict):
    """The echo server's first answer: where its socket and its page are. Each order is answered with `Counters`."""

    urls: dict[str, str]
    ports: dict[str, int]


class LiveJob(TypedDict):
    """What the live page's server is to start with; None for its defaults."""

    speed: float | None
    interval_s: float | None


class LiveAbout(TypedDict):
    """The live page's first answer."""

    url: str
    port: int


class BrokerJob(TypedDict):
    """What a broker is to do. folder: its own, gone when it ends; store: that of its news; token: who may come."""

    folder: str
    store: str
    port: int
    token: str


class BrokerAbout(TypedDict):
    """A broker's first answer, once it listens: the server's process."""

    pid: int


class PublisherJob(TypedDict):
    """What a publisher is to do: play this schedule, a `Schedule.recipe`, into the broker at this address."""

    schedule: dict[str, Any]
    duration_s: float | None
    broker: str
    log: str | None


class PublisherDid(TypedDict):
    """A publisher's first answer, and its answer to every order.

    published: the seq of its feed's newest; acknowledged: up to where the broker has them; retries: batches that were
    sent again.
    """

    published: int
    acknowledged: int
    retries: int
