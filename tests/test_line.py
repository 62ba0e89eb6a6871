"""A line that can be bad: what its words mean, what it does to bytes, that it keeps their order and leaves nothing."""

import asyncio
import contextlib
import os
import random
import re
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import patient
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from wsdemo.line import WORDS, Fault, Line, parse_line, words_of
from wsdemo.line.proxy import Holder
from wsdemo.line.way import MOST_ON_THE_WAY, Way
from wsdemo.reader import Reader
from wsdemo.serve import serving
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every

WAIT_S = patient(30)
"""A bound for a machine that hangs; no test is decided by it."""
SILENT_S = 0.1
"""Nothing is to come in this time. Waiting longer could only find more."""


# --- words ------------------------------------------------------------------------------------------------------------

TIMES = st.integers(1, 10**7).map(lambda us: us / 1e6)
SIZES = st.integers(1, 10**9)
STEADY = {"delay_s": TIMES, "jitter_s": TIMES, "bandwidth_bytes_per_s": SIZES.map(float)}
OTHERS = {
    "cut_after_s": TIMES,
    "cut_after_bytes": SIZES,
    "cut_every_s": TIMES,
    "rst": st.just(True),
    "vanish": st.sampled_from(["up", "down", "both"]),
    "idle_s": TIMES,
    "hold_bytes": SIZES,
    "upgrade_status": st.sampled_from([400, 426]),
    "unavailable_status": st.sampled_from([502, 503]),
    "one_in": st.integers(1, 50),
    "chance": st.integers(0, 100).map(lambda percent: percent / 100),
    "seed": st.integers(0, 1000),
    "from_s": TIMES,
    "for_s": TIMES,
}
FAULTS = st.fixed_dictionaries({}, optional=STEADY | OTHERS).filter(
    lambda fields: not {"cut_after_s", "cut_after_bytes"} <= set(fields)
)


@given(FAULTS)
def test_words_are_read_as_they_were_said(fields):
    """Every fault has words, and they make the same fault again."""
    fault = Fault(**fields)
    again = parse_line(words_of(fault))
    assert vars(again) == pytest.approx(vars(fault))
    assert parse_line(words_of(again)) == again


def test_units():
    """Times and sizes have one each; a cut goes by either, as its unit says."""
    fault = parse_line(" delay=50ms, jitter=.01s,bandwidth=64KB/s,cut=3s ,cut-every=1min,hold=4KiB,idle=250us")
    assert (fault.delay_s, fault.jitter_s, fault.bandwidth_bytes_per_s) == (0.05, 0.01, 64_000)
    assert (fault.cut_after_s, fault.cut_every_s, fault.hold_bytes) == (3, 60, 4096)
    assert fault.idle_s == pytest.approx(250e-6)
    assert (parse_line("cut=2MB").cut_after_bytes, parse_line("cut=2MB").cut_after_s) == (2_000_000, None)
    assert parse_line("") == Fault() and words_of(Fault()) == ""


def test_unknown_words_are_refused_with_those_that_there_are():
    """All of them, since whoever mistypes one looks for it."""
    with pytest.raises(ValueError, match="'dely'") as refused:
        parse_line("dely=50ms")
    assert all(key in str(refused.value) for key in WORDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("delay=50", r"delay must be a number with a unit \(us, ms, s, min\), such as 50ms or 3s, not '50'"),
        ("delay=-1s", "delay must be a number with a unit"),
        ("delay=", "delay must be a number with a unit"),
        ("cut=3", "cut must be a number with a unit .* such as 3s or 64KB"),
        ("cut=0s", "cut must be a number above 0"),
        ("cut=0B", "cut must be a number above 0"),
        ("bandwidth=3s", "bandwidth must be a number with a unit"),
        ("vanish=left", "vanish must be one of up, down, both, not 'left'"),
        ("end=bang", "end must be one of fin, rst"),
        ("status=200", "status must be a status from 400 to 599"),
        ("upgrade=no", "upgrade must be a whole number"),
        ("one-in=0", "one-in must be a number above 0"),
        ("chance=2", "chance must lie between 0 and 1"),
        ("chance=nan", "chance must lie between 0 and 1"),
        ("chance=often", "chance must be a number from 0 to 1"),
        ("retry-after=3s", "retry-after goes with status"),
        ("delay=1s,delay=2s", "delay can be said once"),
    ],
)
def test_what_makes_no_line_is_refused_in_its_own_words(words, sentence):
    """Not in those of the fields."""
    with pytest.raises(ValueError, match=sentence):
        parse_line(words)


