"""The feed: what is published is decided by the schedule and the clock."""

import asyncio
import itertools
import json
import math
import time

import pytest
from patience import patient

from wsdemo import feed as feed_module
from wsdemo import news as news_module
from wsdemo.feed import MAX_UPDATE_BYTES, MOST_BYTES, MOST_UPDATES, Feed, read_position
from wsdemo.updates import Update, every, from_file, poisson

LAST_SEQ = 2**53 - 1
"""The last whole number that JavaScript can tell from the next one."""


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


def test_the_last_timer_before_an_update_is_a_short_one(monkeypatch):
    """Timers are late by a share of what they wait, so no update hangs on a long one."""
    waits = []

    async def scenario():
        loop = asyncio.get_running_loop()
        call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda wait_s, *one: waits.append(wait_s) or call_later(wait_s, *one))
        async with Feed([Update(1, 0.2, {})]) as feed:
            await feed.wait(0)

    asyncio.run(scenario())
    assert waits[0] <= 0.2 - max(feed_module.NEARLY_S)
    assert waits[-1] <= max(feed_module.NEARLY_S)


def test_timers_get_shorter_towards_an_update(monkeypatch):
    """Each but the last ends a little before the moment: three rounds of the loop an update, and none that is idle."""
    now_ns, waits, published = [0], [], []

    class Loop:
        def call_later(self, wait_s, *_):
            waits.append(wait_s)

    monkeypatch.setattr(feed_module.time, "perf_counter_ns", lambda: now_ns[0])
    monkeypatch.setattr(feed_module.asyncio, "get_running_loop", Loop)
    feed = Feed([Update(1, 0.2, {}), Update(2, 0.2001, {})])
    feed.t0_ns = 0
    with feed.telling(lambda: published.append(len(waits))):
        for late_ns in (0, 2000, 3000, 4000, 0):
            now_ns[0] += late_ns + round((waits or [0])[-1] * 1e9)
            feed._play(0)
    assert waits == pytest.approx([0.19, 0.009798, 0.000197, 0.000096])
    assert published == [3, 4] and feed.seq == 2


def test_a_listener_is_called_by_the_timer_itself(monkeypatch):
    """Between an update's moment and who writes it stand no task and no further round of the event loop."""

    async def scenario():
        rounds, loop = [0], asyncio.get_running_loop()
        run_once, publish = loop._run_once, Feed._publish_due
        monkeypatch.setattr(loop, "_run_once", lambda: rounds.append(rounds.pop() + 1) or run_once())
        published, heard = {}, {}

        def note(feed):
            if is_new := publish(feed):
                published[feed.seq] = rounds[0]
            return is_new

        monkeypatch.setattr(Feed, "_publish_due", note)
        async with Feed(every(0.01)) as feed:
            with feed.telling(lambda: heard.setdefault(feed.seq, (rounds[0], asyncio.current_task()))):
                await feed.wait(5)
        assert {seq: (round_, None) for seq, round_ in published.items() if seq in heard} == heard

    asyncio.run(scenario())


def test_a_listener_of_what_a_question_found_is_called_after_it():
    """Who asks is in the middle of something, in which nobody should write; afterwards nobody calls any more."""

    async def scenario():
        feed, heard = started(3), []
        with feed.telling(lambda: heard.append(feed.seq)):
            assert feed.seq == 3 and heard == []
            await asyncio.sleep(0)
            assert heard == [3]
        feed.t0_ns -= 10**12
        assert feed.seq == 3
        await asyncio.sleep(0)
        assert heard == [3]

    asyncio.run(scenario())


def test_a_listener_is_told_that_the_source_has_failed():
    """It is called, and finds out by asking."""

    async def scenario():
        told = []

        def source():
            yield Update(1, 0.0, {})
            raise LookupError("gone")

        feed = Feed(source())

        def listen():
            with pytest.raises(LookupError, match="gone"):
                feed.since(0)
            told.append(1)

        with feed.telling(listen):
            feed.start()
            await asyncio.sleep(0.05)
        assert told == [1]

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
        ([("after", "17"), ("epoch", "ab"), ("more", "1"), ("more", "2")], (17, "ab")),
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


