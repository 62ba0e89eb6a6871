"""What one reader of a trial heard, and what is wrong with it: lost, twice, out of order, not told."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise
from typing import Any

from wsdemo.reader import Reader
from wsdemo.transports import TRANSPORTS


class Heard:
    """A reader, and its deliveries in the order in which they came. Raises nothing: `failure` is how `hear` ended.

    got: the epoch and the seq of each; data: what each held; published_ns: the moment of the newest;
    task: what follows.
    """

    def __init__(self, transport: str, url: str, reader: Reader):
        self.transport, self.url, self.reader = transport, url, reader
        self.got: list[tuple[str, int]] = []
        self.data: list[Any] = []
        self.published_ns = 0
        self.failure: Exception | None = None
        self.task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self.got)

    @property
    def seq(self) -> int:
        """The number of the newest, 0 before the first."""
        return self.got[-1][1] if self.got else 0

    @property
    def epochs(self) -> list[str]:
        """The histories, in the order in which they began."""
        return list(dict.fromkeys(epoch for epoch, _ in self.got))

    async def follow(self) -> None:
        """Hear until cancelled."""
        try:
            async with aclosing(TRANSPORTS[self.transport].module().hear(self.url, self.reader)) as deliveries:
                async for delivery in deliveries:
                    self.got.append((delivery.epoch, delivery.seq))
                    self.data.append(delivery.data)
                    self.published_ns = delivery.published_at_ns
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.failure = error

    def wrong(self, *, first: int | None = 1, resets: int | None = 0, gaps: bool = False) -> list[str]:
        """Return what is wrong, in sentences.

        first: the number with which each history has to begin, None for any; resets: how often it had to be told that
        its place is gone (`recovered: false`), None for any number; gaps: whether numbers may be missing.
        """
        said = []
        if self.failure is not None:
            said.append(f"a reader ended: {self.failure}")
        if not self.got:
            said.append("a reader heard nothing")
        for epoch in self.epochs:
            said += _wrong_in([seq for other, seq in self.got if other == epoch], first, gaps)
        if len(self.epochs) != len([epoch for epoch, _ in _runs(self.got)]):
            said.append("histories came mixed")
        if self.reader.duplicates:
            said.append(f"twice: {self.reader.duplicates} updates were sent again")
        if resets is not None and self.reader.resets != resets:
            said.append(f"told {self.reader.resets} times that its place is gone, and it was {resets} times")
        return [f"{self.transport}: {sentence}" for sentence in said]


def _wrong_in(numbers: list[int], first: int | None, gaps: bool) -> list[str]:
    said = []
    if first is not None and numbers[0] != first:
        said.append(f"lost: a history began with {numbers[0]} and not with {first}")
    behind = [(one, other) for one, other in pairwise(numbers) if other <= one]
    if behind:
        said.append(f"order: {behind[0][1]} came after {behind[0][0]} ({len(behind)} such)")
    lost = [(one, other) for one, other in pairwise(numbers) if other > one + 1]
    if lost and not gaps:
        count = sum(other - one - 1 for one, other in lost)
        said.append(f"lost: {count} updates, the first between {lost[0][0]} and {lost[0][1]}")
    return said


def _runs(got: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return the first of each stretch of one history."""
    return [one for number, one in enumerate(got) if number == 0 or got[number - 1][0] != one[0]]
