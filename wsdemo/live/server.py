"""The page's server: its files, and the few small messages between page and server. The news comes from elsewhere.

GET  config                          what the page must know before it starts
GET  clock                           the server's clock in milliseconds
POST session                         ask for a session (sessions.Recipe); answers where its sides listen
POST session/ID/side                 {"side": "left", "transport": "sse"}; answers the side's new port
POST session/ID/beat                 the page is there; answers the counters and the clock
POST session/ID/end                  the page is leaving
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import psutil
from aiohttp import web

from wsdemo import jupyter
from wsdemo.guard import Guard, authority, warn_public
from wsdemo.limits import allow_connections
from wsdemo.live import PAGE
from wsdemo.live.sessions import (
    DEFAULT_SPEED,
    FIRST,
    MAX_SESSIONS,
    SIDES,
    SPEED_RANGE,
    Problem,
    Recipe,
    Sessions,
    offered,
    read_transport,
)
from wsdemo.meter import Meter, MeteredSocket, listen
from wsdemo.pages.web import CONTENT_TYPES, content_type, policy_name, security_headers
from wsdemo.processes.children import say
from wsdemo.processes.jobs import LiveAbout, LiveJob
from wsdemo.tasks import background
from wsdemo.transports.http import LOG
from wsdemo.updates import WEEK_START, catalogue, earthquakes, week_s

DEFAULT_INTERVAL_S = 1.0
INTERVAL_RANGE_S = (0.1, 10.0)
PAGE_CONNECTIONS = 500
MAX_BODY_BYTES, BODY_TIMEOUT_S = 1024, 5.0


class LiveServer:
    """The live page's server, in the event loop of whoever starts it. Use as `async with LiveServer() as server:`.

    host, port: where to listen, port 0 for any free one; the sides of the sessions use free ports of the same host.
    allowed_hosts: host names by which browsers may come, besides localhost and `jupyter.public_hosts()`.
    speed, interval_s: what a page starts with. max_sessions: how many pages may watch.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Iterable[str] = (),
        speed: float = DEFAULT_SPEED,
        interval_s: float = DEFAULT_INTERVAL_S,
        max_sessions: int = MAX_SESSIONS,
    ):
        self.host, self.port = host, port
        self.sessions: Sessions | None = None
        self._hosts = (*jupyter.public_hosts(), *allowed_hosts)
        self._max_sessions = max_sessions
        self._speed, self._interval_s = speed, interval_s
        self._running = None

    @property
    def url(self) -> str:
        """The page's address, for a browser on this machine."""
        return f"http://{authority(self.host, self.port)}/"

    async def __aenter__(self) -> LiveServer:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc_info) -> None:
        await self._running.__aexit__(*exc_info)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        with listen(Meter(), self.host, self.port) as sock:
            self.port = sock.getsockname()[1]
            self.sessions = Sessions(self.host, self._hosts, self.port, self._max_sessions)
            runner = web.AppRunner(self._app(sock), access_log=None, logger=LOG, shutdown_timeout=0.1)
            await runner.setup()
            try:
                async with background(self.sessions.sweep()):
                    await web.SockSite(runner, sock).start()
                    yield
            finally:
                await self.sessions.close()
                await runner.cleanup()
                sock.door.shut()

    def _app(self, sock: MeteredSocket) -> web.Application:
        guard = Guard(self.host, self._hosts, PAGE_CONNECTIONS)
        sock.door.keep(PAGE_CONNECTIONS)

        @web.middleware
        async def guarded(request: web.Request, handler) -> web.StreamResponse:
            refusal = guard.refusal(request.headers, sock.place(request.transport))
            if refusal is not None:
                response = web.json_response({"error": refusal.reason}, status=refusal.status)
                response.force_close()  # who was refused makes room for others
                return response
            try:
                return await handler(request)
            except Problem as error:
                return web.json_response({"error": str(error)}, status=error.status)

        app = web.Application(middlewares=[guarded], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_protect)
        app.add_routes(
            [
                web.get("/config", self._config),
                web.get("/clock", self._clock),
                web.post("/session", self._open),
                web.post("/session/{id}/side", self._side),
                web.post("/session/{id}/beat", self._beat),
                web.post("/session/{id}/end", self._end),
            ]
        )
        # The files are named one by one: what is not listed here cannot be asked for.
        land = resources.files("wsdemo") / "data" / "land.json"
        app.add_routes([_file("/land.json", land.read_bytes())])
        for path in PAGE.rglob("*"):
            if path.suffix in CONTENT_TYPES:
                name = path.relative_to(PAGE).as_posix()
                app.add_routes([_file("/" if name == "index.html" else f"/{name}", path.read_bytes())])
        return app

    async def _config(self, _: web.Request) -> web.Response:
        fields = ("name", "label", "family", "habit", "scheme", "colour")
        return web.json_response(
            {
                "transports": [{field: getattr(row, field) for field in fields} for row in offered()],
                "sides": FIRST,
                "speed": self._speed,
                "interval_s": self._interval_s,
                "interval_range_s": INTERVAL_RANGE_S,
                "rate_per_s_at_speed_1": earthquakes(1.0).rate_per_s,
                "week_start": WEEK_START,
                "week_s": week_s(),
                "last_s": catalogue()[-1][0],
            }
        )

    async def _clock(self, _: web.Request) -> web.Response:
        return web.json_response({"now_ms": time.perf_counter_ns() / 1e6})

    async def _open(self, request: web.Request) -> web.Response:
        session = await self.sessions.open(Recipe.read(await _read(request)))
        return web.json_response(session.about())

    async def _side(self, request: web.Request) -> web.Response:
        session = self.sessions.find(request.match_info["id"])
        message = await _read(request)
        if not isinstance(message, dict) or set(message) != {"side", "transport"} or message["side"] not in SIDES:
            raise Problem(400, f"a side is changed with its side ({' or '.join(SIDES)}) and its transport")
        port = await session.serve(message["side"], read_transport(message["transport"]))
        return web.json_response({"port": port})

    async def _beat(self, request: web.Request) -> web.Response:
        session = self.sessions.find(request.match_info["id"])
        return web.json_response(session.beat() | {"now_ms": time.perf_counter_ns() / 1e6})

    async def _end(self, request: web.Request) -> web.Response:
        self.sessions.end(self.sessions.find(request.match_info["id"]).id)
        return web.json_response({})


