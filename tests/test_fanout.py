"""One frame for all readers: who gets it, what it costs in counts, and that every byte of it is counted."""

import asyncio
import contextlib
import json
import socket
import time

import pytest
from patience import patient

from wsdemo import fanout
from wsdemo import feed as feed_module
from wsdemo import news as news_module
from wsdemo.fanout import Fanout
from wsdemo.feed import Feed, News
from wsdemo.guard import Guard
from wsdemo.meter import Meter, MeteredSocket, listen
from wsdemo.reader import Reader
from wsdemo.serve import new_event_loop
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update

STREAMS = pytest.mark.parametrize("name", ["sse", "websocket"])
SHAKE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scenario)


@contextlib.asynccontextmanager
async def streaming(name, feed, readers, buffer_bytes=None, after=""):
    """Serve a stream to bare sockets, each of which has its first message; give them, the meter and the address."""
    sock = listen(meter := Meter())
    port, loop = sock.getsockname()[1], asyncio.get_running_loop()
    shake = SHAKE.format("dGhlIHNhbXBsZSBub25jZQ==") if name == "websocket" else ""
    async with TRANSPORTS[name].module().serve(feed, sock, Guard()):
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(socket.socket()) for _ in range(readers)]
            came = {}
            for caller in callers:
                if buffer_bytes:
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
                caller.setblocking(False)
                await loop.sock_connect(caller, ("127.0.0.1", port))
                request = f"GET /updates{after} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{shake}\r\n"
                await loop.sock_sendall(caller, request.encode())
                came[caller] = b""
                while b'"recovered"' not in came[caller]:
                    came[caller] += await loop.sock_recv(caller, 1000)
            await asyncio.sleep(0.05)
            yield came, meter, TRANSPORTS[name].url(port)
    sock.close()


async def tell(feed, seq):
    """Let an update be due now, and wait until all its readers were written to."""
    feed.t0_ns = time.perf_counter_ns() - round((seq + 0.5) * 1e9)
    assert feed.seq == seq
    for _ in range(10):
        await asyncio.sleep(0)


def in_a_row(count, size=10):
    """Return a feed with an update a second, whose clock stands still until it is moved by `tell`."""
    feed = Feed([Update(seq, float(seq), {"text": "x" * size}) for seq in range(1, count + 1)])
    feed.t0_ns = time.perf_counter_ns()
    return feed


async def rest(caller):
    """Return what has come to a caller and is not read."""
    read = b""
    with contextlib.suppress(BlockingIOError):
        while piece := caller.recv(1_000_000):
            read += piece
    return read


@STREAMS
def test_an_update_is_serialised_once_for_all_readers(name, monkeypatch):
    """Twenty readers and five updates, five times JSON."""

    async def scenario():
        feed = in_a_row(6)
        async with streaming(name, feed, 20) as (came, *_):
            texts, encode = [], news_module._JSON.encode
            monkeypatch.setattr(news_module._JSON, "encode", lambda one: texts.append(1) or encode(one))
            for seq in range(1, 6):
                await tell(feed, seq)
            assert len(texts) == 5
            assert [(await rest(caller)).count(b'"seq"') for caller in came] == [5] * 20

    run(scenario())


@STREAMS
def test_a_message_wakes_nobody_for_a_reader_who_takes_it(name, monkeypatch):
    """What an update gives the event loop to do does not grow with the readers: no task, no callback of theirs."""

    async def steps(readers):
        feed, loop, calls = in_a_row(12), asyncio.get_running_loop(), []
        async with streaming(name, feed, readers):
            await tell(feed, 1)
            call_soon = loop.call_soon
            monkeypatch.setattr(loop, "call_soon", lambda *one, **more: calls.append(1) or call_soon(*one, **more))
            for seq in range(2, 12):
                await tell(feed, seq)
            monkeypatch.undo()
        return len(calls)

    async def scenario():
        return await steps(2), await steps(40)

    few, many = run(scenario())
    assert many - few < 38  # a step a reader would be 380 more


@STREAMS
def test_the_feeds_timer_writes_by_itself(name, monkeypatch):
    """Between an update's moment and its frame no task is woken: it is written in the round of the timer."""

    async def scenario():
        feed, loop = in_a_row(6), asyncio.get_running_loop()
        async with streaming(name, feed, 3) as (came, *_):
            rounds, published, written = [0], [], []
            run_once, publish, tell = loop._run_once, Feed._publish_due, Fanout.tell
            monkeypatch.setattr(loop, "_run_once", lambda: rounds.append(rounds.pop() + 1) or run_once())

            def note(feed):
                if is_new := publish(feed):
                    published.append((rounds[0], None))
                return is_new

            def write(fanout, batch):
                if len(fanout):
                    written.append((rounds[0], asyncio.current_task()))
                tell(fanout, batch)

            monkeypatch.setattr(Feed, "_publish_due", note)
            monkeypatch.setattr(Fanout, "tell", write)
            feed.start(time.perf_counter_ns() - round(0.9e9))  # the first is due in a tenth of a second
            async with asyncio.timeout(patient(20)):
                await feed.wait(0)
            await feed.stop()
            assert written[0] == published[0]
            assert [(await rest(caller)).count(b'"seq"') > 0 for caller in came] == [True] * 3

    run(scenario())


@STREAMS
def test_what_a_source_raises_ends_the_server(name):
    """No task waits for news, and yet the server does not go on in silence when there will be none."""

    def source():
        yield Update(1, 1.0, {})
        raise LookupError("gone")

    async def scenario():
        feed = Feed(source())
        feed.t0_ns = time.perf_counter_ns()
        async with streaming(name, feed, 1):
            feed.t0_ns -= 2 * 10**9
            with contextlib.suppress(LookupError):
                feed.since(0)
            await asyncio.sleep(patient(20))

    with pytest.raises(LookupError, match="gone"):
        run(scenario())


