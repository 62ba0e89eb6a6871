"""The relay: a feed that comes from the broker instead of a schedule. Knows no transport, and every one serves it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import Any

from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from wsdemo.far_end import NotOurs, update_in
from wsdemo.feed import AT_A_TIME, LOG_SIZE, Feed
from wsdemo.log import MemoryLog
from wsdemo.news import MAX_MESSAGE_BYTES, Answer, News
from wsdemo.scale.broker import without_token
from wsdemo.scale.stream import AGAIN_S, ANSWER_S, STREAM, SUBJECT, TROUBLE, connected, epoch, stream


class Relay(Feed):
    """A feed of what is in the broker. Use as `async with Relay(broker.url) as relay:`, which waits for the old log.

    broker: its address; log_size: how many of the newest updates are kept here for readers who come back.

    An update's `seq` is its place in the stream, and the epoch the stream's creation. So a position leads to the same
    place in every relay of one broker, and after any restart of either. A relay may be behind another by a message: a
    reader who is ahead of it has an empty answer, and waits. While the broker is away readers have what is here.

    Raises ConnectionError if no broker answers at first. A stream that is not the same one any more, since somebody has
    deleted it, is the relay's failure, as that of a source is a feed's. skipped: messages that were none of ours.
    """

    def __init__(self, broker: str, log_size: int = LOG_SIZE):
        self._kept = MemoryLog(log_size)
        super().__init__((), log=self._kept)
        self._broker, self._size = broker, log_size
        self.skipped = 0
        self._heard = 0  # the place in the stream up to which all is here
        self._caught_up = asyncio.Event()
        self._again = asyncio.Event()  # set when the messages have to be asked for anew
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Relay:
        await self.open()
        try:
            await super().__aenter__()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        try:
            await super().__aexit__(*exc_info)
        finally:
            await self.leave()

    async def open(self) -> None:
        """Connect, and wait until all is here that the stream holds now, or the newest of it."""
        try:
            client = await self._stack.enter_async_context(connected(self._broker, self._again.set))
            js = client.jetstream(timeout=ANSWER_S)
            await self._begin(js)
            self._task = asyncio.create_task(self._follow(js))
            async with asyncio.timeout(ANSWER_S):
                await self._caught_up.wait()
            self._raise_failure()
        except TROUBLE as error:
            await self.leave()
            if isinstance(error, ConnectionError):
                raise
            where = without_token(self._broker)
            raise ConnectionError(f"the broker at {where} does not hand out its news ({error})") from error
        except BaseException:
            await self.leave()
            raise

    def start(self, t0_ns: int | None = None) -> None:
        """Change nothing: there is no clock to start, for the news come when they come."""

    async def stop(self) -> None:
        """Leave the broker. The log stays and can still be asked. Raises what was wrong, if it failed."""
        await self.leave()
        await super().stop()

    def since(self, after: int | None = None, epoch: str | None = None) -> Answer:
        if after is not None and epoch == self.epoch and after > self.seq:
            # It has heard more from another gateway. Sent back to our own place it would hear the whole log again.
            return Answer(self.epoch, after, True, ())
        return super().since(after, epoch)

    async def _begin(self, js: JetStreamContext) -> None:
        """Take over the stream's history, and its place before the oldest update that is to be kept here."""
        info = await stream(js)
        self.epoch = self._kept.epoch = epoch(info)
        self._goal = info.state.last_seq
        self._heard = max(info.state.first_seq, self._goal - self._size + 1, 1) - 1
        self._kept.seq = self._kept.cut = self._heard
        self._look_round()

    async def _follow(self, js: JetStreamContext) -> None:
        """For ever: hear what comes, and ask for it anew after a break of whatever kind."""
        try:
            while True:
                self._again.clear()
                try:
                    await self._same_history(js)
                    await self._hear(js)
                except TROUBLE:
                    await asyncio.sleep(AGAIN_S)
        except Exception as error:
            self._fail(error)
            self._wake()
            self._caught_up.set()

    async def _same_history(self, js: JetStreamContext) -> None:
        """Raise RuntimeError if the stream is another one by now, or has lost what was heard already."""
        try:
            info = await js.stream_info(STREAM)
        except NotFoundError:
            raise RuntimeError("the broker has lost its stream; start the publisher and the gateways again") from None
        if epoch(info) != self.epoch or info.state.last_seq < self._heard:
            raise RuntimeError("the broker has begun another history; start this gateway again")

    async def _hear(self, js: JetStreamContext) -> None:
        """Hear what comes after our place, until there is a gap or the broker was away.

        Not by the library's ordered consumer, which is silent for 5 to 19 s after a restart of the broker. What makes
        one is the number that the broker gives to each message for us: a gap in them is a message lost on the way.
        """
        due = 1

        async def take(message: Msg) -> None:
            nonlocal due
            number = message.metadata.sequence
            if number.consumer != due:
                self._again.set()
            if not self._again.is_set():
                due += 1
                self._take(number.stream, message.data)
                if due % AT_A_TIME == 0:
                    await asyncio.sleep(0)  # an old log is long, and readers are waiting

        wanted = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._heard + 1,
            ack_policy=api.AckPolicy.NONE,
            mem_storage=True,
        )
        subscription = await js.subscribe(SUBJECT, stream=STREAM, config=wanted, cb=take)
        try:
            await self._again.wait()
        finally:
            with contextlib.suppress(*TROUBLE):
                await subscription.unsubscribe()

    def _take(self, seq: int, data: bytes) -> None:
        if seq <= self._heard:
            return
        if seq > self._heard + 1:  # the stream has let go of what we had not heard
            self._kept.skip(seq - 1)
        self._heard = seq
        if (news := _news(seq, data)) is None:
            self.skipped += 1
        else:
            self._publish([news])
            self._call_listeners()
        self._look_round()

    def _look_round(self) -> None:
        if self._heard >= self._goal:
            self._caught_up.set()

    async def leave(self) -> None:
        """Leave the broker. The log stays and can still be asked. Leaving again changes nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._stack.aclose()


def _news(seq: int, data: bytes) -> News | None:
    """Return a message of the stream as news with the stream's number; None for one that no publisher of ours sent."""
    try:
        message = update_in(data)
        news = News(seq, float(message.get("at_s", 0.0)), message["published_at_ns"], message["data"])
    except (NotOurs, TypeError, ValueError, RecursionError):
        return None
    return news if len(news.text()) <= MAX_MESSAGE_BYTES else None
