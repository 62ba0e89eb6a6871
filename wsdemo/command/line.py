"""`python -m wsdemo line`: a bad line in front of any server on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from wsdemo.command.options import check_port
from wsdemo.command.output import complain
from wsdemo.command.running import until_stopped
from wsdemo.line import WORDS, Event, Fault, Line, words_of
from wsdemo.line.spoken import fault_of
from wsdemo.processes.children import say
from wsdemo.words import listed

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs

SILENCE_S = 1.0
"""Between two lines in the terminal, however much happens."""
_METAVARS = {"time": "TIME", "size": "SIZE", "rate": "SIZE", "time or size": "TIME|SIZE", "way": "WAY", "end": "END"}


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "line",
        help="put a bad line in front of a server, until Ctrl-C",
        description="Lead to a server on this machine, as a bad line would: slow, cut, half-open, or in the hands of a"
        " proxy. Clients use the line's port in place of the server's. The first line on stdout is JSON, for scripts;"
        " the sentences are on stderr. Times are like 50ms or 3s, sizes like 64KB. To measure through such a line:"
        " compare --line delay=50ms,cut=3s",
        epilog="example: python -m wsdemo line --to 8000 --delay 50ms --cut-every 5s",
    )
    command.add_argument("--to", type=int, required=True, metavar="PORT", help="the server's port on this machine")
    command.add_argument("--port", type=int, default=0, metavar="P", help="the line's own port (default: any free one)")
    group = command.add_argument_group("what is wrong with it", "Delay, jitter and bandwidth hold for all connections.")
    for word in WORDS.values():
        metavar = _METAVARS.get(word.kind, "N")
        group.add_argument(f"--{word.key}", dest=f"line_{word.key}", metavar=metavar, help=word.help)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from wsdemo import serve

    check_port(options.port)
    if not 1 <= options.to <= 65535:
        raise ValueError(f"--to must be a server's port, from 1 to 65535, not {options.to}")
    values = {key: getattr(options, f"line_{key}") for key in WORDS}
    fault = fault_of({key: value for key, value in values.items() if value is not None})
    until_stopped(_keep(options.to, options.port, fault), serve.new_event_loop)


async def _keep(to_port: int, port: int, fault: Fault) -> None:
    """Keep a line until cancelled, and say what it does, in the end in sum."""
    happened: asyncio.Queue[Event] = asyncio.Queue()
    async with Line(to_port, fault, port=port, told=happened.put_nowait) as line:
        say({"port": line.port, "to": to_port, "line": words_of(fault)})
        what = words_of(fault) or "nothing wrong with it"
        complain(f"Line: 127.0.0.1:{line.port} leads to port {to_port}, with {what}\nCtrl-C stops the line.")
        try:
            while True:
                event, more = await happened.get(), 0
                while not happened.empty():
                    event, more = happened.get_nowait(), more + 1
                complain(f"{event}{f' ({more} more since the last line)' if more else ''}")
                await asyncio.sleep(SILENCE_S)
        finally:
            complain(_in_sum(line))


def _in_sum(line: Line) -> str:
    counts = [f"{kind} {count:,}" for kind, count in line.did.counts.items()]
    passed = f"{line.did.bytes_up:,} bytes up and {line.did.bytes_down:,} down"
    return f"the line did: {listed([*counts, passed])}"
