"""The classic first WebSocket program: it prints what a client says and answers with the time. With its page.

Page and socket share one port: a plain GET of `/` answers the page, an upgrade at `/ws` opens the socket. So the
page's Origin is the socket's Host, directly and behind a proxy, and the guard needs no list of pages.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from wsdemo import jupyter
from wsdemo.connection import Connection, websocket_server
from wsdemo.guard import Guard, Terminal, authority, is_public, names_of, warn_public
from wsdemo.limits import allow_connections
from wsdemo.meter import Meter, listen
from wsdemo.pages.web import content_type, security_headers, shared_files
from wsdemo.processes.children import say
from wsdemo.processes.jobs import EchoAbout, EchoJob
from wsdemo.tasks import keep_one

MAX_MESSAGE_BYTES = 128 * 1024
"""The longest message a client may send; a longer one is answered with close code 1009."""

PAGE = Path(__file__).with_name("pages") / "echo"
FILES = {"/": PAGE / "echo.html"} | {
    f"/{name}": PAGE / name for name in ("echo.css", "echo.js", "echo.svg", "texts.js")
}
FILES |= shared_files()
PICTURE = PAGE / "picture.png"
"""A picture of the page, made by docs/picture.py, for where its server has ended."""


def answer() -> str:
    """Return the current time as text: ISO 8601 with milliseconds and the offset from UTC."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def shown(message: str | bytes) -> str:
    """Return a client's message as it may be printed: quoted, so that it cannot steer the terminal, and cut short."""
    if isinstance(message, bytes):
        return f"{len(message)} bytes"
    return repr(message) if len(message) <= 200 else f"{message[:200]!r}... ({len(message)} characters)"


