"""The feed: what is published is decided by the schedule and the clock."""

import asyncio
import itertools
import json
import time

import pytest

from wsdemo import feed as feed_module
from wsdemo.feed import MOST_BYTES, MOST_UPDATES, Feed, read_position
from wsdemo.updates import Update, every, poisson


def started(count, log_size=100, age_s=1000.0):
    """Return a feed whose `count` updates all lie in the past; it needs no timer and no event loop."""
    feed = Feed([Update(seq, float(seq), {"n": seq}) for seq in range(1, count + 1)], log_size)
    feed.t0_ns = time.perf_counter_ns() - round(age_s * 1e9)
    return feed


def seqs(answer):
    return [news.seq for news in answer.news]


def test_nothing_is_published_before_the_start():
    """A feed that is not started, or starts in the future, stands at 0."""
    feed = Feed(every(0.001))
    assert feed.seq == 0 and seqs(feed.since(0)) == []
    feed.t0_ns = time.perf_counter_ns() + 10**12
    assert feed.seq == 0


def test_the_clock_decides_what_is_published():
    """At 2.5 s after the start, the updates of the first 2.5 s are published, each at its own moment."""
    feed = started(10, age_s=2.5)
    assert seqs(feed.since(0)) == [1, 2]
    assert [news.published_at_ns - feed.t0_ns for news in feed.since(0).news] == [10**9, 2 * 10**9]


def test_a_new_reader_starts_at_the_newest():
    """Without a position the answer has the feed's own, and no old news."""
    answer = started(5).since()
    assert (answer.seq, answer.recovered, answer.news) == (5, True, ())


@pytest.mark.parametrize("after, expected", [(0, [1, 2, 3, 4, 5]), (3, [4, 5]), (5, [])])
def test_a_reader_gets_what_came_after(after, expected):
    """Everything newer than `after`, oldest first."""
    answer = started(5).since(after)
    assert seqs(answer) == expected and answer.recovered


@pytest.mark.parametrize("after, epoch", [(2, "another"), (6, None), (0, None), (2, None)])
def test_a_lost_position_is_said_openly(after, epoch):
    """Another epoch, a seq from the future, or one that is gone from the log: recovered is False, the log follows."""
    feed = started(5, log_size=2)
    answer = feed.since(after, epoch)
    assert not answer.recovered
    assert seqs(answer) == [4, 5]


def test_the_oldest_position_that_still_leads_here_is_recovered():
    """With updates 4 and 5 in the log, a reader at 3 has missed nothing that is gone."""
    answer = started(5, log_size=2).since(3)
    assert answer.recovered and seqs(answer) == [4, 5]


def test_every_feed_has_an_epoch_of_its_own():
    """A restarted server can be told from the old one."""
    assert len({Feed(every(1)).epoch for _ in range(50)}) == 50


def test_waiting_ends_with_the_next_update_for_everybody():
    """Fifty readers wait, and each is woken by each update; nobody polls."""

    async def scenario():
        async with Feed(poisson(400.0)) as feed:

            async def follow():
                seq, heard = 0, []
                while len(heard) < 30:
                    await feed.wait(seq)
                    news = feed.since(seq).news
                    assert news
                    heard += [item.seq for item in news]
                    seq = heard[-1]
                return heard

            for heard in await asyncio.gather(*(follow() for _ in range(50))):
                assert heard == list(range(1, len(heard) + 1))

    asyncio.run(scenario())


def test_an_update_that_is_already_there_does_not_wait():
    """Waiting for news after an old position returns at once."""
    assert asyncio.run(started(5).wait(4))


def test_waiting_can_time_out_and_says_so():
    """No news within the timeout: False."""

    async def scenario():
        return await started(5).wait(5, timeout_s=0.01)

    assert asyncio.run(scenario()) is False


def test_an_update_never_comes_before_its_time():
    """A reader who is woken sees the update after the moment it was due, however early a timer fires."""

    async def scenario():
        async with Feed(every(0.003)) as feed:
            for seq in range(20):
                await feed.wait(seq)
                assert feed.since(seq).news[0].published_at_ns <= time.perf_counter_ns()

    asyncio.run(scenario())


