"""Coverage counts what runs in children and in kernels, not only what the tests call themselves."""

import json
import os

import nbformat
import pytest
import sandbox

PLANTED = """
import subprocess
import sys
import pytest

@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_a_child(end):
    job = b'{"max_connections": 9, "open_timeout_s": 5, "keepalive_s": 20}'
    words = ["child", "echo"] if end == "stdin" else ["serve", "polling"]
    with subprocess.Popen(
        [sys.executable, "-m", "wsdemo", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdin.write(job + b"\\n")
        child.stdin.flush()
        assert child.stdout.readline()
        child.stdin.close() if end == "stdin" else child.terminate()
        child.wait()
"""
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a word")
IN_A_KERNEL = ["from wsdemo.wire import accept_key", "accept_key('a key')"]


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Run a planted test of children and a planted lesson under coverage; return what was counted of each file."""
    folder = sandbox.make(tmp_path_factory.mktemp("coverage"), test_planted=PLANTED)
    cells = [nbformat.v4.new_code_cell(cell, execution_count=n) for n, cell in enumerate(IN_A_KERNEL, start=1)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / "lesson.ipynb")
    run = sandbox.run_pytest(folder, "--cov=wsdemo", "--cov-report=json")
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))
    assert report["meta"]["branch_coverage"]
    return {
        name.replace("\\", "/").rpartition("wsdemo/")[2]: file["functions"] for name, file in report["files"].items()
    }


@pytest.mark.parametrize(
    ("where", "file", "function"),
    [
        ("a child that the end of its stdin ends", "echo.py", "EchoServer.start"),
        pytest.param("a child that SIGTERM ends", "transports/polling.py", "serve", marks=POSIX),
        ("a lesson's kernel", "wire/handshake.py", "accept_key"),
    ],
)
def test_what_runs_elsewhere_is_counted(counted, where, file, function):
    """Each of these functions runs there only."""
    assert counted[file][function]["executed_lines"], f"nothing is counted of {where}"


def test_what_does_not_run_is_not_counted(counted):
    """The control."""
    assert not counted["wire/frames.py"]["decode"]["executed_lines"]
