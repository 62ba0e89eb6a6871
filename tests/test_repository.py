"""The promises of the README, the requirements and CI, which no module keeps."""

import ast
import json
import re
import tomllib

import pytest
import yaml
from repository import ROOT, files, read, texts

import wsdemo
from wsdemo.transports import TRANSPORTS

SET_UP = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "
CHECKS = ["ruff format --check .", "ruff check .", "mypy --strict wsdemo", "jactionlint --strict-exit"]
FLOOR = 97
"""Percent of the lines and branches of wsdemo that the suite runs. It rises, here and in .ci/run; it never falls."""


def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))["project"]


def workflow() -> dict:
    return yaml.safe_load(read(".github/workflows/test.yml"))


# --- continuous integration -------------------------------------------------------------------------------------------


def test_ci_runs_the_readmes_test_line_unchanged():
    """Whoever follows the README runs what CI runs."""
    line = f"{SET_UP}.venv/bin/pytest"
    assert f"\n{line}\n" in read("README.md")
    assert read(".ci/run").rstrip().splitlines()[-1] == line
    assert f"{SET_UP}.venv/bin/python -m wsdemo compare\n" in read("README.md")


def test_nothing_in_ci_is_allowed_to_fail():
    """No check is skipped or waved through."""
    assert "set -euo pipefail" in read(".ci/run")
    assert "export CI=true" in read(".ci/run")
    for name in (".ci/run", ".github/workflows/test.yml"):
        assert not re.search(r"\|\| *(true|:)|set \+e|continue-on-error", read(name))


@pytest.mark.parametrize("check", CHECKS)
def test_ci_makes_every_check_before_the_tests(check):
    """One that needs no run is a line of its own, so that its failure ends the run."""
    lines = read(".ci/run").splitlines()
    (place,) = (n for n, line in enumerate(lines) if line.startswith(f".venv/bin/{check}"))
    assert place < len(lines) - 1
    assert not re.search(r"[|;&]", lines[place])


def test_every_tool_of_ci_is_a_requirement():
    """With a floor and a cap, like everything else."""
    requirements = re.findall(r"^([a-z0-9-]+)>=", read("requirements.txt"), re.MULTILINE)
    tools = set(re.findall(r"\.venv/bin/(\w+)", read(".ci/run"))) - {"pip"}
    assert tools >= {"ruff", "mypy", "jactionlint", "pytest"}
    assert tools <= set(requirements)


def test_the_floor_of_coverage_does_not_fall():
    """Lines and branches are counted, in child processes too."""
    (floor,) = re.findall(r"--cov=wsdemo --cov-fail-under=(\d+)", read(".ci/run"))
    assert int(floor) >= FLOOR
    settings = tomllib.loads(read("pyproject.toml"))["tool"]["coverage"]["run"]
    assert settings["branch"] and settings["parallel"] and settings["patch"] == ["subprocess"]
    assert "omit" not in settings


def test_the_workflow_runs_ci_on_every_python_that_the_package_names():
    """And the README's test line on macOS and Windows."""
    jobs = workflow()["jobs"]
    named = [line.rpartition(" ")[2] for line in project()["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == named
    assert f">={named[0]}" == project()["requires-python"]
    assert jobs["linux"]["steps"][-1] == {"run": ".ci/run"}
    assert jobs["elsewhere"]["strategy"]["matrix"]["system"] == ["macos", "windows"]


def test_the_workflow_asks_for_little_and_ends():
    """It may read the repository and nothing else, each job has a limit, each action a version."""
    assert workflow()["permissions"] == {"contents": "read"}
    assert all("permissions" not in job and 0 < job["timeout-minutes"] <= 90 for job in workflow()["jobs"].values())
    actions = re.findall(r"uses: (\S+)", read(".github/workflows/test.yml"))
    assert len(actions) >= 6
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


def test_the_workflow_tries_the_oldest_versions_that_are_allowed():
    """Its one substitution turns every floor into the version itself."""
    (command,) = (step["run"] for step in workflow()["jobs"]["oldest"]["steps"] if "sed" in step.get("run", ""))
    pattern, replacement = re.search(r"'s/(.*)/(.*)/'", command).groups()
    oldest = [re.sub(pattern, replacement, line) for line in read("requirements.txt").splitlines()]
    pinned = [line for line in oldest if "==" in line]
    assert len(pinned) == read("requirements.txt").count(">=")
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+(; sys_platform != \"win32\")?", line) for line in pinned)


def test_hooks_before_a_commit_are_checks_of_ci_and_download_nothing():
    """Each is local, and runs a tool of the requirements."""
    repositories = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"].replace(" --force-exclude", "") for hook in hooks] == [
        c.removesuffix(" .") for c in CHECKS[:3]
    ]


