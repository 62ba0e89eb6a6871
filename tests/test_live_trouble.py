"""A side whose line is in trouble: what the server does to it, what the page makes of it, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import socket

import aiohttp
import psutil
import pytest
from browser import browser, in_background  # noqa: F401 - browser is a fixture
from patience import patient
from test_live import RECIPE, first, page, run, until
from test_live_browser import SPEED, opened, paused, snapshot, wait_until

from wsdemo.live import trouble
from wsdemo.live.server import LiveServer
from wsdemo.live.sessions import SIDE_CONNECTIONS
from wsdemo.live.trouble import DELAY_S, TROUBLES
from wsdemo.transports import TRANSPORTS

KINDS = TROUBLES[1:]


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=patient(1)).close()
    except OSError:
        return True
    return False


# The server


@pytest.mark.parametrize("kind", KINDS)
def test_trouble_is_another_port_and_none_is_the_sides_own(kind):
    """A page is led through a line, and back to the very port that it had; the line's port is then closed."""

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE)
            path, own = f"session/{about['id']}/trouble", about["ports"]["left"]
            status, bad = await ask(path, {"side": "left", "trouble": kind})
            assert status == 200 and bad["via"] not in about["ports"].values()
            assert len(await first("polling", own, 2, after=0)) == 2  # whoever has the side's own port keeps it
            status, good = await ask(path, {"side": "left", "trouble": "none"})
            assert (status, good) == (200, {"via": own})
            assert is_closed(bad["via"]) and not is_closed(own)

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_it_strikes_and_the_beat_says_when(kind, monkeypatch):
    """Not before the page has had time to come; by the server's clock; and only the side that was meant."""
    monkeypatch.setattr(trouble, "LEAD_S", 0.05)

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            await ask(f"session/{about['id']}/trouble", {"side": "right", "trouble": kind})
            session = server.sessions.find(about["id"])
            await until(lambda: session.beat()["sides"]["right"]["hits"])
            _, beat = await ask(f"session/{about['id']}/beat", {})
            right, left = beat["sides"]["right"], beat["sides"]["left"]
            assert right["trouble"] == right["hits"][0]["kind"] == kind
            assert about["t0_ms"] < right["hits"][0]["at_ms"] <= beat["now_ms"]
            assert (left["trouble"], left["hits"]) == ("none", [])

    run(scenario())


def test_cuts_come_again_and_again_and_lose_nothing(monkeypatch):
    """A reader of either habit comes back each time, and hears every update once."""
    monkeypatch.setattr(trouble, "LEAD_S", 0.05)
    monkeypatch.setattr(trouble, "CUT_EVERY_S", 0.1)

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            names = {"left": "polling", "right": "websocket"}
            for side in names:
                _, bad = await ask(f"session/{about['id']}/trouble", {"side": side, "trouble": "cut"})
                names[side] = first(names[side], bad["via"], 15, after=0)
            async with asyncio.timeout(patient(20)):
                for heard in await asyncio.gather(*names.values()):
                    assert [one.seq for one in heard] == list(range(1, 16))
            hits = server.sessions.find(about["id"]).beat()["sides"]["right"]["hits"]
            assert len(hits) >= 2

    run(scenario())


def test_a_side_with_another_transport_keeps_its_trouble():
    """The line leads to the new port, by the same port of its own."""

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE)
            _, bad = await ask(f"session/{about['id']}/trouble", {"side": "left", "trouble": "delay"})
            _, changed = await ask(f"session/{about['id']}/side", {"side": "left", "transport": "sse"})
            assert changed["via"] == bad["via"] != changed["port"]
            assert len(await first("sse", changed["via"], 2, after=0)) == 2

    run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"side": "left"},
        {"side": "up", "trouble": "cut"},
        [],
        None,
        {"side": "left", "trouble": "flood"},
        {"side": "left", "trouble": ["cut"]},
        {"side": "left", "trouble": "cut", "port": 22},
    ],
    ids=str,
)
def test_a_bad_message_is_refused_and_changes_nothing(message):
    """400 with a sentence. Nobody can say where a line leads to."""

    async def scenario():
        async with page() as (_, ask):
            _, about = await ask("session", RECIPE)
            headers = {"Content-Type": "application/json"}
            status, answer = await ask(f"session/{about['id']}/trouble", data=json.dumps(message), headers=headers)
            assert status == 400 and answer["error"]
            _, beat = await ask(f"session/{about['id']}/beat", {})
            assert beat["sides"]["left"]["trouble"] == "none"

    run(scenario())


