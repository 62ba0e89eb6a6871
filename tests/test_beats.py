"""Even times, and the least time between two messages."""

import asyncio
import itertools
import time

import pytest

from wsdemo.beats import Conflation, beats


def test_beats_do_not_fall_behind():
    """The k-th never comes before k periods; a body that takes half a period pushes none of them back."""

    async def scenario():
        start_s, came = time.monotonic(), []
        async for beat in beats(0.02):
            came.append((beat, time.monotonic() - start_s))
            if len(came) == 10:
                return came
            await asyncio.sleep(0.01)

    came = asyncio.run(scenario())
    assert all(at_s >= beat * 0.02 for beat, at_s in came)
    assert [beat for beat, _ in came] == sorted({beat for beat, _ in came})


def test_beats_that_fell_due_meanwhile_are_left_out():
    """After a body that takes three and a half periods the next beat is one that lies ahead, and none pile up."""

    async def scenario():
        came = []
        async for beat in beats(0.05):
            came.append(beat)
            if len(came) == 2:
                return came
            await asyncio.sleep(0.175)

    first, second = asyncio.run(scenario())
    assert first == 1 and second >= 5


@pytest.mark.parametrize("at_most_every_s", [None, 0.05])
def test_turns_are_never_nearer_than_they_may_be(at_most_every_s):
    """The first is had at once; without a least time, every one is, before anybody else has had a turn."""

    async def scenario():
        conflation, turns, others = Conflation(at_most_every_s), [], []
        asyncio.get_running_loop().call_soon(others.append, True)
        for _ in range(4):
            await conflation.turn()
            turns.append((time.monotonic(), bool(others)))
        return turns

    turns = asyncio.run(scenario())
    waits = [after - before for (before, _), (after, _) in itertools.pairwise(turns)]
    if at_most_every_s is None:
        assert not any(others for _, others in turns)
    else:
        assert not turns[0][1]
        assert all(wait >= at_most_every_s - 0.001 for wait in waits)
