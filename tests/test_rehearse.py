"""The rehearsal: what a transport takes, tried before a run, and what theory makes of it."""

import asyncio
import time
from dataclasses import replace

import pytest
from patience import patient

from wsdemo import rehearse as module
from wsdemo.measure import measure
from wsdemo.processes.children import Child, ChildFailed
from wsdemo.rehearse import rehearse, update_bytes
from wsdemo.serve import Server
from wsdemo.theory.calibration import Both, Calibration, Round
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every, poisson

FOUND = Calibration(
    delay_s=0.0002,
    opening=Both(400, 200),
    silent=Both(220, 150),
    news=Both(230, 150),
    rss_bytes=30e6,
    reader_bytes=1e4,
    rounds=(Round(0.001, 1e-4), Round(0.0012, 1.2e-4), Round(0.0011, 1.1e-4)),
    few_s=(-0.0001, 0.0, 0.0009),
    many_s=(-0.0002, 0.0, 0.0002),
    poll_cpu_s=((40.0, 4e-4), (400.0, 2e-4)),
)


def test_latency_is_the_middle_of_the_rounds_and_its_band_is_what_they_differ():
    """`c0 + s (N - 1) / 2`, of the round in the middle; twice the distance of the outer ones, a fifth at least."""
    middle, within = FOUND.push_latency_s(21)
    assert middle == pytest.approx(0.0011 + 1.1e-4 * 10)
    assert within == pytest.approx(2 * (0.0012 + 1.2e-4 * 10 - 0.001 - 1e-4 * 10))
    alike = Calibration(0.0002, Both(), Both(), Both(), 0, 0, rounds=(Round(0.001, 0),) * 3)
    assert alike.push_latency_s(1) == pytest.approx((0.001, 0.0002))


def test_the_first_further_readers_have_a_price_of_their_own():
    """What was tried is met at one, at eight and at fifty readers; beyond, each adds what the last ones added."""
    one = Round.of(0.001, 0.0017, 0.0038, 50)
    assert [one.latency_s(readers) for readers in (1, 8, 50)] == pytest.approx([0.001, 0.0017, 0.0038])
    assert one.latency_s(92) == pytest.approx(0.0038 + 0.0021)
    assert one.latency_s(15, 0.25) == pytest.approx(0.0017)  # three and a half before it, as in the middle of eight
    assert Round.of(0.001, 0.0009, 0.0008, 50).latency_s(100) == 0.001  # no reader hears sooner for the others


def test_late_updates_of_a_single_reader_are_in_the_high_percentile():
    """What delays an update delays it for all: the first reader's own p95, and the way to the 95th of a hundred."""
    p95_s = 0.0 + 0.9 * 0.0009  # between the middle and the latest of three
    assert FOUND.push_latency_s(101, 0.95)[0] == pytest.approx(0.0011 + p95_s + 0.95 * 1.1e-4 * 100)


def test_a_band_is_not_narrower_than_what_single_updates_strayed():
    """Rounds may agree while their updates do not: nine in ten of them for a median, all for a high percentile."""
    alike = replace(FOUND, rounds=(Round(0.001, 0),) * 3)
    assert alike.push_latency_s(1)[1] == pytest.approx(0.0001 + 0.8 * 0.0008)
    assert alike.push_latency_s(1, 0.95)[1] == pytest.approx(0.0009)
    assert alike.push_latency_s(50)[1] == pytest.approx(0.0002)  # as much as many of them strayed


def test_a_mean_has_the_late_updates_in_it():
    """Those of the rehearsal on average; and one more or less of the worst may be among the few of a run."""
    median_s, within_s = FOUND.push_latency_s(1)
    assert FOUND.push_mean_s(1, 6) == pytest.approx((median_s + 0.0008 / 3, within_s + 0.0009 / 6))


def test_a_poll_costs_less_where_there_are_many_and_nothing_beyond_what_was_tried():
    """Between two rates by a power of the rate: half way in the logarithm is the geometric mean."""
    assert [FOUND.poll_cpu(rate) for rate in (1, 40, 400, 5000)] == pytest.approx([4e-4, 4e-4, 2e-4, 2e-4])
    assert FOUND.poll_cpu((40 * 400) ** 0.5) == pytest.approx((4e-4 * 2e-4) ** 0.5)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_bytes_and_counts_of_a_run_are_what_its_rehearsal_says(name):
    """To the byte but for goodbyes and the digits of a number, which the stated tolerance allows for."""

    async def scenario():
        return await measure(name, poisson(4), clients=7, interval_s=0.2, duration_s=1.5, progress=False)

    run = asyncio.run(scenario())
    said = run.predicted
    assert said.reasons == {} or set(said.reasons) == {"latency_p99_s"}
    assert (run.requests, run.held_connections) == (said.requests, said.held_connections)
    assert (run.opening_bytes_sent, run.opening_bytes_received) == (
        said.opening_bytes_sent,
        said.opening_bytes_received,
    )
    for field in ("bytes_sent", "bytes_received"):
        assert abs(getattr(run, field) - getattr(said, field)) <= said.within[field], field


