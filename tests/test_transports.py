"""Every transport against a real server on port 0: nothing lost, nothing twice, and the fine print of each."""

import asyncio
import contextlib
import json
import socket
import struct
import time

import aiohttp
import pytest
import websockets
from aiohttp import web
from patience import patient
from websockets.asyncio.client import connect

from wsdemo import fanout, far_end
from wsdemo.far_end import Trouble
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader, Refused, Unreachable
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS, conditional, find, habits, http, long_polling, sse, websocket
from wsdemo.updates import Update, every, poisson
from wsdemo.workload import DEFAULT_PACE, Pace

ALL = pytest.mark.parametrize("name", TRANSPORTS)
HTTP = pytest.mark.parametrize("name", [row.name for row in TRANSPORTS.values() if row.scheme == "http"])
REQUESTS = pytest.mark.parametrize("name", ["polling", "conditional", "long_polling"])


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


@contextlib.asynccontextmanager
async def serving(name, feed, guard=None, port=0, pace=DEFAULT_PACE):
    """Serve one transport in this process; give its address and its meter."""
    row, meter = TRANSPORTS[name], Meter()
    sock = listen(meter, port=port)
    port = sock.getsockname()[1]
    async with row.module().serve(feed, sock, guard or Guard(), pace):
        yield row.url(port), meter
    sock.close()


def past(count, log_size=100):
    """Return a feed whose `count` updates were all published a while ago, and which stays as it is."""
    feed = Feed([Update(seq, float(seq), {"n": seq}) for seq in range(1, count + 1)], log_size)
    feed.t0_ns = time.perf_counter_ns() - 10**12
    return feed


async def take(name, url, count, **position):
    """Hear `count` deliveries as a reader that polls often; return their numbers."""
    heard = []
    async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, Reader(0.01, **position))) as deliveries:
        async for delivery in deliveries:
            heard.append(delivery.seq)
            if len(heard) == count:
                return heard


@ALL
def test_every_update_is_heard_once_and_in_order(name):
    """Twenty readers of a fast feed hear the same numbers without a gap."""

    async def scenario():
        async with Feed(poisson(300.0)) as feed, serving(name, feed) as (url, _):
            for heard in await asyncio.gather(*(take(name, url, 40, after=0) for _ in range(20))):
                assert heard == list(range(1, 41))

    run(scenario())


@ALL
def test_a_reader_resumes_from_its_position(name):
    """`after` and `epoch` bring exactly what came since."""

    async def scenario():
        feed = past(9)
        async with serving(name, feed) as (url, _):
            assert await take(name, url, 4, after=5, epoch=feed.epoch) == [6, 7, 8, 9]

    run(scenario())


@ALL
def test_a_new_reader_starts_at_the_newest(name):
    """No position: old news is not news."""

    async def scenario():
        async with Feed(every(0.02)) as feed:
            await feed.wait(4)
            async with serving(name, feed) as (url, _):
                newest = feed.seq
                heard = await take(name, url, 3)
                assert heard[0] > newest and heard == list(range(heard[0], heard[0] + 3))

    run(scenario())


@ALL
@pytest.mark.parametrize("position", [{"after": 3, "epoch": "of-another-server"}, {"after": 99, "epoch": None}])
def test_a_position_that_leads_nowhere_is_said_and_mended(name, position):
    """Another epoch, or a seq from the future: the reader counts a reset and hears the whole log."""

    async def scenario():
        feed = past(6, log_size=3)
        reader = Reader(0.01, after=position["after"], epoch=position["epoch"] or feed.epoch)
        async with serving(name, feed) as (url, _):
            heard = []
            async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, reader)) as deliveries:
                async for delivery in deliveries:
                    heard.append(delivery.seq)
                    if len(heard) == 3:
                        break
        assert heard == [4, 5, 6]
        assert reader.resets == 1 and reader.epoch == feed.epoch

    run(scenario())


@ALL
def test_readers_who_leave_leave_nothing_behind(name):
    """When every client has gone, the server holds no connection and no task of theirs."""

    async def scenario():
        feed = past(3)
        async with serving(name, feed) as (url, meter):
            before = len(asyncio.all_tasks())
            hear = TRANSPORTS[name].module().hear
            readers = [Reader(30.0) for _ in range(10)]

            async def attend(reader):
                async for _ in hear(url, reader):
                    pass

            tasks = [asyncio.create_task(attend(reader)) for reader in readers]
            await asyncio.gather(*(reader.is_open.wait() for reader in readers))
            assert meter.open_now == 10
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(patient(20)):
                while meter.open_now or len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - nothing tells the end
                    await asyncio.sleep(0.01)

    run(scenario())


@ALL
def test_nobody_there_is_explained(name):
    """The first question must be answered; the error names the address and asks the right question."""

    async def scenario():
        with listen(Meter()) as sock:
            url = TRANSPORTS[name].url(sock.getsockname()[1])
        with pytest.raises(Unreachable, match="is the server running"):
            await take(name, url, 1)

    run(scenario())


@ALL
def test_a_server_that_says_no_is_quoted(name):
    """A full server's sentence reaches the reader as an error with the status."""

    async def scenario():
        async with serving(name, past(1), Guard(max_connections=0)) as (url, _):
            with pytest.raises(Refused, match="All 0 connections") as caught:
                await take(name, url, 1, after=0)
            assert caught.value.status == 503

    run(scenario())


@ALL
def test_a_dead_proxy_in_the_environment_does_not_matter(name, monkeypatch):
    """Loopback traffic never goes through HTTP_PROXY."""
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")

    async def scenario():
        async with serving(name, past(2)) as (url, _):
            assert await take(name, url, 2, after=0) == [1, 2]

    run(scenario())


@HTTP
@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_strangers_are_refused_over_http(name, headers, status):
    """Host and Origin are checked before anything is answered, with a sentence as JSON."""

    async def scenario():
        async with serving(name, past(1)) as (url, meter), aiohttp.ClientSession() as session:
            async with session.get(url, headers=headers) as response:
                assert response.status == status
                assert (await response.json())["error"].endswith((".", "address."))
            assert (meter.requests, meter.wasted) == (1, 0)

    run(scenario())