def test_starting_twice_and_stopping_twice_changes_nothing():
    """The clock is set once, and a stopped feed can still be asked."""

    async def scenario():
        feed = Feed([Update(1, 0.0, {})])
        feed.start()
        t0_ns = feed.t0_ns
        feed.start(123)
        assert feed.t0_ns == t0_ns
        await feed.stop()
        await feed.stop()
        assert feed.since(0).seq == 1
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "query, expected",
    [
        ({}, (None, None)),
        ({"after": "0"}, (0, None)),
        ({"after": "17", "epoch": "ab"}, (17, "ab")),
        ({"epoch": "ab"}, (None, None)),
    ],
)
def test_positions_are_read_from_a_query(query, expected):
    """A position is a whole number, with the epoch it belongs to."""
    assert read_position(query) == expected


@pytest.mark.parametrize("after", ["", "-1", "1.5", "x", "\uff11", "9" * 19, "1e3", " 1"])
def test_a_malformed_position_is_explained(after):
    """What is not a whole number from 0 up gets a sentence, never silence."""
    with pytest.raises(ValueError, match="whole number from 0 up"):
        read_position({"after": after})


# --- a part of the log at a time --------------------------------------------------------------------------------------


def parts(feed, after=0):
    """Ask for parts until there is no more, as a reader does; return them."""
    found = [feed.part(after, feed.epoch)]
    while found[-1].more:
        found.append(feed.part(found[-1].seq, feed.epoch))
    return found


def test_a_part_holds_so_many_updates_and_its_seq_is_where_to_go_on():
    """1,201 updates come as 500, 500 and 201; the position of each leads to the next, and the last has no `more`."""
    found = parts(started(1201, log_size=2000, age_s=10_000))
    assert [len(part.news) for part in found] == [MOST_UPDATES, MOST_UPDATES, 201]
    assert [part.position().get("more") for part in found] == [True, True, None]
    assert [part.seq for part in found] == [500, 1000, 1201]
    assert [seq for part in found for seq in seqs(part)] == list(range(1, 1202))
    assert all(part.recovered for part in found)


@pytest.mark.parametrize("size, in_a_part", [(50_000, 1), (25_000, 1), (10_000, 4), (50, MOST_UPDATES)])
def test_a_part_holds_so_many_bytes_or_one_update(size, in_a_part, monkeypatch):
    """Large updates make a part shorter; one that is larger than a part is a part, and if it is the last, no `more`."""
    monkeypatch.setattr(feed_module, "MOST_BYTES", 50_000 if in_a_part < MOST_UPDATES else MOST_BYTES)
    feed = Feed([Update(seq, 0.0, {"text": "x" * size}) for seq in range(1, 8 * in_a_part)], 10_000)
    feed.t0_ns = time.perf_counter_ns() - 10**9
    found = parts(feed)
    assert len(found[0].news) == in_a_part
    assert [seq for part in found for seq in seqs(part)] == list(range(1, 8 * in_a_part))
    assert all(part.news for part in found)


def test_a_lost_position_is_said_in_the_first_part_alone():
    """The parts after it go on from a position that is known."""
    feed = started(1500, log_size=1200, age_s=10_000)
    assert [part.recovered for part in parts(feed, after=3)] == [False, True, True]


@pytest.mark.parametrize("after", [0, 3, 5, 6])
def test_the_text_of_an_answer_is_its_message(after):
    """Put together from the texts of its updates, it is the same to the letter."""
    answer = started(5).since(after)
    for one in (answer, answer.first(2)):
        assert one.text() == json.dumps(one.message())


def test_of_those_who_catch_up_one_goes_on_in_each_round_of_the_event_loop():
    """Ten readers and a neighbour: between two of the neighbour's turns there is one of theirs, in order."""

    async def scenario():
        feed, turns = started(5), []

        async def reader(name):
            for _ in range(3):
                await feed.give_way()
                turns.append(name)

        async def neighbour():
            while any(not task.done() for task in tasks):
                turns.append("neighbour")
                await asyncio.sleep(0)

        cancelled = asyncio.create_task(reader("cancelled"))
        tasks = [asyncio.create_task(reader(name)) for name in range(5)]
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(neighbour(), *tasks)
        assert [turn for turn in turns if turn != "neighbour"] == list(range(5)) * 3
        assert all("neighbour" in pair for pair in itertools.pairwise(turns))

    asyncio.run(scenario())
