"""A folder of its own for runs of pytest whose tests are planted, with exactly this repository's options."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from patience import patient

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("pyproject.toml", "conftest.py", "tests/conftest.py", "tests/kernel_watch.py", "tests/patience.py")


def make(folder: Path, **tests: str) -> Path:
    """Copy the options to `folder` and write a file of tests for each name; return the folder."""
    (folder / "tests").mkdir()
    (folder / "notebooks").mkdir()
    for name in NEEDED:
        shutil.copy(ROOT / name, folder / name)
    for name, source in tests.items():
        (folder / "tests" / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there to its end, in an environment that asks for nothing but `variables`."""
    own = ("PYTEST_", "COVERAGE_", "CI", "WSDEMO_TEST_PATIENCE")  # what this run was asked for
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)} | variables
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=patient(300)
    )
