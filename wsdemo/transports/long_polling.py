"""Long polling: the server holds the answer back until there is news (RFC 6202 section 2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientTimeout, web

from wsdemo import far_end
from wsdemo.far_end import Addresses, Message, Where
from wsdemo.feed import Answer, Feed
from wsdemo.guard import Guard
from wsdemo.leaving import Leaving
from wsdemo.meter import Meter, MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import Goodbye, saying, told
from wsdemo.transports.habits import held
from wsdemo.transports.http import Client, answer_position, http_server
from wsdemo.workload import DEFAULT_PACE, Pace


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Answer `GET /updates?after=SEQ&epoch=E` as soon as there is something newer, or after `pace.hold_s` with nothing.

    `after` is the cursor: an update that lands between an answer and the next request is newer than it, and so is
    answered at once. A reader without a position, or with one that leads nowhere, does not have to wait. Its plain form
    is built in the lesson `03_ask_smarter`, as `held_with_cursor`.
    """

    shared = _Shared(feed, sock.meter)

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        if "after" in request.query and answer.recovered and not answer.news:
            goodbye = await _hold(feed, answer.seq, pace.hold_s, sock.leaving)
            answer, body = shared.after(answer.seq)
            if goodbye is not None:
                body = saying(answer.text(), **goodbye.message()).encode()
        else:
            body = saying(answer.text(), **told(sock.meter)).encode()
        sock.meter.wasted += not answer.news
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async with http_server({"/updates": updates}, sock, guard, pace.answer_s):
        yield


async def _hold(feed: Feed, seq: int, hold_s: float, leaving: Leaving) -> Goodbye | None:
    """Wait until there is news, the time is over, or the server leaves: then return what it says."""
    said: Goodbye | None = None

    def part(goodbye: Goodbye) -> None:
        nonlocal said
        said = goodbye
        limit.reschedule(0)  # now

    with suppress(TimeoutError):
        async with asyncio.timeout(hold_s) as limit:
            with leaving.attending(part):
                await feed.wait(seq)
    return said


class _Shared:
    """The answer to all who wait at one position: an update wakes all of them, and it is made for the first."""

    def __init__(self, feed: Feed, meter: Meter):
        self._feed, self._meter = feed, meter
        self._place: tuple[int, int] | None = None

    def after(self, seq: int) -> tuple[Answer, bytes]:
        """Return what came after `seq`, and as it is sent."""
        if self._place != (place := (seq, self._feed.seq)):
            self._answer = self._feed.part(seq, self._feed.epoch)
            self._body = saying(self._answer.text(), **told(self._meter)).encode()
            self._place = place  # an update that comes just now makes the next place, and is asked for again
        return self._answer, self._body


def hear(url: Where, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Ask `url`, wait for the answer, ask again at once; yield each update once, of one history, until cancelled.

    A request that fails is repeated after growing, jittered waits. Raises `Unreachable` if nobody answers at first,
    `Refused`, with what came, if the answer is a no or not a feed's. Its plain form is built in the lesson
    `03_ask_smarter`, as `ask_with_cursor`.
    """
    position, where = (reader := reader or Reader()).position, Addresses(url)
    # Who has no position yet is not held. Else twice the timeout: a server that is silent for longer is gone.
    opening, patient = ClientTimeout(total=far_end.ANSWER_TIMEOUT_S), ClientTimeout(total=2 * reader.pace.hold_s)

    async def ask(client: Client) -> Message:
        return await client.answer(position(), limits=patient if position() else opening)

    return held(where, reader, Client(where), ask)
