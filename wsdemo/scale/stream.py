"""The stream in the broker that holds the news, and a connection to it that does not give up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from wsdemo.news import MAX_MESSAGE_BYTES
from wsdemo.scale.broker import without_token

STREAM, SUBJECT = "wsdemo", "wsdemo.updates"
MOST_UPDATES, MOST_BYTES = 1_000_000, 200 * 2**20
"""What the stream keeps; the oldest go first."""
DUPLICATES_S = 120.0
"""For so long the broker knows the name of a message again, and keeps it once."""
ANSWER_S = 10.0
"""How long a broker may stay silent that is asked for the first time."""
AGAIN_S = 0.05
"""Between two attempts to reach a broker that is away."""
PING_S = 5
"""Between two pings; a broker that misses two of them is away."""

TROUBLE = (nats.errors.Error, OSError, TimeoutError)
"""What the library raises while a broker is away, or busy."""


@asynccontextmanager
async def connected(url: str, came_back: Callable[[], None] = lambda: None) -> AsyncIterator[Client]:
    """Give a connection to the broker at `url` that is made again for ever, and closed in the end.

    url: such as nats://TOKEN@127.0.0.1:4222, or tls://…, whose certificate is judged as the system judges others
    (SSL_CERT_FILE names another authority); came_back: called when it is there again after it was away. Raises
    ConnectionError if nobody answers at first, or not to this token.
    """
    said: list[Exception] = []

    async def failed(error: Exception) -> None:  # the library's own would print a traceback of each
        said.append(error)
        del said[:-1]
        if not client.is_connected and (half_open := client._transport) is not None:
            # The library drops a connection whose beginning fails, and leaves it open.
            half_open.close()  # type: ignore[no-untyped-call]

    async def again() -> None:
        came_back()

    client = Client()
    try:
        try:
            async with asyncio.timeout(ANSWER_S):
                await client.connect(without_token(url), error_cb=failed, reconnected_cb=again, **_options(url))
        except (*TROUBLE, ValueError) as error:
            why, where = said[0] if said else error, without_token(url)
            raise ConnectionError(f"no broker lets us in at {where} ({why}); is it running there?") from error
        yield client
    finally:
        with contextlib.suppress(*TROUBLE):
            await client.close()


def _options(url: str) -> dict[str, Any]:
    """Return how to connect: for ever, and with the token in the address, or the name and password.

    They are as they were before they were quoted, which the library would not undo.
    """
    patience = {"max_reconnect_attempts": -1, "reconnect_time_wait": AGAIN_S, "connect_timeout": 2}
    parts = urlsplit(url)
    own = {"user": parts.username, "password": parts.password} if parts.password else {"token": parts.username}
    known = {name: unquote(value) for name, value in own.items() if value is not None}
    return patience | {"ping_interval": PING_S} | known


async def stream(js: JetStreamContext) -> api.StreamInfo:
    """Return what the broker says of its stream, which is made if there is none."""
    try:
        return await js.stream_info(STREAM)
    except NotFoundError:
        return await js.add_stream(
            name=STREAM,
            subjects=[SUBJECT],
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.OLD,
            max_msgs=MOST_UPDATES,
            max_bytes=MOST_BYTES,
            max_msg_size=MAX_MESSAGE_BYTES,
            duplicate_window=DUPLICATES_S,
        )


def epoch(info: api.StreamInfo) -> str:
    """Return which history the stream holds: the moment of its creation, the same for whoever asks, and whenever."""
    assert info.created is not None
    return f"{round(info.created.timestamp() * 1e6):x}"
