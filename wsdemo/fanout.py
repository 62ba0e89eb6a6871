"""One frame for all readers: made once an update, written by one loop to each connection, waiting for nobody.

A task for each reader would have to be woken, and to wait and to write by itself, which costs several times what the
system takes for the message. So readers who are up to date have no task that works. Those whose sockets take all that
they are offered are not asked anything either: their frame goes from here to the socket, and a socket that does not
take all tells. Knows no transport.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from wsdemo.beats import Conflation
from wsdemo.feed import MAX_MESSAGE_BYTES, Feed, News
from wsdemo.meter import MeteredSocket
from wsdemo.returns import LEAST_SPREAD_S, saying

MAX_BUFFERED_BYTES = 256 * 1024
"""What may wait for one reader in the server's memory; one that falls further behind is cut off."""

_Send = Callable[[bytes], int]


class Fanout:
    """The readers of one feed who have all that was published, and what writes to them.

    feed, sock: what is published, and the listening socket by which the readers came; frame: turns updates into the
    bytes of one message. seq: the last update that was written to all.

    A reader for whom more than MAX_BUFFERED_BYTES would wait is cut off, and resumes.
    """

    def __init__(self, feed: Feed, sock: MeteredSocket, frame: Callable[[Sequence[News]], bytes]):
        self.seq = 0
        self._feed, self._sock, self._meter, self._frame = feed, sock, sock.meter, frame
        self._told_s = LEAST_SPREAD_S  # what was last said to all of coming back
        self._backlog: deque[News] = deque()  # published, and not yet written to all
        self._failure: asyncio.Future[None]  # what ends `publish`, where no task of its own writes
        self._ahead: dict[asyncio.Transport, int] = {}  # who has had more than was written to all, and up to where
        self._swift: dict[asyncio.Transport, _Send] = {}  # for whom nothing waits: written to without a question
        self._asked: dict[asyncio.Transport, _Send | None] = {}  # for whom something may wait, or who cannot tell

    def __len__(self) -> int:
        return len(self._ahead) + len(self._swift) + len(self._asked)

    def join(self, transport: asyncio.Transport, seq: int) -> None:
        """From now on write to this reader what comes after `seq`, which must be the feed's own at this moment."""
        if (sock := self._sock.accepted(transport)) is not None:
            sock.on_full = partial(self._slow_down, transport)
        if seq > self.seq:
            self._ahead[transport] = seq
        else:
            self._asked[transport] = _send_of(sock)

    def leave(self, transport: asyncio.Transport) -> None:
        """Write to this reader no more. Leaving again changes nothing."""
        for readers in (self._ahead, self._swift, self._asked):
            readers.pop(transport, None)

    async def publish(self, at_most_every_s: float | None = None) -> None:
        """For ever: write what is new to all readers.

        at_most_every_s: the least time between two messages, of which each holds all updates since the one before, and
        the first after a quiet time is written at once (conflation); None for a message an update. What needs more than
        one message has room for is written in several.
        """
        self.seq = max(self.seq, self._feed.seq)
        if at_most_every_s is None:
            self._failure = asyncio.get_running_loop().create_future()
            with self._feed.telling(self._hear):
                await self._failure
        conflation = Conflation(at_most_every_s)
        while await self._feed.wait(self.seq):
            await conflation.turn()
            for batch in _messages(self._feed.since(self.seq).news):
                self.tell(batch)
                # After a stall of this process there is a backlog: let the sockets take each message before the next.
                await asyncio.sleep(0)

    def _hear(self) -> None:
        """Write what was published just now: from the feed's own timer, so that no task has to be woken for it."""
        is_on_its_way = bool(self._backlog)
        try:
            self._backlog += self._feed.since(self._backlog[-1].seq if self._backlog else self.seq).news
        except Exception as error:  # the source is somebody's own code
            self._fail(error)
        if not is_on_its_way:
            self._write_oldest()

    def _write_oldest(self) -> None:
        """Write one update, and let the sockets take it before the next: after a stall there are more."""
        try:
            if self._backlog:
                self.tell([self._backlog.popleft()])
        except Exception as error:
            self._backlog.clear()
            self._fail(error)
        if self._backlog:
            asyncio.get_running_loop().call_soon(self._write_oldest)

    def _fail(self, error: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def tell(self, batch: Sequence[News]) -> None:
        """Write one message with these updates, all that came after `seq`, to every reader who lacks them.

        A reader who has had the first of them already gets a message of its own.
        """
        self.seq = batch[-1].seq
        batch = self._with_spread(batch)
        late: dict[asyncio.Transport, _Send | None] = {}
        for transport, seq in list(self._ahead.items()):
            if seq < self.seq:
                del self._ahead[transport]
                news = [one for one in batch if one.seq > seq]
                (self._asked if len(news) == len(batch) else late)[transport] = _send_of(self._sock.accepted(transport))
                if transport in late:
                    transport.write(self._frame(news))
        if self._swift or self._asked:
            frame = self._frame(batch)
            asked = list(self._asked)  # not those who turn out slow just now, who have had it
            self._write(frame)
            self._ask_and_write(frame, asked)
        self._asked |= late

    def _with_spread(self, batch: Sequence[News]) -> Sequence[News]:
        """Say to all beside the first update how long to spread, where it has changed much since it was last said.

        Who came when there were few was told little, and would come back in a crowd.
        """
        spread_s = self._meter.spread_s()
        if self._told_s / 2 < spread_s < self._told_s * 2:
            return batch
        self._told_s = spread_s
        return [_Telling(batch[0], spread_s), *batch[1:]]

    def _write(self, frame: bytes) -> None:
        """Hand the frame to the sockets that take all; the bytes of all of them are added up at the end."""
        size, whole, partly = len(frame), 0, {}
        for transport, send in self._swift.items():
            try:
                if (sent := send(frame)) == size:
                    whole += 1
                else:
                    partly[transport] = sent
            except OSError:  # full, or gone, which its transport is to find out by itself
                partly[transport] = 0
        self._meter.bytes_sent += whole * size + sum(partly.values())
        for transport, sent in partly.items():
            self._slow_down(transport)
            if not transport.is_closing():
                transport.write(frame[sent:])

    def _ask_and_write(self, frame: bytes, asked: list[asyncio.Transport]) -> None:
        """Write by way of the transports, which keep what a socket does not take, to who is not too far behind."""
        for transport in asked:
            if transport.is_closing():  # the event loop has yet to tell its library
                continue
            if transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
                self._meter.aborted += 1
                self.leave(transport)
                transport.abort()
                continue
            transport.write(frame)
            send = self._asked[transport]
            if send is not None and not transport.get_write_buffer_size():
                del self._asked[transport]
                self._swift[transport] = send

    def _slow_down(self, transport: asyncio.Transport) -> None:
        """Ask this reader again before each message: its socket has not taken all, of ours or of the library's own."""
        if (send := self._swift.pop(transport, None)) is not None:
            self._asked[transport] = send


class _Telling(News):
    """News whose message says a spread, too."""

    def __init__(self, news: News, spread_s: float):
        for name in ("seq", "at_s", "published_at_ns", "data"):
            object.__setattr__(self, name, getattr(news, name))
        object.__setattr__(self, "_text", saying(news.text(), spread_s=round(spread_s, 2)))


def _messages(news: Sequence[News]) -> Iterator[list[News]]:
    """Yield the updates in as few messages as have room for them: one, but for what is very large or very much."""
    batch: list[News] = []
    size = 0
    for one in news:
        length = len(one.text()) + 2  # with what stands between two of them
        if batch and size + length > MAX_MESSAGE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch


def _send_of(sock: MeteredSocket | None) -> _Send | None:
    """Return what sends by this socket without counting; None where there is no socket of ours that would tell."""
    return None if sock is None else super(MeteredSocket, sock).send
