"""The page's server: its files, and the few small messages between page and server. The news comes from elsewhere.

GET  config                          what the page must know before it starts
GET  side/ID/left/updates            what the left side's own port answers at /updates; see relay
GET  clock                           the server's clock in milliseconds
POST session                         ask for a session (sessions.Recipe); answers where its sides listen
POST session/ID/side                 {"side": "left", "transport": "sse"}; answers the side's new port
POST session/ID/trouble       {"side": "left", "trouble": "cut"}; answers the port by which the side is reached now
POST session/ID/beat                 the page is there; answers the counters and the clock
POST session/ID/end                  the page is leaving

One more port answers GET /reach, and nothing else: by it a page finds out whether ports besides its own can be reached.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from wsdemo import jupyter
from wsdemo.guard import Guard, Terminal, authority, names_of, warn_public
from wsdemo.limits import allow_connections, fitting
from wsdemo.live import PAGE
from wsdemo.live.relay import Relay, relaying
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
    read_trouble,
)
from wsdemo.live.trouble import DELAY_S, TROUBLES
from wsdemo.meter import Meter, MeteredSocket, listen
from wsdemo.pages.web import CONTENT_TYPES, content_type, policy_name, security_headers, shared_files
from wsdemo.processes.children import say
from wsdemo.processes.jobs import LiveAbout, LiveJob
from wsdemo.tasks import background
from wsdemo.transports.http import LOG, answer_at_the_door, http_server, permit
from wsdemo.updates import WEEK_START, catalogue, earthquakes, week_s

DEFAULT_INTERVAL_S = 1.0
INTERVAL_RANGE_S = (0.1, 10.0)
PAGE_CONNECTIONS = 500
MOST_CONNECTIONS = 2000
FILES_A_SESSION = 16
"""What one page needs: two listening sockets, a connection or two to each, and some for its own questions; as many
again for lines in trouble, each with a socket that listens and two for each connection."""
MAX_BODY_BYTES, BODY_TIMEOUT_S = 1024, 5.0


class LiveServer:
    """The live page's server, in the event loop of whoever starts it. Use as `async with LiveServer() as server:`.

    host, port: where to listen, port 0 for any free one; the sides of the sessions use free ports of the same host.
    allowed_hosts: host names by which browsers may come, besides localhost and `jupyter.public_hosts()`.
    allowed_origins: whose pages may use it besides its own, such as "http://127.0.0.1:5500". speed, interval_s: what a
    page starts with. max_sessions: how many pages may watch. refused: called with a line about whom it refuses.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        speed: float = DEFAULT_SPEED,
        interval_s: float = DEFAULT_INTERVAL_S,
        max_sessions: int = MAX_SESSIONS,
        refused: Callable[[str], object] | None = None,
    ):
        self.host, self.port = host, port
        self.sessions: Sessions  # once it runs
        self._reach: dict[str, int | str]
        self._relay: Relay
        self._running: AbstractAsyncContextManager[None]
        self._hosts = (*jupyter.public_hosts(), *allowed_hosts)
        self._origins, self._refused = tuple(allowed_origins), refused
        self._guard = self._new_guard()
        self._max_sessions = max_sessions
        self._speed, self._interval_s = speed, interval_s

    @property
    def url(self) -> str:
        """The page's address, for a browser on this machine."""
        return f"http://{authority(names_of(self.host)[0], self.port)}/"

    async def __aenter__(self) -> LiveServer:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._running.__aexit__(*exc_info)

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        with listen(Meter(), self.host, self.port) as sock, listen(Meter(), self.host) as other:
            self.port = sock.getsockname()[1]
            self._reach = {"port": other.getsockname()[1], "token": secrets.token_urlsafe(8)}
            self.sessions = Sessions(
                self.host, self._hosts, self.port, self._max_sessions, self._origins, self._refused
            )
            # With handler_cancellation, since a handler that hands on a stream would not notice that its reader left.
            runner = web.AppRunner(
                self._app(sock), access_log=None, logger=LOG, shutdown_timeout=0.1, handler_cancellation=True
            )
            await runner.setup()
            try:
                async with self._beside(other), background(self.sessions.sweep()):
                    await web.SockSite(runner, sock).start()
                    yield
            finally:
                await self.sessions.close()
                await runner.cleanup()
                sock.door.shut()

    @asynccontextmanager
    async def _beside(self, sock: MeteredSocket) -> AsyncIterator[None]:
        """Answer at the port that a page tries; relay to the sides for a page that reaches no port but its own."""

        async def reach(_: web.Request) -> web.Response:
            return web.json_response(self._reach, headers={"Cache-Control": "no-store"})

        guard = self._new_guard(page_ports=[self.port])
        async with http_server({"/reach": reach}, sock, guard), relaying() as self._relay:
            yield

    def _new_guard(self, page_ports: Iterable[int] = ()) -> Guard:
        return Guard(
            self.host,
            self._hosts,
            PAGE_CONNECTIONS,
            page_ports,
            allowed_origins=self._origins,
            tell=self._refused,
            option_for_more=None,
        )

    def _app(self, sock: MeteredSocket) -> web.Application:
        sock.door.keep(self._guard)

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = answer_at_the_door(request, self._guard, sock.place(request.transport))
            if answer is not None:
                return answer
            try:
                return await handler(request)
            except Problem as error:
                if error.status == 503 and self._refused is not None:
                    self._refused(f"a page, since {error}")
                return web.json_response({"error": str(error)}, status=error.status)

        app = web.Application(middlewares=[guarded], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.extend((_protect, permit(self._guard)))
        app.add_routes(
            [
                web.get("/config", self._config),
                web.get("/clock", self._clock),
                web.get("/side/{id}/{side}/updates", self._pass_on, allow_head=False),
                web.post("/session", self._open),
                web.post("/session/{id}/side", self._side),
                web.post("/session/{id}/trouble", self._trouble),
                web.post("/session/{id}/beat", self._beat),
                web.post("/session/{id}/end", self._end),
            ]
        )
        # The files are named one by one: what is not listed here cannot be asked for.
        land = resources.files("wsdemo") / "data" / "land.json"
        app.add_routes([_file("/land.json", land.read_bytes())])
        for name, path in _page_files().items():
            app.add_routes([_file(name, path.read_bytes())])
        return app

    async def _config(self, _: web.Request) -> web.Response:
        fields = ("name", "label", "family", "habit", "scheme", "colour")
        return web.json_response(
            {
                "transports": [{field: getattr(row, field) for field in fields} for row in offered()],
                "sides": FIRST,
                "reach": self._reach,
                "speed": self._speed,
                "interval_s": self._interval_s,
                "speed_range": SPEED_RANGE,
                "interval_range_s": INTERVAL_RANGE_S,
                "rate_per_s_at_speed_1": earthquakes(1.0).rate_per_s,
                "week_start": WEEK_START,
                "week_s": week_s(),
                "last_s": catalogue()[-1][0],
                "troubles": TROUBLES,
                "trouble_delay_s": DELAY_S,
            }
        )

    async def _clock(self, _: web.Request) -> web.Response:
        return web.json_response({"now_ms": time.perf_counter_ns() / 1e6})

    async def _open(self, request: web.Request) -> web.Response:
        session = await self.sessions.open(Recipe.read(await _read(request)))
        return web.json_response(session.about())

    async def _side(self, request: web.Request) -> web.Response:
        session = self.sessions.find(request.match_info["id"])
        side, name = await _read_change(request, "transport")
        port = await session.serve(side, read_transport(name))
        return web.json_response({"port": port, "via": session.way(side)})

    async def _trouble(self, request: web.Request) -> web.Response:
        session = self.sessions.find(request.match_info["id"])
        side, name = await _read_change(request, "trouble")
        await session.trouble(side, read_trouble(name))
        return web.json_response({"via": session.way(side)})

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        port = self.sessions.find(request.match_info["id"]).way(request.match_info["side"])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        url = f"http://{authority(host, port)}/updates?{request.rel_url.raw_query_string}"
        return await self._relay.pass_on(request, url)

    async def _beat(self, request: web.Request) -> web.Response:
        session = self.sessions.find(request.match_info["id"])
        return web.json_response(session.beat() | {"now_ms": time.perf_counter_ns() / 1e6})

    async def _end(self, request: web.Request) -> web.Response:
        self.sessions.end(self.sessions.find(request.match_info["id"]).id)
        return web.json_response({})


def _page_files() -> dict[str, Path]:
    """Return the page's files, each by the path at which it is served."""
    own = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.suffix in CONTENT_TYPES}
    return {"/" if name == "index.html" else f"/{name}": path for name, path in own.items()} | shared_files()


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


