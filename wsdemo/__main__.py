"""The command line: `python -m wsdemo compare`, `serve`, `live` and `lab`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NoReturn

from wsdemo import workload
from wsdemo.processes.children import ChildFailed
from wsdemo.transports import TRANSPORTS, find
from wsdemo.updates import Schedule, earthquakes, every, poisson

DEFAULT_RATE_PER_S = 2.0
DEFAULT_PICTURE = "wsdemo-compare.png"
PICTURE_FORMATS = (".png", ".svg", ".pdf")
FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line on stderr."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    main = Parser(prog="python -m wsdemo", description="Predict and measure what pull and push cost, on this machine.")
    jobs = main.add_subparsers(dest="job", required=True, metavar="{compare,serve,live,lab}")

    compare = jobs.add_parser(
        "compare",
        help="measure transports side by side, and print what theory predicted for each number",
        description="Run the same updates through each transport, one after the other, and compare. Without arguments:"
        " polling and WebSocket on a real week of earthquakes, in under 30 s.",
        epilog="example: python -m wsdemo compare --schedule poisson --rate 2 --interval 0.5 --clients 100",
    )
    compare.add_argument(
        "--transports",
        default="polling,websocket",
        metavar="A,B,…",
        help=f"from {', '.join(TRANSPORTS)} (default: %(default)s)",
    )
    _add_schedule(compare)
    compare.add_argument(
        "--interval",
        type=float,
        default=workload.DEFAULT_INTERVAL_S,
        metavar="T",
        help="seconds between two polls of one client (%(default)s)",
    )
    compare.add_argument(
        "--clients", type=int, default=workload.DEFAULT_CLIENTS, metavar="N", help="how many clients (%(default)s)"
    )
    compare.add_argument(
        "--duration",
        type=float,
        default=workload.DEFAULT_DURATION_S,
        metavar="D",
        help="seconds of one run (%(default)s)",
    )
    compare.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    compare.add_argument(
        "--plot", metavar="FILE.png", help=f"where to save the picture (default: {DEFAULT_PICTURE}; with --json: none)"
    )
    compare.set_defaults(run=_compare)

    serve = jobs.add_parser(
        "serve",
        help="run servers until Ctrl-C",
        description="Serve one feed of updates by one or more transports and print where they listen. The first line on"
        " stdout is JSON, for scripts; the sentences are on stderr.",
        epilog="example: python -m wsdemo serve polling websocket --port 8000 --schedule every --rate 1",
    )
    serve.add_argument(
        "transports",
        nargs="+",
        metavar="TRANSPORT",
        help=f"{', '.join(TRANSPORTS)}; or alone: echo, the first WebSocket program and its page",
    )
    serve.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="P",
        help="port of the first transport, the next one gets the next (default: any free ones)",
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (default: %(default)s, this machine only)",
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="further host name that clients may use, such as a proxy's (may be repeated)",
    )
    _add_schedule(serve)
    serve.add_argument("--duration", type=float, metavar="D", help="end the feed after D seconds (default: never)")
    serve.add_argument("--max-connections", type=int, default=2000, metavar="N", help="connections held (%(default)s)")
    serve.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    serve.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)

    _add_live(jobs)

    lab = jobs.add_parser(
        "lab",
        help="open the lessons in JupyterLab",
        description="Open JupyterLab at the first lesson, with this repository as its root.",
    )
    lab.add_argument("--no-browser", action="store_true", help="only print the address, and open it yourself")
    lab.add_argument("--allow-root", action="store_true", help="run although you are root, as inside a container")
    lab.add_argument("--port", type=int, metavar="P", help="JupyterLab's port (default: 8888 or the next free one)")
    lab.set_defaults(run=_lab)

    # What `measure` starts beside a server; it is spoken to on stdin and means nothing to people.
    jobs.add_parser("clients").set_defaults(run=_clients)
    return main


def _add_live(jobs) -> None:
    live = jobs.add_parser(
        "live",
        help="open a page on which pull and push hear the same earthquakes",
        description="Serve the live page and open it in a browser, until Ctrl-C. The page's address is on stdout.",
        epilog="example, for a classroom: python -m wsdemo live --host 0.0.0.0 --port 8000",
    )
    live.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (default: %(default)s, this machine only)",
    )
    live.add_argument("--port", type=int, default=0, metavar="P", help="the page's port (default: any free one)")
    live.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="further host name by which browsers may come, such as a proxy's (may be repeated)",
    )
    live.add_argument("--no-browser", action="store_true", help="only print the address, and open it yourself")
    live.add_argument("--speed", type=float, metavar="S", help="seconds of the week a second, at first (120)")
    live.add_argument("--interval", type=float, metavar="T", help="seconds between two polls, at first (1)")
    live.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    live.set_defaults(run=_live)


def _add_schedule(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--schedule",
        choices=("poisson", "every", "earthquakes"),
        default="earthquakes",
        help="when the source changes (default: %(default)s, a real week)",
    )
    command.add_argument(
        "--rate",
        type=float,
        metavar="R",
        help=f"updates a second, for poisson and every (default: {DEFAULT_RATE_PER_S:g})",
    )
    command.add_argument(
        "--speed", type=float, metavar="S", help="seconds of the week a second, for earthquakes (default: 240)"
    )
    command.add_argument(
        "--start", type=float, metavar="SECONDS", help="where in the week to start, for earthquakes (default: 0)"
    )
    command.add_argument(
        "--seed",
        type=int,
        metavar="K",
        help="other luck: another draw of poisson, another part of the week of earthquakes",
    )


def _schedule(options: argparse.Namespace) -> Schedule:
    """Return the schedule that the options describe. Raises ValueError for options that do not go together."""
    if options.schedule == "earthquakes":
        if options.rate is not None:
            raise ValueError("--rate goes with --schedule poisson or every; the earthquakes have --speed")
        given = {"speed": options.speed, "start_s": options.start}
        schedule = earthquakes(**{name: value for name, value in given.items() if value is not None})
    else:
        if options.speed is not None or options.start is not None:
            raise ValueError("--speed and --start go with --schedule earthquakes")
        rate = DEFAULT_RATE_PER_S if options.rate is None else options.rate
        if not 0 < rate < float("inf"):
            raise ValueError(f"--rate must be a number above 0, not {rate:g}")
        schedule = poisson(rate) if options.schedule == "poisson" else every(1 / rate)
    if options.seed is None or options.start is not None:
        return schedule
    return schedule.with_seed(options.seed)


def _compare(options: argparse.Namespace) -> None:
    from wsdemo import measure

    picture = _picture(options)
    comparison = asyncio.run(
        measure.compare(
            [name.strip() for name in options.transports.split(",")],
            _schedule(options),
            clients=options.clients,
            interval_s=options.interval,
            duration_s=options.duration,
        )
    )
    if options.json:
        print(json.dumps(comparison.to_dict(), allow_nan=False))
        for note in comparison.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        print(comparison)
    if picture is not None:
        comparison.figure(picture)
        print(f"\npicture: {picture}", file=sys.stderr if options.json else sys.stdout)


def _picture(options: argparse.Namespace) -> str | None:
    """Return where to save the picture. Raises ValueError before a run whose picture could not be saved."""
    if options.plot is None and options.json:
        return None
    path = Path(options.plot or DEFAULT_PICTURE)
    if path.suffix not in PICTURE_FORMATS:
        raise ValueError(f"--plot must end in {', '.join(PICTURE_FORMATS)}, not {path.name!r}")
    if not path.parent.is_dir():
        raise ValueError(f"--plot: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK) or path.is_dir():
        raise ValueError(f"--plot: {str(path)!r} cannot be written; name another file")
    return str(path)


def _serve(options: argparse.Namespace) -> None:
    from wsdemo import serve

    is_echo = "echo" in options.transports
    names = _only_echo(options) if is_echo else [transport.name for transport in find(options.transports)]
    if not 0 <= options.port <= 65536 - len(names):
        raise ValueError(f"--port must lie between 0 and {65536 - len(names)}, not {options.port}")
    if options.max_connections < 1:
        raise ValueError(f"--max-connections must be at least 1, not {options.max_connections}")
    if options.duration is not None and not options.duration > 0:
        raise ValueError(f"--duration must be a number of seconds above 0, not {options.duration:g}")
    common = {
        "host": options.host,
        "port": options.port,
        "max_connections": options.max_connections,
        "allowed_hosts": options.allow_host,
        "supervised": options.supervised,
    }
    if is_echo:
        from wsdemo import echo

        server = echo.run(**common)
    else:
        server = serve.run(names, _schedule(options), duration_s=options.duration, hold=options.hold, **common)
    _run_until_stopped(server, lambda: serve.new_event_loop(options.max_connections))


def _run_until_stopped(server: Coroutine, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run a server until it ends by itself; Ctrl-C and SIGTERM, with which service managers stop, end it too.

    Raises KeyboardInterrupt for either. Both cancel the server: an exception raised by a signal handler would come up
    in whatever callback runs at that moment, and be lost there.
    """

    async def stoppable() -> None:
        with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to handle
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        await server

    # A port scanner's half a request is no reason for a traceback in the terminal.
    for logger in ("websockets.server", "aiohttp.server"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            runner.run(stoppable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def _only_echo(options: argparse.Namespace) -> list[str]:
    """Return ["echo"]. Raises ValueError for whatever belongs to a feed, which the echo server does not have."""
    if options.transports != ["echo"]:
        raise ValueError("echo answers on its own and carries no updates: serve it without a transport")
    feed = (options.rate, options.speed, options.start, options.seed, options.duration)
    if options.schedule != "earthquakes" or options.hold or any(value is not None for value in feed):
        raise ValueError("echo has no updates: it goes with --port, --host, --allow-host and --max-connections only")
    return ["echo"]


def _live(options: argparse.Namespace) -> None:
    from wsdemo import serve
    from wsdemo.live import server

    if not 0 <= options.port <= 65535:
        raise ValueError(f"--port must lie between 0 and 65535, not {options.port}")
    given = {"speed": options.speed, "interval_s": options.interval}
    given = server.check_options({name: value for name, value in given.items() if value is not None})
    page = server.run(
        host=options.host,
        port=options.port,
        allowed_hosts=options.allow_host,
        supervised=options.supervised,
        opened=webbrowser.open if not options.no_browser and _has_browser() else None,
        **given,
    )
    _run_until_stopped(page, serve.new_event_loop)


def _clients(_: argparse.Namespace) -> None:
    from wsdemo.processes import clients

    with asyncio.Runner(loop_factory=clients.new_event_loop) as runner:
        runner.run(clients.run())


def _lab(options: argparse.Namespace) -> None:
    root = Path(__file__).resolve().parent.parent
    if not (root / FIRST_NOTEBOOK).is_file():
        raise ValueError(f"the lessons are not in {root}: clone the repository and install from there (see README)")
    # As its default address the lesson is also in the address that JupyterLab prints for those without a browser.
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not options.allow_root:
            raise ValueError("JupyterLab does not run as root: be another user, or, in a container, add --allow-root")
        command.append("--allow-root")
    if options.port is not None:
        command.append(f"--ServerApp.port={options.port}")
    if options.no_browser or not _has_browser():
        print(
            "Open the address that JupyterLab prints below in a browser. From another machine, forward its port:\n"
            "    ssh -L 8888:localhost:8888 THIS-MACHINE",
            file=sys.stderr,
            flush=True,
        )
        command.append("--no-browser")
    _become(command)


def _become(command: list[str]) -> NoReturn:
    """Go on as another program, so that Ctrl-C and other signals are its own; on Windows, which cannot, wait for it."""
    if os.name == "posix":
        os.execv(command[0], command)
    sys.exit(subprocess.run(command).returncode)


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    main_parser = parser()
    options = main_parser.parse_args(arguments)
    try:
        options.run(options)
    except ValueError as error:
        sys.exit(_complain(options.job, error, 2))
    except BrokenPipeError:
        # Whoever read the output has had enough (`| head`). Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ChildFailed) as error:
        sys.exit(_complain(options.job, error, 1))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        # 130 is the shell's word for "ended by Ctrl-C"; for a server that is its normal end.
        sys.exit(0 if options.job in ("serve", "live") else 130)


def _complain(job: str, error: Exception, status: int) -> int:
    print(f"python -m wsdemo {job}: {' '.join(str(error).split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