@HTTP
@pytest.mark.parametrize("after", ["-1", "x", "", "1.5"])
def test_a_malformed_position_is_a_400_that_helps(name, after):
    """The answer says what is wrong and where the feed stands."""

    async def scenario():
        feed = past(4)
        async with serving(name, feed) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url, params={"after": after}) as response:
                assert response.status == 400
                message = await response.json()
        assert "whole number" in message["error"]
        assert (message["epoch"], message["seq"], message["recovered"]) == (feed.epoch, 4, False)

    run(scenario())


@HTTP
def test_an_unknown_path_is_a_404(name):
    """Only /updates is served."""

    async def scenario():
        async with serving(name, past(1)) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url.replace("/updates", "/nothing")) as response:
                assert response.status == 404

    run(scenario())


@REQUESTS
def test_a_log_that_was_cut_is_said_openly(name):
    """`recovered` is False where updates are gone, True where none is."""

    async def scenario():
        feed = past(9, log_size=4)
        async with serving(name, feed) as (url, _), aiohttp.ClientSession() as session:
            for after, recovered in ((5, True), (4, False)):
                async with session.get(url, params={"after": after, "epoch": feed.epoch}) as response:
                    message = await response.json()
                assert message["recovered"] is recovered
                assert [update["seq"] for update in message["updates"]] == [6, 7, 8, 9]

    run(scenario())


def test_not_modified_has_no_body_and_the_same_tag():
    """304 where If-None-Match names the newest position; 200 and a new ETag where it does not."""

    async def scenario():
        async with serving("conditional", past(4)) as (url, meter), aiohttp.ClientSession() as session:
            async with session.get(url, params={"after": 4}) as response:
                assert response.status == 200
                tag = response.headers["ETag"]
            async with session.get(url, params={"after": 4}, headers={"If-None-Match": tag}) as response:
                assert (response.status, response.headers["ETag"]) == (304, tag)
                assert await response.read() == b""
            async with session.get(url, params={"after": 2}, headers={"If-None-Match": '"x-2"'}) as response:
                assert response.status == 200 and len((await response.json())["updates"]) == 2
            assert meter.wasted == 2

    run(scenario())


def test_a_long_poll_is_held_until_there_is_news():
    """Nothing new: no answer. The next update answers it, and a reader with an old cursor never waits."""

    async def scenario():
        coming = asyncio.Event()
        feed = past(2)
        async with serving("long_polling", feed) as (url, _), aiohttp.ClientSession() as session:

            async def ask():
                async with session.get(url, params={"after": 2, "epoch": feed.epoch}) as response:
                    return await response.json()

            held = asyncio.create_task(ask())
            async with session.get(url, params={"after": 1, "epoch": feed.epoch}) as response:
                assert [update["seq"] for update in (await response.json())["updates"]] == [2]
            assert not held.done()
            feed._next = Update(3, 3.0, {"n": 3})
            assert feed.seq == 3  # looking publishes what is due, and wakes who waits
            assert [update["seq"] for update in (await held)["updates"]] == [3]
            coming.set()

    run(scenario())


def test_a_long_poll_that_times_out_is_empty_and_wasted():
    """After the timeout the answer has no updates, and both sides count a wasted request."""

    async def scenario():
        async with serving("long_polling", past(1), pace=Pace(hold_s=0.02)) as (url, meter):
            reader = Reader()

            async def attend():
                async for _ in long_polling.hear(url, reader):
                    pass

            task = asyncio.create_task(attend())
            async with asyncio.timeout(patient(20)):
                while meter.wasted < 6:  # noqa: ASYNC110 - the meter tells nobody
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            answered = [request for request in reader.requests if request.wasted is not None]
            assert all(request.wasted for request in answered)
            assert len(answered) in (meter.wasted, meter.wasted - 1)

    run(scenario())


def test_the_event_stream_is_what_the_standard_says():
    """Content type, id, event, retry and data, and comments as heartbeats."""

    async def scenario():
        feed = past(2)
        async with serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url, headers={"Last-Event-ID": f"{feed.epoch}-1"}) as response:
                assert response.content_type == "text/event-stream"
                events = sse.read_events(response.content)
                position, update = await anext(events), await anext(events)
        assert position["event"] == "position" and position["retry"] == str(sse.RETRY_MS)
        assert json.loads(position["data"])["recovered"] is True
        assert update["id"] == f"{feed.epoch}-2" and json.loads(update["data"])["seq"] == 2

    run(scenario())


async def events_of(pieces):
    """Return the events of a stream that arrives in these pieces."""

    async def stream():
        for piece in pieces:
            yield piece

    return [event async for event in sse.read_events(stream())]


@pytest.mark.parametrize(
    "text, expected",
    [
        (b"data: a\n\n", [{"data": "a"}]),
        (b"data:a\r\ndata: b\r\n\r\n", [{"data": "a\nb"}]),
        (b": comment\n\nid: 1\ndata\n\n", [{"id": "1", "data": ""}]),
        (b"event: e\n\ndata:  two\n\n", [{"data": " two"}]),
        (b"data: cut off", []),
    ],
)
def test_events_are_parsed_as_the_standard_says(text, expected):
    """The cases of WHATWG HTML section 9.2.6: comments, several data lines, missing colon, an unfinished event."""

    assert run(events_of(text.splitlines(keepends=True))) == expected


@pytest.mark.parametrize(
    "headers, path, status",
    [
        ({"Origin": "http://evil.example"}, "/updates", 403),
        ({"origin": "http://evil.example"}, "/updates", 403),
        ({"Host": "localhost"}, "/updates", 400),  # beside the one that every client sends
        ({}, "/nothing", 404),
        ({}, "/updates?after=x", 400),
        ({}, "/updates?after=", 400),
        ({"Origin": "http://localhost", "origin": "http://evil.example"}, "/updates", 400),
    ],
)
def test_strangers_are_refused_before_the_upgrade(headers, path, status):
    """A WebSocket that may not open is answered with a status and a sentence, not with an open socket."""

    async def scenario():
        async with serving("websocket", past(1)) as (url, _):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await connect(url.replace("/updates", path), proxy=None, additional_headers=headers)
            assert caught.value.response.status_code == status
            assert caught.value.response.body

    run(scenario())


