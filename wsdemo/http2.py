"""HTTP/2 between two programs, counted on the way: for lesson 03. Nothing else needs hypercorn and httpx."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

BODY = b'{"epoch": "b82edda4", "seq": 1, "recovered": true, "updates": []}'
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36",
    "Accept-Language": "en-GB,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://news.example/quakes/today",
    "Cookie": "session=" + "0123456789abcdef" * 4,
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Sec-CH-UA": '"Chromium";v="142", "Not A(Brand";v="99"',
    "Sec-CH-UA-Platform": '"Linux"',
}
"""Headers as a browser sends them with a poll."""
POLLS, SETTLE_S, SILENCE_S = 6, 0.1, 0.5


@asynccontextmanager
async def serving(streams: Counter[str]) -> AsyncIterator[int]:
    """Serve a poll that finds nothing, and at /stream one line of a stream that stays open; give the port.

    streams: "open" counts the streams that the server has begun. Speaks HTTP/1.1, and HTTP/2 without TLS to a client
    that begins with it (RFC 9113, section 3.3), as browsers do not.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        held = scope["path"] == "/stream"
        known = dict(scope["headers"]).get(b"if-none-match") == b'"state-1"'
        status, body = (304, b"") if known else (200, b": here\n\n" if held else BODY)
        headers = [(b"content-type", b"application/json"), (b"etag", b'"state-1"')][known:]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": held})
        streams["open"] += held
        while held and (await receive())["type"] != "http.disconnect":
            pass

    sock, config, stop = socket.create_server(("127.0.0.1", 0)), Config(), asyncio.Event()
    port = sock.getsockname()[1]
    config.bind, config.graceful_timeout, config.errorlog = [f"fd://{sock.detach()}"], SETTLE_S, None
    server = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield port
    finally:
        stop.set()
        await server


@asynccontextmanager
async def counted(port: int) -> AsyncIterator[tuple[Counter[str], str]]:
    """Stand between a client and the server at `port`; give the count of "bytes" and "connections", and the address."""
    count: Counter[str] = Counter()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            count["bytes"] += len(data)
            writer.write(data)
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count["connections"] += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(join, "127.0.0.1", 0) as server:
        yield count, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def bytes_of_a_poll(http2: bool, headers: Mapping[str, str]) -> int:
    """Return the bytes of a repeated poll, both ways, as payload of TCP.

    The cheapest of some after the first: each new second brings a new `Date`, which is sent anew.
    """
    costs = []
    async with serving(Counter()) as port, counted(port) as (count, url):
        async with httpx.AsyncClient(http1=not http2, http2=http2, trust_env=False) as client:
            for _ in range(POLLS):
                count.clear()
                await client.get(f"{url}/updates?after=1", headers=headers)
                await asyncio.sleep(SETTLE_S)  # whatever the ends still say, such as a larger window
                costs.append(count["bytes"])
    return min(costs[1:])


async def held_streams(readers: int, expected: int) -> dict[str, int]:
    """Let `readers` hold a stream each over one HTTP/2 client; return counts once `expected` streams have begun.

    "connections", "streams" that reached the server, "errors" of readers within half a second more.
    """
    streams: Counter[str] = Counter()
    async with serving(streams) as port, counted(port) as (count, url):
        async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=None) as client:

            async def read() -> None:
                async with client.stream("GET", f"{url}/stream") as answer:
                    await answer.aread()

            tasks = [asyncio.create_task(read()) for _ in range(readers)]
            while streams["open"] < expected:  # noqa: ASYNC110 - a count wakes nobody
                await asyncio.sleep(0.01)
            ended, _ = await asyncio.wait(tasks, timeout=SILENCE_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return {"connections": count["connections"], "streams": streams["open"], "errors": len(ended)}