def _file(name: str, body: bytes) -> web.RouteDef:
    kind = content_type("index.html" if name == "/" else name)

    async def answer(_: web.Request) -> web.Response:
        # A Response is used up by being sent, so each request gets its own.
        response = web.Response(body=body, content_type=kind, charset="utf-8")
        response.enable_compression()
        return response

    return web.get(name, answer)


async def _read(request: web.Request) -> object:
    """Return the JSON of a message. Raises `Problem` for a body that is not declared as JSON, none, or never comes."""
    # A form on another site can send text/plain without asking the browser's leave, but not this.
    if request.content_type != "application/json":
        raise Problem(415, "messages are application/json")
    if (request.charset or "utf-8").lower() != "utf-8":
        raise Problem(415, "messages are in UTF-8")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return json.loads(await request.text())
    except TimeoutError as error:
        raise Problem(408, f"the message did not come within {BODY_TIMEOUT_S:g} s") from error
    # Broken compression; a page that left while it was speaking; what is no JSON.
    except (web.RequestPayloadError, ConnectionError, ValueError, RecursionError) as error:
        raise Problem(400, "the message is not JSON") from error


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    """The page talks to the ports of its sides too, which are on the host by which it was asked for."""
    name = policy_name(request.host)
    siblings = (f"http://{name}:*", f"ws://{name}:*") if name else ()
    response.headers.update(security_headers(*siblings))


async def run_child(job: LiveJob, orders: AsyncIterator[Any]) -> None:
    """Serve the page in a child process until stdin ends."""
    allow_connections(2000)
    async with LiveServer(**_start(job)) as server:
        about: LiveAbout = {"url": server.url, "port": server.port}
        say(about)
        async for _ in orders:
            pass


def _start(job: LiveJob) -> dict[str, Any]:
    given = {"speed": job["speed"], "interval_s": job["interval_s"]}
    return check_options({name: value for name, value in given.items() if value is not None})


async def run(*, opened: Callable[[str], object] | None = None, **options: Any) -> None:
    """Serve the page until cancelled. opened: called with its address once it listens; the rest as for `LiveServer`."""
    allow_connections(2000)
    async with LiveServer(**options) as server:
        warn_public(server.host, "watch and use its ports")
        for url in _addresses(server):
            print(url, flush=True)
        print("Ctrl-C stops the page.", file=sys.stderr, flush=True)
        if opened is not None:
            await asyncio.to_thread(
                opened, f"http://127.0.0.1:{server.port}/" if server.host in ("0.0.0.0", "127.0.0.1") else server.url
            )
        await asyncio.Event().wait()


def check_options(given: dict[str, float]) -> dict[str, float]:
    """Return what a page is to start with. Raises ValueError for a speed or an interval outside its controls."""
    ranges = {"speed": SPEED_RANGE, "interval_s": INTERVAL_RANGE_S}
    for name, value in given.items():
        low, high = ranges[name]
        if not low <= value <= high:
            raise ValueError(f"--{name.removesuffix('_s')} must lie between {low:g} and {high:g}, not {value:g}")
    return given


def _addresses(server: LiveServer) -> list[str]:
    """Return the addresses that people type: for a server on every interface, this machine's own."""
    if server.host not in ("0.0.0.0", "::"):
        return [server.url]
    family = "6" if server.host == "::" else "4"
    found = sorted(_own_addresses(family))
    shown = found or ["127.0.0.1" if family == "4" else "::1"]
    return [f"http://{authority(name, server.port)}/" for name in shown]


def _own_addresses(family: str) -> set[str]:
    wanted = socket.AF_INET6 if family == "6" else socket.AF_INET
    return {
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == wanted and not address.address.startswith(("127.", "169.254.", "fe80", "::1"))
    }
