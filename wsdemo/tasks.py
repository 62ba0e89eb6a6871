"""Tasks that run beside a block and never get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def background(*coroutines: Coroutine) -> AsyncIterator[None]:
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
