"""Notebooks under pytest: a cell before the first and one after the last turn red what nbval would let pass."""

from collections import defaultdict
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

WATCH = Path(__file__).parent / "tests" / "kernel_watch.py"


@pytest.hookimpl(trylast=True)  # after -k and its like have chosen which cells run
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the watch's two cells round each notebook's own (see tests/kernel_watch.py)."""
    cells: dict[IPyNbFile, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, IPyNbCell):
            cells[item.parent].append(place)
    for notebook, places in reversed(cells.items()):
        items.insert(places[-1] + 1, _cell(notebook, "nothing left", "await __watch__['nothing_left']()"))
        items.insert(places[0], _cell(notebook, "watch", f"__watch__ = __import__('runpy').run_path({str(WATCH)!r})"))


def _cell(notebook: IPyNbFile, name: str, source: str) -> IPyNbCell:
    options = defaultdict(bool)
    cell = nbformat.v4.new_code_cell(source)
    return IPyNbCell.from_parent(notebook, name=name, cell_num=-1, cell=cell, options=options)