def test_a_fault_in_fields_is_refused_by_their_names():
    """Whoever wrote Python is answered in Python."""
    with pytest.raises(ValueError, match="delay_s must be a number of seconds from 0 up, not -1"):
        Fault(delay_s=-1)
    with pytest.raises(ValueError, match="cut_after_bytes must be a number above 0"):
        Fault(cut_after_bytes=0)
    with pytest.raises(ValueError, match="choose one"):
        Fault(cut_after_bytes=1, cut_after_s=1)


def test_which_connections_are_hit_follows_from_their_numbers():
    """Every k-th; or by a chance, which is the same for the same seed, and about as often as it says."""
    assert [number for number in range(1, 10) if Fault(one_in=3).hits(number)] == [3, 6, 9]
    hit = [Fault(chance=0.25, seed=5).hits(number) for number in range(1, 4001)]
    assert hit == [Fault(chance=0.25, seed=5).hits(number) for number in range(1, 4001)]
    assert hit != [Fault(chance=0.25, seed=6).hits(number) for number in range(1, 4001)]
    assert abs(sum(hit) - 1000) < 6 * (4000 * 0.25 * 0.75) ** 0.5
    assert not any(Fault(chance=0).hits(number) for number in range(1, 100))


def test_the_steady_part_is_in_order_but_late():
    """Delay, jitter and bandwidth: what theory can go on with."""
    fault = parse_line("delay=5ms,jitter=1ms,bandwidth=1MB,cut=3s,vanish=up,one-in=2")
    assert words_of(fault.steady) == "delay=5ms,jitter=1ms,bandwidth=1000000B"
    assert fault.disturbs and not fault.steady.disturbs


# --- bytes ------------------------------------------------------------------------------------------------------------


class Place:
    """A server that echoes what it hears, or does with each connection what it is told; it knows all of them."""

    def __init__(self, serve=None):
        self._serve = serve or self._echo
        self.heard: list[bytearray] = []
        self.ends: list[str] = []

    async def _echo(self, reader, writer):
        heard = bytearray()
        self.heard.append(heard)
        try:
            while data := await reader.read(65536):
                heard += data
                writer.write(data)
                await writer.drain()
            self.ends.append("end")
        except ConnectionError:
            self.ends.append("reset")
        writer.close()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info):
        self._server.close()


@contextlib.asynccontextmanager
async def through(fault=None, serve=None):
    """Give a place, and a line to it."""
    async with Place(serve) as place, Line(place.port, fault) as line:
        yield place, line


@contextlib.asynccontextmanager
async def client(line):
    """Give a client's reader and writer on a line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def run(scenario):
    """Run a scenario to its end, and see that nothing is left of it."""

    async def whole():
        async with asyncio.timeout(WAIT_S):
            await scenario()
        for _ in range(100):
            if asyncio.all_tasks() == {asyncio.current_task()}:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


async def until(condition):
    while not condition():  # noqa: ASYNC110 - counts wake nobody
        await asyncio.sleep(0.005)


async def silent(reader):
    """Whether nothing comes, and no end either."""
    try:
        await asyncio.wait_for(reader.read(1), patient(SILENT_S))
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("words", ["", "delay=10ms,jitter=20ms", "bandwidth=20MB", "jitter=5ms,bandwidth=10MB"])
def test_every_byte_arrives_in_order(words):
    """However late each part is; and after the last one the end does."""

    async def scenario():
        data = random.Random(1).randbytes(700_000)
        async with through(words) as (place, line), client(line) as (reader, writer):

            async def send():
                for at in range(0, len(data), 7_919):
                    writer.write(data[at : at + 7_919])
                    await writer.drain()
                writer.write_eof()

            got, _ = await asyncio.gather(reader.read(-1), send())
            assert got == data == place.heard[0]
            assert place.ends == ["end"]
            assert (line.did.bytes_up, line.did.bytes_down) == (len(data), len(data))

    run(scenario)


def test_nothing_arrives_before_its_time():
    """Delay both ways, and the time that the bandwidth takes: never sooner. How much later is the machine's affair."""

    async def scenario():
        async with through("delay=30ms") as (_, line), client(line) as (reader, writer):
            sent = time.perf_counter()
            writer.write(b"x")
            await reader.readexactly(1)
            assert time.perf_counter() - sent >= 2 * 0.03 - 0.001
            line.change("bandwidth=100KB")
            sent = time.perf_counter()
            writer.write(bytes(10_000))
            await reader.readexactly(10_000)
            assert time.perf_counter() - sent >= 0.1 - 0.001

    run(scenario)


