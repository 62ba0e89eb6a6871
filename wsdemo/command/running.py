"""How a job that serves people is run and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import webbrowser
from collections.abc import Callable, Coroutine
from pathlib import PurePath

TEXT_BROWSERS = frozenset({"www-browser", "lynx", "w3m", "links", "links2", "elinks", "browsh"})


def heed_ctrl_c() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt. Before, it just ends the process (see `__main__`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def until_stopped(server: Coroutine[None, None, None], new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Run a server until it ends by itself; Ctrl-C and SIGTERM, with which service managers stop, end it too.

    Raises KeyboardInterrupt for either. Both cancel the server: an exception raised by a signal handler would come up
    in whatever callback runs at that moment, and be lost there.
    """

    async def stoppable() -> None:
        if (task := asyncio.current_task()) is not None:
            with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to handle
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await server

    # A port scanner's half a request is no reason for a traceback in the terminal.
    for logger in ("websockets.server", "aiohttp.server"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    heed_ctrl_c()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(stoppable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def browser() -> webbrowser.BaseBrowser | None:
    """Return the browser to open a page in, None where there is none that can show it.

    A text browser would take over the terminal in which the server speaks, and has no JavaScript. `webbrowser.open`
    would come to it in the end, where a better one fails.
    """
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return None
    program = (found.name.split() or [""])[0]
    return None if PurePath(program).name in TEXT_BROWSERS else found