class EchoServer:
    """The echo server, in the event loop of whoever starts it. Use as `async with EchoServer() as server:`.

    host, port: where to listen, port 0 for any free one. allowed_hosts: host names that clients may use besides
    localhost and `jupyter.public_hosts()`, the name of the hub that this notebook runs on; "*" for any.
    allowed_origins: whose pages may open the socket besides its own, such as "http://127.0.0.1:5500". max_connections:
    held at the same time; one more is refused with 503. heard: called with a line about each message, `print` by
    default; refused: with one about each refusal and what would allow it. open_timeout_s: how long a connection may
    take for its handshake. keepalive_s: seconds between pings, and how long a client may take to answer one, or to
    take what is said to it.
    Its plain form is built in the lesson
    `05_push_the_news`, as `echo_time`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        max_connections: int = 100,
        heard: Callable[[str], object] = print,
        refused: Callable[[str], object] | None = None,
        open_timeout_s: float = 5.0,
        keepalive_s: float = 20.0,
    ):
        self.host = host
        self.port = port
        """The port it listens on, once started."""
        self.meter = Meter()
        self._wanted_port = port
        hosts = (*jupyter.public_hosts(), *allowed_hosts)
        self._guard = Guard(host, hosts, max_connections, allowed_origins=allowed_origins, tell=refused)
        self._heard = heard
        self._limits = {"open_timeout_s": open_timeout_s, "keepalive_s": keepalive_s}
        self._numbers = itertools.count(1)
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> EchoServer:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<EchoServer: {self.url}>" if self.running else "<EchoServer: not running>"

    @property
    def running(self) -> bool:
        return self._stack is not None

    @property
    def url(self) -> str:
        """The socket's address, for programs on this machine."""
        return f"ws://{self.authority}/ws"

    @property
    def page_url(self) -> str:
        """The page's address, for the browser that shows this notebook; see `jupyter.page_url`."""
        return f"http://{self.authority}/" if is_public(self.host) else jupyter.page_url(self.port)

    @property
    def authority(self) -> str:
        """Host and port, as they stand in both addresses."""
        return authority(names_of(self.host)[0], self.port)

    def about(self) -> EchoAbout:
        """Return where it listens."""
        page = f"http://{self.authority}/"
        return {"urls": {"echo": self.url, "page": page}, "ports": {"echo": self.port}}

    async def start(self) -> EchoServer:
        """Listen. Starting again while it runs changes nothing. Raises OSError if the port cannot be had."""
        if self._stack is None:
            async with AsyncExitStack() as stack:
                sock = stack.enter_context(listen(self.meter, self.host, self._wanted_port))
                await stack.enter_async_context(
                    websocket_server(
                        self._attend,
                        self._check,
                        sock,
                        self._guard,
                        compression=None,
                        server_header=None,
                        max_size=MAX_MESSAGE_BYTES,
                        max_queue=4,
                        close_timeout=1,
                        **self._limits,
                    )
                )
                self.port = sock.getsockname()[1]
                self._stack = stack.pop_all()
        return self

    async def stop(self) -> None:
        """Close every connection with code 1001 and stop listening. Stopping again changes nothing."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _attend(self, connection: ServerConnection) -> None:
        client = next(self._numbers)
        with suppress(websockets.ConnectionClosed):  # clients leave as they like; that is no error of the server
            async for message in connection:
                self._heard(f"client {client} says {shown(message)}")
                await connection.send(answer())

    def _check(self, connection: Connection, request: Request) -> Response | None:
        """Answer what is not a handshake at /ws; return None for what may become one, which the library judges."""
        self.meter.requests += 1
        # Before websockets 17 there was no such attribute, and no request but GET came this far.
        method = getattr(request, "method", "GET")
        response = self._answer(connection, request, method)
        if response is not None and method == "HEAD":
            response.body = b""
        return response

    def _answer(self, connection: Connection, request: Request, method: str) -> Response | None:
        headers, path = request.headers, request.path.partition("?")[0]
        if (refusal := self._guard.refusal(headers, connection.place)) is not None:
            return connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")
        if path != "/ws" and (path not in FILES or "Upgrade" in headers):
            return connection.respond(HTTPStatus.NOT_FOUND, "The page is at /, the WebSocket at /ws.\n")
        allowed = ("GET",) if path == "/ws" else ("GET", "HEAD")
        if method == "OPTIONS" and (leave := self._guard.preflight(headers, allowed)) is not None:
            return _preflight(connection, leave)
        if method not in allowed:
            response = connection.respond(HTTPStatus.METHOD_NOT_ALLOWED, f"Ask with {' or '.join(allowed)}.\n")
            response.headers["Allow"] = ", ".join(allowed)
            return response
        return None if path == "/ws" else _page(connection, FILES[path], self._guard.permission(headers))


def _preflight(connection: ServerConnection, leave: dict[str, str]) -> Response:
    response = connection.respond(HTTPStatus.NO_CONTENT, "")
    for name in ("Content-Type", "Content-Length"):  # RFC 9110 section 8.6: a 204 has none
        del response.headers[name]
    response.headers.update(leave)
    return response


def _page(connection: ServerConnection, file: Path, permission: dict[str, str]) -> Response:
    response = connection.respond(HTTPStatus.OK, _read(file))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = f"{content_type(file.name)}; charset=utf-8"
    response.headers.update(security_headers() | permission)
    return response


@cache
def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


async def start(**options: Any) -> EchoServer:
    """Start an echo server that lasts beyond this cell, and return it; end it with `await server.stop()`.

    Meant for a notebook, where cells are run again: the server of an earlier call is stopped first. It runs in the
    kernel's own event loop and ends with the kernel. The options are those of `EchoServer`.
    """
    return await keep_one("echo", EchoServer(**options))


async def run(*, max_connections: int = 100, note: str = "", **options: Any) -> None:
    """Serve for people until cancelled: `python -m wsdemo serve echo`. Arguments as for `EchoServer`.

    The first line on stdout is JSON with the addresses; what clients say follows it. note: said once it serves.
    """
    allow_connections(max_connections)
    heard, refused = partial(print, flush=True), Terminal()
    async with EchoServer(max_connections=max_connections, heard=heard, refused=refused, **options) as server:
        warn_public(server.host)
        say(server.about())
        for name in names_of(server.host):
            at = authority(name, server.port)
            print(f"The echo server's page: http://{at}/\nIts WebSocket: ws://{at}/ws", file=sys.stderr)
        print(*filter(None, [note, "Ctrl-C stops the server."]), sep="\n", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


async def run_child(job: EchoJob, orders: AsyncIterator[Any]) -> None:
    """Serve in a child process until stdin ends; each order is answered with the counters. Talk is not shown."""
    allow_connections(job["max_connections"])
    async with EchoServer(**job, heard=lambda _: None) as server:
        say(server.about())
        async for _ in orders:
            say(server.meter.snapshot())