def test_whoever_sends_too_much_has_to_wait():
    """A receiver that reads nothing: the line takes a bounded amount, as TCP does; later all of it arrives."""
    total = 64 * 2**20
    go_on = None

    async def serve(reader, writer):
        await go_on.wait()
        count = 0
        while data := await reader.read(2**20):
            count += len(data)
        writer.write(str(count).encode())
        writer.close()

    async def scenario():
        nonlocal go_on
        go_on = asyncio.Event()
        async with through("", serve) as (_, line), client(line) as (reader, writer):
            writer.write(bytes(total))
            left = -1
            while left != writer.transport.get_write_buffer_size():
                left = writer.transport.get_write_buffer_size()
                await asyncio.sleep(SILENT_S)
            assert left > total / 2
            go_on.set()
            writer.write_eof()
            assert await reader.read(-1) == str(total).encode()

    run(scenario)


def test_a_direction_holds_its_source_back_and_lets_it_go_on():
    """At `MOST_ON_THE_WAY` bytes it stops reading; below, it reads again. Whoever vanishes is not read from, either."""

    class Source:
        reading = True

        def is_closing(self):
            return False

        def pause_reading(self):
            self.reading = False

        def resume_reading(self):
            self.reading = True

    async def scenario():
        arrived = []
        way = Way(arrived.append, random.Random(1).random)
        way.source = source = Source()
        way.wait(True)
        way.came(bytes(MOST_ON_THE_WAY - 1), Fault())
        assert source.reading
        way.came(b"x", Fault())
        assert not source.reading and arrived == []
        way.wait(False)
        assert source.reading and sum(map(len, arrived)) == MOST_ON_THE_WAY
        way.vanish(True)
        assert not source.reading
        way.vanish(False)
        assert source.reading

    run(scenario)


# --- cuts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 65_537])
def test_a_cut_is_to_the_byte(size):
    """So many arrive, and then the end: never one more, whatever was sent."""

    async def scenario():
        async def swallow(reader, writer):
            got.append(await reader.read(-1))
            writer.close()

        got = []
        async with through(f"cut={size}B", swallow) as (_, line), client(line) as (reader, writer):
            writer.write(bytes(200_000))
            assert await reader.read(-1) == b""
            await until(lambda: got)
            assert len(got[0]) == line.did.bytes_up == size
            assert line.did.counts["cut"] == 1

    run(scenario)


@pytest.mark.parametrize("rst", [False, True])
def test_a_cut_is_told_as_it_is_asked_for(rst):
    """FIN is an end, also for who has just sent something; RST is an error, for both sides."""

    async def scenario():
        async with through(parse_line("delay=50ms")) as (place, line), client(line) as (reader, writer):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.write(b"on its way")
            assert line.cut(rst=rst) == 1
            if rst:
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
            else:
                assert await reader.read(1) == b""
            await until(lambda: place.ends)
            assert place.ends == ["reset" if rst else "end"]
            assert place.heard == [b"x"]  # what was on its way is lost
            assert str(line.did.events[-1]).endswith("connection 1: cut by RST" if rst else "connection 1: cut by FIN")
            assert line.cut() == 0  # there is nobody left

    run(scenario)


def test_connections_are_cut_by_age_and_by_the_clock():
    """cut: each of them, so long after it opened. cut-every: whoever is there, again and again."""

    async def scenario():
        async with through("cut=50ms") as (_, line):
            for _ in range(3):
                async with client(line) as (reader, _):
                    assert await reader.read(1) == b""
            assert line.did.counts["cut"] == line.did.counts["open"] == 3
            line.change("cut-every=50ms")
            for _ in range(3):
                async with client(line) as (one, _), client(line) as (other, _):
                    assert await one.read(1) == await other.read(1) == b""
            assert line.did.counts["cut"] == line.did.counts["open"] == 9

    run(scenario)


