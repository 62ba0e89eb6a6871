"""The live page's server: sessions that are nobody else's, bad messages answered in a sentence, and who may ask."""

import asyncio
import contextlib
import dataclasses
import json
import re
import socket
import subprocess
import sys
import time
import webbrowser

import aiohttp
import psutil
import pytest
from patience import patient

from wsdemo import live
from wsdemo.__main__ import main as command_line
from wsdemo.command import live as live_command
from wsdemo.feed import Feed
from wsdemo.live import server as live_server
from wsdemo.live import sessions as live_sessions
from wsdemo.live.server import LiveServer, week_s
from wsdemo.live.sessions import FIRST, GRACE_S, IDLE_S, LOG_SIZE, QUIET_S, SILENT_S, Problem, Recipe, offered
from wsdemo.processes.children import ChildFailed
from wsdemo.reader import Reader
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import earthquakes

OFFERED = [row.name for row in offered()]
RECIPE = {"speed": 3600.0, "start_s": 0.0, "elapsed_s": 0.0, "left": "polling", "right": "websocket"}


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


@contextlib.asynccontextmanager
async def page(**options):
    """A server, and what a page does with it: `ask(path, message)` answers (status, message)."""
    async with LiveServer(**options) as server, aiohttp.ClientSession() as http:

        async def ask(path, message=None, **how):
            if message is not None:
                how["json"] = message
            method = "POST" if how else "GET"
            async with http.request(method, server.url + path, **how) as got:
                return got.status, await got.json()

        yield server, ask


async def until(condition):
    async with asyncio.timeout(patient(10)):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


async def first(name, port, count, **position):
    """Hear `count` updates on a side's port."""
    return await first_at(name, TRANSPORTS[name].url(port), count, **position)


async def first_at(name, url, count, **position):
    """Hear `count` updates at an address."""
    heard = []
    async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, Reader(0.02, **position))) as deliveries:
        async for delivery in deliveries:
            heard.append(delivery)
            if len(heard) == count:
                return heard


@pytest.mark.parametrize("left", OFFERED)
def test_both_sides_hear_one_feed(left):
    """Each side has a port of its own; both hear the same updates, published at the same moments."""

    async def scenario():
        async with page() as (_, ask):
            status, about = await ask("session", RECIPE | {"left": left})
            assert status == 200 and about["rate_per_s"] == pytest.approx(earthquakes(3600.0).rate_per_s)
            ports = about["ports"]
            assert ports["left"] != ports["right"]
            left_heard, right_heard = await asyncio.gather(
                first(left, ports["left"], 5, after=0), first("websocket", ports["right"], 5, after=0)
            )
            assert [(d.seq, d.published_at_ns) for d in left_heard] == [(d.seq, d.published_at_ns) for d in right_heard]
            assert [d.seq for d in left_heard] == [1, 2, 3, 4, 5]
            due = earthquakes(3600.0).times(60)
            assert left_heard[4].published_at_ns / 1e6 == pytest.approx(about["t0_ms"] + due[4] * 1000, abs=0.01)

    run(scenario())


def test_one_pages_controls_change_nobody_elses_view():
    """Two sessions have different feeds; a side's new transport, and a session's end, touch only their own."""

    async def scenario():
        async with page() as (server, ask):
            _, mine = await ask("session", RECIPE)
            _, other = await ask("session", RECIPE | {"speed": 60.0})
            assert mine["epoch"] != other["epoch"]
            _, changed = await ask(f"session/{mine['id']}/side", {"side": "left", "transport": "sse"})
            assert len(await first("sse", changed["port"], 2, after=0)) == 2
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", mine["ports"]["left"]), timeout=patient(1))
            assert (await ask(f"session/{mine['id']}/end", {}))[0] == 200
            status, answer = await ask(f"session/{mine['id']}/beat", {})
            assert status == 404 and "ended" in answer["error"]
            status, beat = await ask(f"session/{other['id']}/beat", {})
            assert status == 200 and beat["sides"]["left"]["requests"] == 0
            assert len(server.sessions) == 1
            socket.create_connection(("127.0.0.1", other["ports"]["left"])).close()

    run(scenario())


