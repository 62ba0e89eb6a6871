"""Faults planted in notebooks must turn the run red, with exactly the options of pyproject.toml."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
import sandbox

FAILS = """
import asyncio
async def fails():
    raise ValueError("planted")
"""

# Faults that turn a cell of their own red: their cells (the red one is the one before the last), and what it must say.
IN_A_CELL = {
    "an exception": (["1 / 0", "'sound'"], "ZeroDivisionError"),
    "a failed TaskGroup": (
        [FAILS, "async with asyncio.TaskGroup() as group:\n    group.create_task(fails())", "'sound'"],
        "an ExceptionGroup left the cell",
    ),
    "an exception whose context is a group": (
        ["try:\n    raise ExceptionGroup('', [ValueError()])\nexcept* ValueError:\n    raise KeyError", "'sound'"],
        "an ExceptionGroup left the cell",
    ),
    "a lost task": (
        [FAILS, "asyncio.create_task(fails()); None", "await asyncio.sleep(0)", "'sound'"],
        "Task exception was never retrieved: ValueError('planted')",
    ),
    "a changed claim": (["print(6 * 7)", "'sound'"], "Cell outputs differ"),
}

# Faults that are seen only after the last cell of their notebook: their cells, and what is said then.
AT_THE_END = {
    "a lost task in the last cell": ([FAILS, "asyncio.create_task(fails()); None"], "was never retrieved"),
    "a failed task that is kept": ([FAILS, "task = asyncio.create_task(fails())", "'sound'"], "nobody looked"),
    "a task that runs on": (["import asyncio", "task = asyncio.create_task(asyncio.sleep(60))"], "a running task"),
    "a server that is not stopped": (
        ["from wsdemo import serve", "server = await serve.start('polling')"],
        "a child process",
    ),
    "an open port": (["import socket", "listener = socket.create_server(('127.0.0.1', 0))"], "an open port"),
}

# The control: a task that is awaited, a server that is stopped, a claim that holds.
SOUND = [
    "import asyncio\nfrom wsdemo.serve import Server",
    "async def works():\n    return 42\ntask = asyncio.create_task(works())",
    "async with Server('polling') as server:\n    running = server.running",
    "assert running\nprint(await task)",
]


def notebook(sources: list[str], claim: str = "") -> nbformat.NotebookNode:
    """Make a notebook as Restart & Run All leaves it. A cell that prints claims to have printed `claim`."""
    cells = [nbformat.v4.new_code_cell(source, execution_count=n) for n, source in enumerate(sources, start=1)]
    for cell in cells:
        if "print" in cell.source:
            cell.metadata["tags"] = ["nbval-check-output"]
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=claim)]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture(scope="module")
def red(tmp_path_factory) -> dict[str, dict[str, str]]:
    """Run the planted notebooks once, as a learner would; return what each red cell of each notebook says."""
    folder = sandbox.make(tmp_path_factory.mktemp("course"))
    books = {fault: notebook(cells) for fault, (cells, _) in AT_THE_END.items()}
    # One kernel does for these: each fault is followed by a sound cell.
    books["in cells"] = notebook([cell for cells, _ in IN_A_CELL.values() for cell in cells], claim="41\n")
    books["sound"] = notebook(SOUND, claim="42\n")
    for name, book in books.items():
        nbformat.write(book, folder / "notebooks" / f"{name}.ipynb")
    run = sandbox.run_pytest(folder, "notebooks", "--junitxml=report.xml")
    assert run.returncode == 1, run.stdout + run.stderr
    said: dict[str, dict[str, str]] = {name: {} for name in books}
    for cell in ElementTree.parse(folder / "report.xml").iter("testcase"):
        for trouble in [*cell.iter("failure"), *cell.iter("error")]:
            said[Path(cell.get("classname")).stem.removeprefix("notebooks.")][cell.get("name")] = trouble.text
    return said


def red_cells() -> dict[str, str]:
    """Return, for each fault of IN_A_CELL, the name of the cell that must turn red."""
    names, cells_so_far = {}, 0
    for fault, (cells, _) in IN_A_CELL.items():
        cells_so_far += len(cells)
        names[fault] = f"Cell {cells_so_far - 2}"
    return names


@pytest.mark.parametrize("fault", IN_A_CELL)
def test_a_planted_fault_turns_its_cell_red(red, fault):
    """The cell says what is wrong with it."""
    assert IN_A_CELL[fault][1] in red["in cells"][red_cells()[fault]]


def test_sound_cells_between_planted_faults_stay_green(red):
    """No fault is laid at another cell's door."""
    assert list(red["in cells"]) == list(red_cells().values())


@pytest.mark.parametrize("fault", AT_THE_END)
def test_what_a_notebook_leaves_behind_turns_it_red(red, fault):
    """What no cell can show is said after the last one, and there alone."""
    assert list(red[fault]) == ["nothing left"]
    assert AT_THE_END[fault][1] in red[fault]["nothing left"]


def test_a_sound_notebook_stays_green(red):
    """Tasks that are awaited, servers that are stopped and claims that hold are no faults."""
    assert red["sound"] == {}
