"""The live page: pull and push hear the same earthquakes, side by side. `python -m wsdemo live`, or a notebook.

    side        a transport on a listening socket of its own
    trouble     the line of a side, which a person may cut, stall, delay or refuse
    sessions    what one page is given: a feed of its own, served to its two sides
    relay       the sides through the page's own port
    server      the page's files and the few messages between page and server
    page/       the browser's files: small modules, wired together by main.js; transports/ has one file a transport

In a notebook, `page = await live.start()` starts it and `page` shows it. This file imports little, since Jupyter reads
it at its own start for the tile in its launcher.
"""

from __future__ import annotations

import html
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsdemo.processes.children import Child

PAGE = Path(__file__).parent / "page"
"""The browser's files."""


class LivePage:
    """The live page in a process of its own. Use as `async with LivePage() as page:`, or see `start`.

    speed: seconds of the week a second of the replay; interval_s: seconds between two polls. Raises `ChildFailed` with
    the server's own sentence if it cannot start. In JupyterLab the object shows the page itself.
    """

    def __init__(self, *, speed: float | None = None, interval_s: float | None = None, height_px: int = 900):
        self._start = {"speed": speed, "interval_s": interval_s}
        self._height_px = height_px
        self._child: Child | None = None
        self.port = 0

    async def __aenter__(self) -> LivePage:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def url(self) -> str:
        """The page's address for the browser that shows this notebook; see `jupyter.page_url`."""
        from wsdemo import jupyter

        return jupyter.page_url(self.port)

    async def start(self) -> LivePage:
        """Start the process and wait until it listens. Starting again while it runs changes nothing."""
        from wsdemo.processes.children import Child

        if not self.running:
            self._child = child = Child("live", self._start)
            try:
                self.port = (await child.answer())["port"]
            except BaseException:
                child.kill()
                raise
        return self

    async def stop(self) -> None:
        """End the process and wait until it is gone. Stopping again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    def __repr__(self) -> str:
        return f"<LivePage: {self.url}>" if self.running else "<LivePage: not running>"

    def _repr_html_(self) -> str:
        if not self.running:
            return html.escape(repr(self))
        from wsdemo import jupyter

        title = "Pull and push hear the same earthquakes"
        return jupyter.Frame(self.url, title, height_px=self._height_px, lasting=True)._repr_html_()


async def start(**options: Any) -> LivePage:
    """Start the live page so that it lasts beyond this cell, and return it; end it with `await page.stop()`.

    Meant for a notebook, where cells are run again: the page of an earlier call is stopped first. It ends with the
    kernel, however the kernel ends. The options are those of `LivePage`.
    """
    from wsdemo.tasks import keep_one

    return await keep_one("live", LivePage(**options))


def jupyter_tile() -> dict[str, object]:
    """Return what jupyter-server-proxy needs for a tile in JupyterLab's launcher (entry point of that group)."""
    return {
        # -P: not with the modules of the folder that Jupyter was started in, see `children.PYTHON`.
        "command": [sys.executable, "-P", "-m", "wsdemo", "live", "--no-browser", "--port", "{port}"],
        "timeout": 30,
        "new_browser_tab": False,
        "launcher_entry": {"title": "Pull and push, live", "icon_path": str(PAGE / "icon.svg")},
    }