def test_the_same_recipe_gives_the_same_run_again():
    """A run that began three seconds ago has the numbers of three seconds ago: nothing is lost by a restart."""

    async def scenario():
        due = earthquakes(3600.0).times(3.0)
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE | {"elapsed_s": 3.0})
            async with aiohttp.ClientSession() as http:
                query = {"after": "4"}
                async with http.get(TRANSPORTS["polling"].url(about["ports"]["left"]), params=query) as response:
                    answer = await response.json()
        assert answer["recovered"] is True
        assert [update["seq"] for update in answer["updates"]][: len(due) - 4] == list(range(5, len(due) + 1))
        assert [update["at_s"] for update in answer["updates"]][: len(due) - 4] == due[4:]

    run(scenario())


def test_a_beat_tells_the_clock_and_each_sides_counters():
    """The server's clock lies between asking and answering; bytes and requests are those of that side alone."""

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE)
            await first("polling", about["ports"]["left"], 3, after=0)
            before = time.perf_counter_ns() / 1e6
            _, beat = await ask(f"session/{about['id']}/beat", {})
            assert before <= beat["now_ms"] <= time.perf_counter_ns() / 1e6
            assert beat["seq"] >= 3
            assert beat["sides"]["left"]["requests"] >= 2 and beat["sides"]["left"]["bytes_sent"] > 300
            assert beat["sides"]["right"]["bytes_sent"] == 0
            _, clock = await ask("clock")
            assert clock["now_ms"] >= beat["now_ms"]

    run(scenario())


def test_what_is_offered_has_a_file_on_the_page():
    """In the registry's order, with the row's habit and a file to hear by; both sides begin with one of them."""
    assert set(FIRST.values()) <= set(OFFERED) <= set(TRANSPORTS)

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, config = await ask("config")
            assert [(row["name"], row["habit"]) for row in config["transports"]] == [
                (name, row.habit) for name, row in TRANSPORTS.items() if name in OFFERED
            ]
            for row in config["transports"]:
                async with http.get(f"{server.url}transports/{row['name']}.js") as response:
                    assert response.status == 200 and response.content_type == "text/javascript"
                    hear = re.compile(r"^export (async )?function hear\(side, url, signal\)", re.MULTILINE)
                    assert hear.search(await response.text())

    run(scenario())


def test_a_transport_that_the_page_cannot_hear_is_not_offered(monkeypatch):
    """A row whose file is missing: `config` leaves it out, and a session is refused it, with those that there are."""
    pigeon = dataclasses.replace(TRANSPORTS["polling"], name="pigeon", label="Pigeon")
    monkeypatch.setitem(TRANSPORTS, "pigeon", pigeon)

    async def scenario():
        async with page() as (_, ask):
            _, config = await ask("config")
            assert "pigeon" not in [row["name"] for row in config["transports"]]
            status, answer = await ask("session", RECIPE | {"left": "pigeon"})
            assert status == 400 and "'pigeon'" in answer["error"] and "choose from polling, " in answer["error"]
            assert answer["error"].count("pigeon") == 1
            _, about = await ask("session", RECIPE)
            change = {"side": "left", "transport": "pigeon"}
            status, answer = await ask(f"session/{about['id']}/side", change)
            assert status == 400 and "'pigeon'" in answer["error"]

    run(scenario())


BAD_RECIPES = [
    *[RECIPE | {"speed": value} for value in (0, -1, 1e9, "240", True, None, [], float("nan"), float("inf"))],
    *[RECIPE | {"start_s": value} for value in (-1, 1e9, "0", False, None)],
    *[RECIPE | {"elapsed_s": value} for value in (-0.1, 1e9, "0", None)],
    *[
        RECIPE | {side: value}
        for side in ("left", "right")
        for value in ("telnet", "", "polling,sse", 5, None, ["sse"], "x" * 500)
    ],
    {},
    [],
    5,
    "session",
    None,
    RECIPE | {"more": 1},
    {"speed": 240.0},
]