@pytest.mark.parametrize("name", ["after", "epoch"])
@pytest.mark.parametrize("second", ["1", "2"])
def test_a_position_that_is_given_twice_is_explained(name, second):
    """Nobody could say which one was meant, not even where they are equal."""
    with pytest.raises(ValueError, match=f"{name} may be given once"):
        read_position([("after", "0"), ("epoch", "e"), (name, "1"), (name, second)])


# --- sources as they are ----------------------------------------------------------------------------------------------


def third(count):
    """Return every third of `count` updates: a filtered source."""
    return [update for update in every(1.0).updates(count + 0.5) if update.seq % 3 == 0]


def at_the_end(updates, log_size=100):
    """Return a feed whose updates have all been published."""
    feed = Feed(updates, log_size)
    feed.t0_ns = time.perf_counter_ns() - 10**12
    return feed


def test_a_filtered_source_is_answered_from_every_position():
    """Numbers may have gaps: whatever is newer than `after` comes, whether or not `after` is one of them."""
    feed = at_the_end(third(12))
    for after in range(13):
        answer = feed.since(after, feed.epoch)
        assert seqs(answer) == [seq for seq in (3, 6, 9, 12) if seq > after]
        assert (answer.recovered, answer.seq) == (True, 12)


@pytest.mark.parametrize("after, recovered", [(0, False), (5, False), (6, True), (7, True), (12, True), (13, False)])
def test_what_a_cut_log_has_let_go_decides_who_is_recovered(after, recovered):
    """Of 3, 6, 9 and 12 the log has kept 9 and 12: a reader at 6 has missed nothing, one at 5 has missed 6."""
    answer = at_the_end(third(12), log_size=2).since(after)
    assert answer.recovered is recovered
    assert seqs(answer) == ([seq for seq in (9, 12) if seq > after] if recovered else [9, 12])


@pytest.mark.parametrize("log_size", [2, 100])
@pytest.mark.parametrize("after", [None, 0, 3, 7, 12, 99])
def test_the_position_before_the_news_leads_to_the_same_news(log_size, after):
    """A stream says it before its first update: a reader that is cut off in between resumes there without loss."""
    feed = at_the_end(third(12), log_size)
    answer = feed.since(after)
    again = feed.since(answer.before)
    assert (again.news, again.recovered) == (answer.news, True)


def test_late_updates_come_at_once_behind_those_before_them():
    """An update of a moment that is over waits for nothing more, keeps its place and is not younger than it is."""
    moments = {1: -1.0, 2: 2.0, 3: 1.0, 4: 2.0, 5: 0.0, 6: 3.0}
    feed = Feed([Update(seq, at_s, {}) for seq, at_s in moments.items()])
    feed.t0_ns = time.perf_counter_ns() - round(2.5e9)
    news = feed.since(0).news
    assert [one.seq for one in news] == [1, 2, 3, 4, 5]
    assert [round((one.published_at_ns - feed.t0_ns) / 1e9) for one in news] == [0, 2, 2, 2, 2]
    assert [one.at_s for one in news] == [-1.0, 2.0, 1.0, 2.0, 0.0]


def test_a_late_update_is_played_without_waiting():
    """The player, too, takes it at once, and goes on with what comes after it."""

    async def scenario():
        async with Feed([Update(1, 0.02, {}), Update(2, -5.0, {}), Update(3, 0.01, {}), Update(4, 0.03, {})]) as feed:
            async with asyncio.timeout(patient(20)):
                await feed.wait(3)
            assert seqs(feed.since(0)) == [1, 2, 3, 4]

    asyncio.run(scenario())


itself: list = []
itself.append(itself)
deep: list = []
for _ in range(100_000):
    deep = [deep]
