"""Whatever is at the other end of `hear`: one rule for all transports. Knows no transport and no library.

    what comes                                      at first        after a first answer of ours
    nobody, or silence                              Unreachable     a fault of the line: wait, ask again
    an answer that is not ours, cut or unreadable   Refused         the same
    "busy": 408, 425, 429, 5xx                      Refused         the same, not before its Retry-After
    "no": any other 4xx                             Refused         Refused

Of several addresses the next is asked after each fault, and "at first" is over when all have been tried. Waits grow
from one attempt to the next, are jittered, and are short again once an attempt has brought something: see `returns`.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from wsdemo.addresses import Addresses as Addresses
from wsdemo.addresses import Where as Where
from wsdemo.addresses import address as address
from wsdemo.returns import JITTERED, LEAST_SPREAD_S, Break, Goodbye, Returning, spread_in
from wsdemo.returns import LONGEST_WAIT_S as LONGEST_WAIT_S

ANSWER_TIMEOUT_S = 10.0
"""How long a far end may stay silent that has no reason to hold its answer back.

A handshake, too: 10,000 readers that come at once have theirs after 10 s, at a millisecond each. Who gives up sooner
asks again, and is one more: 4,000 readers with a patience of 0.4 s were seen to make 15,784 attempts.
"""
MOST_RETRY_AFTER_S = 300.0
"""A server that asks for more patience is asked again all the same: it may be another one by then."""
AT_ONCE_S = 1.0
"""An empty answer that comes sooner was not held back for news."""
WORDS_BYTES, WORDS_S = 2048, 0.5
"""How much of an answer that is not ours is read, and for how long, so that it can be quoted."""
TRY_AGAIN_LATER = 1013
"""The close code of a server that is full (IANA's registry of RFC 6455)."""
_MOST_QUOTED = 200
_MOST_MOVES = 5
_BUSY = frozenset({408, 425, 429})
_MOVED = frozenset({301, 302, 303, 307, 308})
_NOBODY = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})

Message = dict[str, Any]
"""What came as JSON."""
T = TypeVar("T")


class Refused(RuntimeError):
    """A server said no, or what answers is not ours.

    status: the HTTP status, 0 for an answer that is not even HTTP; content_type, words: the kind and the beginning of
    what came, empty where nothing is known of them.
    """

    def __init__(self, status: int, reason: str, content_type: str = "", words: str = ""):
        super().__init__(f"the server refused ({status or 'not HTTP'}): {reason}")
        self.status, self.content_type, self.words = status, content_type, words


class Unreachable(RuntimeError):
    """Nobody answered at the address when the reader first asked."""

    def __init__(self, url: str, error: BaseException):
        super().__init__(f"nothing answers at {url} ({error or type(error).__name__}); is the server running there?")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a far end sent in place of news: the status (0 if it is not HTTP), some headers, the start of the body."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after: str = ""
    location: str = ""

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> Reply:
        """Make one from the headers as a library gives them."""
        first: dict[str, str] = {}
        for name, value in headers:
            first.setdefault(name.lower(), value)
        kind = first.get("content-type", "").partition(";")[0].strip().lower()
        return cls(status, printable(kind), body, first.get("retry-after", ""), first.get("location", ""))

    @property
    def is_no(self) -> bool:
        return 400 <= self.status < 500 and self.status not in _BUSY

    @property
    def is_busy(self) -> bool:
        return self.status in _BUSY or 500 <= self.status < 600

    def retry_after_s(self) -> float:
        """Return how long the server asks to be left alone, in seconds or as a date (RFC 9110, section 10.2.3)."""
        text = self.retry_after.strip()
        if text.isascii() and text.isdecimal():
            wait_s = float(text)
        else:
            try:
                moment = parsedate_to_datetime(text)
                wait_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
            except (TypeError, ValueError, OverflowError):
                return 0.0
        return min(max(0.0, wait_s), MOST_RETRY_AFTER_S)

    def moved(self, url: str) -> str | None:
        """Return where this redirect of `url` leads, None for what is none or leads to another kind of address."""
        try:
            place = urljoin(url, self.location)
            kinds = {kind := urlsplit(url).scheme, f"{kind}s"}  # never back from https to http
            return place if self.status in _MOVED and self.location and urlsplit(place).scheme in kinds else None
        except ValueError:
            return None

    def refused(self) -> Refused:
        """Return the error that says what came: the server's own sentence, or the beginning of what is not ours."""
        words = printable(self.body)
        reason = self._sentence()
        if reason is None:
            reason = f"{self.content_type or 'something without a content type'} came"
            reason += f", {words!r}" if words else ", with nothing in it that can be read"
            if self.location:
                reason += f", which points to {printable(self.location)!r}"
            if self.status < 400:
                reason += "; is this the address of a feed's updates, by this transport?"
        return Refused(self.status, reason, self.content_type, words)

    def _sentence(self) -> str | None:
        try:
            message = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        error = message.get("error") if isinstance(message, dict) else None
        return printable(error) if isinstance(error, str) and error else None