@pytest.mark.parametrize("recipe", BAD_RECIPES, ids=lambda recipe: str(recipe)[:60])
def test_a_bad_recipe_is_refused_in_a_sentence(recipe):
    """400, a sentence, and nothing is started."""

    async def scenario():
        async with page() as (server, ask):
            headers = {"Content-Type": "application/json"}
            status, answer = await ask("session", data=json.dumps(recipe), headers=headers)
            assert status == 400 and len(answer["error"]) > 10
            assert len(server.sessions) == 0

    run(scenario())


def test_a_message_must_be_small_json():
    """Not JSON: 400. Not declared as JSON, as a form of another site would send it: 415. Too large: 413."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            json_type = {"Content-Type": "application/json"}
            for body in ("{", "", "[" * 900, "\x00", "NaN,"):
                assert (await ask("session", data=body, headers=json_type))[0] == 400
            for other in ("text/plain", "application/x-www-form-urlencoded"):
                assert (await ask("session", data=json.dumps(RECIPE), headers={"Content-Type": other}))[0] == 415
            async with http.post(server.url + "session", data="x" * 5000, headers=json_type) as response:
                assert response.status == 413

    run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"side": "left"},
        {"side": "up", "transport": "sse"},
        [],
        None,
        {"side": "left", "transport": "telnet"},
        {"side": ["left"], "transport": "sse"},
        {"side": "left", "transport": "sse", "port": 80},
    ],
    ids=str,
)
def test_a_bad_change_of_side_is_refused_and_changes_nothing(message):
    """400, and the side still answers on its old port."""

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE)
            status, answer = await ask(
                f"session/{about['id']}/side", data=json.dumps(message), headers={"Content-Type": "application/json"}
            )
            assert status == 400 and answer["error"]
            assert await first("polling", about["ports"]["left"], 1, after=0)

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({}, 200),
    ],
)
@pytest.mark.parametrize("path", ["", "config", "main.js", "transports/polling.js", "session"])
def test_strangers_are_refused_everywhere(headers, status, path):
    """The page, its files and its messages are guarded alike; a refused message starts nothing."""

    async def scenario():
        async with page() as (server, _), aiohttp.ClientSession() as http:
            method, body = ("POST", {"json": RECIPE}) if path == "session" else ("GET", {})
            async with http.request(method, server.url + path, headers=headers, **body) as response:
                assert response.status == status
            assert len(server.sessions) == (path == "session" and status == 200)

    run(scenario())


@pytest.mark.parametrize("name", OFFERED)
def test_a_side_serves_its_own_page_only(name):
    """The page of this server's port may use a side, another port's or host's may not."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE | {"left": name})
            url = f"http://127.0.0.1:{about['ports']['left']}/updates?after=x"  # answered at once by every transport
            for origin, status in (
                (server.url[:-1], 400),
                ("http://evil.example", 403),
                (f"http://localhost:{server.port}", 403),
                (f"http://127.0.0.1:{server.port + 1}", 403),
            ):
                headers = {"Origin": origin}
                if TRANSPORTS[name].scheme == "ws":
                    headers |= {
                        "Connection": "Upgrade",
                        "Upgrade": "websocket",
                        "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                    }
                async with http.get(url, headers=headers) as response:
                    assert response.status == status, origin

    run(scenario())


def test_a_page_from_elsewhere_may_come_if_its_origin_is_allowed():
    """It asks beforehand, opens a session and hears its sides; one that is not allowed does none of it."""
    mine, other = "http://127.0.0.1:5500", "http://127.0.0.1:5501"
    leave = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    async def scenario():
        refused = []
        options = {"allowed_origins": [mine], "refused": refused.append, "max_sessions": 1}
        async with page(**options) as (server, _), aiohttp.ClientSession() as http:

            async def ask(method, url, origin, more=(), **body):
                async with http.request(method, url, headers={"Origin": origin, **dict(more)}, **body) as response:
                    allowed = response.headers.getall("Access-Control-Allow-Origin", [])
                    assert allowed == ([mine] if origin == mine else [])
                    return response.status, response.headers, await response.read()

            session = server.url + "session"
            status, headers, body = await ask("OPTIONS", session, mine, leave)
            assert (status, body, headers["Access-Control-Allow-Methods"]) == (204, b"", "POST")
            assert "Content-Type" in headers["Access-Control-Allow-Headers"]
            assert (await ask("OPTIONS", session, other, leave))[0] == 403
            assert (await ask("POST", session, other, json=RECIPE))[0] == 403
            assert len(server.sessions) == 0
            status, _, body = await ask("POST", session, mine, json=RECIPE)
            side = f"http://127.0.0.1:{json.loads(body)['ports']['left']}/updates"
            assert status == 200
            assert (await ask("GET", side, mine))[0] == 200
            assert (await ask("GET", side, other))[0] == 403
            assert refused == [f"a page from {other!r}; if it is yours, allow it with --allow-origin {other}"] * 3
            assert (await ask("POST", session, mine, json=RECIPE))[0] == 503
            assert "room for 1 pages" in refused[-1]

    run(scenario())


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: {h}", "Host: evil.example"],
        ["Host: {h}", "Origin: http://{h}", "Origin: http://evil.example"],
        ["Host: {h}", "Origin: http://{h}", "Origin: http://{h}"],
        [],
    ],
)
def test_a_request_has_one_host_and_at_most_one_origin(lines):
    """400 with a sentence, as from every server: nobody could say which of the two was meant."""

    async def scenario():
        async with page() as (server, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            text = "\r\n".join(["GET /config HTTP/1.1", *lines, "Connection: close", "", ""])
            writer.write(text.replace("{h}", f"127.0.0.1:{server.port}").encode())
            async with asyncio.timeout(patient(20)):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            assert head.split()[1] == b"400" and len(body.split()) > 3

    run(scenario())


def test_a_classroom_comes_by_address():
    """On every interface, a page that came by an IP address reaches its sides by the same; a name is misdirected."""

    async def scenario():
        async with page(host="0.0.0.0") as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE)
            for host, status in (("127.0.0.2", 200), ("evil.example", 421)):
                for port in (server.port, about["ports"]["left"]):
                    path = "config" if port == server.port else "updates"
                    headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{server.port}"}
                    async with http.get(f"http://127.0.0.2:{port}/{path}", headers=headers) as response:
                        assert response.status == status

    run(scenario())


