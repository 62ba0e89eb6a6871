"""Far ends that play their part in raw bytes, so that any transport can be sent to them: a page, a proxy, a cut."""

import asyncio
import contextlib
import socket
import struct
import time

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update
from wsdemo.workload import DEFAULT_PACE


def page(status, body=b"", kind="text/html; charset=utf-8", **headers):
    """Return a whole answer in bytes. headers: further ones, such as retry_after="7"."""
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if status not in (204, 304) and "content_length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def a_free_port():
    """Return a port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class FarEnd:
    """Answers its nth connection by the nth of `answers`, and all further ones by the last.

    An answer is bytes, sent once a question has come, after which the connection is closed; or a method of this class
    that takes the question's head and the two streams. heads: the questions; left: how each client went, "eof" or
    "reset", as far as that was seen.
    """

    def __init__(self, *answers, behind=None):
        self.answers, self.behind = list(answers), behind
        self.heads, self.left = [], []
        self._legs = set()
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._attend, "127.0.0.1", 0, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, name):
        return TRANSPORTS[name].url(self.port)

    async def _attend(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        number = len(self.heads)
        self.heads.append("")
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads[number] = head.decode()
                answer = self.answers[min(number, len(self.answers) - 1)]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(head, reader, writer)
        finally:
            writer.close()

    async def silence(self, head, reader, writer):
        """Accept, and say nothing until the client has gone."""
        await self._until_left(reader)

    def held(self, answer):
        """Return an answer that is never finished."""

        async def hold(head, reader, writer):
            writer.write(answer)
            await self._until_left(reader)

        return hold

    async def deaf(self, head, reader, writer):
        """Pass on what the server behind says to the first question, and nothing that the client says after it."""
        await self.through(head, reader, writer, deaf=True)

    async def through(self, head, reader, writer, until=None, deaf=False):
        """Pass on what is said to the server behind, and what it answers, to its end or `until` that was passed on."""
        up, to = await asyncio.open_connection("127.0.0.1", self.behind, limit=2**20)
        self._legs.add(writer)
        to.write(head)
        there = asyncio.create_task(self._until_left(reader) if deaf else self._there(reader, to))
        try:
            with contextlib.suppress(ConnectionError):
                while data := await up.read(65536):
                    writer.write(data)
                    await writer.drain()
                    if until is not None and until in data:
                        there.cancel()
                        return
                if writer.can_write_eof() and not writer.is_closing():
                    writer.write_eof()
            await there
        finally:
            self._legs.discard(writer)
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
            to.close()

    def through_until(self, words):
        """Return an answer that passes on until it has passed on these words, and then breaks off."""
        return lambda *connection: self.through(*connection, until=words)

    def cut(self):
        """Reset every connection that is passed on at this moment, as a proxy does that is restarted."""
        for writer in [leg for leg in self._legs if not leg.transport.is_closing()]:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _there(self, reader, to):
        try:
            while data := await reader.read(65536):
                to.write(data)
            self.left.append("eof")
        except ConnectionError:
            self.left.append("reset")
        to.close()

    async def _until_left(self, reader):
        try:
            while await reader.read(65536):
                pass
            self.left.append("eof")
        except ConnectionError:
            self.left.append("reset")


@contextlib.asynccontextmanager
async def serving(name, feed, pace=DEFAULT_PACE):
    """Serve one transport in this process; give its port."""
    with listen(Meter()) as sock:
        async with TRANSPORTS[name].module().serve(feed, sock, Guard(), pace):
            yield sock.getsockname()[1]


class Told(Feed):
    """A feed that publishes when it is told to, and not by the clock."""

    def __init__(self, count=0):
        super().__init__([])
        self.t0_ns = time.perf_counter_ns() - 10**12
        for _ in range(count):
            self.tell()

    def tell(self, data=None):
        """Publish one update now; looking at `seq` wakes whoever waits."""
        seq = self.seq + 1
        self._next = Update(seq, float(seq), {"n": seq} if data is None else data)
        assert self.seq == seq