def test_a_rebound_name_is_misdirected_before_the_upgrade():
    """A page's own name that leads to 127.0.0.1 arrives in Host, however it is written: 421."""

    async def scenario():
        async with serving("websocket", past(1)) as (url, _):
            port = int(url.split(":")[2].split("/")[0])
            with pytest.raises(websockets.InvalidStatus) as caught:
                await connect(f"ws://evil.example:{port}/updates", proxy=None, host="127.0.0.1", port=port)
            assert caught.value.response.status_code == 421

    run(scenario())


def test_pings_and_useless_words_do_not_disturb_the_push():
    """The stream only speaks, but pings are answered and what a client says is let go."""

    async def scenario():
        async with Feed(every(0.02)) as feed, serving("websocket", feed) as (url, _):
            async with connect(url, proxy=None) as connection:
                await connection.send("hello?")
                await (await connection.ping())
                seqs = [json.loads(await connection.recv())["seq"] for _ in range(5)]
                position, *updates = seqs
                assert updates == list(range(position + 1, position + 5))

    run(scenario())


def test_a_stalled_reader_is_cut_off_and_the_others_hear_everything(monkeypatch):
    """Its buffer stays under the bound, nobody waits for it, and it can come back without loss."""
    monkeypatch.setattr(fanout, "MAX_BUFFERED_BYTES", 200_000)
    big = [Update(seq, seq / 500, {"text": "x" * 20_000}) for seq in range(1, 401)]

    async def scenario():
        async with Feed(big, log_size=1000) as feed, serving("websocket", feed) as (url, meter):
            # A raw client that shakes hands and then reads nothing: its receive buffer is small and fills at once.
            stalled = socket.socket()
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(stalled, ("127.0.0.1", int(url.split(":")[2].split("/")[0])))
            await loop.sock_sendall(
                stalled,
                b"GET /updates HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            heard = await take("websocket", url, 400, after=0)
            assert heard == list(range(1, 401))
            assert meter.aborted == 1
            stalled.close()
            assert await take("websocket", url, 390, after=10, epoch=feed.epoch) == list(range(11, 401))

    run(scenario())


@pytest.mark.parametrize("name", ["sse", "websocket", "long_polling"])
def test_twenty_cut_connections_lose_nothing(name):
    """A proxy in the middle resets the connection (RST); the reader resumes each time: 0 lost, 0 twice."""

    async def scenario():
        async with Feed(poisson(300.0)) as feed, serving(name, feed) as (url, _):
            port = int(url.split(":")[2].split("/")[0])
            legs, accepted = set(), []

            async def pass_on(reader, writer):
                with contextlib.suppress(ConnectionError):
                    while data := await reader.read(65536):
                        writer.write(data)
                        await writer.drain()
                writer.close()

            async def relay(reader, writer):
                legs.add(writer)
                accepted.append(writer)
                up, to = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pass_on(reader, to), pass_on(up, writer))
                legs.discard(writer)

            def cut():
                # A reader may be leaving at this very moment; its socket is closed already.
                for writer in [leg for leg in legs if not leg.transport.is_closing()]:
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()

            async with await asyncio.start_server(relay, "127.0.0.1", 0) as middle:
                address = TRANSPORTS[name].url(middle.sockets[0].getsockname()[1])
                reader, heard, cuts, mark = Reader(after=0), [], 0, 0
                async with contextlib.aclosing(TRANSPORTS[name].module().hear(address, reader)) as deliveries:
                    async for delivery in deliveries:
                        heard.append(delivery.seq)
                        reconnected, news = len(accepted) > cuts, len(heard) - mark
                        if cuts < 20 and reconnected and news >= 5:
                            cuts, mark = cuts + 1, len(heard)
                            # A little later, so that a long poll is held and not between two requests.
                            asyncio.get_running_loop().call_later(0.002, cut)
                        elif cuts == 20 and reconnected and news >= 5:
                            break
                assert heard == list(range(1, len(heard) + 1))
                assert (cuts, reader.duplicates, reader.resets) == (20, 0, 0)
                assert len(accepted) == 21

    run(scenario())


@ALL
def test_a_restarted_server_is_noticed(name):
    """A new server on the same port has another epoch: the reader counts a reset and goes on with the new numbers."""

    async def scenario():
        reader = Reader(0.02, after=0)
        heard = []
        with listen(Meter()) as sock:
            port = sock.getsockname()[1]
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(serving(name, past(3), port=port))
            deliveries = TRANSPORTS[name].module().hear(TRANSPORTS[name].url(port), reader)
            async for delivery in deliveries:
                heard.append(delivery.seq)
                if len(heard) == 3:
                    break
        async with serving(name, past(2), port=port):
            async for delivery in deliveries:
                heard.append(delivery.seq)
                if len(heard) == 5:
                    break
        await deliveries.aclose()
        assert heard == [1, 2, 3, 1, 2]
        assert reader.resets == 1

    run(scenario())


def test_the_registry_explains_a_wrong_name():
    """Unknown, repeated and missing names are refused, and the sentence lists what there is."""
    cases = ((["pigeon"], "'pigeon': choose from polling"), (["sse", "sse"], "once"), ([], "no transport named"))
    for names, words in cases:
        with pytest.raises(ValueError, match=words):
            find(names)


def test_every_row_has_the_same_two_names_and_its_own_colour():
    """Adding a transport is one file and one row: `serve` and `hear`, a label, a colour of its own."""
    rows = list(TRANSPORTS.values())
    assert all(callable(row.module().serve) and callable(row.module().hear) for row in rows)
    assert len({row.colour for row in rows}) == len({row.label for row in rows}) == len(rows) >= 5


# --- what nobody would notice without these ---------------------------------------------------------------------------


def test_an_etag_of_another_history_is_not_this_ones():
    """A restarted server may stand at the same seq; only the epoch in the tag tells that it is another one."""

    async def scenario():
        before, after = past(4), past(4)
        async with aiohttp.ClientSession() as session:
            async with serving("conditional", before) as (url, _), session.get(url, params={"after": 4}) as response:
                tag = response.headers["ETag"]
            async with serving("conditional", after) as (url, _):
                query = {"after": 4, "epoch": before.epoch}
                async with session.get(url, params=query, headers={"If-None-Match": tag}) as response:
                    assert response.status == 200
                    assert (await response.json())["recovered"] is False

    run(scenario())