def test_only_the_named_files_are_served():
    """No path leads out of the folder, the sources are not served, and every answer carries the policy."""

    async def scenario():
        async with page() as (server, _), aiohttp.ClientSession() as http:
            for path in (
                "server.py",
                "__init__.py",
                "../server.py",
                "%2e%2e/server.py",
                "..%2fserver.py",
                "transports/",
                "transports/%2e%2e/%2e%2e/server.py",
                "main.js/",
            ):
                async with http.get(server.url + path) as response:
                    assert response.status == 404, path
            for path in ("", "main.js", "style.css", "icon.svg", "land.json", "config"):
                async with http.get(server.url + path) as response:
                    assert response.status == 200 and response.headers["Cache-Control"] == "no-store"
                    policy = response.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy and "unsafe" not in policy
                    assert response.headers["X-Content-Type-Options"] == "nosniff"

    run(scenario())


def test_the_policy_names_no_host_that_is_not_one():
    """A Host header that a proxy lets through cannot add to the policy's grammar."""

    async def scenario():
        async with page(allowed_hosts=["*"]) as (server, _), aiohttp.ClientSession() as http:
            for host in ("a;script-src *", "a *", "x'y", "évil"):
                async with http.get(server.url, headers={"Host": host}) as response:
                    policy = response.headers.get("Content-Security-Policy", "")
                    assert response.status >= 400 or (policy.count(";") == 7 and "connect-src 'self';" in policy)

    run(scenario())


def test_there_is_a_limit_to_the_pages():
    """The page after the last is refused with 503 and a sentence; one that leaves makes room."""

    async def scenario():
        async with page(max_sessions=2) as (server, ask):
            opened = await asyncio.gather(*(ask("session", RECIPE) for _ in range(5)))
            assert sorted(status for status, _ in opened) == [200, 200, 503, 503, 503]
            refused = next(answer for status, answer in opened if status == 503)
            assert "room for 2 pages" in refused["error"]
            inside = next(answer for status, answer in opened if status == 200)
            await ask(f"session/{inside['id']}/end", {})
            assert (await ask("session", RECIPE))[0] == 200
            assert len(server.sessions) == 2

    run(scenario())


