"""Which cookies a WebSocket of a page carries, and whether the page may open it, in a real browser (lesson 05)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from browser import in_background, notebook_showing, profile, require
from notebook_rules import source
from patience import patient
from repository import ROOT
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

ATTRIBUTES = {
    "no `SameSite`": "",
    "`SameSite=Lax`": "; SameSite=Lax",
    "`SameSite=Strict`": "; SameSite=Strict",
    "`SameSite=None; Secure`": "; SameSite=None; Secure",
}
SAME_SITE, FOREIGN = "127.0.0.1", ("localhost", "evil.example")
"""Hosts of pages that open a socket to 127.0.0.1. All three are this machine; browsers take the last two for others."""

FIRST_MESSAGE = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onmessage = ({ data }) => { resolve(data); socket.close(); };
  socket.onerror = () => resolve("failed");
})"""


@asynccontextmanager
async def cookies_told() -> AsyncIterator[int]:
    """A server that gives a page one cookie of each kind, and tells a socket which of them came with it; its port."""

    def give(connection, request):
        if "Upgrade" not in request.headers:
            given = [("Set-Cookie", f"c{n}=1{attribute}") for n, attribute in enumerate(ATTRIBUTES.values())]
            return Response(200, "OK", Headers([("Content-Length", "0"), ("Connection", "close"), *given]))

    async def tell(connection):
        carried = connection.request.headers.get("Cookie", "")
        kinds = [kind for n, kind in enumerate(ATTRIBUTES) if f"c{n}=1" in carried]
        await connection.send(json.dumps({"origin": connection.request.headers["Origin"], "cookies": kinds}))

    async with serve(tell, "127.0.0.1", 0, process_request=give) as server:
        yield server.sockets[0].getsockname()[1]


def carried(context, server_port: int, page_url: str) -> dict[str, list[str]]:
    """Return which cookies reach the server from a page on each host, in a browser that has all of them."""
    page, found = context.new_page(), {}
    page.goto(f"http://127.0.0.1:{server_port}/")
    assert len(context.cookies()) == len(ATTRIBUTES)
    for host in (SAME_SITE, *FOREIGN):
        origin = f"http://{host}:{urlsplit(page_url).port}"
        page.goto(f"{origin}/")
        heard = json.loads(page.evaluate(FIRST_MESSAGE, f"ws://127.0.0.1:{server_port}/"))
        assert heard["origin"] == origin
        found[host] = heard["cookies"]
    return found


def table_of_the_lesson() -> dict[str, tuple[str, str]]:
    """Return lesson 05's table: for each kind of cookie, whether it travels from the same and from another site."""
    book = json.loads((ROOT / "notebooks" / "05_push_the_news.ipynb").read_text(encoding="utf-8"))
    (text,) = [source(cell) for cell in book["cells"] if cell["id"] == "cookie-table"]
    rows = re.findall(r"^\| (.*`.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    return {kind: (same, other) for kind, same, other in rows}


@pytest.mark.parametrize("foreign_cookies", [True, False])
def test_the_lessons_table_is_what_a_browser_does(foreign_cookies):
    """Another port is the same site. From another only SameSite=None travels, if foreign cookies are let through."""
    require()
    says = table_of_the_lesson()
    assert list(says) == list(ATTRIBUTES)
    with (
        profile(foreign_cookies=foreign_cookies) as context,
        in_background(cookies_told()) as port,
        notebook_showing("<p>a page") as page_url,
    ):
        found = carried(context, port, page_url)
    assert found[SAME_SITE] == [kind for kind, (same, _) in says.items() if same == "sent"]
    depends = "sent, if the browser lets foreign cookies through"
    expected = [kind for kind, (_, other) in says.items() if other == "sent" or (other == depends and foreign_cookies)]
    assert [found[host] for host in FOREIGN] == [expected, expected]
    assert {other for _, other in says.values()} == {"not sent", depends}


def test_a_page_of_the_internet_is_let_through_to_this_machine_only_with_leave():
    """Chromium asks its user since version 147; who is not asked yet has not agreed."""
    require()
    with in_background(cookies_told()) as port, notebook_showing("<p>a page") as page_url:
        public = f"--ip-address-space-overrides=127.0.0.1:{urlsplit(page_url).port}=public"
        with profile(public, foreign_cookies=True) as context:
            if int(context.browser.version.partition(".")[0]) < 147:
                pytest.skip(f"Chromium {context.browser.version} does not ask yet; 147 does")
            page, complaints = context.new_page(), []
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(page_url)
            assert page.evaluate(FIRST_MESSAGE, f"ws://127.0.0.1:{port}/") == "failed"
            for _ in range(round(patient(100))):
                if complaints:
                    break
                page.wait_for_timeout(50)
            assert "BLOCKED_BY_LOCAL_NETWORK_ACCESS" in complaints[0]
            context.grant_permissions(["local-network-access"])
            assert page.evaluate(FIRST_MESSAGE, f"ws://127.0.0.1:{port}/") != "failed"
