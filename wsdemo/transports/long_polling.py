"""Long polling: the server holds the answer back until there is news (RFC 6202 section 2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientTimeout, web

from wsdemo import far_end
from wsdemo.far_end import Message
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.transports.habits import held
from wsdemo.transports.http import Client, answer_position, http_server
from wsdemo.workload import DEFAULT_PACE, LONG_POLL_TIMEOUT_S, Pace


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Answer `GET /updates?after=SEQ&epoch=E` as soon as there is something newer, or after `pace.hold_s` with nothing.

    `after` is the cursor: an update that lands between an answer and the next request is newer than it, and so is
    answered at once. A reader without a position, or with one that leads nowhere, does not have to wait. Its plain form
    is built in the lesson `03_ask_smarter`, as `held_with_cursor`.
    """

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        if "after" in request.query and answer.recovered and not answer.news:
            await feed.wait(answer.seq, pace.hold_s)
            answer = feed.part(answer.seq, answer.epoch)
        sock.meter.wasted += not answer.news
        return web.json_response(text=answer.text())

    async with http_server({"/updates": updates}, sock, guard):
        yield


def hear(url: str, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Ask `url`, wait for the answer, ask again at once; yield each update once, of one history, until cancelled.

    A request that fails is repeated after growing, jittered waits. Raises `Unreachable` if nobody answers at first,
    `Refused`, with what came, if the answer is a no or not a feed's. Its plain form is built in the lesson
    `03_ask_smarter`, as `ask_with_cursor`.
    """
    position = (reader := reader or Reader()).position
    # Who has no position yet is not held. Else twice the timeout: a server that is silent for longer is gone.
    opening, patient = ClientTimeout(total=far_end.ANSWER_TIMEOUT_S), ClientTimeout(total=2 * LONG_POLL_TIMEOUT_S)

    async def ask(client: Client) -> Message:
        return await client.answer(position(), limits=patient if position() else opening)

    return held(url, reader, Client(url), ask)