def test_places_that_nobody_uses_are_given_to_others():
    """A script takes all places and keeps them with a beat: whoever comes gets one of them, and no page that listens.

    Those to which nobody ever listened make room before those that have gone quiet; an address does not matter.
    """

    async def scenario():
        async with page(max_sessions=4) as (server, ask), asyncio.TaskGroup() as group:

            async def beaten(*ages):
                for about, age_s in zip(taken, ages, strict=True):
                    server.sessions.find(about["id"]).moved_at_s -= age_s
                    assert (await ask(f"session/{about['id']}/beat", {}))[0] == 200

            async def comes_for(gone):
                status, about = await ask("session", RECIPE)
                assert status == 200
                assert (await ask(f"session/{gone['id']}/beat", {}))[0] == 404
                return about

            taken = unread, silent, quiet, listens = [(await ask("session", RECIPE))[1] for _ in range(4)]
            assert (await ask("session", RECIPE))[0] == 503  # whoever has just come has not had the time to connect
            await first("websocket", quiet["ports"]["right"], 1, after=0)
            held = group.create_task(first("websocket", listens["ports"]["right"], 10**6))
            counted = server.sessions.find(listens["id"]).beat
            await until(lambda: counted()["sides"]["right"]["bytes_sent"])
            await until(lambda: not server.sessions.find(quiet["id"]).beat()["sides"]["right"]["open_now"])
            for session in server.sessions._open.values():
                session.look(time.monotonic())
            await beaten(GRACE_S + 1, GRACE_S + 2, QUIET_S + 9, GRACE_S + 9)
            new = await comes_for(silent)
            newer = await comes_for(unread)
            newest = await comes_for(quiet)
            assert (await ask("session", RECIPE))[0] == 503
            taken = new, newer, newest, listens
            await beaten(0, 0, 0, 0)
            held.cancel()

    run(scenario())


def test_a_session_without_readers_plays_nothing(monkeypatch):
    """Not its page but whoever asks for the news sets its feed going, and hears the run as far as it is."""
    rounds, play = [], Feed._play
    monkeypatch.setattr(Feed, "_play", lambda *one: rounds.append(1) or play(*one))

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE | {"elapsed_s": 20.0})
            for _ in range(2):
                assert (await ask(f"session/{about['id']}/beat", {}))[1]["seq"] == 0
            assert not rounds
            published = len(earthquakes(3600.0).times(20.0))
            heard = await first("websocket", about["ports"]["right"], published + 2, after=0)
            assert [one.seq for one in heard] == list(range(1, len(heard) + 1))
            assert rounds

    run(scenario())


def test_a_session_ends_when_its_page_is_gone():
    """Silent for a minute and without a connection, its ports close; one that beats, or listens, stays."""

    async def scenario():
        async with page() as (server, ask), asyncio.TaskGroup() as group:
            gone, beats, listens = [(await ask("session", RECIPE))[1] for _ in range(3)]
            held = group.create_task(first("websocket", listens["ports"]["right"], 10**6))
            await until(lambda: server.sessions.find(listens["id"]).beat()["sides"]["right"]["open_now"])
            for about in (gone, beats, listens):
                server.sessions.find(about["id"]).heard_at_s -= IDLE_S + 1
            await ask(f"session/{beats['id']}/beat", {})
            sweeping = group.create_task(server.sessions.sweep(0.05))
            await until(lambda: len(server.sessions) < 3)
            await asyncio.sleep(0.2)
            assert (await ask(f"session/{gone['id']}/beat", {}))[0] == 404
            for port in gone["ports"].values():
                with pytest.raises(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=patient(1))
            for about in (beats, listens):
                assert (await ask(f"session/{about['id']}/beat", {}))[0] == 200
            held.cancel()
            sweeping.cancel()

    run(scenario())