def test_strangers_are_refused_through_a_line_too():
    """Its port leads to the side, whose guard reads what comes: a foreign page and a foreign name get nothing."""

    async def scenario():
        async with page() as (server, ask), aiohttp.ClientSession() as http:
            _, about = await ask("session", RECIPE)
            _, bad = await ask(f"session/{about['id']}/trouble", {"side": "left", "trouble": "delay"})
            url = TRANSPORTS["polling"].url(bad["via"])
            for headers, status in (
                ({"Origin": server.url[:-1]}, 200),
                ({"Origin": "http://evil.example"}, 403),
                ({"Host": "evil.example"}, 421),
            ):
                async with http.get(url, headers=headers) as response:
                    assert response.status == status

    run(scenario())


def test_a_line_holds_no_more_than_two_sides_may(monkeypatch):
    """Where it swallows everything, too: who comes when it is full is closed at once, and the others stay."""
    monkeypatch.setattr(trouble, "LEAD_S", 0.0)

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            _, bad = await ask(f"session/{about['id']}/trouble", {"side": "left", "trouble": "stall"})
            session = server.sessions.find(about["id"])
            await until(lambda: session.beat()["sides"]["left"]["hits"])
            most = 2 * SIDE_CONNECTIONS
            held = [await asyncio.open_connection("127.0.0.1", bad["via"]) for _ in range(most + 5)]
            closed = 0
            for reader, _ in held[most:]:
                async with asyncio.timeout(patient(10)):
                    try:
                        closed += await reader.read() == b""
                    except ConnectionError:
                        closed += 1
            assert closed == 5
            assert not any(reader.at_eof() for reader, _ in held[:most])
            for _, writer in held:
                writer.close()

    run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_line_when_its_session_ends(kind, monkeypatch):
    """Its port, its connections, its timers and its tasks: gone, in the midst of trouble."""
    monkeypatch.setattr(trouble, "LEAD_S", 0.05)
    monkeypatch.setattr(trouble, "CUT_EVERY_S", 0.05)
    process = psutil.Process()

    async def scenario():
        async with page() as (server, ask):
            await ask("clock")  # by the connection by which all else is asked
            before = len(process.net_connections())
            _, about = await ask("session", RECIPE)
            ports = []
            for side in ("left", "right"):
                _, bad = await ask(f"session/{about['id']}/trouble", {"side": side, "trouble": kind})
                ports.append(bad["via"])
            listener = asyncio.create_task(first("websocket", ports[1], 10**6))
            session = server.sessions.find(about["id"])
            await until(lambda: session.beat()["sides"]["right"]["hits"])
            assert (await ask(f"session/{about['id']}/end", {}))[0] == 200
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            await until(lambda: all(map(is_closed, ports)))
            await until(lambda: len(process.net_connections()) <= before)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


def test_a_change_that_comes_while_the_session_ends_leaves_no_port():
    """Whoever opens the line last closes it again, and the page is told that its session has ended."""

    async def scenario():
        async with page() as (server, ask):
            _, about = await ask("session", RECIPE)
            session = server.sessions.find(about["id"])
            change = asyncio.create_task(ask(f"session/{about['id']}/trouble", {"side": "left", "trouble": "cut"}))
            await asyncio.sleep(0)
            await session.close()
            status, _ = await change
            assert status == 404
            assert session._troubles["left"].port is None

    run(scenario())


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1"])
def test_a_line_listens_where_its_side_does(host):
    """By whatever name the server was told of it."""

    async def scenario():
        async with LiveServer(host=host) as server, aiohttp.ClientSession() as http:
            name = "[::1]" if host == "::1" else "127.0.0.1"
            url = f"http://{name}:{server.port}/"
            async with http.post(url + "session", json=RECIPE) as answer:
                about = await answer.json()
            change = {"side": "left", "trouble": "delay"}
            async with http.post(f"{url}session/{about['id']}/trouble", json=change) as answer:
                via = (await answer.json())["via"]
            async with http.get(f"http://{name}:{via}/updates") as answer:
                assert answer.status == 200 and "updates" in await answer.json()

    run(scenario())