def test_the_push_table_forgets_who_has_left(monkeypatch):
    """A reader's place in the table, and its socket, live as long as its connection."""
    pushes = []

    class Seen(websocket.Push):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pushes.append(self)

    monkeypatch.setattr(websocket, "Push", Seen)

    async def scenario():
        async with serving("websocket", past(2)) as (url, _):
            async with connect(url, proxy=None) as leaver, connect(url, proxy=None) as stayer:
                for connection in (leaver, stayer):
                    await connection.recv()
                (push,) = pushes
                async with asyncio.timeout(patient(20)):
                    while len(push.readers) < 2:  # noqa: ASYNC110 - the table tells nobody
                        await asyncio.sleep(0.01)
                    await leaver.close()
                    while len(push.readers) > 1:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                assert push.readers.seq == 2

    run(scenario())


async def wait_until_alone(meter):
    """Wait until the server holds no connection; the bound ends a hopeless wait."""
    async with asyncio.timeout(patient(20)):
        while meter.open_now:  # noqa: ASYNC110 - the meter tells nobody
            await asyncio.sleep(0.01)


def test_who_does_not_catch_up_in_time_is_cut_off(monkeypatch):
    """A reader that asks for a long log and then reads nothing holds a connection for CATCH_UP_S, not for ever."""
    monkeypatch.setattr(websocket, "CATCH_UP_S", 0.1)
    monkeypatch.setitem(websocket.LIMITS, "close_timeout", 0.1)
    feed = Feed([Update(seq, 0.0, {"text": "x" * 50_000}) for seq in range(1, 400)], 1000)
    feed.t0_ns = time.perf_counter_ns() - 10**12

    async def scenario():
        async with serving("websocket", feed) as (url, meter):
            with socket.socket() as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.setblocking(False)
                loop = asyncio.get_running_loop()
                port = int(url.split(":")[2].split("/")[0])
                await loop.sock_connect(stalled, ("127.0.0.1", port))
                await loop.sock_sendall(
                    stalled,
                    f"GET /updates?after=0&epoch={feed.epoch} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode(),
                )
                async with asyncio.timeout(patient(20)):
                    while not meter.connections:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await wait_until_alone(meter)

    run(scenario())


def test_a_silent_stream_is_kept_alive_by_comments():
    """While nothing happens, a line that starts with a colon comes once a heartbeat (WHATWG HTML, section 9.2.7)."""

    async def scenario():
        async with (
            serving("sse", past(1), pace=Pace(comment_s=0.01)) as (url, _),
            aiohttp.ClientSession() as session,
            session.get(url) as response,
        ):
            comments = 0
            async with asyncio.timeout(patient(20)):
                async for line in response.content:
                    comments += line.startswith(b":")
                    if comments == 5:
                        return

    run(scenario())


