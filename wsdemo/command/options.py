"""What several jobs of the command line share: the parser, and the options that make a schedule."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from wsdemo.updates import SCHEDULES, Option, Schedule

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    Jobs = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_SCHEDULE = "earthquakes"


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