def test_one_connection_can_be_cut_by_its_number():
    """The other stays."""

    async def scenario():
        async with through() as (_, line), client(line) as (one, _), client(line) as (two, writer):
            await until(lambda: line.open == 2)
            assert line.cut(number=1) == 1
            assert await one.read(1) == b""
            writer.write(b"x")
            assert await two.readexactly(1) == b"x"

    run(scenario)


def test_every_kth_connection_is_hit_and_delay_is_everybodys():
    """The third and the sixth of six."""

    async def scenario():
        async with through("delay=1ms,cut=1B,one-in=3") as (_, line):
            fates = []
            for _ in range(6):
                async with client(line) as (reader, writer):
                    writer.write(b"xy")
                    fates.append(await reader.read(1))
            assert fates == [b"x", b"x", b"", b"x", b"x", b""]

    run(scenario)


def test_silence_is_cut_by_who_does_not_like_it():
    """Not before its time, and counted as what it is."""

    async def scenario():
        async with through("idle=100ms") as (_, line), client(line) as (reader, writer):
            for _ in range(3):
                await asyncio.sleep(0.01)
                writer.write(b"x")
                await reader.readexactly(1)
            last = time.perf_counter()
            assert await reader.read(1) == b""
            assert time.perf_counter() - last >= 0.09
            assert (line.did.counts["idle"], line.did.counts["cut"]) == (1, 0)

    run(scenario)


# --- half-open --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["up", "down", "both"])
def test_a_half_open_line_tells_nobody(way):
    """Nothing gets through that way, and no end; the other way everything does. Later, all that waited comes late."""

    async def scenario():
        async with through() as (place, line), client(line) as (reader, writer):
            writer.write(b"1")
            assert await reader.readexactly(1) == b"1"
            line.vanish(way)
            writer.write(b"2")
            if way == "down":
                await until(lambda: place.heard[0] == b"12")
            assert await silent(reader)
            writer.write_eof()
            assert await silent(reader)
            assert place.heard[0] == (b"12" if way == "down" else b"1")
            assert place.ends == (["end"] if way == "down" else [])
            line.vanish(None)
            assert await reader.read(-1) == b"2"
            await until(lambda: place.ends == ["end"])

    run(scenario)


def test_a_reset_vanishes_too():
    """A client that dies leaves a server that knows nothing of it, until the line is back."""

    async def scenario():
        async with through() as (place, line):
            async with client(line) as (reader, writer):
                writer.write(b"x")
                await reader.readexactly(1)
                line.vanish()
            await asyncio.sleep(SILENT_S)
            assert place.ends == [] and line.open == 1
            line.vanish(None)
            await until(lambda: place.ends and not line.open)

    run(scenario)


def test_nobody_opens_a_connection_through_a_half_open_line():
    """The server hears of it once the line is back."""

    async def scenario():
        async with through("vanish=down") as (place, line), client(line) as (reader, writer):
            writer.write(b"x")
            assert await silent(reader)
            assert place.heard == []
            line.vanish(None)
            assert await reader.readexactly(1) == b"x"

    run(scenario)


# --- proxies ----------------------------------------------------------------------------------------------------------

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
LAST = b"0\r\n\r\n"


def test_a_holder_lets_an_answer_go_when_it_ends():
    """Byte by byte; one that has a length, one that has chunks, one without a body, and the next behind it."""
    holder = Holder()
    for answer in (WHOLE, CHUNKED + LAST, b"HTTP/1.1 304 Not Modified\r\n\r\n", WHOLE):
        passed = [holder.take(bytes([byte]), 10_000) for byte in answer]
        assert passed == [b""] * (len(answer) - 1) + [answer]
    assert holder.take(WHOLE + CHUNKED, 10_000) == b"" and holder.holds == len(WHOLE + CHUNKED)
    assert holder.take(LAST, 10_000) == WHOLE + CHUNKED + LAST


def test_a_holder_lets_go_of_what_is_too_much():
    """From n bytes on, all of it, and then holds again."""
    holder = Holder()
    assert holder.take(CHUNKED, len(CHUNKED) + 10) == b""
    assert holder.take(b"5\r\nworld\r\n", len(CHUNKED) + 10) == CHUNKED + b"5\r\nworld\r\n"
    assert holder.take(b"5\r\nagain\r\n", 1000) == b""
    assert holder.rest() == b"5\r\nagain\r\n" and holder.holds == 0


