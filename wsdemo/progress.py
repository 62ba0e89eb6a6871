"""A progress bar for long work, in a terminal and in a notebook, that leaves nothing behind when it is done."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import tqdm.std

with warnings.catch_warnings():
    # tqdm.auto warns where ipywidgets is missing; a saved notebook is better off without widgets (see KernelBar).
    warnings.simplefilter("ignore", tqdm.TqdmWarning)
    import tqdm.auto


class KernelBar(tqdm.std.tqdm):
    """tqdm's text bar in one output of a notebook cell, emptied at the end.

    tqdm's widget would stay in the saved notebook as "model not found", and its text bar as lines on stderr.
    """

    def __init__(self, *args, **kwargs):
        from IPython.display import display

        self._output = display({"text/plain": ""}, raw=True, display_id=True)
        super().__init__(*args, file=sys.stdout, ncols=78, **kwargs)

    def display(self, msg=None, pos=None) -> None:
        self._output.update({"text/plain": str(self) if msg is None else msg}, raw=True)

    def close(self) -> None:
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            self.display("")


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def progress(total: float, description: str, *, show: bool = True) -> Iterator[tqdm.std.tqdm]:
    """Give a bar to `update` up to `total` seconds; a terminal that is not one (a log file) gets none."""
    kind, silent = (KernelBar, not show) if _in_kernel() else (tqdm.auto.tqdm, None if show else True)
    form = "{desc} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s"
    with kind(total=total, desc=description, bar_format=form, leave=False, disable=silent) as bar:
        yield bar