def test_a_connection_alone_does_not_keep_a_session_for_ever():
    """A sleeping laptop's connections look alive; after the longest silence the session ends all the same."""

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            session = server.sessions.find(about["id"])
            with socket.create_connection(("127.0.0.1", about["ports"]["right"])):
                await until(lambda: session.beat()["sides"]["right"]["open_now"])
                assert not session.is_over(session.heard_at_s + IDLE_S + 1)
                assert session.is_over(session.heard_at_s + SILENT_S + 1)

    run(scenario())


def test_nothing_is_left_when_the_server_ends():
    """Tasks and ports of all sessions are gone, also while readers listen."""

    async def scenario():
        ports = []
        async with page() as (server, ask):
            for _ in range(3):
                _, about = await ask("session", RECIPE)
                ports += about["ports"].values()
            listener = asyncio.create_task(first("websocket", ports[1], 10**6))
            await asyncio.sleep(0.1)
            ports.append(server.port)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        for port in ports:
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=patient(1))

    run(scenario())


def test_the_weeks_length_is_the_schedules():
    """The page computes moments of the week with it; the schedule refuses a start beyond it."""
    assert earthquakes(1.0, week_s() - 0.01)
    with pytest.raises(ValueError):
        earthquakes(1.0, week_s() + 0.01)