BAD = {
    "a seq that stands still": (Update(2, 0.0, {}), "update 2 comes after update 2"),
    "a seq that falls": (Update(1, 0.0, {}), "update 1 comes after update 2"),
    "a seq of 0": (Update(0, 0.0, {}), "update 0 must have a whole number"),
    "a seq below 0": (Update(-3, 0.0, {}), "update -3 must have a whole number"),
    "a seq that no browser's JSON keeps": (Update(LAST_SEQ + 1, 0.0, {}), f"update {LAST_SEQ + 1} must have"),
    "half a seq": (Update(2.5, 0.0, {}), "update 2.5 must have a whole number"),
    "a truth for a seq": (Update(True, 0.0, {}), "update True must have a whole number"),
    "a text for a seq": (Update("3", 0.0, {}), "update '3' must have a whole number"),
    "no moment": (Update(3, None, {}), "update 3 must come .* not None"),
    "a moment that is no number": (Update(3, math.nan, {}), "update 3 must come .* not nan"),
    "a moment that never comes": (Update(3, math.inf, {}), "update 3 must come .* not inf"),
    "a moment of 400 digits": (Update(3, 10**400, {}), "update 3 must come"),
    "a set": (Update(3, 0.0, {"x": {1}}), "update 3 cannot be sent as JSON.*set"),
    "an object": (Update(3, 0.0, {"x": object()}), "update 3 cannot be sent as JSON.*object"),
    "bytes": (Update(3, 0.0, b"x"), "update 3 cannot be sent as JSON.*bytes"),
    "NaN": (Update(3, 0.0, {"x": math.nan}), "update 3 cannot be sent as JSON.*finite numbers"),
    "infinity": (Update(3, 0.0, {"x": [-math.inf]}), "update 3 cannot be sent as JSON.*finite numbers"),
    "a list that holds itself": (Update(3, 0.0, {"x": itself}), "update 3 cannot be sent as JSON.*Circular"),
    "a list too deep": (Update(3, 0.0, {"x": deep}), "update 3 cannot be sent as JSON"),
    "a key that is no text": (Update(3, 0.0, {(1, 2): 3}), "update 3 cannot be sent as JSON.*keys"),
    "more than a message may be": (Update(3, 0.0, {"x": "x" * MAX_UPDATE_BYTES}), "update 3 is 65,545 bytes as JSON"),
    "no update": ({"seq": 3}, "behind update 2 stands {'seq': 3}, which is no update"),
}


def with_bad(update):
    return [Update(1, 0.0, {}), Update(2, 0.0, {}), update, Update(LAST_SEQ, 0.0, {})]


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_with_a_bad_update_is_refused_when_the_feed_is_made(case, kind):
    """At once, with a sentence that names the update, before there is a clock or a reader."""
    update, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        Feed(kind(with_bad(update)))


