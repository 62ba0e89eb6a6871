"""Whatever is at the other end of `hear`: each row of the rule, by every transport, against ends that play it in bytes.

They decide by counts and by order. Waits are not waited for: `pauses` notes each in the one place that all go through.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from email.utils import format_datetime

import aiohttp.web
import pytest
import websockets
from patience import patient
from strange_ends import FarEnd, Told, a_free_port, page, serving

from wsdemo import far_end, news
from wsdemo.far_end import NotOurs, Reply, Trouble
from wsdemo.feed import MAX_UPDATE_BYTES, Feed
from wsdemo.reader import Reader, Refused, Unreachable
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS, habits
from wsdemo.updates import Update
from wsdemo.workload import Pace

ALL = pytest.mark.parametrize("name", TRANSPORTS)


def those(**wanted):
    """Parametrise by the rows of the registry with these values."""
    names = [row.name for row in TRANSPORTS.values() if all(getattr(row, k) == v for k, v in wanted.items())]
    return pytest.mark.parametrize("name", names)


ASKS, HELD, STREAMED = those(habit="asks"), those(habit="held"), those(habit="streamed")


def run(scenario, limit_s=60):
    """Run a scenario; the limit is for one that hangs."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, patient(limit_s)))


@pytest.fixture
def pauses(monkeypatch):
    """Note `(attempt, at_least_s)` of each wait instead of waiting."""
    noted = []

    async def pause(attempt, *, at_least_s=0.0, **_):
        noted.append((attempt, at_least_s))
        await asyncio.sleep(0.001)

    monkeypatch.setattr(far_end, "pause", pause)
    return noted


def hear(name, url, reader=None):
    return contextlib.aclosing(TRANSPORTS[name].module().hear(url, reader or Reader(0.01)))


async def until(condition, task=None):
    """Look again and again whether a condition holds; raise what a task failed with that would bring it about."""
    while not condition():
        if task is not None and task.done():
            task.result()
        await asyncio.sleep(0.01)