# What the page makes of it, with made-up moments


@pytest.fixture(scope="module")
def bench(browser):  # noqa: F811
    with in_background(LiveServer(speed=600)) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.url + "land.json")
        yield page


def told(bench, *steps):
    """Return the last of a line's troubles after these steps, each [what, moment, more]."""
    return bench.evaluate(
        """async (steps) => {
            const { Trouble } = await import("./trouble.js");
            const trouble = new Trouble();
            const does = {
                struck: (atS, kind) => trouble.struck([{ kind, atS, atMs: atS }], atS),
                noticed: (atS) => trouble.noticed(atS),
                opened: (atS) => trouble.opened(atS),
                heard: (heardS, atS) => trouble.heard(atS, heardS),
                lost: (atS, count) => trouble.lost(count, atS),
                wants: (atS, kind) => trouble.wants(kind, atS),
            };
            steps.forEach(([what, atS, more]) => does[what](atS, more));
            return trouble.last();
        }""",
        steps,
    )


def test_a_cut_that_was_noticed_says_what_came_late(bench):
    """Of the updates heard afterwards, those that are older than the new connection; a gap counts as lost."""
    late = ["heard", 10.6, 9.9], ["heard", 10.6, 10.3], ["heard", 10.8, 10.8]
    told_of = told(bench, ["opened", 1], ["struck", 10, "cut"], ["noticed", 10.2], ["opened", 10.5], *late)
    assert told_of == {"kind": "cut", "fromS": 10, "knownS": 10.2, "toS": 10.5, "late": 2, "lost": 0}
    gap = told(bench, ["struck", 10, "cut"], ["noticed", 10.2], ["opened", 10.5], ["lost", 10.6, 3])
    assert gap["lost"] == 3


def test_what_is_told_late_is_set_where_it_belongs(bench):
    """The server's beat says of a cut after the page has noticed it and is back."""
    told_of = told(bench, ["noticed", 9.99], ["opened", 10.5], ["opened", 11], ["struck", 10, "cut"])
    assert (told_of["fromS"], told_of["knownS"], told_of["toS"]) == (10, 10, 10.5)


def test_a_cut_between_two_polls_is_never_noticed(bench):
    """The next answer says that all is well."""
    told_of = told(bench, ["opened", 9.5], ["opened", 10.5], ["struck", 10, "cut"], ["opened", 11.5])
    assert (told_of["knownS"], told_of["toS"]) == (None, 10.5)


def test_a_stall_is_not_over_before_it_is_heard_again(bench):
    """Noticed or not, it lasts."""
    steps = [["opened", 9], ["struck", 10, "stall"]]
    assert told(bench, *steps)["toS"] is told(bench, *steps)["knownS"] is None
    steps.append(["noticed", 13])
    assert (told(bench, *steps)["knownS"], told(bench, *steps)["toS"]) == (13, None)
    steps += [["wants", 15, "none"], ["opened", 15.1]]
    assert (told(bench, *steps)["knownS"], told(bench, *steps)["toS"]) == (13, 15.1)


def test_a_delay_lasts_until_it_is_taken_back(bench):
    """Nobody notices, and every answer comes by it."""
    steps = [["wants", 9, "delay"], ["struck", 10, "delay"], ["opened", 11]]
    assert told(bench, *steps)["toS"] is None
    assert told(bench, *steps, ["wants", 12, "none"])["toS"] == 12


