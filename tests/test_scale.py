"""A feed that comes from the broker, and what publishes there: each trap that prototypes fell into, one test."""

import asyncio
import contextlib
import json

import pytest
from patience import patient

from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader
from wsdemo.scale import publisher as publishing
from wsdemo.scale import stream as streams
from wsdemo.scale.broker import Broker
from wsdemo.scale.publisher import Publisher
from wsdemo.scale.relay import Relay
from wsdemo.scale.stream import STREAM, SUBJECT, connected, stream
from wsdemo.serve import new_event_loop
from wsdemo.tasks import background
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update, every


def run(scenario):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asyncio.wait_for(scenario, patient(60)))


async def until(condition):
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def burst(count, first=1):
    """Return updates that are all due at once."""
    return [Update(seq, 0.0, {"n": seq}) for seq in range(first, first + count)]


@contextlib.asynccontextmanager
async def published(broker, updates):
    """Play updates into a broker; give the publisher once it has been let in."""
    async with Feed(updates) as feed:
        publisher = Publisher(feed, broker.url)
        async with background(publisher.run()):
            await publisher.is_ready.wait()
            yield publisher


async def publish(broker, updates):
    """Play updates into a broker until it has all of them; return the publisher."""
    async with published(broker, updates) as publisher:
        await until(lambda: publisher.acknowledged == updates[-1].seq)
    return publisher


async def stored(broker):
    """Return the numbers of all updates that the broker has, in its order."""
    async with connected(broker.url) as client:
        js = client.jetstream()
        last = (await js.stream_info(STREAM)).state.last_seq
        return [json.loads((await js.get_msg(STREAM, seq)).data)["data"]["n"] for seq in range(1, last + 1)]


def numbers(answer):
    return [news.seq for news in answer.news]


@contextlib.asynccontextmanager
async def served(name, feed):
    """Serve a feed by one transport; give its address and its meter."""
    with listen(meter := Meter()) as sock:
        async with TRANSPORTS[name].module().serve(feed, sock, Guard("127.0.0.1")):
            yield TRANSPORTS[name].url(sock.getsockname()[1]), meter


# --- one history for all ----------------------------------------------------------------------------------------------


def test_epoch_and_numbers_are_the_same_in_every_relay_and_over_restarts():
    """Of the broker, of a relay. The numbers are the stream's, also where the publisher's own have gaps."""

    async def scenario():
        async with Broker() as broker:
            await publish(broker, [Update(7 * seq, 0.0, {"n": seq}) for seq in range(1, 11)])
            async with Relay(broker.url) as one, Relay(broker.url) as other:
                assert numbers(one.since(0, one.epoch)) == numbers(other.since(0, one.epoch)) == list(range(1, 11))
                assert [news.data["n"] for news in one.since(0).news] == list(range(1, 11))
                epoch = one.epoch
            broker.kill()
            await broker.start()
            async with Relay(broker.url) as again:
                assert again.epoch == epoch == other.epoch
                assert again.since(4, epoch).recovered and numbers(again.since(4, epoch)) == list(range(5, 11))

    run(scenario())


def test_a_relay_listens_once_it_has_the_newest_of_the_old_log():
    """Whoever stands before what it keeps is told so."""

    async def scenario():
        async with Broker() as broker:
            await publish(broker, burst(50))
            async with Relay(broker.url, log_size=10) as relay:
                assert (relay.seq, numbers(relay.since(40, relay.epoch))) == (50, list(range(41, 51)))
                assert relay.since(40, relay.epoch).recovered and not relay.since(39, relay.epoch).recovered
                assert not relay.since(3, "another epoch").recovered

    run(scenario())


def test_what_is_no_update_is_passed_over():
    """Whoever has the token may publish. What no reader could make sense of reaches none, and stops nobody."""

    async def scenario():
        async with Broker() as broker, connected(broker.url) as client:
            js = client.jetstream()
            await stream(js)
            strange = [b"", b"[]", b"\xff", b'{"seq": 1, "published_at_ns": 1, "data": NaN}', b'{"seq": true}']
            for data in strange:
                await js.publish(SUBJECT, data)
            async with Relay(broker.url) as relay:
                assert (relay.since(0).news, relay.skipped) == ((), len(strange))
                await publish(broker, burst(1))
                await until(lambda: relay.seq)
                assert numbers(relay.since(0)) == [len(strange) + 1]

    run(scenario())


