"""Background tasks: cancelled with their block, and their failures come out as themselves."""

import asyncio

import pytest

from wsdemo.tasks import background, keep_one


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


class Told:
    """Something that lasts, and writes down what it was told."""

    def __init__(self, name, told):
        self.name, self.told = name, told

    async def start(self):
        self.told.append(f"start {self.name}")
        if self.name == "broken":
            raise OSError("it cannot start")

    async def stop(self):
        self.told.append(f"stop {self.name}")


def test_one_of_each_kind_is_kept():
    """The earlier one is stopped before the new one starts, as it may hold the port; other kinds are left alone."""

    async def scenario():
        told = []
        one = await keep_one("test", Told("one", told))
        await keep_one("test of another kind", Told("other", told))
        two = await keep_one("test", Told("two", told))
        assert (one.name, two.name) == ("one", "two")
        assert told == ["start one", "start other", "stop one", "start two"]
        with pytest.raises(OSError):
            await keep_one("test", Told("broken", told))
        await keep_one("test", Told("last", told))
        assert told[4:] == ["stop two", "start broken", "start last"]

    asyncio.run(scenario())


def test_a_failure_in_a_group_of_its_own_comes_out_as_itself_too():
    """What runs beside the body may hold tasks in groups; however deep, one plain exception comes out."""

    async def nested():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def scenario():
        async with background(nested()):
            await asyncio.sleep(60)

    with pytest.raises(LookupError, match="the background failed"):
        asyncio.run(scenario())
