"""What holds for every run: a test that hangs is ended, and a notebook turns red for what nbval would let pass."""

import faulthandler
import os
import signal
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import kernels
import nbformat
import nbval.kernel
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile
from patience import patient

WATCH = Path(__file__).parent / "tests" / "kernel_watch.py"
MOST_WORKERS = 4
"""Each may have a browser, a JupyterLab, and servers with clients of their own."""
HANGS_S = patient(600)
"""No phase of a test (set-up, call, tear-down) takes that long, not even the one that runs notebooks of its own."""
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)  # pytest captures the one that tests write to
    config.add_cleanup(lambda: os.close(config.stash[STDERR]))
    # A shell starts what ends in "&" deaf to Ctrl-C, and children inherit that: tests that press it would hang.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # nbval would start a second coverage in each kernel, one without branches. Kernels inherit the first.
    config.option.cov_source = None
    nbval.kernel.KernelManager = kernels.KernelManager
    for limit in ("nbval_cell_timeout", "nbval_kernel_startup_timeout"):
        setattr(config.option, limit, patient(getattr(config.option, limit)))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers share the whole suite: one a core. What is asked for by name runs in one process."""
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    return min(MOST_WORKERS, os.cpu_count() or 1) if whole else 0


# --- tests that hang --------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _phase(item: pytest.Item) -> Generator[None, object, object]:
    """End the run, or its worker, with the stack of every thread on stderr, if a phase of a test hangs.

    The process, since a thread cannot be ended: where one hangs, asyncio.run waits for it for ever, and so does
    Python's own end. By faulthandler, since it needs nothing of the threads that hang. A debugger calls its limit off.
    """
    faulthandler.dump_traceback_later(HANGS_S, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = _phase


# --- notebooks --------------------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)  # after -k and its like have chosen which cells run
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the watch's two cells round each notebook's own (see tests/kernel_watch.py)."""
    cells: dict[IPyNbFile, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        if isinstance(item, IPyNbCell):
            item.output_timeout = patient(item.output_timeout)
            cells[item.parent].append(place)
    for notebook, places in reversed(cells.items()):
        items.insert(places[-1] + 1, _cell(notebook, "nothing left", "await __watch__['nothing_left']()"))
        items.insert(places[0], _cell(notebook, "watch", f"__watch__ = __import__('runpy').run_path({str(WATCH)!r})"))


def _cell(notebook: IPyNbFile, name: str, source: str) -> IPyNbCell:
    options = defaultdict(bool)
    cell = nbformat.v4.new_code_cell(source)
    return IPyNbCell.from_parent(notebook, name=name, cell_num=-1, cell=cell, options=options)
