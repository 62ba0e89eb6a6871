"""Where a far end may be found: one address, or several that lead to one history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit, urlunsplit

Where = str | Sequence[str]
"""The address of a far end, or those of several servers with one history, such as gateways."""


class Addresses:
    """Where a far end may be found: the address that is asked now, and the next after a failure, round and round.

    Raises ValueError if there is none.
    """

    def __init__(self, where: Where):
        self._urls = [where] if isinstance(where, str) else list(where)
        if not self._urls:
            raise ValueError("hear needs an address at least, and here is an empty list of them")
        self._turn = 0

    def __len__(self) -> int:
        return len(self._urls)

    def __str__(self) -> str:
        return ", ".join(self._urls)

    @classmethod
    def of(cls, where: Where | Addresses) -> Addresses:
        """Return those that are given, as they are shared, or make them."""
        return where if isinstance(where, cls) else cls(where)  # type: ignore[arg-type]

    @property
    def current(self) -> str:
        return self._urls[self._turn]

    def go_on(self) -> None:
        """Ask at the next one from now on."""
        self._turn = (self._turn + 1) % len(self._urls)


def address(url: str, position: Mapping[str, str]) -> str:
    """Return `url` with a reader's position in its query. What stood there stays, but for an older position."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in position]
    query = "&".join(kept + ([urlencode(position)] if position else []))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
