"""Tasks that run beside a block and never get lost, servers that outlast a cell, cells that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run coroutines beside the body; cancel them when it ends.

    If one of them fails, the body is cancelled and the failure comes out as itself. A bare TaskGroup would raise an
    ExceptionGroup instead, which Jupyter kernels do not report as an error to whoever runs the notebook.
    """
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as group_of_failures:
        failure = group_of_failures
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
    if failure is not None:
        # Raised after the except block, so that the group is not attached as its context.
        raise failure


class Lasting(Protocol):
    """What can be started and stopped, each more than once: a server, a page."""

    async def start(self) -> object: ...

    async def stop(self) -> object: ...


One = TypeVar("One", bound=Lasting)
_kept: dict[Hashable, Lasting] = {}


async def keep_one(key: Hashable, new: One) -> One:
    """Start `new` so that it lasts beyond this cell, and return it; first stop what an earlier call kept under `key`.

    For notebooks, where cells are run again: without it each run would leave a server behind.
    """
    if (earlier := _kept.pop(key, None)) is not None:
        await earlier.stop()
    await new.start()
    _kept[key] = new
    return new


def wake_for_signals() -> None:
    """Let a signal wake the running event loop, so that the stop button ends a cell in which nothing happens.

    A kernel notes the stop button's SIGINT, but its loop, asleep until the next timer or byte, looks at the note only
    then (ipykernel issue 881). asyncio makes every signal wake the loop once it has any signal to handle itself; this
    one says that a terminal has changed its size, and nobody misses it. Does nothing where there is no such thing.
    """
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError, AttributeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, lambda: None)
