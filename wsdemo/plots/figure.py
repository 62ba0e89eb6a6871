"""A drawing with its words, in the course's own style: what Jupyter shows, and what a file holds."""

from __future__ import annotations

import html
import io
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure as Canvas
from PIL import Image, PngImagePlugin  # comes with matplotlib, which writes its own PNG with it

if TYPE_CHECKING:  # older versions of matplotlib lack this name
    from matplotlib.typing import RcKeyType

INK = "#222222"
_FRAME, _GRID = "#999999", "#E4E4E4"
_DPI, _SHOWN_DPI = 150, 110
"""Drawn finer than shown: sharp on a screen with small pixels and on a projector."""
_STYLE: dict[RcKeyType, Any] = {
    "figure.dpi": _DPI,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.edgecolor": _FRAME,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _FRAME,
    "ytick.color": _FRAME,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "lines.markersize": 8,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the course's style, whatever style the notebook has set, and leave the notebook's as it was.

    For a `with` statement, and for a function as `@styled()`.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


@dataclass(frozen=True, repr=False)
class Figure:
    """A drawing with its words.

    figure: the `matplotlib.figure.Figure`, made without pyplot, so that nothing is drawn twice and no figure stays in
    memory; alt: describes it, with its numbers, to those who cannot see it; caption: states the finding.
    """

    figure: Canvas
    alt: str
    caption: str

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file; its suffix says how (.png, .svg, .pdf). A PNG carries the alt text."""
        if Path(path).suffix.lower() == ".png":
            Path(path).write_bytes(self._png())
            return
        with styled():
            self.figure.savefig(path)

    def _png(self) -> bytes:
        """The drawing as PNG in 256 colours, which makes a notebook a third of the size."""
        drawn, packed = io.BytesIO(), io.BytesIO()
        with styled():
            self.figure.savefig(drawn, format="rgba", dpi=self.figure.dpi)
        size = self.figure.canvas.get_width_height(physical=True)
        image = Image.frombytes("RGBA", size, drawn.getvalue()).convert("RGB")
        words = PngImagePlugin.PngInfo()
        words.add_itxt("Description", self.alt)
        # Median cut gives a colour that covers an area an entry of its own: white and the transports' stay exact.
        indexed = image.quantize(256, Image.Quantize.MEDIANCUT)
        indexed.save(packed, "PNG", optimize=True, pnginfo=words)
        return packed.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Show the figure in Jupyter. JupyterLab drops the alt text of a plain PNG, so HTML goes with it."""
        png = b64encode(self._png()).decode("ascii")
        width = round(self.figure.get_figwidth() * _SHOWN_DPI)
        return {
            "image/png": png,
            "text/html": (
                f'<figure style="margin:0"><img alt="{html.escape(self.alt)}" src="data:image/png;base64,{png}" '
                f'style="width:{width}px;max-width:100%;background:#fff">'
                f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
            ),
            "text/plain": self.caption,
        }

    def __repr__(self) -> str:
        return f"<Figure: {self.caption}>"