class Trouble(Exception):
    """What a transport raises when an attempt fails, whatever its library says.

    reply: what came, None if nothing; goodbye: what the server said as it left.
    """

    def __init__(self, reply: Reply | None = None, goodbye: Goodbye | None = None):
        super().__init__(reply)
        self.reply, self.goodbye = reply, goodbye

    def why(self) -> Break:
        """Return how the attempt ended."""
        if self.goodbye is not None:
            return "told"
        if self.reply is not None:
            return "gone" if self.reply.is_busy else "cut"
        cause = self.__cause__
        is_nobody = isinstance(cause, TimeoutError) or getattr(cause, "errno", None) in _NOBODY
        return "gone" if is_nobody else "cut"


class NotOurs(ValueError):
    """What came cannot be read as what a feed sends. body: what it was."""

    def __init__(self, body: str | bytes):
        super().__init__(printable(body))
        self.body = body.encode(errors="replace") if isinstance(body, str) else body


class Tally(Protocol):
    """Where failures are counted, and how to come back: a `Reader`."""

    failures: int
    returning: Returning


class Attempts:
    """The attempts of one call of `hear` to reach its far end, judged by the rule above.

    where: the address, or several, of which each is tried once before it is said that none answers, or none of ours.
    """

    def __init__(self, where: Where | Addresses, tally: Tally):
        self._addresses, self._tally = Addresses.of(where), tally
        self._reached = False
        self._untried = len(self._addresses) - 1
        self._in_a_row = 0
        self._retry_after_s, self._within_s = 0.0, 0.0
        self._why: Break = "gone"
        self._spread_s = LEAST_SPREAD_S
        self._standing_since: float | None = None

    def reached(self) -> None:
        """Note an answer of ours: from now on whatever is not a clear no is a fault of the line."""
        self._reached = True
        self._standing_since = time.monotonic()

    def told(self, message: Message) -> None:
        """Take from any message of a feed what it says about coming back, if it says anything."""
        self._spread_s = spread_in(message) or self._spread_s
        if (goodbye := Goodbye.in_message(message)) is not None:
            self._part(goodbye)
            self._addresses.go_on()

    def succeeded(self) -> None:
        """Note that this attempt has brought what it was made for: the next wait is a short one again."""
        self._in_a_row = 0

    def failed(self, trouble: Trouble) -> None:
        """Count a fault of the line. Raises `Unreachable` or `Refused` where the rule says so."""
        reply, cause = trouble.reply, trouble.__cause__ or trouble
        if reply is not None and reply.is_no:
            raise reply.refused() from cause
        if not self._reached and not self._untried:
            raise (reply.refused() if reply is not None else Unreachable(str(self._addresses), cause)) from cause
        if not self._reached:
            self._untried -= 1
        self._addresses.go_on()
        self._tally.failures += 1
        self._why, self._retry_after_s = trouble.why(), reply.retry_after_s() if reply else 0.0
        if trouble.goodbye is not None:
            self._part(trouble.goodbye)
        if self._standing_since is not None and time.monotonic() - self._standing_since >= LONGEST_WAIT_S:
            self._in_a_row = 0

    async def wait(self) -> None:
        """Wait before the next attempt: longer each time, until one succeeds. At first the next has its turn now."""
        if not self._reached:
            return
        attempt, at_least_s, why = self._in_a_row, self._retry_after_s, self._why
        span_s = self._within_s or self._spread_s
        self._in_a_row, self._standing_since = attempt + 1, None
        self._retry_after_s, self._why, self._within_s = 0.0, "gone", 0.0
        await pause(attempt, at_least_s=at_least_s, wait_s=self._tally.returning.wait_s(attempt, why, span_s))

    def _part(self, goodbye: Goodbye) -> None:
        """Note a goodbye. Who is full asks to be left alone first; who goes has the next one in its place."""
        self._why, self._within_s = "told", goodbye.within_s or self._spread_s
        if goodbye.code == TRY_AGAIN_LATER:
            self._retry_after_s = self._within_s


