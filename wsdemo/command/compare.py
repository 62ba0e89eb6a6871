"""`python -m wsdemo compare`: measure transports side by side."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wsdemo import workload
from wsdemo.command.options import add_pace, add_schedule, pace, schedule
from wsdemo.command.output import complain, encodable, whole_file
from wsdemo.command.running import heed_ctrl_c
from wsdemo.line.spoken import WORDS
from wsdemo.transports import TRANSPORTS

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs
    from wsdemo.result import Comparison

DEFAULT_PICTURE = "wsdemo-compare.png"
PICTURE_FORMATS = (".png", ".svg", ".pdf")


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "compare",
        help="measure transports side by side, and print what theory predicted for each number",
        description="Run the same updates through each transport, one after the other, and compare. Without arguments:"
        " polling and WebSocket on a real week of earthquakes, in about 30 s.",
        epilog="example: python -m wsdemo compare --schedule poisson --rate 2 --interval 0.5 --clients 100",
    )
    command.add_argument(
        "--transports",
        default="polling,websocket",
        metavar="A,B,…",
        help=f"from {', '.join(TRANSPORTS)} (default: %(default)s)",
    )
    add_schedule(command)
    add_pace(command)
    command.add_argument(
        "--line",
        metavar="WORDS",
        help="measure through a line that is bad, such as delay=50ms,cut=3s; its words are the options of the job"
        f" line: {', '.join(WORDS)}. Delay, jitter and bandwidth hold from the start, the rest from when the clock"
        " starts; predictions know the delay, and say what they cannot know",
    )
    for name, kind, default, metavar, words in (
        ("--interval", float, workload.DEFAULT_INTERVAL_S, "T", "seconds between two polls of one client"),
        ("--clients", int, workload.DEFAULT_CLIENTS, "N", "how many clients"),
        ("--duration", float, workload.DEFAULT_DURATION_S, "D", "seconds of one run"),
    ):
        command.add_argument(name, type=kind, default=default, metavar=metavar, help=f"{words} (%(default)s)")
    command.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    command.add_argument(
        "--plot",
        metavar="FILE.png",
        help=f"where to save the picture (default: {DEFAULT_PICTURE}; with --json: none)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from wsdemo import measure

    picture = _picture(options)
    heed_ctrl_c()
    plays = schedule(options)
    comparison = asyncio.run(
        measure.compare(
            [name.strip() for name in options.transports.split(",")],
            plays,
            clients=options.clients,
            interval_s=options.interval,
            duration_s=options.duration,
            pace=pace(options, plays),
            line=options.line,
        )
    )
    try:
        # The picture first: a terminal that breaks does not take it along. And whatever becomes of it, the numbers.
        if picture is not None:
            _save(comparison, picture)
    finally:
        _print(comparison, options.json)
    if picture is not None:
        print(f"\npicture: {picture}", file=sys.stderr if options.json else sys.stdout)


def _save(comparison: Comparison, picture: Path) -> None:
    from wsdemo import plots  # drawing is loaded only by those who draw

    with whole_file(picture) as path:
        plots.overview(comparison).save(path)


def _print(comparison: Comparison, as_json: bool) -> None:
    if as_json:
        print(json.dumps(comparison.to_dict(), allow_nan=False))
        for note in comparison.notes:
            complain(f"note: {note}")
    else:
        from wsdemo import table

        print(table.text(comparison.measurements, encodable))


def _picture(options: argparse.Namespace) -> Path | None:
    """Return where to save the picture. Raises ValueError before a run whose picture could not be saved."""
    if options.plot is None and options.json:
        return None
    path = Path(options.plot or DEFAULT_PICTURE)
    if path.suffix not in PICTURE_FORMATS:
        raise ValueError(f"--plot must end in {', '.join(PICTURE_FORMATS)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise ValueError(f"--plot: there is no folder {str(path.parent)!r}")
    places = [path.parent, path] if path.exists() else [path.parent]
    if not all(os.access(place, os.W_OK) for place in places) or path.is_dir():
        raise ValueError(f"--plot: {str(path)!r} cannot be written; name another file")
    return path
