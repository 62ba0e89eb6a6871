"""A progress bar for long work, in a terminal and in a notebook, that leaves nothing behind when it is done."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import tqdm.std

with warnings.catch_warnings():
    # tqdm.auto warns where ipywidgets is missing; a saved notebook is better off without widgets (see KernelBar).
    warnings.simplefilter("ignore", tqdm.TqdmWarning)
    import tqdm.auto


if TYPE_CHECKING:
    Bar = tqdm.std.tqdm[NoReturn]  # moved by hand: it does not go through anything
else:
    Bar = tqdm.std.tqdm


class KernelBar(Bar):
    """tqdm's text bar in one output of a notebook cell, emptied at the end.

    tqdm's widget would stay in the saved notebook as "model not found", and its text bar as lines on stderr.
    """

    def __init__(self, **options: Any):
        from IPython.display import display

        self._output = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        super().__init__(file=sys.stdout, ncols=78, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self._output.update({"text/plain": str(self) if msg is None else msg}, raw=True)

    def close(self) -> None:
        if not self.disable:
            self.disable = True
            self._decr_instances(self)  # type: ignore[attr-defined] # as tqdm's own close does
            self.display("")


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def progress(total: float, description: str, *, show: bool = True, unit: str = "s") -> Iterator[Bar]:
    """Give a bar to `update` up to `total` seconds; a terminal that is not one (a log file) gets none.

    unit: what is counted, if it is not seconds.
    """
    kind, silent = (KernelBar, not show) if _in_kernel() else (tqdm.auto.tqdm, None if show else True)
    form = f"{{desc}} {{percentage:3.0f}}% |{{bar}}| {{n:.0f}} of {{total:.0f}} {unit}"
    with kind(total=total, desc=description, bar_format=form, leave=False, disable=silent) as bar:
        yield bar
