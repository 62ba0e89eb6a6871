"""What is built from the repository: an archive that runs its own tests, a wheel that lacks nothing."""

import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import sandbox
from repository import ROOT, files, read

import wsdemo

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"
"""What `pip` and `build` call, with the setuptools of this environment, so that nothing is downloaded."""


def run(folder: Path, *arguments: str) -> str:
    """Run Python in a folder to its end, and return what it printed."""
    done = sandbox.run(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The archive of the source, built from a copy of the repository's files and unpacked: its one folder."""
    checkout, built, unpacked = (tmp_path_factory.mktemp(name) for name in ("checkout", "built", "unpacked"))
    for name in files():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    name = run(checkout, "-c", BUILD.format("sdist"), str(built)).split()[-1]
    with tarfile.open(built / name) as archive:
        # Before Python 3.11.4 there is but one way to unpack.
        archive.extractall(unpacked, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = unpacked.iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> zipfile.ZipFile:
    """The wheel, built from that archive as installers do."""
    built = tmp_path_factory.mktemp("wheel")
    name = run(source, "-c", BUILD.format("wheel"), str(built)).split()[-1]
    return zipfile.ZipFile(built / name)


def test_the_archive_holds_every_file_of_the_repository(source):
    """Tests, lessons, pictures and settings too."""
    assert len(files()) > 100
    assert [name for name in files() if not (source / name).is_file()] == []


def test_the_archive_collects_the_whole_suite(source):
    """Each file of tests and each lesson, with the options of the archive."""
    found = run(source, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    collected = {line.partition("::")[0] for line in found.splitlines()}
    suite = [
        name for name in files() if name.startswith(("tests/test_", "notebooks/")) and name.endswith((".py", ".ipynb"))
    ]
    assert len(suite) > 30
    assert set(suite) <= collected


def test_the_archive_keeps_the_promises_of_the_repository(source):
    """Its own tests of them run there, without git."""
    said = run(source, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_repository.py")
    assert "passed" in said


def test_the_wheel_holds_every_file_of_the_package(wheel):
    """Code, data and pages, in whatever folder; and nothing else but its metadata."""
    package = {name for name in files() if name.startswith("wsdemo/")}
    assert {Path(name).suffix for name in package} >= {".py", ".csv", ".json", ".html", ".css", ".js", ".svg"}
    packed = {name for name in wheel.namelist() if not name.startswith(f"wsdemo-{wsdemo.__version__}.dist-info/")}
    assert packed == package


def test_the_version_stands_in_one_place(wheel):
    """In the package; what is built reads it there."""
    assert "\nversion" not in read("pyproject.toml").partition("[tool.")[0]
    metadata = Parser().parsestr(wheel.read(f"wsdemo-{wsdemo.__version__}.dist-info/METADATA").decode())
    assert metadata["Version"] == wsdemo.__version__
    assert metadata["Summary"] and metadata["Keywords"] and metadata.get_payload().startswith("# Pull and push")