def test_a_stream_that_falls_silent_is_left_and_asked_for_again():
    """Two heartbeats that do not come mean that the server is gone, although its connection stands."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    place = json.dumps({"epoch": "e", "seq": 0, "recovered": True})
    news = json.dumps({"seq": 1, "at_s": 0.0, "published_at_ns": 0, "data": {}})
    answers = []

    async def answer(reader, writer):
        answers.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + f"event: position\ndata: {place}\n\n".encode())
        if len(answers) == 2:
            writer.write(f"id: e-1\ndata: {news}\n\n".encode())
        await reader.read()  # silent from now on, until the client leaves
        writer.close()
        await writer.wait_closed()

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/updates"
            reader = Reader(pace=Pace(comment_s=0.1))
            async with asyncio.timeout(patient(20)), contextlib.aclosing(sse.hear(url, reader)) as deliveries:
                assert (await anext(deliveries)).seq == 1
            await asyncio.gather(*answers)
            assert (len(answers), reader.failures) == (2, 1)

    run(scenario())


# --- sources as they are ----------------------------------------------------------------------------------------------


def third(duration_s=0.6):
    """Return every third update of a schedule: a filtered source, whose numbers have gaps."""
    return [update for update in poisson(100.0).updates(duration_s) if update.seq % 3 == 0]


@ALL
def test_every_update_of_a_filtered_source_is_heard_once(name):
    """While they come, by readers who were there before; nobody counts on one number after the other."""

    async def scenario():
        updates = third()
        async with asyncio.timeout(patient(20)), Feed(updates) as feed, serving(name, feed) as (url, _):
            for heard in await asyncio.gather(*(take(name, url, len(updates), after=0) for _ in range(5))):
                assert heard == [update.seq for update in updates]


# --- mistakes that would pass for a slow machine ----------------------------------------------------------------------


def told(seq, *seqs):
    """Return the answer of a feed that stands at `seq`, with these updates."""
    updates = [{"seq": n, "at_s": 0.0, "published_at_ns": 0, "data": {}} for n in seqs]
    return {"epoch": "e", "seq": seq, "recovered": True, "updates": updates}


def test_a_poll_without_an_answer_is_counted_and_the_next_one_is_made(monkeypatch):
    """A fault of the line is counted; and a poll that brings only what is known was wasted."""
    answers = iter([told(0), Trouble(), told(1, 1), told(1, 1), told(1)])

    async def no_wait(*_):
        pass

    monkeypatch.setattr(habits, "_wait_between_polls", no_wait)

    async def ask(_):
        if isinstance(answer := next(answers), Exception):
            raise answer
        return answer

    async def scenario():
        reader = Reader(0.001, phase_s=0.0, duration_s=0.0025)
        asking = habits.asks("http://nobody/", reader, contextlib.nullcontext(), ask)
        heard = [delivery.seq async for delivery in asking]
        assert heard == [1]
        assert [request.wasted for request in reader.requests] == [None, None, False, True, True]
        assert (reader.failures, reader.duplicates) == (1, 1)

    run(scenario())


@ALL
@pytest.mark.parametrize("after", [0, 1, 3, 4, 11, 32])
def test_a_reader_resumes_in_a_filtered_source(name, after):
    """From a number that was published as from one that never was, after the fact."""

    async def scenario():
        feed = Feed(third(0.5))
        feed.t0_ns = time.perf_counter_ns() - 10**12
        wanted = [update.seq for update in third(0.5) if update.seq > after]
        async with asyncio.timeout(patient(20)), serving(name, feed) as (url, _):
            assert await take(name, url, len(wanted), after=after, epoch=feed.epoch) == wanted

    run(scenario())


@ALL
def test_late_updates_are_heard_in_their_place(name):
    """An update of a moment that is over comes at once, behind the one before it."""
    updates = [Update(1, 0.05, {}), Update(2, 0.01, {}), Update(5, -3.0, {}), Update(6, 0.1, {}), Update(7, 0.1, {})]

    async def scenario():
        async with asyncio.timeout(patient(20)), Feed(updates) as feed, serving(name, feed) as (url, _):
            assert await take(name, url, 5, after=0) == [1, 2, 5, 6, 7]

    run(scenario())


@ALL
def test_a_bad_update_on_the_way_ends_server_and_reader_with_a_sentence(name):
    """It is made while the feed runs; nobody hears it, and whoever runs the feed is told its name."""

    def source():
        yield Update(1, 0.0, {})
        yield Update(2, 0.05, {"x": float("nan")})
        yield Update(3, 0.06, {})

    async def scenario():
        heard = []
        with pytest.raises(ValueError, match="update 2 cannot be sent as JSON"):
            async with asyncio.timeout(patient(20)), Feed(source()) as feed, serving(name, feed) as (url, _):
                async for delivery in TRANSPORTS[name].module().hear(url, Reader(0.01, after=0)):
                    heard.append(delivery.seq)
        assert set(heard) <= {1}
        assert asyncio.current_task().cancelling() == 0

    run(scenario())


def test_a_stream_that_is_cut_before_its_first_update_resumes_without_loss():
    """The id of its first event, which has no update yet, is a position: also in a filtered source, and a cut log."""

    async def first_two(session, url, **options):
        async with session.get(url, **options) as response:
            events = sse.read_events(response.content)
            return [await anext(events) for _ in range(2)]

    async def scenario():
        feed = Feed(third(0.5), 5)
        feed.t0_ns = time.perf_counter_ns() - 10**12
        async with asyncio.timeout(patient(20)), serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            for after in (0, feed.since(0).news[1].seq, feed.since(0).news[1].seq + 1):
                position, update = await first_two(session, url, params={"after": after})
                again, same = await first_two(session, url, headers={"Last-Event-ID": position["id"]})
                assert same == update and again["id"] == position["id"]
                assert json.loads(again["data"])["recovered"] is True

    run(scenario())


# --- HTTP as it is ----------------------------------------------------------------------------------------------------


async def say(url, *lines, first="GET {path} HTTP/1.1"):
    """Send these lines as they are, "{h}" for the server's address, and return the answer's status, head and body."""
    at = aiohttp.client.URL(url.replace("ws:", "http:"))
    handshake = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
    text = "\r\n".join([first.format(path=at.path_qs), *lines, *(handshake * url.startswith("ws:")), "", ""])
    writer.write(text.replace("{h}", f"127.0.0.1:{at.port}").encode())
    async with asyncio.timeout(patient(20)):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        body = (await reader.readexactly(int(length[0]))).decode() if length else ""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(head.split()[1]), head, body


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TWICE = {
    "two Hosts": ("", ["Host: {h}", "Host: evil.example"]),
    "the same Host twice": ("", ["Host: {h}", "Host: {h}"]),
    "no Host": ("", []),
    "two Origins": ("", ["Host: {h}", "Origin: http://{h}", "Origin: http://evil.example"]),
    "the same Origin twice": ("", ["Host: {h}", "Origin: http://{h}", "origin: http://{h}"]),
    "two positions": ("?after=1&after=2", ["Host: {h}"]),
    "the same position twice": ("?after=1&epoch=x&after=1", ["Host: {h}"]),
    "two epochs": ("?after=1&epoch=x&epoch=y", ["Host: {h}"]),
}


@ALL
@pytest.mark.parametrize("case", TWICE)
def test_what_may_be_given_once_and_is_given_twice_is_a_400(case, name):
    """By every transport alike, with a sentence: nobody could say which of the two was meant."""
    query, lines = TWICE[case]

    async def scenario():
        async with serving(name, past(3)) as (url, _):
            status, _, body = await say(url + query, *lines)
            assert status == 400 and len(body.split()) > 3

    run(scenario())


@pytest.mark.parametrize(
    "last", ["garbage", "x-y", "-2", "{e}", "{e}-", "{e}-x", "{e}-1-2", "{e}--2", "{e}-9", "2", "-"]
)
def test_a_malformed_last_event_id_is_not_recovered(last):
    """It leads nowhere, which is said, and the whole log follows; a 400 would end a browser's EventSource for good."""

    async def scenario():
        feed = past(3)
        async with asyncio.timeout(patient(20)), serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            headers = {"Last-Event-ID": last.replace("{e}", feed.epoch)}
            async with session.get(url, headers=headers) as response:
                assert response.status == 200
                events = sse.read_events(response.content)
                position, *updates = [json.loads((await anext(events))["data"]) for _ in range(4)]
        assert position["recovered"] is False
        assert [update["seq"] for update in updates] == [1, 2, 3]

    run(scenario())


@pytest.mark.parametrize("last", ["", "{e}-1"])
def test_a_last_event_id_that_is_one_or_is_empty_is_recovered(last):
    """An empty one is none, as WHATWG HTML has it: the address says the position then."""

    async def scenario():
        feed = past(3)
        async with asyncio.timeout(patient(20)), serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            headers = {"Last-Event-ID": last.replace("{e}", feed.epoch)}
            async with session.get(url, params={"after": "1"}, headers=headers) as response:
                events = sse.read_events(response.content)
                position, update = [json.loads((await anext(events))["data"]) for _ in range(2)]
        assert position["recovered"] is True and update["seq"] == 2

    run(scenario())


def test_two_last_event_ids_are_a_400():
    """The server would have to choose where the reader is."""

    async def scenario():
        feed = past(3)
        async with serving("sse", feed) as (url, _):
            ids = [f"Last-Event-ID: {feed.epoch}-{seq}" for seq in (1, 2)]
            status, _, body = await say(url, "Host: {h}", *ids)
            assert status == 400 and "Last-Event-ID may be given once" in body

    run(scenario())


