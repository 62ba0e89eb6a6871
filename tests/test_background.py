"""Servers that tests run in a thread leave nothing to whichever test comes next."""

import asyncio
import contextlib
import gc
import socket
from contextlib import asynccontextmanager

from browser import in_background
from patience import patient


@asynccontextmanager
async def forgetful():
    """A server that stops to listen and forgets whom it has let in, as a library does whose accepts overlap its end."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()


def test_a_connection_that_nobody_knows_is_ended_with_its_loop():
    """Its far end is told, and the garbage collector finds no open transport (which would fail this test)."""
    with socket.socket() as client:
        with in_background(forgetful()) as address:
            client.connect(address)
            client.settimeout(patient(20))
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()
