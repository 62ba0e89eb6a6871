"""`python -m wsdemo serve`: servers to play with, until Ctrl-C."""

from __future__ import annotations

import argparse
import math
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

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
        "--max-connections",
        type=int,
        metavar="N",
        help="connections to each (2000, or as many open files as there are)",
    )
    command.add_argument(
        "--drain",
        type=float,
        metavar="S",
        help="on SIGTERM, as a deploy sends it: listen no more, so that the next server can have the port, and send the"
        " readers away one by one over S seconds; they go on there without loss. A second SIGTERM, or Ctrl-C, ends it"
        " at once (default: all are sent away at once)",
    )
    _add_gateways(command)
    command.set_defaults(run=run)


def _add_gateways(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "past one process",
        "One process ends at one processor, at its open files and at its restart. Gateways are several that serve"
        " the same news: a broker (NATS, from wsdemo[scale]) holds them, a publisher plays the schedule into it, and a"
        " reader's position leads to the same place in every gateway. So readers may use any, and go on at the next one"
        " when theirs ends.",
    )
    group.add_argument(
        "--gateways",
        type=int,
        metavar="N",
        help="start a broker, a publisher and N gateways, and whatever of them ends by itself again. With --port, each"
        " gateway has the ports after those of the one before. --log is the publisher's",
    )
    group.add_argument(
        "--broker",
        metavar="URL",
        help="start no broker, but join the one at nats://HOST:4222 or tls://HOST:4222, by one gateway where --gateways"
        " is not given; it is how gateways come to be on several machines. Its token is read from the environment"
        " (WSDEMO_BROKER_TOKEN), since every user of a machine can read command lines",
    )
    group.add_argument(
        "--publish",
        action="store_true",
        help="with --broker: play the schedule into it, too. Of all who join a broker, one does",
    )


def run(options: argparse.Namespace) -> None:
    from wsdemo import serve

    is_echo = "echo" in options.transports
    names = _only_echo(options) if is_echo else [transport.name for transport in find(options.transports)]
    gateways = _gateways(options)
    check_port(options.port, len(names) * (gateways or 1))
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
    elif gateways:
        server = _run_gateways(options, names, gateways, common)
    else:
        plays = schedule(options)
        own = {"duration_s": options.duration, "pace": pace(options, plays), "log": options.log}
        server = serve.run(names, plays, drain_s=options.drain, **own, **common)
    until_stopped(server, serve.new_event_loop)


def _gateways(options: argparse.Namespace) -> int:
    """Return how many gateways are wanted, 0 for a server without a broker. Raises ValueError for what makes none."""
    if options.gateways is not None and options.gateways < 1:
        raise ValueError(f"--gateways must be at least 1, not {options.gateways}")
    if options.publish and options.broker is None:
        raise ValueError("--publish goes with --broker: a broker of our own has a publisher in any case")
    if options.broker is not None and not options.publish:
        ours = options.schedule != DEFAULT_SCHEDULE or given_options(options) or options.log or options.duration
        if ours:
            raise ValueError("with --broker the news come from there: say --publish to play a schedule into it")
    return int(options.gateways or options.broker is not None)


def _run_gateways(
    options: argparse.Namespace, names: list[str], count: int, common: dict[str, Any]
) -> Coroutine[None, None, None]:
    from wsdemo import gateways

    plays = schedule(options)
    publishes = options.broker is None or options.publish
    own = {"schedule": plays, "duration_s": options.duration, "log": options.log} if publishes else {}
    joined = {"broker": options.broker, "publish": publishes, "pace": pace(options, plays), "count": count}
    return gateways.run(names, drain_s=options.drain, **own, **joined, **common)


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
    if is_fed or ends or speaks or _gateways(options):
        own = "--port, --host, --allow-host, --allow-origin and --max-connections"
        raise ValueError(f"echo has no updates: it goes with {own} only")
    return ["echo"]
