"""Event loops whose timers wake in time, however many sockets they watch. Knows no transport."""

from __future__ import annotations

import select
import selectors
import sys

SELECT_FILES = 1024
"""`select` cannot watch a descriptor from this number on (FD_SETSIZE on Linux)."""

if sys.platform == "linux":

    class PromptSelector(selectors.EpollSelector):
        """Watches sockets with epoll, and waits for it with `select`.

        epoll_wait counts in whole milliseconds, and Python rounds up: its timers wake 0.65 to 1.7 ms late, those of
        `select` 0.1 to 0.3 ms. `select` alone can watch no descriptor above 1,023, and looks at each in turn. epoll is
        a descriptor itself, which can be waited for like any other: one for all sockets. That costs a further system
        call for each time that there was nothing to do, and none where there is.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < SELECT_FILES:
                if not select.select([self.fileno()], [], [], timeout)[0]:
                    return []
                timeout = 0
            return super().select(timeout)

else:
    PromptSelector = selectors.DefaultSelector  # kqueue counts in nanoseconds, and Windows has `select` alone
