"""The publisher: a feed that is played into the broker, once each, however often it has to be said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from os import PathLike, fspath
from os.path import abspath
from typing import Any

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from wsdemo.feed import Feed, News, feed_of
from wsdemo.processes.children import Child, say
from wsdemo.processes.jobs import PublisherDid, PublisherJob
from wsdemo.scale.stream import AGAIN_S, ANSWER_S, STREAM, SUBJECT, TROUBLE, connected, stream
from wsdemo.tasks import background
from wsdemo.updates import Schedule, every, from_recipe

AT_ONCE = 200
"""So many updates are on the way together. One by one, each after the broker's word for the last, ends at 1,800 a s."""
ACK_S = 2.0
"""How long the broker may take to acknowledge them before they are sent again."""
ID, LAST_ID = "Nats-Msg-Id", "Nats-Expected-Last-Msg-Id"


class Publisher:
    """Hands a feed's updates to the broker, in order and each once. Run it with `run`.

    acknowledged: the feed's seq up to which the broker has them; retries: how often some were sent again.

    The feed's own number is the message's name (`Nats-Msg-Id`), by which the broker knows what it has already; and each
    message names the one before it, so that none is kept before one that was lost on the way.
    """

    def __init__(self, feed: Feed, broker: str):
        self._feed, self._broker = feed, broker
        self.acknowledged = self.retries = 0
        self._waiting: list[asyncio.Future[Any]] = []
        self.is_ready = asyncio.Event()

    async def run(self) -> None:
        """For ever: hand over what is new. Raises ConnectionError if no broker answers at first."""
        async with connected(self._broker, self._give_up_waiting) as client:
            js = client.jetstream(timeout=ANSWER_S)
            await stream(js)
            self.acknowledged = await self._last(js)
            self.is_ready.set()
            while await self._feed.wait(self.acknowledged):
                try:
                    if not client.is_connected:  # the library would keep what is sent now, and send it after its repeat
                        raise ConnectionResetError("the broker is away")
                    await self._send(js, self._feed.since(self.acknowledged).news[:AT_ONCE])
                except TROUBLE:
                    self.retries += 1
                    await asyncio.sleep(AGAIN_S)
                    with contextlib.suppress(*TROUBLE):
                        self.acknowledged = max(self.acknowledged, await self._last(js))

    async def _send(self, js: JetStreamContext, batch: Sequence[News]) -> None:
        """Send updates together, and wait for the broker's word for each. Raises what went wrong with the first."""
        before: str | None = None
        self._waiting = []
        try:
            for news in batch:
                headers = {ID: self._name(news.seq)} | ({LAST_ID: before} if before is not None else {})
                self._waiting.append(await js.publish_async(SUBJECT, news.text().encode(), headers=headers))
                before = self._name(news.seq)
            async with asyncio.timeout(ACK_S):
                answers = await asyncio.gather(*self._waiting, return_exceptions=True)
        finally:
            self._give_up_waiting()
            await asyncio.gather(*self._waiting, return_exceptions=True)
        for news, answer in zip(batch, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            self.acknowledged = news.seq

    def _give_up_waiting(self) -> None:
        """End the waiting for words that a broker which is back will not say."""
        for word in self._waiting:
            if not word.done():
                word.set_exception(ConnectionResetError("the broker was away"))

    async def _last(self, js: JetStreamContext) -> int:
        """Return our number of the stream's newest message, 0 if that is none of ours: where to go on."""
        try:
            message = await js.get_last_msg(STREAM, SUBJECT)
        except NotFoundError:
            return 0
        whose, _, number = (message.headers or {}).get(ID, "").rpartition("-")
        return int(number) if whose == self._feed.epoch and number.isdecimal() else 0

    def _name(self, seq: int) -> str:
        return f"{self._feed.epoch}-{seq}"


async def run_child(job: PublisherJob, orders: AsyncIterator[Any]) -> None:
    """Publish in a child process until stdin ends; each order is answered with `PublisherDid`."""
    with feed_of(from_recipe(job["schedule"]), job["duration_s"], job["log"]) as feed:
        publisher = Publisher(feed, job["broker"])

        def did() -> PublisherDid:
            return {"published": feed.seq, "acknowledged": publisher.acknowledged, "retries": publisher.retries}

        async with background(publisher.run(), feed.failure()):
            await publisher.is_ready.wait()
            feed.start()
            say(did())
            async for _ in orders:
                say(did())
        await feed.stop()


class Source:
    """A publisher in a process of its own. Use as `async with Source(broker.url, every(1.0)) as source:`.

    broker: its address; schedule: what is published (default: one update a second); log: a file that keeps it, so that
    a publisher that is killed and started again goes on where it was. Raises `ChildFailed` if it cannot start.
    """

    def __init__(
        self,
        broker: str,
        schedule: Schedule | None = None,
        *,
        duration_s: float | None = None,
        log: str | PathLike[str] | None = None,
    ):
        self._job: PublisherJob = {
            "schedule": (schedule or every(1.0)).recipe(),
            "duration_s": duration_s,
            "broker": broker,
            "log": None if log is None else abspath(fspath(log)),
        }
        self._child: Child | None = None

    async def __aenter__(self) -> Source:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive

    async def start(self) -> Source:
        """Start it and wait until the broker has let it in. Starting again while it runs changes nothing."""
        if not self.running:
            if self._child is not None:  # it has ended by itself
                self._child.kill()
            self._child = child = Child("publisher", self._job)
            try:
                await child.answer()
            except BaseException:
                child.kill()
                raise
        return self

    async def did(self) -> PublisherDid:
        """Return how far it is."""
        if self._child is None:
            raise RuntimeError("this publisher is not running: use `async with`, or `await source.start()`")
        self._child.tell({})
        answer: PublisherDid = await self._child.answer()
        return answer

    async def stop(self) -> None:
        """End it and wait until it is gone. Stopping again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    def kill(self) -> None:
        """End it at once."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
