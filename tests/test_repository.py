"""The promises of the README, the requirements and CI, which no module keeps."""

import re
import subprocess
from pathlib import Path

import pytest

from wsdemo.transports import TRANSPORTS

ROOT = Path(__file__).resolve().parent.parent
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def files():
    """Return the text files of the repository, as git or (in an archive) the file system lists them."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\n")[:-1] or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return [name for name in names if not name.endswith(".png") and (ROOT / name).is_file()]


def test_ci_runs_the_readmes_test_line_unchanged():
    """Whoever follows the README runs what CI runs."""
    line = f"{SET_UP}.venv/bin/pytest"
    assert f"\n{line}\n" in read("README.md")
    assert read(".ci/run").rstrip().splitlines()[-1] == line
    assert f"{SET_UP}.venv/bin/python -m wsdemo compare\n" in read("README.md")


def test_nothing_in_ci_is_allowed_to_fail():
    """No check is skipped or waved through."""
    assert "set -euo pipefail" in read(".ci/run")
    assert "|| true" not in read(".ci/run")


def test_every_requirement_has_a_floor_and_a_cap():
    """A version from after the course was written cannot break it silently; the last line is the course itself."""
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "-e ."
    assert len(lines) > 10
    for line in lines[:-1]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+,<[0-9.]+", line), line


def test_the_package_asks_for_no_other_versions_than_the_course():
    """A dependency of pyproject.toml stands in requirements.txt with the same floor and cap."""
    dependencies = re.search(r"dependencies = \[(.*?)\]", read("pyproject.toml"), re.DOTALL).group(1)
    named = re.findall(r'"([^"]+)"', dependencies)
    assert len(named) > 5
    assert set(named) <= set(read("requirements.txt").splitlines())


def test_the_public_address_stands_in_one_place():
    """OWNER/REPO is replaced once, and the README says where."""
    assert sum(read(name).count("OWNER/REPO/") for name in files() if not name.startswith("tests/")) == 1


def test_binder_finds_the_course():
    """Where .binder/ exists Binder looks nowhere else; the runtime is spelled as it wants it."""
    assert "-r ../requirements.txt" in read(".binder/requirements.txt")
    assert "jupyter-server-proxy" in read(".binder/requirements.txt")
    assert read(".binder/runtime.txt").strip() == "python-3.12"


@pytest.mark.parametrize("name", TRANSPORTS)
def test_the_readme_names_every_transport(name):
    """The command that compares all five is there to be copied."""
    assert name in read("README.md")


def test_every_lesson_is_in_the_readme():
    """With a link that leads to it."""
    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert len(lessons) >= 8
    assert re.findall(r"\(notebooks/(\w+\.ipynb)\)", read("README.md")) == lessons


def test_the_repository_names_no_machine():
    """No path of a home or work folder, in no text."""
    # The tests speak of such paths, in order to forbid them.
    texts = [name for name in files() if not name.startswith("tests/")]
    assert len(texts) > 40
    assert [name for name in texts if re.search(r"(?<![\w.])/(?:root|home/\w+|work)/", read(name))] == []
