"""A process that watches its own timer: when it stood still, and for how long."""

import asyncio
import time

import pytest

from wsdemo.processes import stalls
from wsdemo.processes.stalls import STALL_S, TICK_S, Pause, Watch, together


class Clocks:
    """The two clocks of a machine that may be asleep: one of them stands still then."""

    def __init__(self):
        self.awake_ns = self.asleep_ns = 0

    def perf_counter_ns(self):
        return self.awake_ns

    def clock_gettime_ns(self, _):
        return self.awake_ns + self.asleep_ns


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(stalls, "time", clocks)
    monkeypatch.setattr(stalls, "_GOES_ON", 7)
    return clocks


async def found(clocks, awake_s, asleep_s=0.0):
    """Return what a watch finds if this much time goes by before its timer has its turn."""
    watch = Watch()
    watch.start()
    clocks.awake_ns += round(awake_s * 1e9)
    clocks.asleep_ns += round(asleep_s * 1e9)
    return watch.stop()


@pytest.mark.parametrize("late_s, stalled", [(0.0, False), (STALL_S - 0.01, False), (STALL_S, True), (1.5, True)])
def test_a_stall_is_a_timer_that_is_late(clocks, late_s, stalled):
    """From the threshold on; it began when the timer was due, and lasted until somebody looked."""
    due_ns = round(TICK_S * 1e9)
    expected = [(due_ns, pytest.approx(late_s))] if stalled else []
    assert asyncio.run(found(clocks, TICK_S + late_s)) == expected


def test_a_laptop_that_was_asleep_stood_still(clocks):
    """The clock by which latencies are measured may stand still then, the watch's does not."""
    assert asyncio.run(found(clocks, TICK_S, asleep_s=3600)) == [(round(TICK_S * 1e9), pytest.approx(3600))]


def test_this_machine_has_a_clock_that_goes_on():
    """It is the same kind of clock on every system: it moves, and never backwards."""
    before = stalls._goes_on_ns()
    time.sleep(0.01)
    assert stalls._goes_on_ns() >= before + 5_000_000


def test_a_real_event_loop_that_was_held_up():
    """Work that does not give way is a stall like any other; the watch goes on afterwards, and ends with `stop`."""

    async def scenario():
        watch = Watch()
        watch.start()
        watch.start()
        for _ in range(2):
            await asyncio.sleep(2 * TICK_S)
            time.sleep(2 * STALL_S)  # noqa: ASYNC251 - this is the fault
            await asyncio.sleep(0)
        seen = watch.stop()
        assert watch.stop() == seen
        return seen

    seen = asyncio.run(scenario())
    assert len(seen) >= 2
    assert all(lasted_s >= STALL_S for _, lasted_s in seen)


def test_processes_that_stood_still_at_the_same_time_made_one_pause():
    """It lasts from the first that stopped to the last that went on; one that came later is another pause."""
    stalls = {"server": [(1.0, 1.5), (4.0, 0.3)], "clients": [(1.1, 1.6)], "kernel": [(2.8, 0.5)]}
    assert together(stalls) == [
        Pause(1.0, pytest.approx(1.7), ["server", "clients"]),
        Pause(2.8, 0.5, ["kernel"]),
        Pause(4.0, 0.3, ["server"]),
    ]
    assert together({"server": [], "clients": []}) == []