MATCHES = ["{t}", "W/{t}", '"x", {t}', '{t},"x"', '"x",W/{t} , "y"', "*", " * ", ", ,{t},", '"a,b", {t}', '"", {t}']
OTHERS = ["", '"x"', 'W/"x"', '"x", "y"', "{b}", "w/{t}", "W/ {t}", '"*"', '"{t}"']
BROKEN = ['{t} "x"', '"x" {t}', "*, {t}", "{t}x", "{t}; {t}"]


@pytest.mark.parametrize("header, status", [*((one, 304) for one in MATCHES), *((one, 200) for one in OTHERS + BROKEN)])
def test_if_none_match_is_read_as_the_rfc_says(header, status):
    """RFC 9110, section 13.1.2: a list, weak tags compared like strong ones, "*"; anything else names nothing."""

    async def scenario():
        feed = past(3)
        tag = f'"{feed.epoch}-3"'
        async with serving("conditional", feed) as (url, _), aiohttp.ClientSession() as session:
            sent = header.replace("{t}", tag).replace("{b}", tag.strip('"'))
            async with session.get(url, params={"after": 3}, headers={"If-None-Match": sent}) as response:
                assert (response.status, response.headers["ETag"]) == (status, tag)
            assert conditional.names(sent, tag) == (status == 304)

    run(scenario())


def test_if_none_match_may_stand_on_several_lines():
    """Two lines of a list are one list (RFC 9110, section 5.3)."""

    async def scenario():
        feed = past(3)
        async with serving("conditional", feed) as (url, _):
            lines = ('If-None-Match: "x"', f'If-None-Match: W/"{feed.epoch}-3"')
            assert (await say(f"{url}?after=3", "Host: {h}", *lines))[0] == 304

    run(scenario())