def test_a_stream_that_is_another_one_is_the_relays_failure():
    """Somebody has deleted it: the same numbers will be other updates, and the gateway says so."""

    async def scenario():
        async with Broker() as broker:
            await publish(broker, burst(3))
            with pytest.raises(RuntimeError, match=r"another history|lost its stream"):
                async with Relay(broker.url) as relay, connected(broker.url) as client:
                    await client.jetstream().delete_stream(STREAM)
                    await stream(client.jetstream())
                    relay._again.set()
                    await asyncio.Event().wait()

    run(scenario())


def test_without_a_broker_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr(streams, "ANSWER_S", 0.3)

    async def scenario():
        with pytest.raises(ConnectionError, match=r"no broker lets us in at nats://127.0.0.1:9 .*running there"):
            async with Relay("nats://token@127.0.0.1:9"):
                pass

    run(scenario())


# --- trap 1: a reader who is ahead of its gateway ---------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSPORTS)
def test_a_reader_ahead_of_its_gateway_is_answered_in_patience(name):
    """It has heard 10 elsewhere and comes to a gateway that has 5: no reset, no duplicate, and 11 when it comes."""
    habit = TRANSPORTS[name].habit
    questions = 3 if habit == "asks" else 1

    async def scenario():
        async with Broker() as broker:
            await publish(broker, burst(5))
            async with Relay(broker.url) as relay, served(name, relay) as (url, meter):
                reader = Reader(0.02, after=10, epoch=relay.epoch)
                async with contextlib.aclosing(TRANSPORTS[name].module().hear(url, reader)) as deliveries:
                    first = asyncio.ensure_future(anext(deliveries))
                    await until(reader.is_open.is_set if habit == "streamed" else lambda: meter.requests >= questions)
                    await publish(broker, burst(8, first=6))  # 6 to 13, of which it has had five
                    heard = [(await first).seq] + [(await anext(deliveries)).seq for _ in range(2)]
                assert (heard, reader.resets, reader.duplicates) == ([11, 12, 13], 0, 0)

    run(scenario())


def test_a_feed_of_its_own_still_sends_back_who_is_ahead():
    """There nobody can be ahead but by another history, which is what a restart without a log is."""

    async def scenario():
        async with Feed(burst(5)) as feed:
            assert not feed.since(10, feed.epoch).recovered

    run(scenario())


# --- traps 2 and 3: a broker that was away ----------------------------------------------------------------------------


def test_a_relay_hears_at_once_again_after_the_broker_was_away():
    """A hundred updates come after the restart. The relay has heard them by the time that they are all there."""

    async def scenario():
        async with Broker() as broker, published(broker, every(0.02)) as publisher, Relay(broker.url) as relay:
            await until(lambda: relay.seq > 5)
            broker.kill()
            await broker.start()
            goal = publisher.acknowledged + 100
            await until(lambda: publisher.acknowledged >= goal)
            assert relay.seq > goal - 50  # the library's own consumer would say nothing for 250 of them
            assert numbers(relay.since(0)) == list(range(1, relay.seq + 1))

    run(scenario())


def test_nobody_gives_up_on_a_broker_that_is_away_for_long_nor_prints_anything(monkeypatch, capfd):
    """A hundred attempts fail, where the library's default ends after sixty, with a traceback of each."""
    monkeypatch.setattr(streams, "AGAIN_S", 0.005)

    async def scenario():
        attempts = 0

        async def nobody(_, writer):
            nonlocal attempts
            attempts += 1
            writer.close()

        async with Broker() as broker, published(broker, every(0.02)) as publisher, Relay(broker.url) as relay:
            await until(lambda: relay.seq > 2)
            broker.kill()
            port = int(broker.url.rpartition(":")[2])
            async with await asyncio.start_server(nobody, "127.0.0.1", port, reuse_address=True):
                await until(lambda: attempts > 200)  # of two who try
            await broker.start()
            goal = publisher.acknowledged + 10
            await until(lambda: relay.seq >= goal)

    run(scenario())
    assert capfd.readouterr() == ("", "")


