"""Faults planted in notebooks must turn the run red, with exactly the options of pyproject.toml."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("pyproject.toml", "conftest.py", "tests/kernel_watch.py")

FAILS = """
import asyncio
async def fails():
    raise ValueError("planted")
"""
LAST = "nothing left"

# fault: the cells of its notebook, the cell that must turn red, and what it must say
FAULTS = {
    "an exception": (["1 / 0", "'a sound cell'"], "Cell 0", "ZeroDivisionError"),
    "a failed TaskGroup": (
        [FAILS, "async with asyncio.TaskGroup() as group:\n    group.create_task(fails())", "'a sound cell'"],
        "Cell 1", "an ExceptionGroup left the cell",
    ),
    "an exception whose context is a group": (
        ["try:\n    raise ExceptionGroup('', [ValueError()])\nexcept* ValueError:\n    raise KeyError"],
        "Cell 0", "an ExceptionGroup left the cell",
    ),
    "a lost task": (
        [FAILS, "asyncio.create_task(fails()); None", "await asyncio.sleep(0)", "'a sound cell'"],
        "Cell 2", "Task exception was never retrieved: ValueError('planted')",
    ),
    "a lost task in the last cell": (
        [FAILS, "asyncio.create_task(fails()); None"], LAST, "Task exception was never retrieved",
    ),
    "a failed task that is kept but never awaited": (
        [FAILS, "task = asyncio.create_task(fails())", "'a sound cell'"], LAST, "a task failed and nobody looked",
    ),
    "a task that runs on": (
        ["import asyncio", "task = asyncio.create_task(asyncio.sleep(60))"], LAST, "a running task",
    ),
    "a server that is not stopped": (
        ["from wsdemo import serve", "server = await serve.start('polling')"], LAST, "a child process",
    ),
    "an open port": (["import socket", "listener = socket.create_server(('127.0.0.1', 0))"], LAST, "an open port"),
    "a changed claim": (["print(6 * 7)"], "Cell 0", "Cell outputs differ"),
}

# The control: a task that is awaited, a server that is stopped, a claim that holds.
SOUND = [
    "import asyncio\nfrom wsdemo.serve import Server",
    "async def works():\n    return 42\ntask = asyncio.create_task(works())",
    "async with Server('polling') as server:\n    running = server.running",
    "assert running\nprint(await task)",
]


def notebook(sources: list[str], claim: str) -> nbformat.NotebookNode:
    """Make a notebook as Restart & Run All leaves it; its last cell claims to have printed `claim`, if it prints."""
    cells = [nbformat.v4.new_code_cell(source, execution_count=n) for n, source in enumerate(sources, start=1)]
    if "print" in sources[-1]:
        cells[-1].metadata["tags"] = ["nbval-check-output"]
        cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=claim)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture(scope="module")
def red(tmp_path_factory) -> dict[str, dict[str, str]]:
    """Run every planted notebook once, as a learner would; return what each red cell of each notebook says."""
    folder = tmp_path_factory.mktemp("course")
    for name in NEEDED:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "notebooks").mkdir()
    books = {fault: notebook(cells, claim="41\n") for fault, (cells, _, _) in FAULTS.items()}
    books["sound"] = notebook(SOUND, claim="42\n")
    for name, book in books.items():
        nbformat.write(book, folder / "notebooks" / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "notebooks", "--junitxml=report.xml", "-p", "no:cacheprovider"]
    run = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTEST_ADDOPTS": ""}, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 1, run.stdout + run.stderr
    said: dict[str, dict[str, str]] = {name: {} for name in books}
    for cell in ElementTree.parse(folder / "report.xml").iter("testcase"):
        for trouble in [*cell.iter("failure"), *cell.iter("error")]:
            said[Path(cell.get("classname")).stem.removeprefix("notebooks.")][cell.get("name")] = trouble.text
    return said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_turns_its_notebook_red(red, fault):
    """Each fault turns its own cell red, or the watch after the last one, says what it is, and no other cell is red."""
    _, cell, words = FAULTS[fault]
    assert list(red[fault]) == [cell]
    assert words in red[fault][cell]


def test_a_sound_notebook_stays_green(red):
    """Tasks that are awaited, servers that are stopped and claims that hold are no faults."""
    assert red["sound"] == {}