@contextlib.asynccontextmanager
async def changing_tags(url, there, back):
    """Run a proxy that passes GETs on; `there` changes what stands in If-None-Match, `back` the ETag. Gives its log."""
    answers = []

    async def pass_on(request):
        given = request.headers.get("If-None-Match")
        headers = {} if given is None else {"If-None-Match": there(given)}
        async with aiohttp.ClientSession() as session, session.get(url, params=request.query, headers=headers) as far:
            response = web.Response(status=far.status, body=await far.read(), content_type="application/json")
            response.headers["ETag"] = back(far.headers["ETag"])
            answers.append((given, far.status))
            return response

    app = web.Application()
    app.router.add_get("/updates", pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"{site.name}/updates", answers
    finally:
        await runner.cleanup()


PROXIES = {
    "weakens": (lambda given: given, lambda tag: f"W/{tag}"),  # as nginx, when it compresses
    "marks": (  # as Apache, when it compresses
        lambda given: given.replace('-gzip"', '"') if "-gzip" in given else '"x"',
        lambda tag: tag[:-1] + '-gzip"',
    ),
}


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_that_changes_tags_still_brings_a_304(proxy):
    """The client sends the tag back as it came, so that whoever changed it knows it; and the server compares weakly."""

    async def scenario():
        feed = past(3)
        async with serving("conditional", feed) as (url, meter), changing_tags(url, *PROXIES[proxy]) as (way, answers):
            reader = Reader(0.01, duration_s=0.05)
            async with asyncio.timeout(patient(20)):
                assert [delivery async for delivery in conditional.hear(way, reader)] == []
            (opening, *polls) = answers
            assert opening == (None, 200) and len(polls) >= 5
            assert polls == [(PROXIES[proxy][1](f'"{feed.epoch}-3"'), 304)] * len(polls)
            assert meter.wasted == len(answers) and reader.failures == 0

    run(scenario())


def test_a_tag_is_sent_only_from_where_it_was_given():
    """A reader that did not get everything up to the tag's position has no answer that a 304 could stand for."""
    asked = []

    async def one_at_a_time(request):
        asked.append((request.query.get("after"), request.headers.get("If-None-Match")))
        seq = min(3, int(request.query.get("after", 0)) + 1)
        news = {"seq": seq, "at_s": 0.0, "published_at_ns": 0, "data": {}}
        message = {"epoch": "e", "seq": 3, "recovered": True, "updates": [news]}
        return web.json_response(message, headers={"ETag": '"e-3"'})

    async def scenario():
        app = web.Application()
        app.router.add_get("/updates", one_at_a_time)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async for _ in conditional.hear(f"{site.name}/updates", Reader(0.01, duration_s=0.035, after=0)):
            pass
        await runner.cleanup()

    run(scenario())
    assert asked == [("0", None), ("1", None), ("2", None), ("3", '"e-3"'), ("3", '"e-3"')]


def test_a_server_without_tags_is_polled_without_them():
    """Some proxies take them away; then the polls are plain ones."""

    async def scenario():
        async with serving("polling", past(3)) as (url, _):
            assert await take("conditional", url, 2, after=1) == [2, 3]

    run(scenario())


ORIGINS = {
    "the page's own": ("http://{h}", Guard(), 204),
    "one that is allowed": ("http://127.0.0.1:5500", Guard(allowed_origins=["http://127.0.0.1:5500"]), 204),
    "a page from a file": ("null", Guard(allowed_origins=["null"]), 204),
    "one that is not": ("http://evil.example", Guard(allowed_origins=["http://127.0.0.1:5500", "null"]), 403),
    "a page from a file where none is allowed": ("null", Guard(), 403),
}


@HTTP
@pytest.mark.parametrize("case", ORIGINS)
def test_a_browser_that_asks_beforehand_is_answered(case, name):
    """WHATWG Fetch, section 4.8: 204 with what may be asked, for how long, and for whom; 403 to a page that may not."""
    origin, guard, status = ORIGINS[case]

    async def scenario():
        async with serving(name, past(1), guard) as (url, meter):
            at = f"127.0.0.1:{aiohttp.client.URL(url).port}"
            ask = ("Host: {h}", f"Origin: {origin}", "Access-Control-Request-Method: GET")
            more = ("Access-Control-Request-Headers: if-none-match", "Access-Control-Request-Private-Network: true")
            answered, head, body = await say(url, *ask, *more, first="OPTIONS {path} HTTP/1.1")
            assert (answered, meter.requests, meter.wasted) == (status, 1, 0)
            told = dict(line.split(": ", 1) for line in head.strip().splitlines()[1:])
            if status == 403:
                assert not any(header.startswith("Access-Control") for header in told) and "may not use" in body
                return
            assert body == "" and "Content-Length" not in told
            assert told["Access-Control-Allow-Origin"] == origin.replace("{h}", at)
            assert told["Access-Control-Allow-Methods"] == "GET"
            assert "If-None-Match, Last-Event-ID" in told["Access-Control-Allow-Headers"]
            assert int(told["Access-Control-Max-Age"]) > 0 and told["Vary"] == "Origin"
            assert told["Access-Control-Allow-Private-Network"] == "true"
            _, head, _ = await say(url, *ask, first="OPTIONS {path} HTTP/1.1")
            assert "Private-Network" not in head

    run(scenario())


@HTTP
def test_an_options_that_is_no_such_question_is_what_it_was(name):
    """Without an Origin, or without the method that is meant: 405. Where nothing is: 404."""

    async def scenario():
        async with serving(name, past(1)) as (url, _):
            ask = ("Host: {h}", "Origin: http://{h}", "Access-Control-Request-Method: GET")
            for lines in (ask[:1], ask[:2], (ask[0], ask[2])):
                assert (await say(url, *lines, first="OPTIONS {path} HTTP/1.1"))[0] == 405
            assert (await say(url, *ask, first="OPTIONS /nothing HTTP/1.1"))[0] == 404

    run(scenario())


STREAMS = {
    "CR alone": (b"id: 1\rdata: a\rdata: b\r\rdata: c\r\r", [{"id": "1", "data": "a\nb"}, {"id": "1", "data": "c"}]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [{"data": "a"}, {"data": "b"}]),
    "all three": (b"data: a\rdata: b\r\ndata: c\n\r\ndata: d\n\n", [{"data": "a\nb\nc"}, {"data": "d"}]),
    "LF and CR are two ends": (b"data: a\n\rdata: b\n\n", [{"data": "a"}, {"data": "b"}]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [{"data": "a"}]),
    "a second one is text": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbf\n\n", [{"data": "\ufeff"}]),
    "bad UTF-8": (b"data: a\xffb\xe2\x82\n\ndata: c\n\n", [{"data": "a\ufffdb\ufffd"}, {"data": "c"}]),
    "good UTF-8": ("data: 水 é 😀\n\n".encode(), [{"data": "水 é 😀"}]),
    "line ends of Unicode are text": ("data: a\u2028b\x0bc\x85d\n\n".encode(), [{"data": "a\u2028b\x0bc\x85d"}]),
    "an id with NUL": (b"id: 1\0\ndata: a\n\n", [{"data": "a"}]),
    "an id stays": (b"id: 1\n\ndata: a\n\nid\ndata: b\n\n", [{"id": "1", "data": "a"}, {"id": "", "data": "b"}]),
    "a type does not": (b"event: e\n\ndata: a\n\nevent: e\ndata: b\n\n", [{"data": "a"}, {"event": "e", "data": "b"}]),
    "the last type counts": (b"event: e\nevent: f\ndata: a\n\n", [{"event": "f", "data": "a"}]),
    "a wait of digits": (b"retry: 10\nretry: 1x\nretry: -1\nretry:\ndata: a\n\n", [{"retry": "10", "data": "a"}]),
    "unknown fields": (b"Data: x\n data: x\nfoo: y\nfoo\ndata: a\n\n", [{"data": "a"}]),
    "one space is taken off": (b"data:  a\ndata:b\ndata\ndata: \n\n", [{"data": " a\nb\n\n"}]),
    "comments and blank lines": (b": x\n\n\n:\ndata: a\n: y\ndata: b\n\n", [{"data": "a\nb"}]),
    "colons in a value": (b"data: a: b\n\n", [{"data": "a: b"}]),
    "an end that is missing": (b"data: a\n\ndata: b\n", [{"data": "a"}]),
    "a last line without its end": (b"data: a\n\ndata: b\n\ndata: c", [{"data": "a"}, {"data": "b"}]),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_read_as_the_standard_says_however_it_is_cut(case):
    """WHATWG HTML, section 9.2.6: in one piece, in two at every place, and byte by byte."""
    text, expected = STREAMS[case]

    async def scenario():
        assert await events_of([text]) == expected
        for cut in range(len(text) + 1):
            assert await events_of([text[:cut], b"", text[cut:]]) == expected
        assert await events_of([text[i : i + 1] for i in range(len(text))]) == expected

    run(scenario())


def test_an_event_without_an_end_is_not_kept_for_ever(monkeypatch):
    """A stream without a line end, or of lines that never end an event, is left with a sentence."""
    monkeypatch.setattr(sse, "MAX_EVENT_CHARS", 1000)

    async def scenario():
        for line in (b"x" * 100, b"data: " + b"x" * 100 + b"\n", b": " + b"x" * 1000):
            with pytest.raises(ValueError, match="longer than 1000 characters"):
                await events_of([line] * 20)

    run(scenario())


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_an_event_is_heard_when_it_ends_and_not_with_the_next_byte(end):
    """Also where lines end in CR alone: what comes after it may take a minute."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    place = json.dumps({"epoch": "e", "seq": 0, "recovered": True}).encode()
    news = json.dumps({"seq": 1, "at_s": 0.0, "published_at_ns": 0, "data": {}}).encode()

    answers = []

    async def answer(reader, writer):
        answers.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"event: position\ndata: ".replace(b"\n", end) + place + end + end)
        writer.write(b"data: " + news + end + end)
        await reader.read()  # silent from now on, until the client leaves
        writer.close()
        await writer.wait_closed()

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/updates"
            async with asyncio.timeout(patient(20)), contextlib.aclosing(sse.hear(url)) as deliveries:
                assert (await anext(deliveries)).seq == 1
            await asyncio.gather(*answers)


@REQUESTS
def test_a_server_that_falls_silent_is_left_and_asked_again(name, monkeypatch):
    """It has taken the question and does not answer: after its limit the reader asks on a new connection."""
    monkeypatch.setattr(far_end, "ANSWER_TIMEOUT_S", patient(0.5))
    asked = []

    async def answer(reader, writer):
        asked.append(asyncio.current_task())
        while (head := await reader.read(65536)) and len(asked) == 1 and b"after=" not in head:
            respond(writer, told(0))
        if head and len(asked) == 2:
            respond(writer, told(1, 1))
        await reader.read()  # silent, until the reader leaves
        writer.close()
        await writer.wait_closed()

    def respond(writer, message):
        body = json.dumps(message).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    async def scenario():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = TRANSPORTS[name].url(server.sockets[0].getsockname()[1])
            reader = Reader(0.01, pace=Pace(hold_s=patient(0.25)))
            async with asyncio.timeout(patient(20)), contextlib.aclosing(hear_by(name)(url, reader)) as deliveries:
                assert (await anext(deliveries)).seq == 1
            await asyncio.gather(*asked)
            assert (len(asked), reader.failures) == (2, 1)

    run(scenario())


@pytest.mark.parametrize("name", ["polling", "conditional"])
def test_a_poller_keeps_its_connection_however_seldom_it_asks(name, monkeypatch):
    """Neither library's own patience counts, 15 s at the client's, here far shorter than the interval."""
    impatient = {"keepalive_timeout": 0.02}
    for module, what in ((http, "TCPConnector"), (web, "AppRunner")):
        whole = getattr(module, what)
        monkeypatch.setattr(module, what, lambda *given, whole=whole, **options: whole(*given, **impatient | options))

    async def scenario():
        async with serving(name, past(1)) as (url, meter):
            reader = Reader(0.2, duration_s=0.9)
            async for _ in TRANSPORTS[name].module().hear(url, reader):
                pass
            assert (len(reader.requests), reader.failures) == (6, 0)
            assert meter.connections == 1


def hear_by(name):
    return TRANSPORTS[name].module().hear


@pytest.mark.parametrize("name", ["long_polling", "sse", "websocket"])
def test_after_a_success_the_waits_begin_anew(name, monkeypatch):
    """Each attempt in a row waits longer than the one before; a server that was there in between has ended the row."""
    attempts, heard = [], []

    async def pause(attempt, **_):
        attempts.append(attempt)
        await asyncio.sleep(0.01)

    monkeypatch.setattr(far_end, "pause", pause)

    async def attend(port):
        async for delivery in hear_by(name)(TRANSPORTS[name].url(port), Reader(after=0)):
            heard.append(delivery.seq)

    async def until(condition):
        async with asyncio.timeout(patient(20)):
            while not condition():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.01)

    async def scenario():
        with listen(Meter()) as sock:
            port = sock.getsockname()[1]
        async with serving(name, past(1), port=port):
            task = asyncio.create_task(attend(port))
            await until(lambda: len(heard) == 1)
        await until(lambda: len(attempts) >= 3)
        assert attempts[:3] == [0, 1, 2]
        async with serving(name, past(1), port=port):
            await until(lambda: len(heard) == 2)
            away = len(attempts)
        await until(lambda: len(attempts) > away)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert attempts[away] == 0

    run(scenario())


@pytest.mark.parametrize("interval_s", [0.1, 15.0, 75.0, 10_000.0])
def test_a_connection_is_kept_for_two_intervals_at_least(interval_s):
    """A poll that comes late must still find it."""

    async def scenario():
        async with http.Client("http://127.0.0.1/updates", interval_s=interval_s) as client:
            assert client._session.connector._keepalive_timeout >= 2 * interval_s

    run(scenario())
    assert http.KEEP_ALIVE_S >= 3600  # the server's: an interval that a person chooses is shorter


def test_the_first_events_id_is_the_readers_place_and_not_the_feeds():
    """A browser whose stream breaks between the position and the first update says this id, and must lose nothing."""

    async def scenario():
        feed = past(5)
        async with serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url, params={"after": 2, "epoch": feed.epoch}) as response:
                events = sse.read_events(response.content)
                ids = [(await anext(events))["id"] for _ in range(4)]
        assert ids == [f"{feed.epoch}-{seq}" for seq in (2, 3, 4, 5)]

    run(scenario())


def test_where_a_stream_broke_off_counts_more_than_where_it_began():
    """A browser comes back to the same address, `after` and all; its Last-Event-ID is the newer of the two."""

    async def scenario():
        feed = past(5)
        async with serving("sse", feed) as (url, _), aiohttp.ClientSession() as session:
            headers = {"Last-Event-ID": f"{feed.epoch}-4"}
            query = {"after": 1, "epoch": feed.epoch}
            async with session.get(url, params=query, headers=headers) as response:
                events = sse.read_events(response.content)
                assert (await anext(events))["event"] == "position"
                assert (await anext(events))["id"] == f"{feed.epoch}-5"

    run(scenario())


def test_who_catches_up_is_not_told_again():
    """A reader that comes with the news gets it while it catches up, and not once more with everybody else."""

    async def scenario():
        feed = past(2)
        async with serving("websocket", feed) as (url, _):
            reader = Reader(after=2, epoch=feed.epoch)
            feed._next = Update(3, 3.0, {"n": 3})  # the handshake's look at the feed publishes it
            async with asyncio.timeout(patient(20)), contextlib.aclosing(websocket.hear(url, reader)) as deliveries:
                assert (await anext(deliveries)).seq == 3
                feed._next = Update(4, 4.0, {"n": 4})
                assert feed.seq == 4
                assert (await anext(deliveries)).seq == 4
            assert reader.duplicates == 0

    run(scenario())


def test_a_backlog_cuts_nobody_off():
    """A server that stood still has much to say at once; a reader that takes it is no stalled one."""

    async def scenario():
        feed = Feed([Update(seq, float(seq), {"text": "x" * 20_000}) for seq in range(1, 401)], 1000)
        feed.t0_ns = time.perf_counter_ns() + 10**12
        async with serving("websocket", feed) as (url, meter):
            reader, heard = Reader(), []
            task = asyncio.create_task(collect(websocket.hear(url, reader), heard, 400))
            async with asyncio.timeout(patient(20)):
                await reader.is_open.wait()
                feed.t0_ns -= 2 * 10**12
                assert feed.seq == 400
                await task
            assert heard == list(range(1, 401))
            assert (meter.aborted, meter.connections) == (0, 1)

    run(scenario())


async def collect(deliveries, heard, count):
    async with contextlib.aclosing(deliveries):
        async for delivery in deliveries:
            heard.append(delivery.seq)
            if len(heard) == count:
                return
