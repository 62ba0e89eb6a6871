"""Background tasks: cancelled with their block, and their failures come out as themselves."""

import asyncio

import pytest

from wsdemo.tasks import background


async def fail():
    await asyncio.sleep(0)
    raise LookupError("the background failed")


def test_a_failure_ends_the_body_and_comes_out_as_itself():
    """Not as an ExceptionGroup, and not attached to one either."""

    async def scenario():
        async with background(fail()):
            await asyncio.sleep(60)

    with pytest.raises(LookupError, match="the background failed") as caught:
        asyncio.run(scenario())
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value.__context__, BaseExceptionGroup)


def test_a_failure_of_the_body_comes_out_as_itself():
    """Also when it is nested."""

    async def scenario():
        async with background(asyncio.sleep(60)), background(asyncio.sleep(60)):
            raise KeyError("the body failed")

    with pytest.raises(KeyError):
        asyncio.run(scenario())


def test_the_end_of_the_body_cancels_what_runs_beside_it():
    """No task is left."""

    async def scenario():
        async with background(asyncio.sleep(60), asyncio.sleep(60)):
            assert len(asyncio.all_tasks()) == 3
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_cancelling_from_outside_stays_a_cancellation():
    """The stop button is not turned into anything else."""

    async def scenario():
        async def body():
            async with background(asyncio.sleep(60)):
                await asyncio.sleep(60)

        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