async def end(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def first(name, url, reader=None):
    """Hear until the first delivery."""
    async with hear(name, url, reader) as deliveries:
        return await anext(deliveries)


# --- at first contact -------------------------------------------------------------------------------------------------

LOGIN = b"<!doctype html><title>Log in</title>"
FOREIGN = {
    "a page that is not there": (page(404, b"<h1>Not Found</h1>"), 404, "text/html", "<h1>Not Found</h1>"),
    "a login page": (page(200, LOGIN), 200, "text/html", "Log in"),
    "another API's no": (
        page(401, b'{"detail": "Not authenticated"}', "application/json"),
        401,
        "application/json",
        "Not authent",
    ),
    "another API's answer": (page(200, b'{"detail": "fine"}', "application/json"), 200, "application/json", "fine"),
    "no object": (page(200, b'["fine"]', "application/json"), 200, "application/json", "fine"),
    "a position of another kind": (
        page(200, b'{"epoch": 7, "seq": true, "recovered": 1, "updates": []}', "application/json"),
        200,
        "application/json",
        "epoch",
    ),
    "updates of another kind": (
        page(200, b'{"epoch": "e", "seq": 1, "recovered": true, "updates": [{"seq": 1}]}', "application/json"),
        200,
        "application/json",
        "epoch",
    ),
    "JSON that is none": (page(200, b"<html>", "application/json"), 200, "application/json", "<html>"),
    "our JSON as another type": (
        page(200, b'{"epoch": "e", "seq": 0, "recovered": true, "updates": []}', "text/plain"),
        200,
        "text/plain",
        "epoch",
    ),
    "plain text": (page(200, b"It works!", "text/plain"), 200, "text/plain", "It works!"),
    "no type": (page(200, b"It works!", None), 200, "", "It works!"),
    "nothing": (page(204, kind=None), 204, "", ""),
    "unchanged, unasked": (page(304, kind=None), 304, "", ""),
    "a redirect without a place": (page(302, b"somewhere"), 302, "text/html", "somewhere"),
    "a redirect to another kind of address": (
        page(302, b"moved", location="ftp://example.net/"),
        302,
        "text/html",
        "ftp://example.net/",
    ),
    "a proxy's 502": (page(502, b"<h1>Bad Gateway</h1>"), 502, "text/html", "Bad Gateway"),
    "a busy server": (page(503, b"later", "text/plain", retry_after="7"), 503, "text/plain", "later"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", 0, "", "SSH-2.0"),
    "cut within": (page(200, b'{"epoch": "e"', "application/json", content_length=900), 200, "application/json", ""),
}


@ALL
@pytest.mark.parametrize("what", FOREIGN)
def test_an_answer_that_is_not_ours_is_refused_at_once(name, what, pauses):
    """The error has the status, the type and the first words of what came, after a single question."""
    answer, status, kind, words = FOREIGN[what]

    async def scenario():
        async with FarEnd(answer) as far:
            with pytest.raises(Refused) as caught:
                await first(name, far.url(name))
            assert len(far.heads) == 1
        return caught.value

    error = run(scenario())
    assert (error.status, error.content_type) == (status, kind)
    assert words in str(error) and kind in str(error) and str(status or "not HTTP") in str(error)
    assert pauses == []


@ALL
def test_somebody_elses_stream_is_refused_though_it_never_ends(name, pauses):
    """Neither the end of the answer nor a timeout is waited for."""
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n"

    async def scenario():
        async with FarEnd() as far:
            far.answers = [far.held(stream)]
            with pytest.raises(Refused, match=r"\(200\): text/event-stream came, '.*hello'"):
                await first(name, far.url(name))

    run(scenario(), far_end.ANSWER_TIMEOUT_S - 1)


@ALL
@pytest.mark.parametrize("server", TRANSPORTS)
def test_the_address_of_another_transport_is_heard_or_refused(name, server, pauses):
    """Those that speak alike understand each other. Every other pair is refused, and no pair is silent."""

    async def scenario():
        async with serving(server, Told(2)) as port:
            heard = []
            async with hear(name, TRANSPORTS[name].url(port), Reader(0.01, after=0)) as deliveries:
                async for delivery in deliveries:
                    heard.append(delivery.seq)
                    if len(heard) == 2:
                        return heard

    if name == server or "streamed" not in (TRANSPORTS[name].habit, TRANSPORTS[server].habit):
        assert run(scenario()) == [1, 2]
    else:
        with pytest.raises(Refused):
            run(scenario(), far_end.ANSWER_TIMEOUT_S - 1)
    assert pauses == []


@ALL
def test_a_redirect_to_a_login_page_is_that_page(name):
    """What counts is what came in the end."""

    async def scenario():
        async with FarEnd(page(302, location="/login"), page(200, LOGIN)) as far:
            with pytest.raises(Refused, match=r"\(200\): text/html came, '.*Log in"):
                await first(name, far.url(name))
            assert [head.split()[1].partition("?")[0] for head in far.heads] == ["/updates", "/login"]

    run(scenario())


@ALL
def test_a_redirect_to_nowhere_is_an_answer_that_is_not_ours(name):
    """Somebody did answer: it is the redirect that came."""

    async def scenario():
        nowhere = TRANSPORTS[name].url(a_free_port())
        async with FarEnd(page(307, location=nowhere)) as far:
            with pytest.raises(Refused) as caught:
                await first(name, far.url(name))
        assert caught.value.status == 307 and nowhere in str(caught.value)

    run(scenario())


@ALL
def test_redirects_in_a_circle_have_an_end(name):
    """A few are followed, and no more."""

    async def scenario():
        async with FarEnd(page(302, location="/updates")) as far:
            with pytest.raises(Refused) as caught:
                await first(name, far.url(name))
            assert caught.value.status == 302 and 1 < len(far.heads) < 10

    run(scenario())


@ALL
def test_a_redirect_that_forgets_the_position_loses_nothing(name):
    """The position is asked for at the new place, whatever stands in its address."""

    async def scenario():
        async with serving(name, Told(3)) as port, FarEnd(behind=port) as far:
            far.answers = [page(307, location="/updates?node=b"), far.through]
            assert (await first(name, far.url(name), Reader(0.01, after=1))).seq == 2
            assert far.heads[1].startswith("GET /updates?node=b&after=1 ")

    run(scenario())


@ALL
def test_silence_at_first_is_nobody(name, monkeypatch, pauses):
    """An open port behind which nobody speaks."""
    monkeypatch.setattr(far_end, "ANSWER_TIMEOUT_S", 0.2)

    async def scenario():
        async with FarEnd() as far:
            far.answers = [far.silence]
            with pytest.raises(Unreachable, match="is the server running"):
                await first(name, far.url(name), Reader())

    run(scenario())
    assert pauses == []


@ALL
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_head_that_nothing_follows_is_not_ours(name, kind, monkeypatch, pauses):
    """Somebody answers, and says nothing: no news will ever come of that."""
    monkeypatch.setattr(far_end, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(far_end, "WORDS_S", 0.05)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()

    async def scenario():
        async with FarEnd() as far:
            far.answers = [far.held(head)]
            with pytest.raises(Refused, match=rf"\(200\): {kind} came, with nothing in it"):
                await first(name, far.url(name), Reader())

    run(scenario())
    assert pauses == []


@ALL
def test_a_connection_that_closes_without_a_word_is_nobody(name, pauses):
    """No byte came, so there is nothing to quote."""

    async def scenario():
        async with FarEnd(b"") as far:
            with pytest.raises(Unreachable):
                await first(name, far.url(name))

    run(scenario())
    assert pauses == []


@ALL
def test_what_is_quoted_is_short_and_obeyed_by_no_terminal(name):
    """Colours, cursor movements, reversed text, line ends and length stay at the far end."""
    body = b"\x1b[2J\x07\r\nTraceback:\n " + "\u202egnp".encode() + b"\xff" + b"x" * 50_000

    async def scenario():
        async with FarEnd(page(404, body, "text/plain\x1b")) as far:
            with pytest.raises(Refused) as caught:
                await first(name, far.url(name))
        return str(caught.value)

    said = run(scenario())
    assert said.isprintable() and len(said) < 500 and "Traceback: " in said


@ALL
def test_the_servers_own_sentence_stands_alone(name):
    """A sentence as JSON, as our servers give it, needs no quotation marks round it."""

    async def scenario():
        async with FarEnd(page(403, b'{"error": "Not you."}', "application/json")) as far:
            with pytest.raises(Refused) as caught:
                await first(name, far.url(name))
        return str(caught.value)

    assert run(scenario()) == "the server refused (403): Not you."


def test_a_refusal_can_be_made_from_a_status_and_a_reason():
    """As the lessons and older programs do."""
    refusal = Refused(503, "full")
    assert (str(refusal), refusal.status) == ("the server refused (503): full", 503)
    assert (refusal.content_type, refusal.words) == ("", "")


# --- WebSockets of other people ---------------------------------------------------------------------------------------

WEBSOCKET = those(scheme="ws")


async def _echo(connection):
    async for message in connection:
        await connection.send(message)


async def _greet(connection):
    await connection.send("hello")
    await connection.wait_closed()


async def _show_the_door(connection):
    await connection.close(1008, "members only")


async def _binary(connection):
    await connection.send(b"\x00\xff")
    await connection.wait_closed()


@WEBSOCKET
@pytest.mark.parametrize(
    "handler, words", [(_echo, ""), (_greet, "hello"), (_show_the_door, "members only"), (_binary, "")]
)
def test_a_socket_that_speaks_of_something_else_is_refused(name, handler, words, monkeypatch):
    """The handshake is no proof: the first message must be a feed's position, and must come."""
    monkeypatch.setattr(far_end, "ANSWER_TIMEOUT_S", 1.0)

    async def scenario():
        async with websockets.serve(handler, "127.0.0.1", 0) as server:
            with pytest.raises(Refused) as caught:
                await first(name, TRANSPORTS[name].url(server.sockets[0].getsockname()[1]))
        assert caught.value.status == 101 and words in str(caught.value)

    run(scenario())


# --- after a first success --------------------------------------------------------------------------------------------

FAULTS = {
    "a proxy's 502": page(502, b"<h1>Bad Gateway</h1>"),
    "500": page(500, b"oops", "text/plain"),
    "our own 503": page(503, b'{"error": "All 3 connections are taken; try again later."}', "application/json"),
    "429": page(429, b"slow down", "text/plain"),
    "408": page(408, b"", "text/plain"),
    "425": page(425, b"", "text/plain"),
    "a cut before the answer": b"",
    "a cut within the head": b"HTTP/1.1 200 OK\r\nConte",
    "a cut within the answer": page(200, b'{"epoch": "e"', "application/json", content_length=900),
    "JSON that is none": page(200, b'{"epoch', "application/json"),
    "somebody else's JSON": page(200, b'{"detail": "fine"}', "application/json"),
    "a login page": page(200, LOGIN),
    "nothing": page(204, kind=None),
    "a redirect without a place": page(302),
    "a redirect to nowhere": "redirect",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "somebody else's stream": page(200, b"data: hello\n\n", "text/event-stream"),
    "a broken stream": page(200, b"event: position\ndata: {\n\n", "text/event-stream"),
}


async def break_and_come_back(name, pauses, *faults, **reader_options):
    """Hear two updates, break the line, meet the faults, and hear what was published meanwhile; return the reader."""
    told = Told(2)
    reader = Reader(0.01, after=0, **reader_options)
    async with serving(name, told) as port, FarEnd(behind=port) as far:
        faults = [page(307, location=TRANSPORTS[name].url(a_free_port())) if f == "redirect" else f for f in faults]
        far.answers = [far.through, *faults, far.through]
        async with hear(name, far.url(name), reader) as deliveries:
            heard = [(await anext(deliveries)).seq, (await anext(deliveries)).seq]
            far.cut()
            told.tell()
            heard.append((await anext(deliveries)).seq)
            told.tell()
            heard.append((await anext(deliveries)).seq)
        assert heard == [1, 2, 3, 4]
        assert (reader.duplicates, reader.resets) == (0, 0)
        assert len(far.heads) >= 2 + len(faults)
    return reader


@ALL
@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_first_success_it_is_a_fault_of_the_line(name, fault, pauses):
    """Three times in a row: the reader waits longer each time, counts each failure, and loses nothing."""
    reader = run(break_and_come_back(name, pauses, *[FAULTS[fault]] * 3))
    attempts = [attempt for attempt, _ in pauses]
    assert attempts == list(range(len(attempts)))
    # Over HTTP the library itself repeats, once, a question that was cut off before its answer.
    fewest = 1 if fault.startswith("a cut") else 3
    assert fewest <= len(attempts) == reader.failures <= 5


@ALL
def test_silence_after_a_first_success_is_a_fault_of_the_line(name, monkeypatch, pauses):
    """A line that has gone dead is left, and a new one is made."""
    monkeypatch.setattr(far_end, "ANSWER_TIMEOUT_S", 1.0)
    told, reader = Told(1), Reader(0.01, after=0, pace=Pace(hold_s=0.5))

    async def scenario():
        async with serving(name, told) as port, FarEnd(behind=port) as far:
            far.answers = [far.through, far.silence, far.through]
            async with hear(name, far.url(name), reader) as deliveries:
                assert (await anext(deliveries)).seq == 1
                far.cut()
                told.tell()
                assert (await anext(deliveries)).seq == 2

    run(scenario())
    assert reader.failures >= 1 and reader.duplicates == 0


@ALL
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 421])
def test_a_clear_no_is_believed_at_any_time(name, status, pauses):
    """Asking again would not change it."""
    told = Told(1)

    async def scenario():
        async with serving(name, told) as port, FarEnd(behind=port) as far:
            far.answers = [far.through, page(status, b"no", "text/plain"), far.through]
            async with hear(name, far.url(name), Reader(0.01, after=0)) as deliveries:
                await anext(deliveries)
                far.cut()
                with pytest.raises(Refused) as caught:
                    await anext(deliveries)
                assert caught.value.status == status
            assert len(far.heads) == 2

    run(scenario())


@ALL
@pytest.mark.parametrize("asked, at_least_s", [("7", 7.0), ("999999999", far_end.MOST_RETRY_AFTER_S), ("soon", 0.0)])
def test_retry_after_is_obeyed_within_reason(name, asked, at_least_s, pauses):
    """The wait of that attempt is at least what the server asked for; the next one is its own again."""
    busy = page(503, b"busy", "text/plain", retry_after=asked)
    run(break_and_come_back(name, pauses, busy, page(503)))
    assert [least for _, least in pauses][-2:] == [at_least_s, 0.0]


def test_retry_after_may_be_a_date(monkeypatch):
    """Seconds or a date of HTTP, which is in UTC; what is past or nonsense asks for nothing."""
    now = datetime(2030, 1, 1, tzinfo=UTC)

    class Clock:
        time = staticmethod(now.timestamp)

    monkeypatch.setattr(far_end, "time", Clock)
    date = format_datetime(now.replace(minute=2), usegmt=True)
    asked = [date, "Tue, 01 Jan 2030 00:00:30 -0000", "Mon, 31 Dec 2029 23:59:00 GMT", "Fri, 99 Foo", "-5", "1.5", ""]
    assert [Reply(503, retry_after=text).retry_after_s() for text in asked] == [120.0, 30.0, 0, 0, 0, 0, 0]
    assert Reply(503, retry_after="9" * 5000).retry_after_s() == far_end.MOST_RETRY_AFTER_S


def test_a_pause_is_never_shorter_than_asked_for_and_still_jittered(monkeypatch):
    """A thousand clients that were told "7" do not come back in the same instant."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def scenario():
        for _ in range(100):
            await far_end.pause(10, at_least_s=7.0)

    asyncio.run(scenario())
    assert min(waits) >= 7.0 and max(waits) <= 17.0 and len(set(waits)) > 90


@STREAMED
def test_a_stream_that_greets_and_breaks_off_is_not_asked_for_again_and_again(name, pauses):
    """A position alone is no success: the waits go on growing. The first update makes them short again."""
    told, reader = Told(1), Reader()

    async def scenario():
        async with serving(name, told) as port, FarEnd(behind=port) as far:
            greeting = far.through_until(b'"recovered"')
            far.answers = [greeting] * 8 + [far.through]
            async with hear(name, far.url(name), reader) as deliveries:
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(far.heads) >= 9, news)
                told.tell()
                assert (await news).seq == 2
                far.answers = [greeting]
                far.cut()
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(pauses) >= 10, news)
                await end(news)

    run(scenario())
    assert [attempt for attempt, _ in pauses][:10] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]


def test_a_connection_that_stood_for_long_was_in_order(monkeypatch):
    """A quiet stream that is cut once in a while is come back to soon: its failures are not in a row."""
    now, noted = [0.0], []

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    async def pause(attempt, **_):
        noted.append(attempt)

    monkeypatch.setattr(far_end, "time", Clock)
    monkeypatch.setattr(far_end, "pause", pause)

    async def scenario():
        attempts = far_end.Attempts("", Reader())
        for stood_s in (0, 1, 1, far_end.LONGEST_WAIT_S, 1, None, None, 1):
            if stood_s is not None:
                attempts.reached()
                now[0] += stood_s
            else:
                now[0] += 1000  # a failure to connect takes as long as it takes, and proves nothing
            attempts.failed(Trouble())
            await attempts.wait()

    asyncio.run(scenario())
    assert noted == [0, 1, 2, 0, 1, 2, 3, 4]


# --- answers that come at once and are empty --------------------------------------------------------------------------


@HELD
def test_a_far_end_that_does_not_hold_is_not_asked_as_fast_as_the_machine_can(name, pauses):
    """Long polling against the address of a poll: one wait an empty answer, each longer; none after one with news."""
    told, reader = Told(1), Reader(after=1)

    async def scenario():
        async with serving("polling", told) as port:
            async with hear(name, TRANSPORTS[name].url(port), reader) as deliveries:
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(pauses) >= 30, news)
                told.tell()
                assert (await news).seq == 2
                empty = sum(request.wasted is True and not request.opening for request in reader.requests)
                assert [attempt for attempt, _ in pauses] == list(range(empty))
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(pauses) >= empty + 2, news)
                await end(news)
                assert [attempt for attempt, _ in pauses][empty:][:2] == [0, 1]

    run(scenario())
    assert reader.failures == 0


@HELD
def test_an_empty_answer_after_the_timeout_is_followed_at_once(name, monkeypatch, pauses):
    """That is how long polling goes while there is no news."""
    monkeypatch.setattr(far_end, "AT_ONCE_S", 0.05)
    monkeypatch.setattr(habits, "AT_ONCE_S", 0.05)
    reader = Reader()

    async def scenario():
        async with serving(name, Told(1), Pace(hold_s=0.1)) as port:
            async with hear(name, TRANSPORTS[name].url(port), reader) as deliveries:
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(reader.requests) >= 5, news)
                await end(news)

    run(scenario())
    assert pauses == [] and reader.failures == 0


# --- polls that fail --------------------------------------------------------------------------------------------------


def test_polls_that_fall_due_while_a_reader_waits_are_left_out_and_counted():
    """Due, made and left out add up; the one further poll after the end is made in any case."""
    reader = Reader(0.1, duration_s=1.0)
    made = []

    async def ask(_):
        made.append(None)
        if len(made) == 2:
            await asyncio.sleep(0)
            raise Trouble
        return {"epoch": "e", "seq": 0, "recovered": True, "updates": []}

    async def scenario():
        # The clock started long ago: after the failure every poll of the run is past.
        reader._gate = asyncio.get_running_loop().create_future()
        reader._gate.set_result(far_end.time.perf_counter_ns() - 10**10)
        assert [delivery async for delivery in habits.asks("", reader, contextlib.nullcontext(), ask)] == []

    run(scenario())
    polls = [request for request in reader.requests if not request.opening]
    assert (reader.polls_due, reader.polls_left_out, reader.failures) == (9, 8, 1)
    assert [poll.wasted for poll in polls] == [None, True]


@ASKS
def test_polls_that_fail_are_waited_after_and_go_on(name, pauses):
    """Each failure is one wait, longer than the one before; the first answer makes them short again."""
    busy = page(503, b"busy", "text/plain")
    told, reader = Told(1), Reader(0.01, after=0)

    async def scenario():
        async with serving(name, told) as port, FarEnd(behind=port) as far:
            far.answers = [far.through, *[busy] * 4, far.through, *[busy] * 2, far.through]
            async with hear(name, far.url(name), reader) as deliveries:
                for seq in (1, 2, 3):
                    assert (await anext(deliveries)).seq == seq
                    far.cut()
                    told.tell()

    run(scenario())
    attempts = [attempt for attempt, _ in pauses]
    again = attempts.index(0, 1)
    assert attempts == [*range(again), *range(len(attempts) - again)]
    assert again >= 4 and len(attempts) - again >= 2 and reader.failures == len(attempts)


def test_the_last_poll_of_a_run_is_not_waited_after(pauses):
    """Nothing would come after the wait."""
    reader, asked = Reader(0.01, phase_s=0.0, duration_s=0.01), []

    async def ask(_):
        asked.append(None)
        if len(asked) == 3:
            raise Trouble(Reply(503, retry_after="300"))
        return {"epoch": "e", "seq": 0, "recovered": True, "updates": []}

    async def scenario():
        assert [delivery async for delivery in habits.asks("", reader, contextlib.nullcontext(), ask)] == []

    run(scenario())
    assert (len(asked), reader.failures, pauses) == (3, 1, [])


# --- addresses --------------------------------------------------------------------------------------------------------


@ALL
def test_an_address_with_a_query_keeps_it(name, pauses):
    """Also after a cut: whose token it is stays, and where the reader is comes beside it."""
    told, reader = Told(2), Reader(0.01, after=0)

    async def scenario():
        async with serving(name, told) as port, FarEnd(behind=port) as far:
            far.answers = [far.through]
            async with hear(name, far.url(name) + "?token=a%20b&empty=", reader) as deliveries:
                heard = [(await anext(deliveries)).seq for _ in range(2)]
                far.cut()
                told.tell()
                heard.append((await anext(deliveries)).seq)
            assert heard == [1, 2, 3]
            targets = [head.split()[1] for head in far.heads]
            assert len(targets) >= 2
            for target in targets:
                assert target.startswith(("/updates?token=a%20b&empty=", "/updates?token=a+b&empty="))
                assert target.count("?") == 1
            place = f"Last-Event-ID: {told.epoch}-2"
            assert "after=0" in targets[0] and ("after=2" in targets[1] or place in far.heads[1])

    run(scenario())
    assert reader.duplicates == 0


@pytest.mark.parametrize(
    "url, position, whole",
    [
        ("http://a/u", {}, "http://a/u"),
        ("http://a/u?x=1", {}, "http://a/u?x=1"),
        ("ws://a/u", {"after": "3", "epoch": "e"}, "ws://a/u?after=3&epoch=e"),
        ("ws://a/u?x=%2F+%C3%BC", {"after": "3"}, "ws://a/u?x=%2F+%C3%BC&after=3"),
        ("http://a/u?after=0&x=1", {"after": "3"}, "http://a/u?x=1&after=3"),
        ("http://a/u?after=0&x=1", {}, "http://a/u?after=0&x=1"),
        ("http://a/u?", {"after": "3"}, "http://a/u?after=3"),
        ("http://a/u?x=1#there", {"after": "3"}, "http://a/u?x=1&after=3"),
    ],
)
def test_a_position_is_added_to_an_address(url, position, whole):
    """What stands in the query stays as it is written; an older position does not."""
    assert far_end.address(url, position) == whole


# --- how large an update may be ---------------------------------------------------------------------------------------


def of_size(size):
    """Return data that are this many bytes as JSON."""
    data = {"text": "x" * (size - len('{"text": ""}'))}
    assert len(json.dumps(data)) == size
    return data


@ALL
def test_an_update_at_the_limit_is_heard_by_every_transport(name, pauses):
    """The log's and the live one, with the longest numbers round it."""
    told, reader = Told(), Reader(0.01, after=0)
    told.tell(of_size(MAX_UPDATE_BYTES))

    async def scenario():
        async with serving(name, told) as port:
            async with hear(name, TRANSPORTS[name].url(port), reader) as deliveries:
                assert (await anext(deliveries)).data == of_size(MAX_UPDATE_BYTES)
                news = asyncio.create_task(anext(deliveries))
                await asyncio.sleep(0.05)
                told.tell(of_size(MAX_UPDATE_BYTES))
                assert (await news).data == of_size(MAX_UPDATE_BYTES)

    run(scenario())
    assert (reader.failures, pauses) == (0, [])


@ALL
def test_one_byte_more_is_refused_before_any_transport_serves(name):
    """The feed is one for all: none of them hears of an update that one of them could not carry."""

    async def scenario():
        news = [Update(1, 0.0, {}), Update(2, 1.0, of_size(MAX_UPDATE_BYTES + 1))]
        async with serving(name, Feed(news)):
            pass

    with pytest.raises(ValueError, match=f"update 2 is {MAX_UPDATE_BYTES + 1:,} bytes as JSON"):
        run(scenario())


@STREAMED
def test_a_far_end_without_a_limit_is_not_asked_for_again_and_again(name, monkeypatch, pauses):
    """An update that cannot be let in breaks the line each time, and the waits grow."""
    with monkeypatch.context() as other:
        other.setattr(news, "MAX_UPDATE_BYTES", 2**22)
        told = Told()
        told._next = Update(1, 0.0, of_size(2**21))
        assert told.seq == 1
    reader = Reader(after=0)

    async def scenario():
        async with serving(name, told) as port:
            async with hear(name, TRANSPORTS[name].url(port), reader) as deliveries:
                news = asyncio.create_task(anext(deliveries))
                await until(lambda: len(pauses) >= 5, news)
                await end(news)

    run(scenario())
    assert [attempt for attempt, _ in pauses][:5] == [0, 1, 2, 3, 4]


# --- leaving ----------------------------------------------------------------------------------------------------------


def one_poll():
    """A reader that polls once and then waits: who leaves before an answer has been read ends with a reset, by TCP."""
    return Reader(60, phase_s=0.01, after=0)


async def leave_by_break(name, url):
    async with hear(name, url, one_poll()) as deliveries:
        async for _ in deliveries:
            break


async def leave_by_cancel(name, url):
    heard = asyncio.Event()

    async def listen():
        async for _ in TRANSPORTS[name].module().hear(url, one_poll()):
            heard.set()

    task = asyncio.create_task(listen())
    await heard.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def leave_by_an_error(name, url):
    with contextlib.suppress(ZeroDivisionError):
        async with hear(name, url, one_poll()) as deliveries:
            async for delivery in deliveries:
                delivery.seq / 0


async def leave_by_the_end_of_the_program(name, url):
    """The program ends in the middle of a loop, with the generator still held."""
    process = await start_program(f"""
        import asyncio
        from wsdemo.reader import Reader
        from wsdemo.transports import TRANSPORTS

        async def main():
            global deliveries
            deliveries = TRANSPORTS[{name!r}].module().hear({url!r}, Reader(60, phase_s=0.01, after=0))
            async for _ in deliveries:
                return

        asyncio.run(main())
    """)
    assert await process.communicate() == (b"", b"")


async def leave_by_ctrl_c(name, url):
    """The program is interrupted in the middle of a loop."""
    process = await start_program(f"""
        import asyncio
        from wsdemo.reader import Reader
        from wsdemo.transports import TRANSPORTS

        async def main():
            async for _ in TRANSPORTS[{name!r}].module().hear({url!r}, Reader(60, phase_s=0.01, after=0)):
                print("heard", flush=True)

        asyncio.run(main())
    """)
    assert await process.stdout.readline() == b"heard\n"
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert said.endswith(b"KeyboardInterrupt\n")


async def start_program(text):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(text), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


LEAVES = [leave_by_break, leave_by_cancel, leave_by_an_error, leave_by_the_end_of_the_program]
if sys.platform != "win32":  # where there is no such signal to send
    LEAVES.append(leave_by_ctrl_c)
WAYS = pytest.mark.parametrize("leave", LEAVES)
GREETING = [
    json.dumps({"epoch": "e", "seq": 1, "recovered": True}),
    json.dumps({"seq": 1, "at_s": 0.0, "published_at_ns": 0, "data": {}}),
]


@contextlib.asynccontextmanager
async def websockets_server(codes):
    async def handler(connection):
        for text in GREETING:
            await connection.send(text)
        await connection.wait_closed()
        codes.put_nowait(connection.close_code)

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def aiohttp_server(codes):
    async def handler(request):
        connection = aiohttp.web.WebSocketResponse()
        await connection.prepare(request)
        for text in GREETING:
            await connection.send_str(text)
        async for _ in connection:
            pass
        codes.put_nowait(connection.close_code)
        return connection

    app = aiohttp.web.Application()
    app.add_routes([aiohttp.web.get("/updates", handler)])
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@WEBSOCKET
@WAYS
@pytest.mark.parametrize("server", [websockets_server, aiohttp_server])
def test_who_leaves_says_goodbye(name, leave, server):
    """However a reader leaves, the other side sees 1000 or 1001, whoever wrote it."""

    async def scenario():
        codes = asyncio.Queue()
        async with server(codes) as port:
            await leave(name, TRANSPORTS[name].url(port))
            return await codes.get()

    assert run(scenario()) in (1000, 1001)


@ALL
def test_who_leaves_in_a_hurry_leaves_no_connection(name):
    """Cancelled again while the other side does not answer the goodbye: the connection is gone all the same."""

    async def scenario():
        async with serving(name, Told(1)) as port, FarEnd(behind=port) as far:
            far.answers = [far.deaf]
            async with hear(name, far.url(name), Reader(30.0, after=0)) as deliveries:
                await anext(deliveries)
                news = asyncio.create_task(anext(deliveries))
                for _ in range(3):
                    await asyncio.sleep(0.01)
                    news.cancel()
                await asyncio.gather(news, return_exceptions=True)
                await until(lambda: len(far.left) == len(far.heads))

    run(scenario(), 20)


@ALL
@WAYS
def test_who_leaves_closes_the_connection_in_order(name, leave):
    """The other side reads its end, not a reset, and no connection is left open."""

    async def scenario():
        async with serving(name, Told(1)) as port, FarEnd(behind=port) as far:
            far.answers = [far.through]
            await leave(name, far.url(name))
            await until(lambda: len(far.left) == len(far.heads))
            assert far.heads and set(far.left) == {"eof"}

    run(scenario())


# --- deliveries -------------------------------------------------------------------------------------------------------


@ALL
def test_a_delivery_carries_its_epoch(name, pauses):
    """After a restart the same numbers are other updates, and can be told apart."""
    before, after = Told(2), Told(2)

    async def scenario():
        async with FarEnd() as far:
            far.answers = [far.through]
            async with contextlib.AsyncExitStack() as first_server:
                far.behind = await first_server.enter_async_context(serving(name, before))
                async with hear(name, far.url(name), Reader(0.01, after=0)) as deliveries:
                    heard = [await anext(deliveries) for _ in range(2)]
                    async with serving(name, after) as far.behind:
                        far.cut()
                        heard += [await anext(deliveries) for _ in range(2)]
            return [(delivery.epoch, delivery.seq) for delivery in heard]

    assert run(scenario()) == [(before.epoch, 1), (before.epoch, 2), (after.epoch, 1), (after.epoch, 2)]


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", "null", '{"seq": 1}', '{"seq": 1.0, "published_at_ns": 1, "data": {}}']
)
def test_what_is_no_update_is_not_ours(text):
    """A sentence for each, not a KeyError, TypeError or RecursionError."""
    with pytest.raises(NotOurs):
        far_end.update_in(text)