def test_a_container_for_development_installs_the_requirements():
    """As the README does."""
    assert json.loads(read(".devcontainer/devcontainer.json"))["postCreateCommand"] == SET_UP.removesuffix(" && ")


# --- requirements -----------------------------------------------------------------------------------------------------


def test_every_requirement_has_a_floor_and_a_cap():
    """A version from after the course was written cannot break it silently; the last line is the course itself."""
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    assert lines[-1] == "-e ."
    assert len(lines) > 10
    for line in lines[:-1]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+,<[0-9.]+(; sys_platform != \"win32\")?", line), line


def test_the_package_asks_for_no_other_versions_than_the_course():
    """A dependency of pyproject.toml stands in requirements.txt with the same floor and cap."""
    assert len(project()["dependencies"]) > 5
    extras = [wanted for extra in project()["optional-dependencies"].values() for wanted in extra]
    assert len(extras) == 2
    assert {*project()["dependencies"], *extras} <= set(read("requirements.txt").splitlines())


# --- what the repository says of itself -------------------------------------------------------------------------------


def test_the_public_address_is_filled_in_at_two_places_which_the_readme_names():
    """Once in a link of the README, once in pyproject.toml; the README's sentence says so."""
    places = {name: read(name).count("/OWNER/REPO") for name in texts() if not name.startswith("tests/")}
    assert {name: count for name, count in places.items() if count} == {"README.md": 1, "pyproject.toml": 1}
    (sentence,) = re.findall(r"[^.]*`OWNER/REPO`[^:]*:", read("README.md"))
    assert "this link" in sentence and "pyproject.toml" in sentence


def test_the_newest_release_of_the_changelog_is_the_version():
    """What is not released yet stands above it; releases go down in number and in time."""
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    releases = headings[1:]
    assert releases[0][0] == wsdemo.__version__
    numbers = [tuple(map(int, number.split("."))) for number, _ in releases]
    assert numbers == sorted(numbers, reverse=True)
    assert all(day for _, day in releases) and releases == sorted(
        releases, key=lambda release: release[1], reverse=True
    )


def test_the_version_is_written_in_the_package_only():
    """pyproject.toml reads it there."""
    assert "version" in project()["dynamic"] and "version" not in project()
    assignments = [node for node in ast.parse(read("wsdemo/__init__.py")).body if isinstance(node, ast.Assign)]
    assert [ast.unparse(node) for node in assignments] == [f"__version__ = {wsdemo.__version__!r}"]


@pytest.mark.parametrize("name", ["CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "LICENSE"])
def test_the_readme_leads_to_what_contributors_expect(name):
    """With a link."""
    assert (ROOT / name).is_file()
    assert f"({name})" in read("README.md")


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".md")])
def test_links_within_the_repository_lead_somewhere(name):
    """Of every page, from where it stands; those of the lessons are held by their own rules."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", read(name)) if not re.match(r"https?:|#", link)]
    folder = (ROOT / name).parent
    assert [link for link in links if not (folder / link.partition("#")[0]).exists()] == []


def test_binder_finds_the_course():
    """Where .binder/ exists Binder looks nowhere else; the runtime is spelled as it wants it."""
    assert "-r ../requirements.txt" in read(".binder/requirements.txt")
    assert "jupyter-server-proxy" in read(".binder/requirements.txt")
    assert read(".binder/runtime.txt").strip() == "python-3.12"


def test_the_transports_that_the_readme_names_exist():
    """The command that compares the five of the course is there to be copied, and each of them is a row."""
    (named,) = re.findall(r"compare --transports (\S+)", read("README.md"))
    assert len(named.split(",")) == 5
    assert set(named.split(",")) <= set(TRANSPORTS)


def test_every_lesson_is_in_the_readme():
    """With a link that leads to it."""
    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert len(lessons) >= 8
    assert re.findall(r"\(notebooks/(\w+\.ipynb)\)", read("README.md")) == lessons


def test_the_repository_names_no_machine():
    """No path of a home or work folder, in no text."""
    # The tests speak of such paths, in order to forbid them.
    names = [name for name in texts() if not name.startswith("tests/")]
    assert len(names) > 40
    assert [name for name in names if re.search(r"(?<![\w.])/(?:root|home/\w+|work)/", read(name))] == []
