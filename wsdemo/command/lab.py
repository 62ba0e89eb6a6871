"""`python -m wsdemo lab`: the lessons in JupyterLab."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from wsdemo.command.running import has_browser

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs

FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"


def add(jobs: Jobs) -> None:
    command = jobs.add_parser(
        "lab",
        help="open the lessons in JupyterLab",
        description="Open JupyterLab at the first lesson, with this repository as its root.",
    )
    command.add_argument("--no-browser", action="store_true", help="only print the address, and open it yourself")
    command.add_argument("--allow-root", action="store_true", help="run although you are root, as inside a container")
    command.add_argument("--port", type=int, metavar="P", help="JupyterLab's port (default: 8888 or the next free one)")
    command.set_defaults(run=run)


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
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not options.allow_root:
            raise ValueError("JupyterLab does not run as root: be another user, or, in a container, add --allow-root")
        command.append("--allow-root")
    if options.port is not None:
        command.append(f"--ServerApp.port={options.port}")
    if options.no_browser or not has_browser():
        print(
            "Open the address that JupyterLab prints below in a browser. From another machine, forward its port:\n"
            "    ssh -L 8888:localhost:8888 THIS-MACHINE",
            file=sys.stderr,
            flush=True,
        )
        command.append("--no-browser")
    become(command)


def become(command: list[str]) -> NoReturn:
    """Go on as another program, so that Ctrl-C and other signals are its own; on Windows, which cannot, wait for it."""
    if os.name == "posix":
        os.execv(command[0], command)
    sys.exit(subprocess.run(command).returncode)
