"""What a line does to a run: how much later all is, which numbers nobody can foresee, and what cannot be measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace

from wsdemo.line import Fault, parse_line, words_of
from wsdemo.processes.clients import GRACE_S, PROBES
from wsdemo.processes.lines import LineProcess
from wsdemo.serve import Server
from wsdemo.theory import Prediction, unforeseen
from wsdemo.theory.calibration import Calibration, Lag
from wsdemo.transports import Transport
from wsdemo.workload import Workload

FEWEST_PROBES, PROBING_S = 5, 1.0
"""A slow line is probed for about so long, but at least so often."""
RECOVERY_S = 1.0
"""How much longer readers listen in the end, if theirs may be a line that was cut just before."""
FULL = 0.7
"""Above this share of a line's bandwidth what is sent waits for what was sent before."""


def line_through(rows: Iterable[Transport], line: Fault | str | None) -> Fault | None:
    """Return the fault of a line, None where there is no line.

    Raises ValueError for words that make none, and for a line through which one of the transports cannot be measured.
    """
    fault = parse_line(line) if isinstance(line, str) else line
    websockets = [row.name for row in rows if row.scheme == "ws"]
    if fault is not None and fault.upgrade_status is not None and websockets:
        raise ValueError(
            f"a line that refuses Upgrade leaves nothing of {', '.join(websockets)} to measure: choose other transports"
        )
    return fault


class Route:
    """The way from clients to a server, and the server itself: with a line in between, if there is a fault.

    url, probe_port: where clients go, once it is started.
    """

    def __init__(self, row: Transport, server: Server, fault: Fault | None):
        self.row, self._server = row, server
        self.fault = fault or Fault()
        self._line = None if fault is None else LineProcess(fault)
        self.url, self.probe_port = "", 0

    async def start(self) -> None:
        """Start the server, and then the line. Raises `ChildFailed` if one cannot."""
        await self._server.start()
        self.url, self.probe_port = self._server.url(), self._server.probe_port
        if self._line is not None:
            port, self.probe_port = await self._line.start([self._server.port(), self.probe_port])
            self.url = self.row.url(port)

    async def begin(self, at_ns: int) -> None:
        """Start the server's clock and the line's fault, at a moment of `time.perf_counter_ns()`."""
        await self._server.begin(at_ns)
        if self._line is not None:
            await self._line.begin(at_ns)

    async def did(self) -> dict[str, int]:
        """Return how often the line did what; nothing where there is none."""
        return {} if self._line is None else (await self._line.did())["counts"]

    def kill(self) -> None:
        """End both at once. Safe to call again, or if they never started."""
        if self._line is not None:
            self._line.kill()
        self._server.kill()


def most_open(clients: int, fault: Fault | None) -> int:
    """Return how many connections a server must hold: more, if it may not know of some that are gone."""
    return (2 * clients if fault is not None and fault.disturbs else clients) + 8


def probes_through(fault: Fault) -> int:
    """Return how often a line is probed for its delay."""
    there_and_back_s = 2 * (fault.delay_s + fault.jitter_s / 2)
    return PROBES if not there_and_back_s else max(FEWEST_PROBES, min(PROBES, round(PROBING_S / there_and_back_s)))


def grace_through(fault: Fault) -> float:
    """Return how long after the end the last news may take, in seconds."""
    return GRACE_S + 2 * (fault.delay_s + fault.jitter_s) + RECOVERY_S * fault.disturbs


def behind(found: Calibration, fault: Fault, work: Workload) -> Calibration:
    """Return what was found through a line in order, with what its faults add."""
    mean_s = fault.delay_s + fault.jitter_s / 2
    up_s = down_s = mean_s
    if (width := fault.bandwidth_bytes_per_s) is not None:
        update = statistics.fmean(work.update_bytes) if work.update_bytes else 0.0
        up_s += found.silent.received / width
        down_s += (found.news.sent + update) / width
    return replace(found, lag=Lag(up_s, down_s, fault.jitter_s))


def foreseen(
    said: Prediction, row: Transport, fault: Fault | None, work: Workload, delay_s: float, found: Calibration | None
) -> Prediction:
    """Return what theory can still say of a run through a line: None or NaN, and a reason, for what it cannot.

    delay_s: one way through the line, as probed.
    """
    if fault is None:
        return said
    if _befalls(row, fault, work):
        keep = ["wasted", "wasted_fraction"] if row.habit == "streamed" else []
        faults = words_of(replace(fault, delay_s=0.0, jitter_s=0.0, bandwidth_bytes_per_s=None))
        return unforeseen(said, f"what {faults} costs depends on what is on its way at that moment", keep)
    round_trip_s = 2 * delay_s if found is None else 2 * found.delay_s + found.lag.up_s + found.lag.down_s
    counts = ("requests", "held_connections", "bytes_sent", "bytes_received", "server_cpu_s")
    if row.habit == "asks" and round_trip_s + fault.jitter_s >= work.interval_s:
        return unforeseen(said, "an answer takes longer than an interval, so that polls are late", counts)
    if (share := _load(row, fault, work, found)) >= FULL:
        keep = ["requests", "wasted", "wasted_fraction", "held_connections", "bytes_sent", "bytes_received"]
        return unforeseen(said, f"its news would take {share:.0%} of the bandwidth, and wait for each other", keep)
    return said


def _befalls(row: Transport, fault: Fault, work: Workload) -> bool:
    """Whether more than delay befalls a run by this transport."""
    run_s = work.duration_s + work.interval_s
    began = fault.from_s < run_s
    cuts = (fault.cut_after_s, fault.cut_every_s, fault.idle_s)
    cut = fault.cut_after_bytes is not None or any(one is not None and fault.from_s + one < run_s for one in cuts)
    held = fault.hold_bytes is not None and row.habit == "streamed" and row.scheme == "http"
    return began and (cut or held or fault.vanish is not None or fault.unavailable_status is not None)


def _load(row: Transport, fault: Fault, work: Workload, found: Calibration | None) -> float:
    """Return the share of a connection's bandwidth that its answers or messages take."""
    if found is None or fault.bandwidth_bytes_per_s is None:
        return 0.0
    sent = found.news.sent * len(work.at_s) + sum(work.update_bytes)
    if row.habit == "asks":
        sent += found.silent.sent * work.duration_s / work.interval_s
    return sent / work.duration_s / fault.bandwidth_bytes_per_s
