"""A reader's position, timetable and tally."""

import asyncio
import itertools
import time

import pytest

from wsdemo import theory
from wsdemo.reader import Reader, pause


def message(seq):
    return {"seq": seq, "published_at_ns": time.perf_counter_ns(), "data": {"n": seq}}


def position(seq, epoch="e", recovered=True):
    return {"epoch": epoch, "seq": seq, "recovered": recovered}


def test_an_update_counts_once():
    """What is not newer than the position is a duplicate, and no delivery."""
    reader = Reader()
    reader.place(position(0))
    assert [d.seq for d in reader.take_all([message(1), message(2), message(2), message(1), message(3)])] == [1, 2, 3]
    assert reader.duplicates == 2


def test_a_new_reader_takes_the_servers_position_and_an_old_one_keeps_its_own():
    """The server's newest is where a reader without a position begins."""
    reader = Reader()
    reader.place(position(7))
    reader.place(position(9))
    assert (reader.seq, reader.resets) == (7, 0)
    assert reader.position() == {"after": "7", "epoch": "e"}


def test_another_epoch_starts_the_numbers_again():
    """After a server restart seq 1 is news again, and the break is counted."""
    reader = Reader(after=7, epoch="old")
    reader.place(position(2, "new", recovered=False))
    assert (reader.seq, reader.epoch, reader.resets) == (0, "new", 1)
    assert [d.seq for d in reader.take_all([message(1), message(2)])] == [1, 2]


def test_a_delivery_belongs_to_a_history():
    """The epoch tells update 1 before a restart from update 1 after it."""
    reader = Reader()
    reader.place(position(0, "old"))
    before = reader.take(message(1))
    reader.place(position(0, "new", recovered=False))
    assert [before.epoch, reader.take(message(1)).epoch] == ["old", "new"]


def test_a_log_that_was_cut_keeps_the_numbers():
    """Updates were lost, but what the reader has had is not news again."""
    reader = Reader(after=7, epoch="e")
    reader.place(position(50, recovered=False))
    assert (reader.seq, reader.resets) == (7, 1)


def test_latency_is_measured_from_publication():
    """Received minus published, in seconds; nothing about any request."""
    reader = Reader(after=0)
    delivery = reader.take(message(1) | {"published_at_ns": time.perf_counter_ns() - 2 * 10**9})
    assert delivery.latency_s == pytest.approx((delivery.received_at_ns - delivery.published_at_ns) / 1e9)
    assert delivery.latency_s >= 2


@pytest.mark.parametrize("interval, duration, phase", [(0.01, 0.1, 0.003), (0.02, 0.05, 0.049), (0.01, 0.1, 0.005)])
def test_polls_are_due_at_absolute_times_and_once_after_the_end(interval, duration, phase):
    """Due times are `t0 + phase + k * T`, whatever each poll takes; the first due after the end is the last made."""

    async def scenario():
        gate = asyncio.get_running_loop().create_future()
        reader = Reader(interval, phase_s=phase, duration_s=duration, gate=gate)
        t0_ns = time.perf_counter_ns()
        gate.set_result(t0_ns)
        due = []
        async for due_ns in reader.polls():
            assert time.perf_counter_ns() >= due_ns - 10**6  # a timer may be a clock tick early
            due.append((due_ns - t0_ns) / 1e9)
            await asyncio.sleep(interval * 0.7)
        assert not reader.polling
        return reader, due

    reader, due = asyncio.run(scenario())
    assert due[:-1] == pytest.approx(theory.poll_times(phase, interval, duration), abs=1e-8)
    assert len(due) - 1 == reader.polls_due
    assert due[-1] == pytest.approx(due[-2] + interval, abs=1e-8) and due[-1] >= duration


def test_a_late_poll_keeps_its_due_time():
    """A reader that is held up makes its polls late, but all of them, each with the time it was due."""

    async def scenario():
        gate = asyncio.get_running_loop().create_future()
        reader = Reader(0.01, phase_s=0.0, duration_s=0.1, gate=gate)
        gate.set_result(time.perf_counter_ns())
        due = []
        async for due_ns in reader.polls():
            if not due:
                await asyncio.sleep(0.05)
            due.append(due_ns)
        return due

    due = asyncio.run(scenario())
    assert [round((b - a) / 1e7) for a, b in itertools.pairwise(due)] == [1] * (len(due) - 1)
    assert len(due) == 11


def test_polls_that_are_left_out_are_counted_and_the_rest_is_on_time():
    """Those whose time has passed, and neither the coming ones nor the last."""

    async def scenario():
        gate = asyncio.get_running_loop().create_future()
        reader = Reader(1.0, phase_s=0.5, duration_s=10.0, gate=gate)
        t0_ns = time.perf_counter_ns() - 7 * 10**9
        gate.set_result(t0_ns)
        polls = reader.polls()
        assert await anext(polls) == t0_ns + 5 * 10**8
        reader.leave_out_polls()
        assert reader.polls_left_out == 6  # at 1.5 to 6.5 s
        assert await anext(polls) == t0_ns + 75 * 10**8
        await polls.aclose()
        gate = asyncio.get_running_loop().create_future()
        late = Reader(1.0, phase_s=0.5, duration_s=10.0, gate=gate)
        gate.set_result(t0_ns - 10**11)
        due = []
        async for due_ns in late.polls():
            due.append((due_ns - gate.result()) / 1e9)
            late.leave_out_polls()
        assert due == [0.5, 10.5] and late.polls_left_out == 9 and late.polls_due == 10
        assert not late.has_further_polls()

    asyncio.run(scenario())


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan")])
def test_an_impossible_interval_is_refused(interval):
    """Before anything is asked."""
    with pytest.raises(ValueError, match="interval_s must be"):
        Reader(interval)


def test_pauses_grow_are_jittered_and_bounded(monkeypatch):
    """Waits before reconnecting double up to a limit, and two clients do not wait alike."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def scenario():
        for attempt in range(2000):
            await pause(attempt % 20)

    asyncio.run(scenario())
    for attempt in range(20):
        longest = min(10.0, 0.2 * 2 ** max(0, attempt - 1))
        mine = waits[attempt::20]
        assert 0 <= min(mine) < longest / 2 < max(mine) <= longest  # full jitter: from nothing on
        assert len(set(mine)) > 90


def test_a_server_that_is_away_for_hours_is_still_tried(monkeypatch):
    """After thousands of failures in a row the wait is the longest, and not an overflow."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def scenario():
        for _ in range(100):
            await pause(5000)

    asyncio.run(scenario())
    assert 5 < max(waits) <= 10


def test_a_reader_who_leaves_before_the_start_takes_it_from_nobody():
    """All readers of a run wait at one gate; who is cancelled there leaves it to the others."""

    async def scenario():
        gate = asyncio.get_running_loop().create_future()
        leaver, stayer = (asyncio.create_task(Reader(gate=gate).opened()) for _ in range(2))
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert leaver.cancelled() and not gate.done()
        gate.set_result(123)
        assert await stayer == 123

    asyncio.run(scenario())
