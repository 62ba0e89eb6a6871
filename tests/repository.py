"""The repository as the tests of its promises see it: its root, and the text files that belong to it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE_HERE = {".venv", "__pycache__", ".ipynb_checkpoints", ".hypothesis", "build", "dist", "PKG-INFO", "setup.cfg"}
"""Files and folders that builders, tools and runs add; and those that end like .pytest_cache and wsdemo.egg-info."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def files() -> list[str]:
    """Return the names of all files of the repository, as git or (in an archive) the file system lists them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()] or _unpacked()


def texts() -> list[str]:
    """Return the names of those that are text."""
    return [name for name in files() if not name.endswith((".png", ".ico", ".woff2"))]


def _unpacked() -> list[str]:
    names = [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*")) if path.is_file()]
    return [name.as_posix() for name in names if not any(map(_is_made_here, name.parts))]


def _is_made_here(part: str) -> bool:
    return part in MADE_HERE or part.endswith((".egg-info", "_cache", ".pyc"))