@pytest.mark.parametrize("tunnel", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"\x16\x03\x01"])
def test_a_holder_lets_through_what_is_no_http(tunnel):
    """At once, since nobody could say where it ends."""
    holder = Holder()
    assert holder.take(tunnel, 10_000) == tunnel
    assert holder.take(b"\x81\x01x", 10_000) == b"\x81\x01x"


@pytest.mark.parametrize("more", [b"5\r\nworld\r\n", CHUNKED])
def test_a_holder_that_comes_too_late_knows_an_answer_by_the_next_question(more):
    """What has begun to pass before is held as well; what ends it is its last chunk, or a question."""
    holder = Holder()
    holder.passed(CHUNKED)
    assert holder.take(more, 1000) == b""
    assert holder.take(b"5\r\nagain\r\n" + LAST, 1000) == more + b"5\r\nagain\r\n" + LAST
    holder.passed(CHUNKED)
    assert holder.take(more, 1000) == b""
    holder.asked()
    assert holder.take(WHOLE, 1000) == more + WHOLE
    tunnel = Holder()
    tunnel.passed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert tunnel.take(more, 1000) == more


def test_an_answer_that_never_ends_is_held_back_and_whole_ones_are_not():
    """Server-sent events through such a proxy: silence, until it is taken away."""

    async def scenario():
        schedule = every(0.02)
        async with serving(["sse", "polling"], schedule) as served:
            async with Line(served.ports["sse"], "hold=1MB") as line, client(line) as (reader, writer):
                writer.write(b"GET /updates HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert await silent(reader)
                await until(lambda: served.feed.seq > 3)
                line.change()
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            async with Line(served.ports["polling"], "hold=1MB") as line:
                url = TRANSPORTS["polling"].url(line.port)
                async with contextlib.aclosing(TRANSPORTS["polling"].module().hear(url, Reader(0.02))) as news:
                    assert (await anext(news)).seq > 0

    run(scenario)


@pytest.mark.parametrize("status", [400, 426])
def test_an_old_proxy_refuses_upgrade_and_nothing_else(status):
    """The server never sees the request."""

    async def scenario():
        async with serving(["websocket", "polling"], every(0.02)) as served:
            async with Line(served.ports["websocket"], Fault(upgrade_status=status)) as line:
                with pytest.raises(InvalidStatus, match=str(status)):
                    await connect(f"ws://127.0.0.1:{line.port}/updates", proxy=None)
                assert line.did.counts["refused"] == 1
                assert served.meters["websocket"].connections == 0
                line.lead_to(served.ports["polling"])
                async with client(line) as (reader, writer):
                    writer.write(b"GET /updates HTTP/1.1\r\n")
                    await asyncio.sleep(0.01)  # a head may come in parts
                    writer.write(b"Host: 127.0.0.1\r\n\r\n")
                    assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    run(scenario)


@pytest.mark.parametrize(("words", "said"), [("", None), (",retry-after=1200ms", b"2")])
def test_a_proxy_with_nobody_behind_it_says_so_for_a_while(words, said):
    """Those that stand are cut, new ones answered; Retry-After is in whole seconds. Then all is in order again."""

    async def scenario():
        async with through() as (place, line), client(line) as (standing, writer):
            writer.write(b"x")
            await standing.readexactly(1)
            line.change(f"status=503{words}")
            assert await standing.read(1) == b""
            async with client(line) as (reader, asking):
                asking.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = await reader.read(-1)
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n") and answer.endswith(
                b"\r\n\r\n503 Service Unavailable\n"
            )
            assert [*re.findall(rb"Retry-After: (\d+)", answer)] == ([said] if said else [])
            assert (line.did.counts["cut"], line.did.counts["unavailable"], len(place.heard)) == (1, 1, 1)
            line.change()
            async with client(line) as (reader, asking):
                asking.write(b"y")
                assert await reader.readexactly(1) == b"y"

    run(scenario)


# --- while it runs ----------------------------------------------------------------------------------------------------