def wsdemo(*arguments):
    command = [sys.executable, "-m", "wsdemo", "live", "--no-browser", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=patient(30))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--speed", "0"],
        ["--speed", "nan"],
        ["--interval", "0.01"],
        ["--interval", "11"],
        ["--interval", "x"],
        ["--port", "70000"],
        ["--port", "-1"],
    ],
)
def test_impossible_arguments_are_refused_in_one_line(arguments):
    """Exit status 2, one line on stderr, nothing on stdout."""
    done = wsdemo(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("python -m wsdemo live:") and done.stderr.count("\n") == 1


def test_a_taken_port_is_said_in_one_line():
    """Exit status 1 and what to do next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = wsdemo("--port", str(taken.getsockname()[1]))
    assert done.returncode == 1 and "choose another port" in done.stderr and done.stderr.count("\n") == 1


def test_the_command_prints_the_address_and_stops_cleanly():
    """On loopback: one address, no warning. On every interface: a warning, and the address that pupils type."""
    for host in ("127.0.0.1", "0.0.0.0"):
        with subprocess.Popen(
            [sys.executable, "-m", "wsdemo", "live", "--no-browser", "--host", host],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            address = process.stdout.readline().strip()
            process.terminate()
            _, stderr = process.communicate(timeout=patient(10))
            assert process.returncode == 0 and "Traceback" not in stderr
            assert re.fullmatch(r"http://[\d.]+:\d+/", address) and "0.0.0.0" not in address
            assert ("warning" in stderr) == (host == "0.0.0.0")


def test_a_notebook_gets_one_page_that_ends_with_it():
    """Run twice, a cell leaves one page; the object shows itself in a frame, and after the end says so."""

    async def scenario():
        once = await live.start(speed=600)
        twice = await live.start(speed=600)
        assert twice.running and not once.running
        assert f'<iframe src="{twice.url}"' in twice._repr_html_()
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{twice.port}/config") as response:
            assert (await response.json())["speed"] == 600
        await twice.stop()
        await twice.stop()
        assert "<iframe" not in twice._repr_html_() and "not running" in repr(twice)
        with pytest.raises(ChildFailed, match="--interval must lie between"):
            await live.LivePage(interval_s=99).start()

    run(scenario())


def test_the_tile_starts_the_page_on_the_port_it_is_given():
    """The command is complete but for the port, and the icon is a file."""
    tile = live.jupyter_tile()
    assert tile["command"][1:5] == ["-P", "-m", "wsdemo", "live"] and "{port}" in tile["command"]
    assert (live.PAGE / "icon.svg").samefile(tile["launcher_entry"]["icon_path"])


# When something does not come to be


def test_a_page_whose_start_is_stopped_leaves_no_process():
    """The stop button, while it is still starting."""

    async def scenario():
        before = set(psutil.Process().children(recursive=True))
        starting = asyncio.create_task(live.LivePage().start())
        await asyncio.sleep(0)
        assert len(set(psutil.Process().children(recursive=True)) - before) == 1
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        assert starting.cancelled()
        assert set(psutil.Process().children(recursive=True)) == before

    asyncio.run(scenario())


def test_a_session_that_cannot_open_leaves_nothing_and_takes_no_room(monkeypatch):
    """One side opens, the other fails: again and again, and there is still room for the page after that."""

    @contextlib.asynccontextmanager
    async def fails(*_):
        raise OSError("there is no port left")
        yield

    module = TRANSPORTS["websocket"].module()
    serve = module.serve

    async def scenario():
        async with page(max_sessions=2) as (server, ask):
            tasks = len(asyncio.all_tasks())
            recipe = Recipe.read(RECIPE)
            monkeypatch.setattr(module, "serve", fails)
            for _ in range(3):
                with pytest.raises(OSError, match="no port left"):
                    await server.sessions.open(recipe)
            monkeypatch.setattr(module, "serve", serve)
            assert len(server.sessions) == 0
            assert len(asyncio.all_tasks()) == tasks
            assert (await ask("session", RECIPE))[0] == 200

    run(scenario())


def test_a_side_that_opens_while_its_session_ends_is_closed_again(monkeypatch):
    """The page is told that the session has ended, and neither a task nor a port outlives it."""
    side = live_sessions.Side
    opened, late = side.open, []

    async def opens_late(self):
        await opened(self)
        late.append(self)
        await go_on.wait()

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            monkeypatch.setattr(side, "open", opens_late)
            change = asyncio.create_task(server.sessions.find(about["id"]).serve("left", "sse"))
            await until(lambda: late)
            server.sessions.end(about["id"])
            await until(lambda: not server.sessions._closing)
            go_on.set()
            with pytest.raises(Problem, match="has ended"):
                await change
            assert late[0].port != 0
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", late[0].port), timeout=patient(1))
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "wsdemo live side"]

    go_on = asyncio.Event()
    run(scenario())


@pytest.mark.parametrize("speed", [60.0, 20_000.0])
def test_a_run_is_taken_up_again_as_far_back_as_the_log_reaches(speed):
    """Whatever its speed: the log holds so many updates, and what is older could be sent to nobody."""
    longest_s = LOG_SIZE / earthquakes(speed).rate_per_s
    recipe = RECIPE | {"speed": speed}
    assert Recipe.read(recipe | {"elapsed_s": longest_s * 0.999}).elapsed_s == longest_s * 0.999
    with pytest.raises(Problem, match="elapsed_s must be a number between 0 and"):
        Recipe.read(recipe | {"elapsed_s": longest_s * 1.001})


@pytest.mark.parametrize("host, shown", [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")])
def test_the_browser_is_sent_to_an_address_of_this_machine(host, shown):
    """No browser opens 0.0.0.0, which only says where to listen."""

    async def scenario():
        sent = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        serving = asyncio.create_task(
            live_server.run(host=host, opened=lambda url: loop.call_soon_threadsafe(sent.set_result, url))
        )
        async with asyncio.timeout(patient(20)):
            await asyncio.wait([serving, sent], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return sent.result()

    assert re.fullmatch(rf"http://{re.escape(shown)}:\d+/", run(scenario()))


def test_a_notebooks_page_begins_as_it_was_told():
    """Speed and interval both reach the process that serves it."""

    async def scenario():
        async with live.LivePage(speed=600, interval_s=2.5) as shown:
            async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{shown.port}/config") as response:
                config = await response.json()
        assert (config["speed"], config["interval_s"]) == (600, 2.5)

    run(scenario())


@pytest.mark.parametrize("arguments, opens", [([], True), (["--no-browser"], False)])
def test_a_browser_is_opened_unless_told_otherwise(arguments, opens, monkeypatch):
    """On a machine that has one."""
    told = {}

    async def served(**options):
        told.update(options)

    a_browser = webbrowser.GenericBrowser("a-browser")
    monkeypatch.setattr(live_command, "browser", lambda: a_browser)
    monkeypatch.setattr(live_server, "run", served)
    command_line(["live", *arguments])
    assert told["opened"] == (a_browser.open if opens else None)
