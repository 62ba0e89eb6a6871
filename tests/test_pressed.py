"""Whoever presses: readers of a long log, bad lines, those who do not read, do not speak or do not leave."""

import asyncio
import contextlib
import itertools
import socket
import struct
import time

import aiohttp
import pytest
from patience import patient
from test_transports import ALL, REQUESTS, run, serving, take

from wsdemo.feed import AT_A_TIME, MOST_BYTES, MOST_UPDATES, Feed, News
from wsdemo.measure import measure
from wsdemo.reader import Reader
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update, every


def port_of(url):
    return int(url.split(":")[2].split("/")[0])


def full(count=2_300, size=200):
    """Return a feed whose log holds `count` updates of about `size` bytes each."""
    feed = Feed([Update(seq, 0.0, {"text": "x" * size}) for seq in range(1, count + 1)], count)
    feed.t0_ns = time.perf_counter_ns() - 10**12
    return feed


# --- answers have a size ----------------------------------------------------------------------------------------------


@REQUESTS
@pytest.mark.parametrize("size, updates", [(200, MOST_UPDATES), (30_000, 8)])
def test_an_answer_has_a_size(name, size, updates):
    """However long the log: so many updates and so many bytes; `more`, and where to go on."""

    async def scenario():
        feed = full(1_200 if updates == MOST_UPDATES else 30, size)
        async with serving(name, feed) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url, params={"after": 0, "epoch": feed.epoch}) as response:
                assert response.content_length < MOST_BYTES + 500
                answer = await response.json()
            assert [update["seq"] for update in answer["updates"]] == list(range(1, updates + 1))
            assert (answer["more"], answer["seq"], answer["recovered"]) == (True, updates, True)
            async with session.get(url, params={"after": feed.seq - 1}) as response:
                assert "more" not in await response.json()

    run(scenario())


@ALL
def test_who_has_missed_much_need_not_wait_for_the_timetable(name):
    """A reader that polls once in an hour has the whole log at once, each update once and in order."""

    async def scenario():
        feed = full()
        reader, heard = Reader(3600.0, after=0, epoch=feed.epoch), []
        async with serving(name, feed) as (url, meter):
            async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, reader)) as deliveries:
                async for delivery in deliveries:
                    heard.append(delivery.seq)
                    if len(heard) == 2_300:
                        break
            assert heard == list(range(1, 2_301))
            assert meter.requests == len(reader.requests) == (5 if TRANSPORTS[name].habit != "streamed" else 1)
            assert (reader.duplicates, reader.resets, reader.failures) == (0, 0, 0)
            assert (
                sum(not (one.opening or one.further) for one in reader.requests)
                == {"asks": 0, "held": 5, "streamed": 1}[TRANSPORTS[name].habit]
            )

    run(scenario())


def test_further_questions_are_no_polls():
    """Polls that find more than an answer holds: those of the timetable are counted, and both sides agree on all."""

    async def scenario():
        return await measure("polling", every(0.0005), clients=2, interval_s=0.5, duration_s=1.0, progress=False)

    result = asyncio.run(scenario())
    assert (result.requests, result.deliveries, result.missed) == (4, 2 * result.published, 0)
    # An opening for each client, a poll after the end, and at least one further question for each poll.
    assert result.server_requests == result.client_requests >= 2 + 6 + 4
    assert not [note for note in result.notes if "polls were due" in note or "do not trust" in note]


def test_a_further_question_that_fails_is_left_to_the_next_poll():
    """It is counted as a failure; nothing is lost, nothing comes twice."""
    answers = []

    async def answer(request):
        answers.append(request.query_string)
        if len(answers) == 2:
            raise aiohttp.web.HTTPInternalServerError
        return aiohttp.web.json_response(text=feed.part(int(request.query.get("after", 0))).text())

    feed = full(700)

    async def scenario():
        server = aiohttp.web.AppRunner(app := aiohttp.web.Application())
        app.router.add_get("/updates", answer)
        await server.setup()
        site = aiohttp.web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        reader = Reader(0.01, after=0)
        url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/updates"
        heard = []
        async with contextlib.aclosing(TRANSPORTS["polling"].module().hear(url, reader)) as deliveries:
            async for delivery in deliveries:
                heard.append(delivery.seq)
                if len(heard) == 700:
                    break
        await server.cleanup()
        assert heard == list(range(1, 701))
        assert reader.failures == 1

    run(scenario())


@contextlib.asynccontextmanager
async def cut_line(port, carries):
    """Give the port of a line to `port` that is reset each time it has carried so many bytes to the client."""
    legs = set()

    async def ask_on(reader, to):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                to.write(data)

    async def carry(reader, writer):
        legs.add(asyncio.current_task())
        up, to = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(ask_on(reader, to))
        carried = 0
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while carried < carries and (data := await up.read(16384)):
                writer.write(data)
                carried += len(data)
                await writer.drain()
        if not writer.transport.is_closing():
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for end in (to, writer):
            end.transport.abort()

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as line:
        yield line.sockets[0].getsockname()[1]
        for leg in legs:
            leg.cancel()
        await asyncio.gather(*legs, return_exceptions=True)
        await asyncio.sleep(0)


@ALL
def test_through_a_line_that_breaks_progress_is_made(name):
    """The line is cut each time it has carried a third of the log: all of it arrives, once and in order."""

    async def scenario():
        feed = full(2_300, 400)  # 1.1 MB
        async with serving(name, feed) as (url, _), cut_line(port_of(url), 350_000) as port:
            async with asyncio.timeout(patient(60)):
                heard = await take(name, TRANSPORTS[name].url(port), 2_300, after=0, epoch=feed.epoch)
            assert heard == list(range(1, 2_301))

    run(scenario())


@pytest.mark.parametrize("name", [row.name for row in TRANSPORTS.values() if row.habit == "streamed"])
def test_who_catches_up_gives_way(name, monkeypatch):
    """Five readers of a long log at once: between two turns of anybody else, one of them is sent a few dozen."""
    sent = []
    text = News.text

    def noted(news):
        sent.append("update")
        return text(news)

    monkeypatch.setattr(News, "text", noted)

    async def scenario():
        feed = full(2_300, 20)
        assert feed.seq == 2_300
        sent.clear()  # what was measured of them when they were published

        async def neighbour():
            while True:
                sent.append("neighbour")
                await asyncio.sleep(0)

        async with serving(name, feed) as (url, _):
            waiting = asyncio.create_task(neighbour())
            await asyncio.gather(*(take(name, url, 2_300, after=0, epoch=feed.epoch) for _ in range(5)))
            waiting.cancel()
        runs = [len(list(run)) for who, run in itertools.groupby(sent) if who == "update"]
        assert sum(runs) == 5 * 2_300
        # All five may begin in one round; from then on they take turns.
        assert max(runs) <= 5 * AT_A_TIME and sorted(runs)[-6] <= AT_A_TIME

    run(scenario())