async def _read_change(request: web.Request, what: str) -> tuple[str, object]:
    """Return of a message which side is to change, and to what. Raises `Problem` for one that does not say both."""
    message = await _read(request)
    if not isinstance(message, dict) or set(message) != {"side", what} or message["side"] not in SIDES:
        raise Problem(400, f"a side is changed with its side ({' or '.join(SIDES)}) and its {what}")
    return message["side"], message[what]


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    """The page talks to the ports of its sides too, which are on the host by which it was asked for."""
    name = policy_name(request.host)
    siblings = (f"http://{name}:*", f"ws://{name}:*") if name else ()
    headers = security_headers(*siblings)
    if request.path.startswith("/side/"):
        del headers["Cache-Control"]  # a side says itself what a browser may keep
    response.headers.update(headers)


async def run_child(job: LiveJob, orders: AsyncIterator[Any]) -> None:
    """Serve the page in a child process until stdin ends."""
    async with LiveServer(max_sessions=_room(), **_start(job)) as server:
        about: LiveAbout = {"url": server.url, "port": server.port}
        say(about)
        async for _ in orders:
            pass


def _room() -> int:
    """Ask for the open files that all pages need, and return how many pages what there is has room for."""
    allow_connections(most := max(1, fitting(MOST_CONNECTIONS)))
    return max(1, min(MAX_SESSIONS, most // FILES_A_SESSION))


def _start(job: LiveJob) -> dict[str, Any]:
    given = {"speed": job["speed"], "interval_s": job["interval_s"]}
    return check_options({name: value for name, value in given.items() if value is not None})


async def run(*, opened: Callable[[str], object] | None = None, **options: Any) -> None:
    """Serve the page until cancelled. opened: called with its address once it listens; the rest as for `LiveServer`."""
    async with LiveServer(max_sessions=(room := _room()), refused=Terminal(), **options) as server:
        warn_public(server.host, "watch and use its ports")
        for name in names_of(server.host):
            print(f"http://{authority(name, server.port)}/", flush=True)
        if room < MAX_SESSIONS:
            print(f"note: the limit on open files leaves room for {room} pages at a time", file=sys.stderr)
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