def test_what_a_relay_does_not_get_it_asks_for_again():
    """A message is lost on the way to it: the broker's own count shows the gap, and nothing is missing in the end."""

    async def scenario():
        async with Broker() as broker, Relay(broker.url) as relay:
            await until(lambda: relay._task is not None)
            real, lost = relay._take, []

            def lossy(seq, data):
                if seq == 4 and not lost:
                    lost.append(seq)
                    relay._again.set()  # what a gap in the count leads to
                    return
                real(seq, data)

            relay._take = lossy
            await publish(broker, burst(10))
            await until(lambda: relay.seq == 10)
            assert (lost, numbers(relay.since(0))) == ([4], list(range(1, 11)))

    run(scenario())


# --- trap 4: publishing -----------------------------------------------------------------------------------------------


def test_updates_go_to_the_broker_many_at_a_time(monkeypatch):
    """One by one, each after the broker's word for the last, ends at some 1,800 a second."""
    batches = []
    send = Publisher._send

    async def counted(self, js, batch):
        batches.append(len(batch))
        await send(self, js, batch)

    monkeypatch.setattr(Publisher, "_send", counted)

    async def scenario():
        async with Broker() as broker:
            await publish(broker, burst(2000))
            assert await stored(broker) == list(range(1, 2001))

    run(scenario())
    assert max(batches) == publishing.AT_ONCE and len(batches) < 50


def test_what_is_said_twice_is_kept_once(monkeypatch):
    """The broker has all of a batch, and its word for it is lost; nobody looks what it has, either."""

    async def nothing(*_):
        return 0

    async def scenario():
        send, lost = Publisher._send, []

        async def deaf(self, js, batch):
            await send(self, js, batch)
            if len(lost) < 3:
                lost.append(len(batch))
                self.acknowledged = 0
                raise ConnectionResetError

        monkeypatch.setattr(Publisher, "_send", deaf)
        monkeypatch.setattr(Publisher, "_last", nothing)
        async with Broker() as broker:
            publisher = await publish(broker, burst(30))
            assert publisher.retries == len(lost) == 3
            assert await stored(broker) == list(range(1, 31))

    run(scenario())


def test_what_is_lost_on_the_way_to_the_broker_comes_in_order_all_the_same(monkeypatch):
    """The third of ten gets lost: none of those after it is kept before it."""
    monkeypatch.setattr(publishing, "ACK_S", 0.3)

    async def scenario():
        async with Broker() as broker, published(broker, burst(10)) as publisher:
            pass
        lost = []
        async with Broker() as broker, Feed(burst(10)) as feed:
            publisher = Publisher(feed, broker.url)
            send = Publisher._send

            async def lossy(self, js, batch):
                real = js.publish_async

                async def publish_async(subject, payload, headers):
                    if json.loads(payload)["seq"] == 3 and not lost:
                        lost.append(3)
                        return asyncio.get_running_loop().create_future()
                    return await real(subject, payload, headers=headers)

                js.publish_async = publish_async
                try:
                    await send(self, js, batch)
                finally:
                    js.publish_async = real

            monkeypatch.setattr(Publisher, "_send", lossy)
            async with background(publisher.run()):
                await until(lambda: publisher.acknowledged == 10)
            assert (lost, publisher.retries > 0, await stored(broker)) == ([3], True, list(range(1, 11)))

    run(scenario())


def test_a_publisher_that_is_started_again_with_its_log_goes_on(tmp_path):
    """With the same log it is the same publisher: what the broker has is not said again."""

    async def scenario():
        async with Broker() as broker:
            begun = []
            for _ in range(2):
                async with Feed(every(0.01), log=tmp_path / "news.log") as feed:
                    publisher = Publisher(feed, broker.url)
                    async with background(publisher.run()):
                        await publisher.is_ready.wait()
                        begun.append(publisher.acknowledged)
                        await until(lambda goal=begun[-1] + 10, one=publisher: one.acknowledged > goal)
            assert begun[0] == 0 and begun[1] > 10
            numbers = await stored(broker)
            assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20

    run(scenario())
