"""News: updates that are published, as they are sent, and the feed's answers. What is none is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from wsdemo.updates import Data, Update

LAST_SEQ = 2**53 - 1
"""The largest seq: every reader's JSON can tell whole numbers apart up to here (RFC 8259, section 6)."""
LATEST_S = 1e9
"""The latest moment of an update, some thirty years after the start, which a clock in nanoseconds still has."""
MAX_UPDATE_BYTES = 64 * 1024
"""The most that an update's data may be as JSON: one limit for all transports, and what each of them carries."""
MAX_MESSAGE_BYTES = MAX_UPDATE_BYTES + 1024
"""The most that one update is on the way, with its number and its moments: what the clients' own limits let in."""
_JSON = json.JSONEncoder(allow_nan=False)  # Python would write NaN and Infinity, which no other reader's JSON has


@dataclass(frozen=True)
class News:
    """An update that has been published. published_at_ns: its moment on `time.perf_counter_ns()`.

    It is turned into JSON when it is made, once for all its readers. Raises TypeError, ValueError or RecursionError for
    data that JSON does not have: a set, NaN, a list that holds itself.
    """

    seq: int
    at_s: float
    published_at_ns: int
    data: Data
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", _JSON.encode(self.message()))

    def message(self) -> dict[str, Any]:
        """Return what every transport sends for it, ready for JSON."""
        return {"seq": self.seq, "at_s": self.at_s, "published_at_ns": self.published_at_ns, "data": self.data}

    def text(self) -> str:
        """Return the message as JSON."""
        return self._text


@dataclass(frozen=True, slots=True)
class Answer:
    """What the feed says to a reader's position.

    epoch, seq: the position of who has had this answer, to be kept: the feed's own, unless there is more;
    news: what the reader has not had, oldest first; recovered: False where the reader's position does not lead here
    (another epoch, a log already cut, a seq from the future), so that updates may be lost to it. news then begins with
    the oldest of the log. more: whether this is but a part of the news, so that the reader should ask again at once.
    """

    epoch: str
    seq: int
    recovered: bool
    news: tuple[News, ...]
    more: bool = False

    def message(self) -> dict[str, Any]:
        """Return the answer as a request-response transport sends it, ready for JSON."""
        return self.position() | {"updates": [news.message() for news in self.news]}

    def position(self) -> dict[str, Any]:
        """Return the answer without its updates: up to where, whether the reader's place was found, if there is more.

        `more` stands in it only where it is true.
        """
        position = {"epoch": self.epoch, "seq": self.seq, "recovered": self.recovered}
        return position | {"more": True} if self.more else position

    def text(self) -> str:
        """Return the message as JSON."""
        # Put together from the texts of its news, which are there already.
        return f'{json.dumps(self.position())[:-1]}, "updates": [{", ".join(news.text() for news in self.news)}]}}'

    def first(self, count: int) -> Answer:
        """Return the part of the answer that holds the oldest `count` of its news, one at least."""
        news = self.news[: max(1, count)]
        if len(news) == len(self.news):
            return self
        return replace(self, seq=news[-1].seq, news=news, more=True)

    @property
    def before(self) -> int:
        """Where a reader stands that has heard none of the news yet: a position that leads to the same news."""
        return self.news[0].seq - 1 if self.news else self.seq


def news_of(update: Update, published_at_ns: int) -> News:
    """Return an update as it is sent. Raises ValueError, naming it, for data that JSON does not have or too much."""
    try:
        news = News(update.seq, update.at_s, published_at_ns, update.data)
    except (TypeError, ValueError, RecursionError) as error:
        has = "JSON has texts, finite numbers, lists and dicts"
        raise ValueError(f"update {update.seq} cannot be sent as JSON ({error}); {has}") from error
    # The second look is for what is large: a message is a little longer than its data.
    if len(news.text()) > MAX_UPDATE_BYTES and (size := len(json.dumps(update.data))) > MAX_UPDATE_BYTES:
        carry = f"the most that all transports carry is {MAX_UPDATE_BYTES:,}: send a link to what is large"
        raise ValueError(f"update {update.seq} is {size:,} bytes as JSON, and {carry}")
    return news


def checked(updates: Iterable[Update], in_full: bool = False) -> Iterator[Update]:
    """Yield updates as they come. Raises ValueError, naming it, at one that has no place in a log.

    in_full: or that cannot be sent as JSON, which is otherwise found out when it is published.
    """
    before = 0
    for update in updates:
        try:
            seq, at_s, _ = update.seq, update.at_s, update.data
        except AttributeError:
            raise ValueError(f"behind update {before} stands {repr(update)[:80]}, which is no update") from None
        if not (_is(int, seq) and 0 < seq <= LAST_SEQ):
            raise ValueError(f"update {seq!r} must have a whole number from 1 to {LAST_SEQ} as its seq")
        if seq <= before:
            raise ValueError(f"update {seq} comes after update {before}: seq must grow from one update to the next")
        if not (_is(int | float, at_s) and abs(at_s) <= LATEST_S):
            raise ValueError(f"update {seq} must come at_s seconds after the start, a number, not {at_s!r}")
        if in_full:
            news_of(update, 0)
        before = seq
        yield update


def _is(kind: Any, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
