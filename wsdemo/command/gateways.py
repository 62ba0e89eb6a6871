"""What `serve` has to say and to do past one process: the options of gateways, and their run."""

from __future__ import annotations

import argparse
from collections.abc import Coroutine
from typing import Any

from wsdemo.command.options import DEFAULT_SCHEDULE, given_options, pace, schedule


def add(command: argparse.ArgumentParser) -> None:
    """Add the options."""
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


def wanted(options: argparse.Namespace) -> int:
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


def run(
    options: argparse.Namespace, names: list[str], count: int, common: dict[str, Any]
) -> Coroutine[None, None, None]:
    """Return what serves by so many gateways. common: further arguments of `Gateways`. Raises ValueError as it does."""
    from wsdemo import gateways

    plays = schedule(options)
    publishes = options.broker is None or options.publish
    own = {"schedule": plays, "duration_s": options.duration, "log": options.log} if publishes else {}
    joined = {"broker": options.broker, "publish": publishes, "pace": pace(options, plays), "count": count}
    return gateways.run(names, drain_s=options.drain, **own, **joined, **common)