# --- several addresses ------------------------------------------------------------------------------------------------


@ALL
def test_of_several_addresses_the_next_is_asked_until_one_answers(name, pauses):
    """Nobody at the first, something strange at the second: at first each is tried at once, and none is waited for."""

    async def scenario():
        nobody = TRANSPORTS[name].url(a_free_port())
        async with FarEnd(page(200, b"not ours")) as strange, serving(name, Told(1)) as port:
            urls = [nobody, strange.url(name), TRANSPORTS[name].url(port)]
            async with hear(name, urls, reader := Reader(0.01, after=0)) as deliveries:
                assert (await anext(deliveries)).seq == 1
            assert (reader.failures, pauses) == (2, [])

    run(scenario())


@ALL
def test_when_none_of_several_addresses_answers_all_of_them_are_named(name):
    async def scenario():
        urls = [TRANSPORTS[name].url(a_free_port()) for _ in range(3)]
        reader = Reader(0.01)
        with pytest.raises(Unreachable) as error:
            async with hear(name, urls, reader) as deliveries:
                await anext(deliveries)
        assert all(url in str(error.value) for url in urls) and reader.failures == 2

    run(scenario())


@ALL
def test_a_clear_no_is_a_no_at_every_address(name):
    """The servers are one service: the others would say the same."""

    async def scenario():
        async with serving(name, Told()) as port:
            url = TRANSPORTS[name].url(port)
            with pytest.raises(Refused, match="404"):
                async with hear(name, [f"{url}/nowhere", url], Reader(0.01)) as deliveries:
                    await anext(deliveries)

    run(scenario())


@ALL
def test_no_address_at_all_is_refused(name):
    with pytest.raises(ValueError, match="an empty list"):
        TRANSPORTS[name].module().hear([])