async def pause(attempt: int, *, at_least_s: float = 0.0, wait_s: float | None = None) -> None:
    """Wait before reconnecting for the nth time in a row (0, 1, 2 …): growing, and jittered.

    Without the jitter, every client of a restarted server would come back in the same instant. at_least_s: what the
    server asked for, to which the wait is added for the same reason; wait_s: what was drawn, None to draw it here for a
    server of few readers.
    """
    await asyncio.sleep(at_least_s + (JITTERED.wait_s(attempt) if wait_s is None else wait_s))


async def follow(url: str, ask: Callable[[str], Awaitable[T]]) -> T:
    """Return what `ask` finds at `url`, or where that redirects to.

    Not left to the libraries: they would drop the reader's position where the redirect does not repeat it, and so lose
    updates in silence. A redirect to where nobody answers is what came.
    """
    moved: Trouble | None = None
    for _ in range(_MOST_MOVES):
        try:
            return await ask(url)
        except Trouble as trouble:
            if trouble.reply is None and moved is not None:
                raise moved from trouble
            place = trouble.reply.moved(url) if trouble.reply else None
            if place is None:
                raise
            url, moved = place, trouble
    assert moved is not None
    raise moved


def printable(text: str | bytes) -> str:
    """Return the first words of what a stranger sent, on one line, with nothing in it that a terminal would obey."""
    text = text[:WORDS_BYTES]
    whole = " ".join((text if isinstance(text, str) else text.decode(errors="replace")).split())
    shown = "".join(char if char.isprintable() else "\ufffd" for char in whole[:_MOST_QUOTED])
    return shown + "…" * (len(whole) > _MOST_QUOTED)


_POSITION = {"epoch": str, "seq": int, "recovered": bool}
_UPDATE = {"seq": int, "published_at_ns": int}


def position_in(text: str | bytes) -> Message:
    """Return a feed's position. Raises `NotOurs` if this is none; so do the next two."""
    return _read(text, _is_position)


def update_in(text: str | bytes) -> Message:
    """Return an update's message."""
    return _read(text, _is_update)


def updates_in(text: str | bytes) -> list[Message]:
    """Return the messages of updates: of one, or of a list of them, all of them looked at before any is taken."""
    came: Any = _read(text, lambda message: message != [] and all(map(_is_update, _listed(message))))
    return _listed(came)


def answer_in(text: str | bytes) -> Message:
    """Return a feed's answer: its position and what is new, all of it looked at before any is taken."""
    return _read(text, _is_answer)


def goodbye_in(text: str | bytes) -> Goodbye | None:
    """Return what a server says as it leaves, None for another code than those that `returns` knows."""
    return Goodbye.in_message(_read(text, lambda message: _has(message, {"goodbye": int})))


def _read(text: str | bytes, is_ours: Callable[[Any], bool]) -> Message:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotOurs(text) from error
    if not is_ours(message):
        raise NotOurs(text)
    whole: Message = message
    return whole


def _has(message: Any, fields: Mapping[str, type]) -> bool:
    # Not isinstance: True is an int to Python, and no number to JSON.
    return isinstance(message, dict) and all(type(message.get(name)) is kind for name, kind in fields.items())


def _is_position(message: Any) -> bool:
    return _has(message, _POSITION)


def _is_update(message: Any) -> bool:
    return _has(message, _UPDATE) and "data" in message


def _listed(message: Any) -> list[Any]:
    return message if isinstance(message, list) else [message]


def _is_answer(message: Any) -> bool:
    updates = message.get("updates") if _is_position(message) else None
    return isinstance(updates, list) and all(map(_is_update, updates))