def test_a_silent_line_is_left_after_two_signs_of_life(bench):
    """After eight if it has not opened; never one that brings something, is not behind, or asks by a timetable."""
    left = bench.evaluate("""async () => {
        const { Side } = await import("./side.js");
        const nothing = { heard() {}, asked() {}, changed() {} };
        const tried = (habit, beats, opens = true) => {
            const side = new Side("left", { habit }, { epoch: "e", nowS: () => 1 }, nothing);
            let left = 0;
            side.leaveLine = () => { left += 1; };
            side.setTimetable(0, 1, 0);
            side.asks();
            if (opens) {
                side.opens({ epoch: "e" });
            }
            return beats.map(([seq, heard]) => {
                side.takes(Array.from({ length: heard }, (_, i) => ({ seq: side.seq + i + 1, at_s: 0, data: {} })));
                side.beat(seq);
                return left;
            });
        };
        const silent = [[0, 0], [1, 0], [1, 0], [2, 0], [2, 0]];
        return [
            tried("streamed", silent), tried("held", silent), tried("asks", silent),
            tried("streamed", [[1, 0], [2, 1], [3, 1], [4, 1], [5, 1]]),
            tried("streamed", [[1, 1], [1, 0], [1, 0], [1, 0]]),
            tried("held", Array(9).fill([1, 0]), false), tried("streamed", Array(9).fill([1, 0]), false),
        ];
    }""")
    assert left[:5] == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [0] * 5, [0] * 5, [0] * 4]
    assert left[5:] == [[0] * 8 + [1]] * 2


# The page


@pytest.fixture
def shown(browser):  # noqa: F811
    with in_background(LiveServer(speed=SPEED, interval_s=0.5)) as server, opened(browser, server.url) as page:
        wait_until(page, "s.sides.left.heard >= 2 && s.sides.right.heard >= 2")
        yield page


def choose(page, side, kind):
    page.locator(f".{side} select.trouble").select_option(kind)


def complete(one: dict) -> bool:
    """Whether a side has heard all from the first to its newest, and nothing twice."""
    return one["lost"] == one["duplicates"] == 0


def test_a_websocket_that_is_cut_comes_back_without_loss(shown):
    """Each cut is noticed, each reconnect is a request; what came meanwhile is late and not lost."""
    choose(shown, "right", "cut")
    wait_until(shown, "s.sides.right.trouble.spans.filter(({ toS }) => toS !== null).length >= 2", 40)
    right = wait_until(shown, "s.sides.right.state === 'open'")["sides"]["right"]
    assert all(span["knownS"] >= span["fromS"] for span in right["trouble"]["spans"][:2])
    assert right["requests"] == right["failures"] + 1 >= 3
    assert complete(right) and right["trouble"]["last"]["lost"] == 0
    shown.locator(".right .struck", has_text="0\u00a0lost").wait_for()
    left = snapshot(shown)["sides"]["left"]
    assert left["failures"] == 0 and left["trouble"] == {"wanted": "none", "spans": [], "last": None}
    choose(shown, "right", "none")
    wait_until(shown, "s.sides.right.heard >= 2")
    now = paused(shown)["sides"]["right"]
    assert complete(now) and (now["requests"], now["failures"]) == (1, 0)


def test_polls_are_cut_without_loss(shown):
    """A question on its way is cut, and asked again; between two questions nobody notices."""
    choose(shown, "left", "cut")
    wait_until(shown, "s.sides.left.trouble.spans.filter(({ toS }) => toS !== null).length >= 2", 40)
    wait_until(shown, "s.sides.left.answered >= 3")
    shown.watch.complaints.clear()  # the browser's own, of what was cut
    left = snapshot(shown)["sides"]["left"]
    assert complete(left) and left["seq"] >= left["heard"] > 0
    assert left["trouble"]["last"]["lost"] == 0


@pytest.mark.parametrize("name", ["websocket", "sse", "long_polling", "polling"])
def test_a_stall_is_noticed_and_loses_nothing(shown, name):
    """Nobody tells of it. The server's signs of life give it away, or a poll's limit of time; then all comes late."""
    shown.locator(".right .transport").select_option(name)
    wait_until(shown, f"s.sides.right.transport === '{name}' && s.sides.right.heard >= 1")
    choose(shown, "right", "stall")
    right = wait_until(shown, "s.sides.right.trouble.last?.knownS", 30)["sides"]["right"]
    assert right["state"] == "broken" and right["trouble"]["last"]["toS"] is None
    shown.locator(".right .struck", has_text="not back yet").wait_for()
    choose(shown, "right", "none")
    wait_until(shown, "s.sides.right.trouble.last.toS && s.sides.right.trouble.last.late >= 1")
    shown.watch.complaints.clear()
    assert complete(paused(shown)["sides"]["right"])


