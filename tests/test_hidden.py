"""A client over a line with a hidden fault: what is said of one that gives up, and of one that does all it should."""

import asyncio
import json
from contextlib import aclosing

import pytest
import websockets
from patience import patient

from wsdemo import hidden
from wsdemo.hidden import examine, hidden_fault
from wsdemo.reader import Reader
from wsdemo.transports import websocket
from wsdemo.workload import Pace


def run(scenario):
    with asyncio.Runner() as runner:
        return runner.run(asyncio.wait_for(scenario, patient(60)))


async def naive(url):
    """Listen until the line breaks, and know nothing of breaks."""
    async with websockets.connect(f"{url}?after=0", proxy=None, ping_interval=None, close_timeout=0.1) as connection:
        await connection.recv()
        async for message in connection:
            yield json.loads(message)["seq"]


async def sound(url):
    """Listen as the package does, with a heartbeat that suits an exercise of seconds."""
    async with aclosing(websocket.hear(url, Reader(after=0, pace=Pace(ping_s=0.3)))) as deliveries:
        async for delivery in deliveries:
            yield delivery.seq


async def twice(url):
    """Say everything twice."""
    async with aclosing(sound(url)) as seqs:
        async for seq in seqs:
            yield seq
            yield seq


def test_a_client_that_comes_back_to_where_it_was_loses_nothing():
    """On ten lines, of which no fault was chosen, at the same time."""
    verdicts = run(examine(sound, range(10)))
    assert [(v.lost, v.twice, v.error) for v in verdicts] == [(0, 0, "")] * 10, verdicts


def test_a_client_that_knows_nothing_of_breaks_loses_on_every_line(monkeypatch):
    """By cuts it ends, and on a half-open line it would wait for ever."""
    monkeypatch.setattr(hidden, "PATIENCE_S", 0.5)
    verdicts = run(examine(naive, range(10)))
    assert all(verdict.lost > 0 for verdict in verdicts), verdicts
    assert "lost" in str(verdicts[0])


def test_what_is_said_twice_is_counted_and_named():
    """All but the last, after which it is closed."""
    (verdict,) = run(examine(twice, [0]))
    assert verdict.twice >= hidden.UPDATES - 1
    assert str(verdict).startswith("seed 0: 0 lost, ")


def test_an_error_of_the_client_is_part_of_the_verdict():
    async def broken(url):
        yield 1
        raise KeyError(url)

    (verdict,) = run(examine(broken, [3]))
    assert (verdict.error, verdict.lost) == ("KeyError", hidden.UPDATES - 1)
    assert str(verdict).endswith("ended by KeyError")


def test_it_needs_a_seed():
    with pytest.raises(ValueError, match="at least one seed"):
        run(examine(naive, []))


def test_a_seed_has_one_fault_and_all_kinds_come_up():
    faults = [hidden_fault(seed) for seed in range(200)]
    assert faults == [hidden_fault(seed) for seed in range(200)]
    for name in ("cut_after_s", "cut_after_bytes", "cut_every_s", "vanish", "unavailable_status"):
        assert sum(getattr(fault, name) is not None for fault in faults) > 10, name
    assert all(fault.hits(1) for fault in faults)
