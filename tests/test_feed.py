"""The feed: what is published is decided by the schedule and the clock."""

import asyncio
import time

import pytest

from wsdemo.feed import MAX_UPDATE_BYTES, Feed, read_position
from wsdemo.updates import Update, every, from_file, poisson


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


TOO_LARGE = {"text": "x" * MAX_UPDATE_BYTES}


@pytest.mark.parametrize("text, fits", [("x" * (MAX_UPDATE_BYTES - 12), True), ("x" * (MAX_UPDATE_BYTES - 11), False)])
def test_the_largest_update_is_known_to_the_byte(text, fits):
    """As JSON, with `{"text": ""}` round it."""
    if fits:
        Feed([Update(1, 0.0, {"text": text})])
    else:
        with pytest.raises(ValueError, match=r"update 1 is 65,537 bytes as JSON, and the most .* is 65,536"):
            Feed([Update(1, 0.0, {"text": text})])


def test_size_counts_as_it_is_sent():
    """One letter of another script is six bytes of JSON."""
    Feed([Update(1, 0.0, {"t": "\u00e9" * 10_000})])
    with pytest.raises(ValueError, match="update 1 is"):
        Feed([Update(1, 0.0, {"t": "\u00e9" * 11_000})])


def test_a_source_that_ends_is_looked_at_when_the_feed_is_made(tmp_path):
    """The last line of a table is refused before the first is published."""
    table = tmp_path / "moments.csv"
    table.write_text(f"at_s,text\n1,short\n2,{TOO_LARGE['text']}\n")
    with pytest.raises(ValueError, match="update 2 is"):
        Feed(from_file(table))


def test_an_endless_source_ends_before_the_update_that_is_refused():
    """Whoever watches is told; what came before can be asked for, and waiting for it still ends."""

    def endless():
        yield Update(1, 0.0, {})
        yield Update(2, 0.0, {})
        while True:
            yield Update(3, 0.0, TOO_LARGE)

    async def scenario():
        feed = Feed(endless())
        with pytest.raises(ValueError, match="update 3 is"):
            async with feed:
                waiting = asyncio.create_task(feed.wait(1, timeout_s=20))
                with pytest.raises(ValueError, match="update 3 is"):
                    await feed.watch()
                assert await waiting
                assert seqs(feed.since(0)) == [1, 2]
        await feed.stop()  # said once

    asyncio.run(scenario())


def test_a_source_that_fails_is_not_silent():
    """Its own error comes out where the feed is watched."""

    def failing():
        yield Update(1, 0.0, {})
        raise OSError("the sensor is gone")

    async def scenario():
        with pytest.raises(OSError, match="sensor"):
            async with Feed(failing()) as feed:
                await feed.watch()

    asyncio.run(scenario())
