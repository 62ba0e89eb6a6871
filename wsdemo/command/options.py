"""What several jobs of the command line share: the parser, and the options that make a schedule."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from wsdemo.updates import SCHEDULES, Option, Schedule
from wsdemo.workload import DEFAULT_PACE, Pace

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    Jobs = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_SCHEDULE = "earthquakes"
_OWN_SPEED = -1.0


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line on stderr, and help that could not be printed is an error."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is not None and file is sys.stdout:
            file.write(message)  # argparse would pass over a full disk in silence
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_listening(command: argparse.ArgumentParser, port_help: str) -> None:
    """Add the options of whatever listens: where, and who may come."""
    command.add_argument("--port", type=int, default=0, metavar="P", help=port_help)
    command.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (default: %(default)s, this machine only)",
    )
    command.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="further host name that clients may use, such as a proxy's (may be repeated)",
    )
    command.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="whose pages may connect too, such as http://127.0.0.1:5500, or null for a page that was opened from a"
        " file (may be repeated)",
    )


def add_schedule(command: argparse.ArgumentParser) -> None:
    """Add `--schedule` and every option that some schedule has, once, saying to which it belongs."""
    group = command.add_argument_group("when the source changes")
    kinds = "; ".join(f"{kind}: {row.help}" for kind, row in SCHEDULES.items())
    group.add_argument(
        "--schedule", choices=SCHEDULES, default=DEFAULT_SCHEDULE, help=f"{kinds} (default: %(default)s)"
    )
    for option in _options():
        group.add_argument(
            option.name,
            type=option.type,
            metavar=option.metavar,
            help=f"with {_listed(_owners(option))}: {option.help}",
        )


def add_pace(command: argparse.ArgumentParser) -> None:
    """Add what changes how often a server speaks."""
    group = command.add_argument_group("how often a server speaks")
    at = DEFAULT_PACE
    group.add_argument(
        "--scale-heartbeats",
        nargs="?",
        type=float,
        const=_OWN_SPEED,
        metavar="F",
        help="what keeps a silent line open comes F times as often. A server pings a WebSocket every"
        f" {at.ping_s:g} s, comments on an event stream every {at.comment_s:g} s and holds a long poll for"
        f" {at.hold_s:g} s. A week that is replayed in minutes is over before they have cost anything, which a real"
        " week is not: F shrinks them with it (default: not at all; without a number the schedule's own speed, 1 where"
        " it has none)",
    )
    group.add_argument(
        "--at-most-every",
        type=float,
        metavar="T",
        help="WebSocket and SSE: at most one message in T seconds to each reader, with all updates of that time; the"
        " first after a quiet T goes at once. So push sends no more than polling with the same T asks",
    )


def pace(options: argparse.Namespace, plays: Schedule) -> Pace:
    """Return the pace that the options describe, for a server of this schedule. Raises ValueError for none."""
    factor, at_most_every_s = options.scale_heartbeats, options.at_most_every
    if factor == _OWN_SPEED:
        factor = max(1.0, getattr(plays, "speed", 1.0))
    if factor is not None and not 1 <= factor < math.inf:
        raise ValueError(
            f"--scale-heartbeats must be 1 or more, not {factor:g}: clients leave who is silent for longer"
        )
    if at_most_every_s is not None and not 0 < at_most_every_s < math.inf:
        raise ValueError(f"--at-most-every must be a number of seconds above 0, not {at_most_every_s:g}")
    return replace(DEFAULT_PACE.faster(factor or 1), at_most_every_s=at_most_every_s)


def schedule(options: argparse.Namespace) -> Schedule:
    """Return the schedule that the options describe.

    Raises ValueError for an option that belongs to another schedule, and for values that make none.
    """
    row = SCHEDULES[options.schedule]
    given = given_options(options)
    for option in _options():
        if option.key in given and option not in row.options:
            own = _listed([one.name for one in row.options])
            raise ValueError(f"{option.name} goes with --schedule {_listed(_owners(option))}; {row.kind} has {own}")
    return row.from_options(given)


def given_options(options: argparse.Namespace) -> dict[str, object]:
    """Return the options of schedules that were given, by their keys."""
    values = {option.key: getattr(options, option.key) for option in _options()}
    return {key: value for key, value in values.items() if value is not None}


def check_port(port: int, count: int = 1) -> None:
    """Raise ValueError unless `count` ports from this one on exist."""
    if not 0 <= port <= 65536 - count:
        raise ValueError(f"--port must lie between 0 and {65536 - count}, not {port}")


def _options() -> list[Option]:
    return list(dict.fromkeys(option for row in SCHEDULES.values() for option in row.options))


def _owners(option: Option) -> list[str]:
    return [kind for kind, row in SCHEDULES.items() if option in row.options]


def _listed(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
