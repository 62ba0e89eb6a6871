"""The client's loop of each habit: a reader that *asks* by its timetable, is *held*, is *streamed* to.

What differs between transports, how a question is put, is handed in. How a far end is judged, waited for and come back
to is the same for all (`far_end`).

Each loop is one async generator with no other inside that has something to await at its end. A program that ends with
a loop half done closes all generators at once, and those that close each other would be in each other's way.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol, TypeVar

from wsdemo.far_end import AT_ONCE_S, Addresses, Attempts, Message, Trouble, Where
from wsdemo.reader import Delivery, Reader, Request

Line = TypeVar("Line")


async def asks(
    where: Where | Addresses,
    reader: Reader,
    client: AbstractAsyncContextManager[Line],
    ask: Callable[[Line], Awaitable[Message]],
) -> AsyncGenerator[Delivery]:
    """Ask once for the position, then at each time of the reader's timetable; yield what is new.

    An answer that says that there is more is followed by a further question at once. One that fails is left to the next
    poll.

    client: what asks, open as long as this runs; ask: asks once, from the reader's position, and gives the answer, or
    raises `Trouble`.

    The next poll is polling's way to reconnect. After a failure it waits as every other transport does, and the polls
    that fall due meanwhile are left out.
    """
    attempts = Attempts(where, reader)
    async with client as line, aclosing(reader.polls()) as polls:
        request: Request | None = reader.asks(opening=True)
        while request is not None:
            try:
                answer = await ask(line)
            except Trouble as trouble:
                attempts.failed(trouble)  # which raises the error of a far end that was never reached
                if request.opening:
                    continue  # there are other addresses, of which each is asked at once
                await _wait_between_polls(attempts, reader)
                request = None
            else:
                attempts.reached() if request.opening else attempts.succeeded()
                attempts.told(answer)
                deliveries = _new(reader, answer)
                request.wasted = None if request.opening else not deliveries
                for delivery in deliveries:
                    yield delivery
                # Nothing new is no reason to hurry, whatever it says.
                request = reader.asks(further=True) if deliveries and answer.get("more") is True else None
            if request is None and (due_ns := await anext(polls, None)) is not None:
                request = reader.asks(due_ns)


async def _wait_between_polls(attempts: Attempts, reader: Reader) -> None:
    if reader.has_further_polls():
        try:
            await attempts.wait()
        finally:  # also if the run ends meanwhile: those polls were due
            reader.leave_out_polls()


def _new(reader: Reader, answer: Message) -> list[Delivery]:
    reader.place(answer)
    return reader.take_all(answer["updates"])


async def held(
    where: Where | Addresses,
    reader: Reader,
    client: AbstractAsyncContextManager[Line],
    ask: Callable[[Line], Awaitable[Message]],
) -> AsyncGenerator[Delivery]:
    """Ask, wait for the answer, ask again at once; yield what is new, until cancelled. Arguments as for `asks`.

    An answer that holds nothing new and was not held back either is waited after, longer each time: the far end is not
    one that holds, and would be asked as fast as the machine can.
    """
    attempts = Attempts(where, reader)
    async with client as line:
        while True:
            request = reader.asks(opening=reader.epoch is None)
            asked_s = time.monotonic()
            try:
                answer = await ask(line)
            except Trouble as trouble:
                attempts.failed(trouble)
                await attempts.wait()
                continue
            was_held = time.monotonic() - asked_s >= min(AT_ONCE_S, reader.hold_s / 2)
            attempts.reached()
            attempts.told(answer)
            deliveries = _new(reader, answer)
            request.wasted = not deliveries
            for delivery in deliveries:
                yield delivery
            await reader.opened()
            if deliveries or was_held or request.opening:
                attempts.succeeded()
            if "goodbye" in answer or not (deliveries or was_held or request.opening):
                await attempts.wait()


class Stream(Protocol):
    """One connection after the other to a far end that streams. `open` and `news` raise `Trouble`."""

    async def open(self) -> Message:
        """Connect, from where the reader is, and return the feed's position."""

    async def news(self) -> Message:
        """Return the next update. A stream has no end of its own, so that its end is a `Trouble` like any other."""

    async def close(self) -> None:
        """Leave as one should, also if `open` has failed."""


async def streamed(where: Where | Addresses, reader: Reader, stream: Stream) -> AsyncGenerator[Delivery]:
    """Stay connected, and come back after every break; yield what is new, until cancelled."""
    attempts = Attempts(where, reader)
    while True:
        reader.asks().wasted = False  # the answer to this one request is the whole stream
        try:
            position = await stream.open()
            reader.place(position)
            attempts.reached()
            attempts.told(position)
            await reader.opened()
            while True:
                message = await stream.news()
                attempts.told(message)
                if (delivery := reader.take(message)) is not None:
                    attempts.succeeded()
                    yield delivery
        except Trouble as trouble:
            attempts.failed(trouble)
        finally:
            await stream.close()
        await attempts.wait()
