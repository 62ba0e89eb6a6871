"""`python -m wsdemo serve`: servers to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from wsdemo.command import gateways
from wsdemo.command.options import (
    DEFAULT_SCHEDULE,
    add_listening,
    add_pace,
    add_schedule,
    check_port,
    given_options,
    pace,
    schedule,
)
from wsdemo.command.running import until_stopped
from wsdemo.transports import TRANSPORTS, find

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "serve",
        help="run servers until Ctrl-C",
        description="Serve one feed of updates by one or more transports and print where they listen. The first line on"
        " stdout is JSON, for scripts; the sentences are on stderr.",
        epilog="example: python -m wsdemo serve polling websocket --port 8000 --schedule every --rate 1",
    )
    command.add_argument(
        "transports",
        nargs="+",
        metavar="TRANSPORT",
        help=f"{', '.join(TRANSPORTS)}; or alone: echo, the first WebSocket program and its page",
    )
    add_listening(command, "port of the first transport, the next one gets the next (default: any free ones)")
    add_schedule(command)
    add_pace(command)
    command.add_argument("--duration", type=float, metavar="D", help="end the feed after D seconds (default: never)")
    command.add_argument(
        "--log",
        metavar="FILE",
        help="keep the feed's log in this file, made if there is none, so that it outlives the server: started again"
        " with the same file and schedule, it goes on where the schedule is by now, and readers who come back lose"
        " nothing (default: in memory, and a server that is started again begins anew)",
    )
    command.add_argument(
        "--max-connections", type=int, metavar="N", help="connections to each (2000, or as many as open files allow)"
    )
    command.add_argument(
        "--drain",
        type=float,
        metavar="S",
        help="on SIGTERM, as a deploy sends it: listen no more, so that the next server can have the port, and send the"
        " readers away one by one over S seconds; they go on there without loss. A second SIGTERM, or Ctrl-C, ends it"
        " at once (default: all are sent away at once)",
    )
    gateways.add(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from wsdemo import serve

    is_echo = "echo" in options.transports
    names = _only_echo(options) if is_echo else [transport.name for transport in find(options.transports)]
    processes = gateways.wanted(options)
    check_port(options.port, len(names) * (processes or 1))
    most, note = _most_connections(options.max_connections, len(names))
    if options.duration is not None and not options.duration > 0:
        raise ValueError(f"--duration must be a number of seconds above 0, not {options.duration:g}")
    if options.drain is not None and not 0 <= options.drain < math.inf:
        raise ValueError(f"--drain must be a number of seconds from 0 on, not {options.drain:g}")
    common = {
        "host": options.host,
        "port": options.port,
        "max_connections": most,
        "allowed_hosts": options.allow_host,
        "allowed_origins": options.allow_origin,
        "note": note,
    }
    if is_echo:
        from wsdemo import echo

        server = echo.run(**common)
    elif processes:
        server = gateways.run(options, names, processes, common)
    else:
        plays = schedule(options)
        own = {"duration_s": options.duration, "pace": pace(options, plays), "log": options.log}
        server = serve.run(names, plays, drain_s=options.drain, **own, **common)
    until_stopped(server, serve.new_event_loop)


def _most_connections(wanted: int | None, servers: int) -> tuple[int, str]:
    """Return how many connections each server holds: what is wanted, or what fits; and a note if that is less."""
    from wsdemo import limits, serve

    if wanted is None:
        most = serve.most_connections(servers)
        fewer = f"note: the limit on open files leaves room for {most} connections to each server"
        return most, fewer if most < serve.DEFAULT_MAX_CONNECTIONS else ""
    if wanted < 1:
        raise ValueError(f"--max-connections must be at least 1, not {wanted}")
    limits.check_connections(wanted, servers)
    return wanted, ""


def _only_echo(options: argparse.Namespace) -> list[str]:
    """Return ["echo"]. Raises ValueError for whatever belongs to a feed, which the echo server does not have."""
    if options.transports != ["echo"]:
        raise ValueError("echo answers on its own and carries no updates: serve it without a transport")
    speaks = options.scale_heartbeats is not None or options.at_most_every is not None
    ends = options.duration is not None or options.drain is not None
    is_fed = options.schedule != DEFAULT_SCHEDULE or options.log is not None or given_options(options)
    if is_fed or ends or speaks or gateways.wanted(options):
        own = "--port, --host, --allow-host, --allow-origin and --max-connections"
        raise ValueError(f"echo has no updates: it goes with {own} only")
    return ["echo"]
