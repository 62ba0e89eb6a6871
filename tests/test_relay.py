"""The sides through the page's own port: answered by the side itself, counted at its socket, and by nobody else."""

import asyncio
import contextlib

import aiohttp
import pytest
from test_live import OFFERED, RECIPE, first, first_at, page, run, until

from wsdemo.transports import TRANSPORTS


def relayed(server, about, side, name):
    """Return the address of a side below the page."""
    return f"{TRANSPORTS[name].scheme}://127.0.0.1:{server.port}/side/{about['id']}/{side}/updates"


@pytest.mark.parametrize("name", OFFERED)
def test_a_side_is_heard_through_the_pages_port(name):
    """The same updates as at its own port; what they cost is in this side's counters and not in the other's."""

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE | {"left": name})
            url = relayed(server, about, "left", name)
            by_page = await first_at(name, url, 4, after=0)
            by_port = await first(name, about["ports"]["left"], 4, after=0)
            assert [(d.seq, d.published_at_ns) for d in by_page] == [(d.seq, d.published_at_ns) for d in by_port]
            _, beat = await ask(f"session/{about['id']}/beat", {})
            left, right = beat["sides"]["left"], beat["sides"]["right"]
            assert left["connections"] >= 2 and left["requests"] >= 2 and left["bytes_sent"] > 4 * 100
            assert right["connections"] == right["bytes_sent"] == 0
            assert left["port"] == about["ports"]["left"]

    run(scenario())


@pytest.mark.parametrize("name", OFFERED)
def test_who_leaves_leaves_the_side(name):
    """No connection to a side outlives the reader for whom it was made, also while there is nothing to tell."""

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE | {"left": name, "speed": 1.0})
            side = server.sessions.find(about["id"])._sides["left"]
            listener = asyncio.create_task(first_at(name, relayed(server, about, "left", name), 10**6, after=0))
            await until(lambda: side.meter.requests and side.meter.open_now)
            before = side.meter.open_now
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            if TRANSPORTS[name].habit == "streamed":
                await until(lambda: side.meter.open_now == before - 1)

    run(scenario())


def test_what_a_side_says_of_its_answer_is_handed_on():
    """The ETag and its 304, and a refusal with its sentence; a browser may keep what the side lets it keep."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE | {"left": "conditional", "speed": 1.0})
            url = relayed(server, about, "left", "conditional")
            async with http.get(url, params={"after": "0"}) as response:
                tag = response.headers["ETag"]
                assert response.status == 200 and "Cache-Control" not in response.headers
                assert response.headers["X-Content-Type-Options"] == "nosniff"
            async with http.get(url, params={"after": "0"}, headers={"If-None-Match": tag}) as response:
                assert response.status == 304 and response.headers["ETag"] == tag
            async with http.get(url, params={"after": "x"}) as response:
                assert response.status == 400 and "after must be" in (await response.json())["error"]
            async with http.get(relayed(server, about, "right", "polling")) as response:
                assert response.status == 426  # what a WebSocket's server says to a plain question
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(relayed(server, about, "right", "websocket") + "?after=x")
            assert refused.value.status == 400

    run(scenario())


def test_a_side_that_is_changed_answers_by_its_new_transport():
    """A stream that was relayed ends with its side; the same address then leads to the new one, and ends with it."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE | {"right": "sse", "speed": 1.0})
            url = relayed(server, about, "right", "sse")
            async with http.get(url) as stream:
                assert (await stream.content.readline()).startswith(b"id:")
                await ask(f"session/{about['id']}/side", {"side": "right", "transport": "websocket"})
                with contextlib.suppress(aiohttp.ClientError):  # an answer that breaks off, or one that ends
                    await stream.content.read()
            async with http.ws_connect(relayed(server, about, "right", "websocket")) as socket:
                assert "epoch" in await socket.receive_json()
                await ask(f"session/{about['id']}/end", {})
                assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
            async with http.get(url) as response:
                assert response.status == 404 and "ended" in (await response.json())["error"]

    run(scenario())


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("side/nobody/left/updates", {}, 404),
        ("side/{id}/up/updates", {}, 404),
        ("side/{id}/left/config", {}, 404),
        ("side/{id}/left/updates", {"Origin": "http://evil.example"}, 403),
        ("side/{id}/left/updates", {"Host": "evil.example"}, 421),
        ("side/{id}/left/updates", {"Origin": "null"}, 403),
        ("side/{id}/left/updates", {}, 200),
    ],
)
def test_only_what_is_a_side_is_relayed_and_only_to_its_page(path, headers, status):
    """Whoever may not use the page may not use what lies below it."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE)
            async with http.get(server.url + path.format(id=about["id"]), headers=headers) as response:
                assert response.status == status
            async with http.post(server.url + path.format(id=about["id"])) as response:
                assert response.status in (404, 405)

    run(scenario())


def test_a_page_finds_out_what_it_reaches():
    """The port that `config` names answers its token, to pages of this server; it has nothing else."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, config = await ask("config")
            url = f"http://127.0.0.1:{config['reach']['port']}/"
            async with http.get(url + "reach", headers={"Origin": server.url[:-1]}) as response:
                assert (await response.json())["token"] == config["reach"]["token"]
                assert response.headers["Access-Control-Allow-Origin"] == server.url[:-1]
            async with http.get(url + "reach", headers={"Origin": "http://evil.example"}) as response:
                assert response.status == 403
            async with http.get(url) as response:
                assert response.status == 404

    run(scenario())
