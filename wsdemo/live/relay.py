"""The sides of a session through the page's own port, for a browser that reaches no other: a tunnel lets one pass.

What is asked for here is asked again at the side's own listening socket, and its answer handed on as it comes. So the
side answers as it always does, its meter counts what it costs, and no transport has to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
    web,
)

CONNECT_S = 5.0
ALIVE_S = 30.0
"""Seconds between the pings by which a browser is noticed that has vanished from a WebSocket."""
# Of one connection and not of the message (RFC 9110 section 7.6.1), and what either end of a WebSocket says by itself.
_OF_ONE_CONNECTION = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
_OF_ONE_HANDSHAKE = ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions", "Sec-WebSocket-Accept")


class Relay:
    """Hands requests on, and answers back. Made by `relaying`, which ends it."""

    def __init__(self, http: ClientSession):
        self._http = http

    async def pass_on(self, request: web.Request, url: str) -> web.StreamResponse:
        """Answer a request as the server at `url` answers it. A server that is gone is a 502."""
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(request, url)
            return await self._plain(request, url)
        except WSServerHandshakeError as error:
            return web.json_response({"error": f"The side refuses the WebSocket: {error.message}"}, status=error.status)
        except (ClientError, TimeoutError):
            return web.json_response({"error": "This side has just been changed; ask again."}, status=502)

    async def _plain(self, request: web.Request, url: str) -> web.StreamResponse:
        async with self._http.request(request.method, url, headers=_handed_on(request.headers)) as answer:
            response = web.StreamResponse(
                status=answer.status, reason=answer.reason, headers=_handed_on(answer.headers)
            )
            await response.prepare(request)
            with suppress(ConnectionResetError):  # the browser has left
                if not await _pour(answer, response) and request.transport is not None:
                    request.transport.abort()  # an answer that broke off must not look like one that is whole
                    return response
                await response.write_eof()
            return response

    async def _websocket(self, request: web.Request, url: str) -> web.StreamResponse:
        async with self._http.ws_connect(url, headers=_handed_on(request.headers)) as side:
            browser = web.WebSocketResponse(compress=False, heartbeat=ALIVE_S)
            await browser.prepare(request)
            ways = [asyncio.create_task(_talk(*pair)) for pair in ((side, browser), (browser, side))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await browser.close(code=side.close_code or 1001)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            return browser


@asynccontextmanager
async def relaying() -> AsyncIterator[Relay]:
    """Give a relay while the body runs."""
    # As many connections as browsers have, and answers that may never end. What is inside is the browser's affair.
    async with ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
    ) as http:
        yield Relay(http)


def _handed_on(headers: Any) -> Any:
    """Return the headers of a message without those of the connection that it came by."""
    kept = headers.copy()
    for name in (*_OF_ONE_CONNECTION, *_OF_ONE_HANDSHAKE):
        kept.popall(name, None)
    return kept


async def _pour(answer: ClientResponse, response: web.StreamResponse) -> bool:
    """Write an answer as it comes; return whether it came to its end."""
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except ClientError:
        return False
    return True


async def _talk(
    source: ClientWebSocketResponse[bool] | web.WebSocketResponse,
    target: ClientWebSocketResponse[bool] | web.WebSocketResponse,
) -> None:
    """Hand on what one end says to the other, until either is closed."""
    with suppress(ConnectionResetError):
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await target.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await target.send_bytes(message.data)
