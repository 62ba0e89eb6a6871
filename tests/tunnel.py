"""A tunnel that forwards one port and no other, as `ssh -L`, a container's published port and many firewalls do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def tunnel(port: int, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Forward a free port of `host` to `port` of 127.0.0.1 while the body runs; give it."""
    pairs: set[asyncio.Task] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pairs.add(asyncio.current_task())
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            await asyncio.gather(_pour(reader, back), _pour(there, writer))

    server = await asyncio.start_server(forward, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