def test_a_fault_begins_and_ends_at_its_moments():
    """from: not before. for: not longer. Around it only the steady part holds."""

    async def scenario():
        words, held = "delay=1ms,status=502,from=100ms,for=100ms", []
        async with Place() as place:
            line = Line(place.port, words, told=lambda event: held.append(line.present))
            async with line:
                assert line.present == Fault(delay_s=0.001)
                await until(lambda: line.did.counts["over"])
                assert line.fault == held[-1] == parse_line(words)
                assert line.present == Fault(delay_s=0.001)
            begin, over = line.did.events
            assert (begin.kind, over.kind) == ("begin", "over")
            assert begin.at_s >= 0.099 and over.at_s - begin.at_s >= 0.099

    run(scenario)


def test_nobody_behind_the_line():
    """A connection is reset, as by a machine on which nothing listens; then it leads to another port."""

    async def scenario():
        async with Place() as gone:
            port = gone.port
        async with Place() as place, Line(port) as line:
            async with client(line) as (reader, _):
                with pytest.raises(ConnectionResetError):
                    await reader.read(1)
            assert line.did.counts["nobody"] == 1
            line.lead_to(place.port)
            async with client(line) as (reader, writer):
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"

    run(scenario)


def test_what_it_did_is_told_as_it_happens():
    """Each event once, in the order of time; and ready for JSON."""

    async def scenario():
        told = []
        async with Place() as place, Line(place.port, told=told.append) as line:
            async with client(line):
                await until(lambda: line.open)
                line.change("delay=1ms")
                line.cut()
            await until(lambda: not line.open)
            assert told == [*line.did.events]
            assert [event.kind for event in told] == ["open", "change", "cut"]
            assert [event.at_s for event in told] == sorted(event.at_s for event in told)
            assert line.did.to_dict()["counts"] == {"open": 1, "change": 1, "cut": 1}

    run(scenario)


@pytest.mark.parametrize("words", ["", "delay=1s", "vanish=both", "hold=1MB", "idle=60s,cut=60s", "upgrade=426"])
def test_closing_a_line_leaves_nothing(words):
    """No task, no timer that fires, no socket: with bytes on their way, half-open, or before anything was asked."""

    async def scenario():
        files = psutil.Process().num_fds() if os.name == "posix" else 0
        async with Place() as place:
            async with Line(place.port, words) as line:
                ends = [await asyncio.open_connection("127.0.0.1", line.port) for _ in range(5)]
                for _, writer in ends:
                    writer.write(b"x")
                await until(lambda: line.open == 5)
            assert line.open == 0
            with pytest.raises(RuntimeError, match="not open"):
                _ = line.port
            for reader, writer in ends:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read(-1) in (b"", b"x")
                writer.transport.abort()
            await line.stop()  # once more changes nothing
        await asyncio.sleep(0.05)
        if os.name == "posix":
            await until(lambda: psutil.Process().num_fds() == files)

    run(scenario)


def test_a_line_is_opened_again():
    """On another free port, with what it did before still counted."""

    async def scenario():
        async with Place() as place:
            line = Line(place.port)
            for _ in range(2):
                async with line, client(line) as (reader, writer):
                    assert await line.start() is line
                    writer.write(b"x")
                    assert await reader.readexactly(1) == b"x"
            assert line.did.counts["open"] == 2

    run(scenario)


# --- the transports ---------------------------------------------------------------------------------------------------


@pytest.mark.large
@pytest.mark.parametrize("name", TRANSPORTS)
def test_nothing_is_lost_or_comes_twice_through_a_line_that_is_cut_at_any_byte(name, amount):
    """Readers that go on from where they are: each cut falls after another number of bytes."""
    cuts = amount(small=6, large=100)

    async def scenario():
        luck, in_vain = random.Random(name), [0]

        def another(event):
            # What waits for a poll grows while it is cut: so that an answer comes through, the line grows with it.
            if event.kind == "cut":
                size = luck.randint(100, 2500) * 2 ** in_vain[0]
                in_vain[0] += 1
                line.change(Fault(delay_s=0.001, cut_after_bytes=size, rst=luck.random() < 0.5))

        async with serving([name], every(0.01)) as served:
            line = Line(served.ports[name], "delay=1ms,cut=1500B", told=another)
            async with line:
                reader, heard = Reader(0.02), []
                news = TRANSPORTS[name].module().hear(TRANSPORTS[name].url(line.port), reader)
                async with contextlib.aclosing(news):
                    while line.did.counts["cut"] < cuts:
                        heard.append((await anext(news)).seq)
                        in_vain[0] = 0
            assert heard == [*range(heard[0], heard[0] + len(heard))]
            assert reader.resets == 0

    run(scenario)