@pytest.mark.parametrize("name", ["websocket", "sse", "long_polling"])
def test_a_line_that_goes_dead_before_it_opens_is_left(shown, name, monkeypatch):
    """The trouble is there before the page has come by the line: the question is sent, and nobody answers it."""
    shown.locator(".right .transport").select_option(name)
    wait_until(shown, f"s.sides.right.transport === '{name}' && s.sides.right.heard >= 1")
    monkeypatch.setattr(trouble, "LEAD_S", 0)
    choose(shown, "right", "stall")
    right = wait_until(shown, "s.sides.right.trouble.last?.knownS", 30)["sides"]["right"]
    assert right["state"] == "broken" and right["failures"] >= 1
    choose(shown, "right", "none")
    wait_until(shown, "s.sides.right.trouble.last.toS && s.sides.right.trouble.last.late >= 1")
    shown.watch.complaints.clear()
    assert complete(paused(shown)["sides"]["right"])


def test_what_is_refused_goes_on_afterwards(shown):
    """503 for both sides, over and over; then all is heard, late."""
    for side in ("left", "right"):
        choose(shown, side, "refuse")
    wait_until(shown, "['left', 'right'].every((name) => s.sides[name].failures >= 2)", 30)
    for side in ("left", "right"):
        choose(shown, side, "none")
    now = wait_until(shown, "['left', 'right'].every((name) => s.sides[name].trouble.last.late >= 1)")
    shown.watch.complaints.clear()
    for one in now["sides"].values():
        last = one["trouble"]["last"]
        assert last["kind"] == "refuse" and last["fromS"] <= last["knownS"] <= last["toS"]
        assert complete(one)


def test_a_delay_is_in_the_latency_and_in_theory(shown):
    """Of this side, by its amount at least; both say so, and nobody is told."""
    choose(shown, "right", "delay")
    wait_until(shown, "s.sides.right.trouble.last")
    shown.get_by_label("Interval between two polls").focus()
    shown.keyboard.press("End")
    now = wait_until(
        shown, "s.intervalS === 10 && s.sinceS > s.sides.right.trouble.last.fromS && s.sides.right.timed >= 5"
    )
    right, error_s = now["sides"]["right"], now["errorMs"] / 1000
    assert right["measured"]["latency"] >= DELAY_S - error_s
    assert right["expected"]["latency"] == pytest.approx(DELAY_S + error_s)
    assert right["failures"] == 0 and right["state"] == "open" and complete(right)


def test_another_transport_stays_in_trouble_and_a_new_run_is_in_order(shown):
    """A change of transport hears through the same line; a new session has none."""
    choose(shown, "right", "delay")
    wait_until(shown, "s.sides.right.trouble.last")
    shown.locator(".right .transport").select_option("sse")
    right = wait_until(shown, "s.sides.right.transport === 'sse' && s.sides.right.timed >= 2")["sides"]["right"]
    assert right["trouble"]["wanted"] == "delay"
    shown.get_by_role("button", name="Restart").click()
    now = wait_until(shown, "s.nowS < 60 && s.sides.right.heard >= 2")
    assert now["sides"]["right"]["trouble"] == {"wanted": "none", "spans": [], "last": None}
    assert shown.locator(".right select.trouble").input_value() == "none"


def test_a_page_that_is_paused_offers_no_trouble(shown):
    """There is no line then; when it goes on, there is."""
    paused(shown)
    control = shown.get_by_label("Trouble of the left side's line")
    assert control.is_disabled()
    shown.get_by_role("button", name="Go on").click()
    wait_until(shown, "s.sides.left.state === 'open'")
    control.select_option("delay")
    wait_until(shown, "s.sides.left.trouble.last?.kind === 'delay'")
    assert "trouble" not in shown.url


def test_through_the_pages_own_port_it_is_the_same(browser):  # noqa: F811
    """Behind a tunnel for one port the page's server leads to the line."""
    with in_background(LiveServer(speed=SPEED, interval_s=0.5)) as server, browser.new_context() as context:
        shown = context.new_page()
        shown.route("**/reach", lambda route: route.abort())
        shown.goto(server.url)
        wait_until(shown, "s.sides.right.state === 'open' && s.sides.right.way === 'relayed'")
        choose(shown, "right", "cut")
        right = wait_until(shown, "s.sides.right.trouble.last?.toS && s.sides.right.failures >= 1", 20)["sides"][
            "right"
        ]
        assert complete(right) and right["way"] == "relayed"
