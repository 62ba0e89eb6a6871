"""A proxy that ends TLS: clients come to it encrypted, and the server behind it knows nothing of that."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from wsdemo.processes.children import Child, say
from wsdemo.processes.cpu import cpu_s
from wsdemo.processes.jobs import TlsAbout, TlsJob

AT_A_TIME = 64 * 1024
BACKLOG = 1024


@dataclass(frozen=True)
class Used:
    """What a proxy has used up to now: CPU seconds and, at this moment, memory in bytes."""

    cpu_s: float
    memory_bytes: int


class TlsProxy:
    """A proxy in a process of its own, in front of the server at `to_port`, on loopback.

    Use as `async with TlsProxy(server.port(), pem) as proxy:`; clients go to `proxy.port`. pem: a private key and the
    certificates that go with it, as one text (RFC 7468); None for a proxy that encrypts nothing, to compare with. The
    server behind it needs no change, and sees the proxy's address in place of the client's.

    `await proxy.start()` raises `ChildFailed` where the text is no key with its certificates.
    """

    def __init__(self, to_port: int, pem: str | None = None):
        self._job: TlsJob = {"to_port": to_port, "pem": pem}
        self._child: Child | None = None
        self._port = 0

    async def __aenter__(self) -> TlsProxy:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """Where clients go. Raises RuntimeError while it is not running."""
        self._running()
        return self._port

    async def start(self) -> TlsProxy:
        """Start it, and wait until it listens."""
        if self._child is None:
            self._child = child = Child("tls", self._job)
            try:
                about: TlsAbout = await child.answer()
            except BaseException:
                self._child = None
                child.kill()
                raise
            self._port = about["port"]
        return self

    async def stop(self) -> None:
        """End it, with all its connections. Stopping it again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    def used(self) -> Used:
        """Return what it has used so far; the difference of two such answers is the price of what came between."""
        pid = self._running().pid
        return Used(cpu_s(pid), psutil.Process(pid).memory_info().rss)

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError("this proxy is not running: use `async with`, or `await proxy.start()`")
        return self._child


async def run_child(job: TlsJob, orders: AsyncIterator[Any]) -> None:
    """Be the proxy until stdin ends."""
    context = None if job["pem"] is None else _context(job["pem"])
    carry = partial(_carry, job["to_port"])
    server = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context, backlog=BACKLOG)
    try:
        about: TlsAbout = {"port": server.sockets[0].getsockname()[1]}
        say(about)
        async for _ in orders:
            pass
    finally:
        server.close()  # its connections end with the event loop


def _context(pem: str) -> ssl.SSLContext:
    """Return what a server needs to speak TLS. Raises ValueError if the text is no key with its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads files only; this one is for its owner alone
        file = Path(folder, "both.pem")
        file.write_text(pem)
        try:
            context.load_cert_chain(file)
        except ssl.SSLError as error:
            raise ValueError(
                "this text is no private key with its certificates in PEM; with trustme it is "
                "`certificate.private_key_and_cert_chain_pem.bytes().decode()`"
            ) from error
    return context


async def _carry(to_port: int, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one side ends."""
    try:
        server, to_server = await asyncio.open_connection("127.0.0.1", to_port)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pump(client, to_server))
                ways.create_task(_pump(server, to_client))
        finally:
            to_server.close()
    except OSError:  # nobody is there
        pass
    finally:
        to_client.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way until they end. TLS knows no half-closed connection, so the other way ends, too."""
    with suppress(OSError):
        while data := await reader.read(AT_A_TIME):
            writer.write(data)
            await writer.drain()
    writer.close()