def test_a_rehearsal_is_kept_for_the_session(monkeypatch):
    """The machine stays the same; and two transports are two. Runs that start at once wait for one rehearsal."""
    tried = []

    async def once(row, progress, line):
        tried.append(f"{row.name} through a line" if line else row.name)
        await asyncio.sleep(0)
        return FOUND

    monkeypatch.setattr(module, "_tried", once)
    monkeypatch.setattr(module, "_kept", {})

    async def scenario():
        rows = [TRANSPORTS[name] for name in ("sse", "sse", "websocket", "sse")]
        assert await asyncio.gather(*(rehearse(row, progress=False) for row in rows)) == [FOUND] * 4

    asyncio.run(scenario())
    asyncio.run(scenario())
    assert tried == ["sse", "websocket"]
    asyncio.run(rehearse(TRANSPORTS["sse"], line=True, progress=False))
    assert tried[2:] == ["sse through a line"]  # which takes something itself


def test_updates_have_the_size_at_which_they_are_sent():
    """One more digit in the number is one more byte, or two with the one in the data."""
    sizes = update_bytes(every(0.1), 1.2)
    assert len(sizes) == 11
    assert sizes[9] - sizes[8] >= 2


def test_without_a_rehearsal_theory_says_what_it_does_not_know():
    """Counts follow from the schedule alone; the rest has a reason, and the run says it."""

    async def scenario():
        return await measure(
            "sse", every(0.2), clients=2, interval_s=0.2, duration_s=0.5, progress=False, rehearsal=False
        )

    run = asyncio.run(scenario())
    told = run.to_dict()
    assert told["predicted"]["requests"] == 2 and told["predicted"]["server_cpu_s"] is None
    assert any("server_cpu_s" in note and "not tried" in note for note in told["notes"])


def test_readers_that_fail_while_they_listen_end_the_rehearsal():
    """Whoever waits for what they heard is told that there is nothing, and does not wait for ever."""

    async def scenario():
        async with Server("sse") as server:
            job = {"transport": "sse", "url": server.url(), "host": "127.0.0.1", "probe_port": 1}
            readers = Child("rehearsal", job)
            try:
                readers.tell({"phases_s": [0.0], "interval_s": 1.0, "seconds": 0.1, "rest_s": 0.0, "probes": 1})
                assert await readers.answer() == {}
                readers.tell({"start_ns": time.perf_counter_ns()})
                with pytest.raises(ChildFailed):
                    await asyncio.wait_for(readers.answer(), patient(20))
            finally:
                readers.kill()

    asyncio.run(scenario())


def test_a_scene_that_somebody_has_not_heard_to_its_end_is_played_again():
    """What was sent to a reader who had no time to take it would be a price of nobody's."""
    look = {"sent": 0, "received": 0, "cpu_s": 0.0, "rss_bytes": 0}
    opened, after = module._Look(seq=3, **look), module._Look(seq=5, **look)
    whole = [(seq, 0.001, 0.001) for seq in (4, 4, 5, 5)]

    def scene(heard):
        return module._Played(2, 0.2, opened, opened, after, heard, 4, 0, 4, [])

    assert scene(whole).is_whole and scene([*whole, (3, None, None)]).is_whole
    assert not scene(whole[:-1]).is_whole

    class Rehearsal:
        def __init__(self):
            self.coming = [scene(whole)] * 2 + [scene(whole[:-1])] * 2 + [scene(whole)] * 20
            self.count = 0

        async def publish(self):
            pass

        async def play(self, *_, **__):
            self.count += 1
            return self.coming[self.count - 1]

    async def scenario():
        rehearsal = Rehearsal()
        assert all([one.is_whole async for one in module._pushed(rehearsal)])
        assert rehearsal.count == 1 + 3 * module.ROUNDS + 2

    asyncio.run(scenario())
