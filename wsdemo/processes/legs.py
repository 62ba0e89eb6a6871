"""A server that notes when it woke for each update and when it had written it to every reader: see `wsdemo.legs`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from wsdemo.feed import Feed, News
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.processes.children import say
from wsdemo.processes.jobs import LegsAbout, LegsJob, LegsSeen
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every


async def run_child(job: LegsJob, orders: AsyncIterator[Any]) -> None:
    """Serve until stdin ends. `Start` starts the clock and is answered with {}, any later order with `LegsSeen`.

    Listeners of a feed are called in the order in which they came. What writes to the readers is one of them, so the
    first of ours is called when the timer has woken, and the last when everything is written.
    """
    row = TRANSPORTS[job["transport"]]
    feed = Feed(every(job["gap_s"]))
    woke: dict[int, int] = {}
    wrote: dict[int, int] = {}

    def note(moments: dict[int, int]) -> None:
        now_ns = time.perf_counter_ns()
        moments[feed.seq] = now_ns

    with ExitStack() as stack:
        stack.enter_context(feed.telling(lambda: note(woke)))
        sock = stack.enter_context(listen(Meter(), "127.0.0.1", 0))
        async with row.module().serve(feed, sock, Guard(option_for_more=None)):
            about: LegsAbout = {"url": row.url(sock.getsockname()[1], "127.0.0.1")}
            say(about)
            async for order in orders:
                if "start_ns" in order:
                    stack.enter_context(feed.telling(lambda: note(wrote)))
                    feed.start(order["start_ns"])
                    say({})
                else:
                    news = [one for one in feed.since(0).news if one.seq in wrote]
                    seen: LegsSeen = {"legs": [_legs(one, woke[one.seq], wrote[one.seq]) for one in news]}
                    say(seen)
            await feed.stop()


def _legs(news: News, woke_ns: int, wrote_ns: int) -> tuple[int, float, float]:
    return news.seq, (woke_ns - news.published_at_ns) / 1e9, (wrote_ns - woke_ns) / 1e9