@pytest.mark.parametrize("case", BAD)
def test_a_bad_update_that_is_made_on_the_way_ends_the_feed_before_anybody_hears_it(case):
    """The body of `async with` is cancelled, the sentence comes out, and every reader that waits is told too."""
    update, words = BAD[case]
    heard = []

    async def follow(feed):
        seq = 0
        while True:
            await feed.wait(seq)
            heard.extend(news := seqs(feed.since(seq)))
            seq = news[-1]

    async def scenario():
        feed = Feed(one for one in with_bad(update))
        followers = [asyncio.create_task(follow(feed)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match=words):
            async with asyncio.timeout(patient(20)), feed:
                await asyncio.Event().wait()
        ends = await asyncio.wait_for(asyncio.gather(*followers, return_exceptions=True), patient(20))
        assert [type(end) for end in ends] == [ValueError] * 3
        for ask in (lambda: feed.seq, feed.since, lambda: feed.since(0)):
            with pytest.raises(ValueError, match=words):
                ask()
        with pytest.raises(ValueError, match=words):
            await feed.stop()
        assert asyncio.current_task().cancelling() == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert set(heard) <= {1, 2}


def test_a_source_that_fails_by_itself_ends_the_feed_with_its_own_error():
    """A generator is somebody's own code: what it raises comes out as it is, and says where it was raised."""

    def source():
        yield Update(1, 0.0, {})
        raise OSError("the line to the stations is down")

    async def scenario():
        with pytest.raises(OSError, match="stations") as caught:
            async with asyncio.timeout(patient(20)), Feed(source()):
                await asyncio.Event().wait()
        assert caught.traceback[-1].name == "source"

    asyncio.run(scenario())


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


def test_an_endless_source_fails_before_the_update_that_is_too_large_is_heard():
    """What came before can be asked for until then. Whoever watches is told, and so is whoever waits."""

    def endless():
        yield Update(1, 0.0, {})
        yield Update(2, 0.0, {})
        while True:
            yield Update(3, 1000.0, TOO_LARGE)

    async def scenario():
        feed = Feed(endless())
        feed.start()
        waiting = asyncio.create_task(feed.wait(2))
        assert seqs(feed.since(0)) == [1, 2]
        await asyncio.sleep(0)
        feed.t0_ns -= 1001 * 10**9
        for told in (lambda: feed.seq, lambda: feed.since(0)):
            with pytest.raises(ValueError, match="update 3 is"):
                told()
        for told in (feed.failure(), waiting, feed.stop()):
            with pytest.raises(ValueError, match="update 3 is"):
                await asyncio.wait_for(told, patient(20))

    asyncio.run(scenario())


def test_a_failed_feed_does_not_grow_with_each_question():
    """A traceback grows each time that its error is raised, unless somebody sees to it."""
    feed = Feed(one for one in with_bad(Update(3, 0.0, {"x": {1}})))
    feed.t0_ns = 0
    lengths = set()
    for _ in range(5):
        with pytest.raises(ValueError) as caught:
            feed.since(0)
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


def test_what_happens_in_the_body_comes_out_as_itself():
    """A good feed changes nothing: no group of errors, and no cancellation that nobody asked for."""

    async def scenario():
        with pytest.raises(KeyError):
            async with Feed(every(1.0)):
                raise KeyError("of the body")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(patient(0.01)), Feed(every(1.0)):
                await asyncio.Event().wait()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_list_that_changes_later_changes_nothing():
    """The feed plays what it has checked."""
    updates = third(6)
    feed = at_the_end(updates)
    updates.clear()
    assert seqs(feed.since(0)) == [3, 6]


def test_an_update_is_turned_into_json_once_for_all_readers(monkeypatch):
    """However often it is asked for, by whichever transport; the text is the message's."""
    feed = at_the_end(third(12))
    (first, *_) = feed.since(0).news
    texts = []
    monkeypatch.setattr(news_module._JSON, "encode", lambda _: texts.append(1) or "{}")
    assert all(news.text() is first.text() for _ in range(5) for news in feed.since(0).news[:1])
    assert texts == []
    monkeypatch.undo()
    assert [news.text() for news in feed.since(0).news] == [json.dumps(news.message()) for news in feed.since(0).news]
    for after in (None, 0, 7, 12, 99):
        answer = feed.since(after)
        assert answer.text() == json.dumps(answer.message())


def test_a_log_for_nothing_is_refused():
    """A feed that keeps no update could deliver none."""
    with pytest.raises(ValueError, match="log_size must be at least 1"):
        Feed(every(1.0), log_size=0)


def test_a_source_that_fails_is_not_silent():
    """Its own error comes out where the feed is watched."""

    def failing():
        yield Update(1, 0.0, {})
        raise OSError("the sensor is gone")

    async def scenario():
        with pytest.raises(OSError, match="sensor"):
            async with Feed(failing()) as feed:
                await asyncio.wait_for(feed.failure(), patient(20))

    asyncio.run(scenario())


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