@STREAMS
def test_a_socket_that_takes_all_is_neither_asked_nor_counted_by_itself(name, monkeypatch):
    """From the second message on nothing asks how much waits; the bytes are those that came all the same."""

    async def scenario():
        feed, sends, send = in_a_row(12), [], MeteredSocket.send
        async with streaming(name, feed, 10) as (came, meter, _):
            await tell(feed, 1)
            monkeypatch.setattr(MeteredSocket, "send", lambda *one: sends.append(1) or send(*one))
            for seq in range(2, 12):
                await tell(feed, seq)
            assert sends == []
            received = [len(came[caller] + await rest(caller)) for caller in came]
            assert meter.bytes_sent == sum(received)

    run(scenario())


@STREAMS
@pytest.mark.parametrize("slow", ["nobody", "some", "all"])
def test_every_byte_is_counted_whoever_is_slow(name, slow):
    """Readers with small buffers take messages in pieces, or are cut off: sent is what came, to the byte."""

    async def scenario():
        feed = in_a_row(200, 20_000)
        async with streaming(name, feed, 4, None if slow == "nobody" else 4096) as (came, meter, _):
            callers = list(came)
            quick = {"nobody": callers, "some": callers[:2], "all": []}[slow]
            for seq in range(1, 200):
                await tell(feed, seq)
                for caller in quick:
                    came[caller] += await rest(caller)
            async with asyncio.timeout(patient(30)):
                while not all(came[caller].count(b'"seq"') == 200 for caller in quick):
                    for caller in quick:
                        came[caller] += await rest(caller)
                    await asyncio.sleep(0.001)
            ended = 0
            for caller in set(callers) - set(quick):
                with contextlib.suppress(ConnectionResetError):
                    while not came[caller].endswith(b"end"):
                        came[caller] += (
                            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(caller, 10**6), patient(20))
                            or b"end"
                        )
                    came[caller] = came[caller][:-3]
                ended += 1
            assert meter.aborted == ended == len(callers) - len(quick)
            if slow == "nobody":
                assert meter.bytes_sent == sum(map(len, came.values()))
            assert meter.bytes_sent >= sum(map(len, came.values()))
            for caller in quick:
                assert came[caller].count(b"x" * 20_000) == 199

    run(scenario())


@STREAMS
def test_who_stalls_is_cut_at_the_bound_and_resumes_without_loss(name, monkeypatch):
    """Its buffer stays below the bound and one message, and what it missed is in the log."""
    waiting = []

    async def scenario():
        feed = in_a_row(400, 20_000)
        async with streaming(name, feed, 1, 4096) as (_, meter, url):
            ask = Fanout._ask_and_write

            def look(readers, frame, asked):
                ask(readers, frame, asked)
                waiting.extend(transport.get_write_buffer_size() for transport in asked)

            monkeypatch.setattr(Fanout, "_ask_and_write", look)
            for seq in range(1, 400):
                await tell(feed, seq)
            assert meter.aborted == 1
            assert 0 < max(waiting) < fanout.MAX_BUFFERED_BYTES + 21_000
            reader = Reader(after=7, epoch=feed.epoch)
            async with asyncio.timeout(patient(30)):
                async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, reader)) as deliveries:
                    heard = [(await anext(deliveries)).seq for _ in range(392)]
            assert heard == list(range(8, 400))

    run(scenario())


class Wire:
    """As much of a transport as `Fanout` needs where there is no socket of ours; keeps what is written."""

    def __init__(self):
        self.written = []

    def get_extra_info(self, _):
        return None

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def write(self, frame):
        self.written.append(frame)


def test_each_reader_gets_what_it_lacks_and_nothing_twice():
    """One has had nothing of a batch, one the first of three, one all of them."""
    with listen(Meter()) as sock:
        readers = Fanout(in_a_row(1), sock, lambda batch: [news.seq for news in batch])
        wires = {seq: Wire() for seq in (2, 3, 5)}
        readers.seq = 2
        for seq, wire in wires.items():
            readers.join(wire, seq)
        batch = [News(seq, 0.0, 0, {}) for seq in range(3, 7)]
        readers.tell(batch[:3])
        assert [wire.written for wire in wires.values()] == [[[3, 4, 5]], [[4, 5]], []]
        readers.tell(batch[3:])
        assert [wire.written[-1] for wire in wires.values()] == [[6]] * 3
        assert len(readers) == 3
        for _ in range(2):
            readers.leave(wires[3])
        assert len(readers) == 2


def test_many_who_wait_are_answered_by_one_text(monkeypatch):
    """Twenty long polls at one position: an update wakes them all, and their answer is put together once."""
    made = []
    text = feed_module.Answer.text
    monkeypatch.setattr(feed_module.Answer, "text", lambda answer: made.append(answer.seq) or text(answer))

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /updates?after=0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    async def scenario():
        feed, sock = in_a_row(2), listen(meter := Meter())
        async with TRANSPORTS["long_polling"].module().serve(feed, sock, Guard()):
            asking = [asyncio.create_task(ask(sock.getsockname()[1])) for _ in range(20)]
            async with asyncio.timeout(patient(20)):
                while meter.requests < 20:  # noqa: ASYNC110 - the meter tells nobody
                    await asyncio.sleep(0.01)
            await tell(feed, 1)
            answers = await asyncio.gather(*asking)
        sock.close()
        assert all(answer == answers[0] for answer in answers)
        assert [update["seq"] for update in answers[0]["updates"]] == [1]
        assert made == [1]

    run(scenario())
