"""A reader's place in a feed's log, as a request says it. Knows no transport."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Position = tuple[int | None, str | None]
"""A reader's place in a log: `(after, epoch)`, None for what it does not know."""


def read_position(query: Mapping[str, str] | Iterable[tuple[str, str]]) -> Position:
    """Return `(after, epoch)` from a request's query parameters, None for what is not given.

    query: a mapping, or pairs of name and value. Raises ValueError with a sentence for the client when `after` is not a
    whole number from 0 up, or when one of both is given twice: nobody could say which was meant.
    """
    pairs = list(query.items() if isinstance(query, Mapping) else query)
    given = dict(pairs)
    for name in ("after", "epoch"):
        if sum(name == other for other, _ in pairs) > 1:
            raise ValueError(f"{name} may be given once, and here it is given again")
    after = given.get("after")
    if after is None:
        return None, None
    # isdecimal alone would let other scripts' digits through; 18 digits fit every 64-bit reader.
    if not (after.isascii() and after.isdecimal() and len(after) <= 18):
        raise ValueError(f"after must be the seq of an update, a whole number from 0 up, not {after[:40]!r}")
    return int(after), given.get("epoch")
