"""Runs of Python and pytest in folders of their own, and planted tests with exactly this repository's options."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from patience import patient

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "pyproject.toml",
    "conftest.py",
    "tests/conftest.py",
    "tests/kernel_watch.py",
    "tests/kernels.py",
    "tests/patience.py",
)


def make(folder: Path, **tests: str) -> Path:
    """Copy the options to `folder` and write a file of tests for each name; return the folder."""
    (folder / "tests").mkdir()
    (folder / "notebooks").mkdir()
    for name in NEEDED:
        shutil.copy(ROOT / name, folder / name)
    for name, source in tests.items():
        (folder / "tests" / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


_ASKED = ("PYTEST_", "COVERAGE_", "CI")


def environment(**variables: str) -> dict[str, str]:
    """Return this environment without what this run was asked for, such as coverage, and with `variables`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_ASKED)} | variables


def uncounted() -> list[str]:
    """Return the names of what tells child processes to count coverage, as far as it is there."""
    return [name for name in os.environ if name.startswith("COVERAGE_")]


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python there to its end: `run(folder, "-m", "pytest")`."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=patient(300),
    )


def run_pytest(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there to its end, in an environment that asks for nothing but `variables`."""
    return run(folder, "-m", "pytest", "-p", "no:cacheprovider", *arguments, **variables)
