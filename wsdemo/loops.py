"""Event loops whose timers wake in time, however many sockets they watch. Knows no transport."""

from __future__ import annotations

import contextlib
import select
import selectors
import sys
from pathlib import Path

SELECT_FILES = 1024
"""`select` cannot watch a descriptor from this number on (FD_SETSIZE on Linux)."""
TIMER_SLACK = Path("/proc/self/timerslack_ns")
"""By how much Linux may let the timers of a process's main thread be late, so as to wake once for several of them."""
SLACK_NS = 1000
"""As little as is of use. Linux's own 50,000 were an eighth of a push to one reader."""


def trim_slack() -> None:
    """Let the timers of this process be exact, where the system has such a thing and lets us have it."""
    with contextlib.suppress(OSError):
        TIMER_SLACK.write_text(str(SLACK_NS))


if sys.platform == "linux":

    class PromptSelector(selectors.EpollSelector):
        """Watches sockets with epoll, and waits for it with `select`.

        epoll_wait counts in whole milliseconds, and Python rounds up: its timers wake 0.65 to 1.7 ms late, those of
        `select` 0.1 to 0.3 ms. `select` alone can watch no descriptor above 1,023, and looks at each in turn. epoll is
        a descriptor itself, which can be waited for like any other: one for all sockets. That costs a further system
        call when a socket ends the wait, and none when a timer does or when there is something to do already.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < SELECT_FILES:
                if not select.select([self.fileno()], [], [], timeout)[0]:
                    return []
                timeout = 0
            return super().select(timeout)

else:
    PromptSelector = selectors.DefaultSelector  # kqueue counts in nanoseconds, and Windows has `select` alone
