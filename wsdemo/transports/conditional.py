"""Conditional polling: polling with an ETag, so that "nothing new" is a 304 without a body.

It makes a wasted request cheaper. It does not make it rarer. Source: RFC 9110, sections 8.8.3 (ETag), 13.1.2
(If-None-Match) and 15.4.5 (304 Not Modified).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from wsdemo.far_end import Addresses, Message, Where
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import MeteredSocket
from wsdemo.reader import Delivery, Reader
from wsdemo.returns import saying, told
from wsdemo.transports.habits import asks
from wsdemo.transports.http import Client, answer_position, http_server
from wsdemo.workload import DEFAULT_PACE, Pace


@asynccontextmanager
async def serve(feed: Feed, sock: MeteredSocket, guard: Guard, pace: Pace = DEFAULT_PACE) -> AsyncIterator[None]:
    """Answer as `polling` does, with the position as ETag; 304 where `If-None-Match` names the newest position.

    Its plain form is built in the lesson `03_ask_smarter`, as `tagged`.
    """

    async def updates(request: web.Request) -> web.Response:
        answer = answer_position(feed, request)
        if isinstance(answer, web.Response):
            return answer
        sock.meter.wasted += not answer.news
        tag = f'"{answer.epoch}-{answer.seq}"'
        response = web.Response(status=304)
        if not names(", ".join(request.headers.getall("If-None-Match", [])), tag):
            response = web.json_response(text=saying(answer.text(), **told(sock.meter)))
        response.headers["ETag"] = tag
        return response

    async with http_server({"/updates": updates}, sock, guard, pace.answer_s):
        yield


def hear(url: Where, reader: Reader | None = None) -> AsyncGenerator[Delivery]:
    """Poll `url` at the reader's times with `If-None-Match`; yield each update once, of one history.

    Raises as `polling.hear` does.
    """
    known, where = reader or Reader(), Addresses(url)
    # The tag goes back as it came, for a proxy on the way may have changed it; and only while the reader stands where
    # the answer left it.
    tags: dict[tuple[str | None, int | None], str] = {}

    async def ask(client: Client) -> Message:
        if (tag := tags.get((known.epoch, known.seq))) is None:
            answer = await client.answer(known.position())
        else:
            unchanged: Message = {"epoch": known.epoch, "seq": known.seq, "recovered": True, "updates": []}
            answer = await client.answer(known.position(), {"If-None-Match": tag}, unchanged=unchanged)
        tags.clear()
        if client.etag and client.etag.isprintable():
            tags[answer["epoch"], answer["seq"]] = client.etag
        return answer

    return asks(where, known, Client(where, interval_s=known.interval_s), ask)


TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*"'
"""An entity tag (RFC 9110, section 8.8.3): W/ says that it is a weak one, for answers that are only much the same."""


def names(if_none_match: str, tag: str) -> bool:
    """Whether `If-None-Match` names this tag: "*" names every one, a list some, and weak ones are compared like others.

    What is not written as RFC 9110, section 13.1.2, says names none, so that the answer comes in full.
    """
    if if_none_match.strip(" \t") == "*":
        return True
    elements = rf"[ \t]*(?:{TAG})?[ \t]*"
    if re.fullmatch(rf"{elements}(?:,{elements})*", if_none_match) is None:
        return False
    return tag in (one.removeprefix("W/") for one in re.findall(TAG, if_none_match))
