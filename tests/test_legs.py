"""Where a push spends its time: three moments of each update, on one clock."""

import asyncio

import pytest

from wsdemo.legs import legs


@pytest.mark.parametrize("name", ["websocket", "sse"])
def test_legs_follow_one_another(name):
    """Nothing is written before the timer woke, nor heard before its moment; every update was seen by both sides."""
    one = asyncio.run(legs(name, readers=3, gap_s=0.1, updates=5))
    assert (one.transport, one.readers, one.updates) == (name, 3, 5)
    assert one.wake_s > 0 and one.write_s > 0 and one.latency_s > one.wake_s


def test_a_single_reader_hears_after_all_is_written_or_meanwhile():
    """With one reader the legs of each update add up: none is counted twice, and none left out."""
    one = asyncio.run(legs(gap_s=0.1, updates=1))
    assert one.wake_s + one.write_s + one.way_s == pytest.approx(one.latency_s)


def test_legs_are_said_in_lines():
    lines = str(asyncio.run(legs(gap_s=0.05, updates=2))).splitlines()
    assert lines[0] == "websocket, 1 reader, 2 updates"
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "the timer wakes",
        "written to all",
        "heard, median",
        "all of it",
    ]


@pytest.mark.parametrize(
    "arguments", [{"transport": "long_polling"}, {"readers": 0}, {"readers": 101}, {"updates": 0}, {"gap_s": 0}]
)
def test_what_cannot_be_tried_is_refused(arguments):
    with pytest.raises(ValueError, match=r"streamed to|legs needs"):
        asyncio.run(legs(**arguments))
