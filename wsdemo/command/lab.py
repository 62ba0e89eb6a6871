"""`python -m wsdemo lab`: the lessons in JupyterLab."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wsdemo.command.options import check_port
from wsdemo.command.running import browser

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs

FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"
OFFLINE = ("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None")
"""Nothing here comes from the internet; JupyterLab would ask there for its news and for newer versions of itself."""


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "lab",
        help="open the lessons in JupyterLab",
        description="Open JupyterLab at the first lesson, with this repository as its root. Arguments that are not"
        " listed here are handed on to JupyterLab.",
        epilog="example: python -m wsdemo lab --no-browser --ServerApp.ip=0.0.0.0",
        allow_abbrev=False,  # what is not spelt out may be JupyterLab's
    )
    command.add_argument("--no-browser", action="store_true", help="only print the address, and open it yourself")
    command.add_argument("--allow-root", action="store_true", help="run although you are root, as inside a container")
    command.add_argument("--port", type=int, metavar="P", help="JupyterLab's port (default: 8888 or the next free one)")
    command.set_defaults(run=run, handed_on=[])


def run(options: argparse.Namespace) -> None:
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / FIRST_NOTEBOOK).is_file():
        raise ValueError(f"the lessons are not in {root}: clone the repository and install from there (see README)")
    # As its default address the lesson is also in the address that JupyterLab prints for those without a browser.
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}",
        *OFFLINE,
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not options.allow_root:
            raise ValueError("JupyterLab does not run as root: be another user, or, in a container, add --allow-root")
        command.append("--allow-root")
    if options.port is not None:
        check_port(options.port)
        # Whoever names a port has forwarded it, or will: another one, chosen in silence, would be of no use.
        command += [f"--ServerApp.port={options.port}", "--ServerApp.port_retries=0"]
    if options.no_browser or browser() is None:
        print(_how_to_reach(options.port or None), file=sys.stderr, flush=True)
        command.append("--no-browser")
    become([*command, *options.handed_on])


def _how_to_reach(port: int | None) -> str:
    its_port, number = ("its port", str(port)) if port is not None else ("the port in it, here called PORT", "PORT")
    return (
        f"Open the address that JupyterLab prints below in a browser. From another machine, forward {its_port}:\n"
        f"    ssh -L {number}:localhost:{number} THIS-MACHINE"
    )


def become(command: list[str]) -> NoReturn:
    """Go on as another program, so that Ctrl-C and other signals are its own; on Windows, which cannot, wait for it."""
    if os.name == "posix":
        os.execv(command[0], command)
    sys.exit(subprocess.run(command).returncode)
