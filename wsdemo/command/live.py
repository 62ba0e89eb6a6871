"""`python -m wsdemo live`: the page on which pull and push hear the same earthquakes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from wsdemo.command.options import add_listening, check_port
from wsdemo.command.running import browser, until_stopped

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "live",
        help="open a page on which pull and push hear the same earthquakes",
        description="Serve the live page and open it in a browser, until Ctrl-C. The page's address is on stdout.",
        epilog="example, for a classroom: python -m wsdemo live --host 0.0.0.0 --port 8000",
    )
    add_listening(command, "the page's port (default: any free one)")
    command.add_argument("--no-browser", action="store_true", help="only print the address, and open it yourself")
    command.add_argument("--speed", type=float, metavar="S", help="seconds of the week a second, at first (120)")
    command.add_argument("--interval", type=float, metavar="T", help="seconds between two polls, at first (1)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from wsdemo import serve
    from wsdemo.live import server

    check_port(options.port)
    given = {"speed": options.speed, "interval_s": options.interval}
    start = server.check_options({name: value for name, value in given.items() if value is not None})
    shown_by = None if options.no_browser else browser()
    page = server.run(
        host=options.host,
        port=options.port,
        allowed_hosts=options.allow_host,
        allowed_origins=options.allow_origin,
        opened=shown_by.open if shown_by else None,
        **start,
    )
    until_stopped(page, serve.new_event_loop)
