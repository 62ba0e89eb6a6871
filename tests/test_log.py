"""The feed's log: in memory or on disk, where it outlives a server that is killed."""

import asyncio
import contextlib
import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import pytest
import sandbox
from patience import patient

from wsdemo import log as log_module
from wsdemo import serve
from wsdemo.feed import Feed
from wsdemo.log import AT_ONCE, DiskLog, MemoryLog
from wsdemo.logfile import APPLICATION_ID
from wsdemo.news import News
from wsdemo.processes.children import ChildFailed
from wsdemo.reader import Reader
from wsdemo.serve import Server
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import Update, every, from_file, poisson

SECOND = 10**9


@pytest.fixture
def path(tmp_path):
    return tmp_path / "news.log"


def news(*numbers):
    return [News(seq, float(seq), seq * SECOND, {"n": seq}) for seq in numbers]


def seqs(found):
    return [one.seq for one in found]


def opened(path, size=100):
    """Return a log on disk that has begun at 0."""
    log = DiskLog(path, size)
    log.begin(0)
    return log


def past(path, updates, age_s=1000.0, log_size=100):
    """Return a feed with a log on disk, which began `age_s` ago if it is new; it needs no event loop."""
    feed = Feed(updates, log_size, path)
    feed.t0_ns = feed._log.begin(time.perf_counter_ns() - round(age_s * 1e9))
    return feed


def numbered(count):
    return [Update(seq, float(seq), {"n": seq}) for seq in range(1, count + 1)]


def test_both_logs_answer_alike(path):
    """Whatever is kept, in whatever portions: the same news, the same cut, the same seq."""
    chance = random.Random(1)
    for size in (1, 2, 7, 50):
        memory, disk = MemoryLog(size), opened(path.with_suffix(f".{size}"), size)
        coming = iter(news(*sorted(chance.sample(range(1, 400), 120))))
        while batch := list(itertools.islice(coming, chance.randrange(1, 20))):
            for log in (memory, disk):
                log.keep(batch)
            assert (memory.seq, memory.cut) == (disk.seq, disk.cut)
            for after in (0, memory.cut, memory.seq - 3, memory.seq):
                assert memory.since(after) == disk.since(after)
        disk.close()
        again = DiskLog(disk.path, size)
        assert (again.seq, again.cut, again.epoch) == (memory.seq, memory.cut, disk.epoch)
        assert again.since(0) == memory.since(0)
        again.close()


def test_a_log_keeps_one_update_at_least():
    """Of nothing no answer could be made."""
    for size in (0, -1):
        with pytest.raises(ValueError, match="log_size must be at least 1"):
            MemoryLog(size)


def test_the_epoch_belongs_to_the_log(path):
    """Two feeds on one file, one after the other, have one history; in memory each has its own."""
    first = past(path, numbered(3))
    assert seqs(first.since(0).news) == [1, 2, 3]
    asyncio.run(first.stop())
    second = past(path, numbered(5))
    assert second.epoch == first.epoch
    answer = second.since(2, first.epoch)
    assert seqs(answer.news) == [3, 4, 5] and answer.recovered
    assert second.since(0).news[:3] == first.since(0).news
    asyncio.run(second.stop())


def test_what_fell_due_meanwhile_is_published_at_its_own_moment(path):
    """The source did not stop with the server: numbers continue, none twice, none missing, as if it had always run."""
    whole = past(path.with_suffix(".whole"), numbered(9), age_s=9.5)
    first = past(path, numbered(9), age_s=4.5)
    assert first.seq == 4
    asyncio.run(first.stop())
    log = DiskLog(path)
    log._t0_ns -= 5 * SECOND  # five seconds later
    with log._file.writing():
        log._file.note(began_ns=log._t0_ns)
    log.close()
    second = past(path, numbered(9), age_s=0.0)
    moments = [one.published_at_ns - second.t0_ns for one in second.since(0).news]
    assert moments == [one.published_at_ns - whole.t0_ns for one in whole.since(0).news]
    assert seqs(second.since(0).news) == list(range(1, 10))
    for feed in (whole, second):
        asyncio.run(feed.stop())


def test_a_late_update_stays_behind_those_before_the_restart(path):
    """Its moment is over, and news do not become older."""
    updates = [Update(1, 2.0, {}), Update(2, 1.0, {}), Update(3, 3.0, {})]
    first = past(path, updates[:1])
    assert first.seq == 1
    asyncio.run(first.stop())
    second = past(path, updates)
    assert [(one.published_at_ns - second.t0_ns) // SECOND for one in second.since(0).news] == [2, 2, 3]
    asyncio.run(second.stop())


def test_a_start_that_is_told_does_not_set_the_clock_back(path):
    """The clock of a history is set once, whoever starts the feed, and when."""

    async def scenario():
        first = Feed(every(0.01), log=path)
        first.start(time.perf_counter_ns() - SECOND)
        await first.stop()
        second = Feed(every(0.01), log=path)
        second.start()
        assert second.t0_ns == first.t0_ns and second.seq >= 99
        await second.stop()

    asyncio.run(scenario())


def test_after_a_restart_of_the_machine_the_wall_clock_counts(path, monkeypatch):
    """`perf_counter` begins anew with the system: then the moments are those of the wall's clock."""
    began = time.perf_counter_ns() - 50 * SECOND
    log = DiskLog(path)
    log.begin(began)
    log.close()
    for boot, wall_s, perf_s in (("", 1000, 1000), ("another", 1000, 30), ("", 1000, 30)):
        monkeypatch.setattr(log_module, "_boot", lambda boot=boot: boot)
        wall, perf = time.time_ns(), time.perf_counter_ns()
        with monkeypatch.context() as later:
            later.setattr(log_module.time, "time_ns", lambda wall=wall, s=wall_s: wall + s * SECOND)
            later.setattr(log_module.time, "perf_counter_ns", lambda perf=perf, s=perf_s: perf + s * SECOND)
            again = DiskLog(path)
            again.close()
        shifted = 0 if wall_s == perf_s else (perf_s - wall_s) * SECOND
        assert abs(again._t0_ns - began - shifted) < SECOND


def test_on_the_same_boot_a_clock_that_was_set_changes_nothing(path, monkeypatch):
    """Where the system has a name for it."""
    log = opened(path)
    log.close()
    if not log_module._boot():
        pytest.skip("this system does not say")
    monkeypatch.setattr(log_module.time, "time_ns", lambda: 0)
    again = DiskLog(path)
    assert again._t0_ns == 0
    again.close()


def test_updates_are_in_the_file_before_anybody_hears_of_them(path):
    """A copy of the files, made by a listener, holds what the listener is told of."""

    async def scenario():
        in_file = []

        def look():
            for end in ("", "-wal"):
                shutil.copy(f"{path}{end}", f"{path}.copy{end}")
            copy = DiskLog(f"{path}.copy")
            in_file.append((copy.seq, feed._log.seq))
            copy.close()

        async with Feed(every(0.02), log=path) as feed:
            with feed.telling(look):
                while len(in_file) < 5:  # on a busy machine several updates come at once
                    await feed.wait(feed.seq)
        assert all(kept >= told for kept, told in in_file)

    asyncio.run(scenario())


def test_all_that_is_due_is_one_transaction(path):
    """A burst waits for the disk once."""
    said = []
    feed = past(path, numbered(50))
    feed._log._file.db.set_trace_callback(said.append)
    assert feed.seq == 50
    assert said.count("COMMIT") == 1
    asyncio.run(feed.stop())


def test_a_long_absence_is_written_in_portions(path):
    """So it does not wait in memory as a whole; readers of before are told what is gone."""
    feed = past(path, numbered(2 * AT_ONCE + 5), age_s=1e6, log_size=10)
    answer = feed.since(1, feed.epoch)
    assert (answer.recovered, len(answer.news), answer.seq) == (False, 10, 2 * AT_ONCE + 5)
    asyncio.run(feed.stop())


def test_what_is_gone_is_remembered_on_disk(path):
    """A position before the cut is not recovered, by whichever server."""
    first = past(path, numbered(20), log_size=5)
    assert first.seq == 20
    asyncio.run(first.stop())
    for size in (5, 100):
        again = past(path, numbered(20), log_size=size)
        assert [again.since(after).recovered for after in (14, 15, 20, 21)] == [False, True, True, False]
        assert seqs(again.since(3).news) == [16, 17, 18, 19, 20]
        asyncio.run(again.stop())
    smaller = past(path, numbered(20), log_size=2)
    assert (smaller.since(17).recovered, smaller.since(18).recovered) == (False, True)
    asyncio.run(smaller.stop())


def test_a_source_of_ones_own_goes_on_behind_the_log(path):
    """Numbers at or below the log's last are there already, with gaps or without."""
    first = past(path, [Update(seq, 1.0, {}) for seq in (2, 5)])
    assert first.seq == 5
    asyncio.run(first.stop())
    second = past(path, (Update(seq, 1.0, {"again": True}) for seq in (2, 4, 5, 9)))
    assert [(one.seq, one.data) for one in second.since(0).news] == [(2, {}), (5, {}), (9, {"again": True})]
    asyncio.run(second.stop())


def test_data_come_back_as_they_were_sent(path):
    """The text of each update is the same, byte for byte."""
    data = [{"x": 1.0, "y": 1e-300, "z": -0.0}, {"é": "\ud800\u2028\x00"}, {"deep": [[], {}, None, True, 2**70]}, {}]
    feed = past(path, [Update(seq, seq if seq % 2 else seq / 3, one) for seq, one in enumerate(data, start=1)])
    texts = [one.text() for one in feed.since(0).news]
    asyncio.run(feed.stop())
    again = past(path, [])
    assert [one.text() for one in again.since(0).news] == texts and len(texts) == 4
    asyncio.run(again.stop())


# --- schedules --------------------------------------------------------------------------------------------------------


def test_another_schedule_than_the_logs_is_refused(path):
    """Its numbers mean other updates. The sentence says whose news the log holds."""
    Feed(every(1.0), log=path)._end()
    for other in (every(2.0), poisson(1.0)):
        with pytest.raises(ValueError, match=r"holds the news of another source \(Every\(period_s=1.0\)\)"):
            Feed(other, log=path)
    Feed(every(1.0), log=path)._end()


def test_a_schedule_is_not_put_behind_updates_of_another_kind(path):
    """A log of somebody's own updates is not continued by a clock."""
    own = past(path, numbered(1))
    assert own.seq == 1
    own._end()
    with pytest.raises(ValueError, match="updates that no schedule makes"):
        Feed(every(1.0), log=path)


def test_a_table_is_the_same_wherever_it_lies(path, tmp_path):
    """What it says counts, and not its name."""
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("at_s\n1\n2\n")
    shutil.copy(one, two)
    Feed(from_file(one), log=path)._end()
    Feed(from_file(two), log=path)._end()
    two.write_text("at_s\n1\n3\n")
    with pytest.raises(ValueError, match="another source"):
        Feed(from_file(two), log=path)


# --- files as they are ------------------------------------------------------------------------------------------------


def foreign(path):
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE theirs (x)")


def changed(*statements):
    def make(path):
        opened(path).close()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            for statement in statements:
                file.execute(statement)

    return make


def torn(path):
    log = opened(path)
    log.keep(news(*range(1, 400)))
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def scribbled(path):
    torn(path)
    whole = bytearray(path.read_bytes())
    whole[5000:7000] = os.urandom(2000)
    path.write_bytes(whole)


REFUSED = {
    "a text": (lambda path: path.write_text("Dear diary, " * 50), "is no log of this program, and stays as it is"),
    "a short text": (lambda path: path.write_text("Dear diary"), "is no log of this program, and stays as it is"),
    "another program's database": (foreign, "is no log of this program, and stays as it is"),
    "another form of ours": (changed("PRAGMA user_version = 2"), "has form 2, and this version of wsdemo reads form 1"),
    "a table missing": (changed("DROP TABLE news"), "is damaged .*no such table: news"),
    "another table missing": (changed("DROP TABLE about"), "is damaged .*no such table: about"),
    "all tables missing": (changed("DROP TABLE about", "DROP TABLE news"), "is damaged"),
    "no epoch": (changed("DELETE FROM about"), "is damaged .*epoch"),
    "data that are no JSON": (changed("INSERT INTO news VALUES (1, 1.0, 1, '{')"), "is damaged .*what no log has"),
    "a moment that is none": (changed("INSERT INTO news VALUES (1, 1.0, 'x', '{}')"), "is damaged"),
    "half of it": (torn, "is damaged .*malformed"),
    "noise in it": (scribbled, "is damaged .*malformed"),
    "a folder": (lambda path: path.mkdir(), "is no file, and a log is one"),
    "no folder to lie in": (lambda path: path.parent.rmdir(), "there is no folder for the log"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_log_is_refused_and_stays_as_it_is(case, tmp_path):
    """In one sentence that names the file, and without a byte of it changed."""
    make, words = REFUSED[case]
    path = tmp_path / "inner" / "news.log"
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for _ in range(2):
        with pytest.raises((ValueError, OSError), match=words) as caught:
            Feed(every(1.0), log=path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no such device")
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_no_log(device):
    """Nor would it come back."""
    with pytest.raises(ValueError, match="is no file"):
        DiskLog(device)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which not even root makes a file")
def test_a_place_where_nothing_can_be_written_is_refused():
    """Before anything is served."""
    with pytest.raises(OSError, match=r"cannot be opened .*choose a file that may be written"):
        DiskLog("/proc/news.log")


def test_an_empty_file_is_a_new_log(path):
    """As `mktemp` leaves it: there is nothing in it to lose."""
    path.touch()
    opened(path).close()
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


def test_names_that_mean_something_to_sqlite_are_files(tmp_path, monkeypatch):
    """A log that looked like one, and was none, would be lost in silence."""
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory"):
        DiskLog(name).close()
        assert (tmp_path / name).stat().st_size > 0
    with pytest.raises(ValueError, match="is no file"):
        DiskLog("")


def test_one_log_has_one_feed(path):
    """A second is refused as long as the first has it, in the same process or another."""
    first = Feed(every(1.0), log=path)
    with pytest.raises(OSError, match="is in use by another server: stop that one"):
        Feed(every(1.0), log=path)

    async def scenario():
        with pytest.raises(ChildFailed, match="is in use by another server"):
            await Server("polling", schedule=every(1.0), log=path).start()
        await first.stop()
        async with Server("polling", schedule=every(1.0), log=path) as server:
            assert server.epoch == first.epoch
            with pytest.raises(ChildFailed, match="is in use by another server"):
                await Server("polling", schedule=every(1.0), log=path).start()

    asyncio.run(scenario())


def test_a_log_that_is_stopped_is_one_file(path):
    """Nothing stands beside it, and what it has can still be asked for."""

    async def scenario():
        async with Feed(every(0.001), log=path) as feed:
            await feed.wait(20)
        heard = feed.since(0).news
        await asyncio.sleep(0.01)
        assert feed.since(0).news == heard
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        log = DiskLog(path)
        assert seqs(log.since(0)) == seqs(heard)
        log.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("make", [lambda path: Feed([Update(2, 0.0, {}), Update(1, 0.0, {})], log=path)])
def test_a_feed_that_cannot_be_made_lets_go_of_its_log(make, path):
    """Whoever tries again finds it free."""
    with pytest.raises(ValueError, match="update 1 comes after update 2"):
        make(path)
    opened(path).close()


def full(log):
    """Let the file grow no more, as on a full disk."""
    (pages,) = log._file.db.execute("PRAGMA page_count").fetchone()
    log._file.db.execute(f"PRAGMA max_page_count = {pages}")


def test_on_a_full_disk_the_feed_fails_and_nobody_has_heard_what_is_not_in_the_log(path):
    """With a sentence, for whoever runs it and whoever waits; with room again it goes on without a gap."""
    heard = []

    async def follow(feed):
        while await feed.wait(heard[-1] if heard else 0):
            heard.extend(seqs(feed.since(heard[-1] if heard else 0).news))

    async def scenario():
        with pytest.raises(OSError, match=r"cannot be written \(.*full\), and nobody hears .*see to the disk"):
            async with asyncio.timeout(patient(60)), Feed(every(0.001), log=path) as feed:
                await feed.wait(3)
                full(feed._log)
                await follow(feed)
        kept = DiskLog(path)
        assert heard == seqs(kept.since(0))[: len(heard)] and len(heard) >= 3
        kept.close()
        async with Feed(every(0.001), log=path) as feed:
            await feed.wait(heard[-1] + 5)
            assert seqs(feed.since(0).news)[: len(heard) + 5] == list(range(1, heard[-1] + 6))

    asyncio.run(scenario())


def test_what_came_before_a_source_failed_is_kept(path):
    """The failure comes out as itself, and the log has all that was good."""

    def source():
        yield from numbered(3)
        raise LookupError("gone")

    feed = past(path, source())
    with pytest.raises(LookupError, match="gone"):
        _ = feed.seq
    feed._end()
    log = DiskLog(path)
    assert seqs(log.since(0)) == [1, 2, 3]
    log.close()


def test_a_log_tidies_up_in_quiet_moments(path, monkeypatch):
    """When its readers have the update, and the next one is far away; never twice for the same."""
    monkeypatch.setattr(log_module, "UNTIDY", 3)

    async def scenario():
        tidied = []
        tidy = DiskLog.tidy
        monkeypatch.setattr(DiskLog, "tidy", lambda log: tidied.append(log.seq) or tidy(log))
        at = [0.01, 0.011, 0.012, 0.2, 0.21, 0.22, 0.4]
        async with Feed([Update(seq, at_s, {}) for seq, at_s in enumerate(at, start=1)], log=path) as feed:
            await feed.wait(6)
            assert not feed._log.is_untidy or tidied[-1:] != [6]
        assert set(tidied) <= {3, 4, 5, 6} and len(tidied) == len(set(tidied)) <= 2

    asyncio.run(scenario())


def test_who_keeps_nothing_on_disk_loads_no_database():
    """A server's memory is measured."""
    run = "import sys, wsdemo.serve; from wsdemo.feed import Feed; Feed([]); print('sqlite3' in sys.modules)"
    # What counts coverage in CI loads it by itself.
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, text=True, check=True, env=sandbox.environment()
    )
    assert done.stdout == "False\n"


# --- kill -9 ----------------------------------------------------------------------------------------------------------


WRITER = """
import os, signal, sqlite3, sys
from wsdemo.log import DiskLog
from wsdemo.news import News

left, connect = [int(sys.argv[2])], sqlite3.connect

def count(statement):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(*given, **named):
    db = connect(*given, **named)
    db.set_trace_callback(count)
    return db

sqlite3.connect = counted
log = DiskLog(sys.argv[1], 3)
print(0, log.epoch, flush=True)
log.begin(0)
for seq in (2, 4, 6):
    log.keep([News(one, 0.0, 0, {}) for one in (seq - 1, seq)])
    print(seq, log.epoch, flush=True)
    log.tidy()
log.close()
print("done", log.epoch)
"""
"""Keeps updates in pairs, and kills itself before it would make its n-th statement."""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.large
def test_killed_before_any_statement_a_log_has_all_that_was_kept_or_is_new(amount, path):
    """From the making of its tables to its last update: what was said to be kept is there, in order, with its epoch."""
    ends = set()
    for number in amount(small=list(range(0, 100, 5)), large=list(range(100))):
        path.unlink(missing_ok=True)
        run = subprocess.run([sys.executable, "-c", WRITER, path, str(number)], capture_output=True, text=True)
        assert run.stderr == ""
        told = [line.split() for line in run.stdout.splitlines()]
        log = DiskLog(path, 3)
        kept = int(next((seq for seq, _ in reversed(told) if seq != "done"), 0))
        assert kept <= log.seq <= kept + 2 and log.seq % 2 == 0
        assert seqs(log.since(0)) == list(range(log.cut + 1, log.seq + 1)) and log.cut == max(0, log.seq - 3)
        assert not told or {epoch for _, epoch in told} == {log.epoch}
        log.close()
        ends.add(log.seq)
        if told and told[-1][0] == "done":
            break
    assert ends == {0, 2, 4, 6} and told[-1][0] == "done"


async def follow(name, url, reader, heard):
    async for delivery in TRANSPORTS[name].module().hear(url, reader):
        heard.append(delivery.seq)


async def until(condition):
    async with asyncio.timeout(patient(60)):
        while not condition():  # noqa: ASYNC110 - what a reader hears has no event
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def killed(log, kills, chance):
    """Kill a server of all transports so many times under load; give it, its readers, what they heard, its epochs."""
    async with Server(*TRANSPORTS, schedule=poisson(300.0), log=log, same_ports=True) as server:
        heard = {name: [] for name in TRANSPORTS}
        readers = {name: Reader(0.02, after=0) for name in TRANSPORTS}
        tasks = [asyncio.create_task(follow(name, server.url(name), readers[name], heard[name])) for name in TRANSPORTS]
        epochs = [server.epoch]
        try:
            for _ in range(kills):
                before = {name: len(one) for name, one in heard.items()}
                await until(lambda before=before: all(len(one) > before[name] for name, one in heard.items()))
                await asyncio.sleep(chance.random() * 0.3)
                server.kill()
                await server.start()
                epochs.append(server.epoch)
            yield server, readers, heard, epochs
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}


@pytest.mark.large
def test_no_reader_loses_an_update_or_has_it_twice_when_its_server_is_killed(amount, path):
    """kill -9 at random moments, all five transports on one log: the readers go on with the same history.

    A hundred kills a log, each transport by itself, are played by the trials: `killed-with-log`.
    """

    async def scenario():
        async with killed(path, amount(small=5, large=10), random.Random(1)) as (server, readers, heard, epochs):
            last = (await server.look())["seq"]
            await until(lambda: all(one and one[-1] >= last for one in heard.values()))
            for name, one in heard.items():
                assert one == list(range(1, len(one) + 1)), name
                assert (readers[name].resets, readers[name].duplicates) == (0, 0)
            assert len(set(epochs)) == 1

    asyncio.run(scenario())
    assert not os.path.exists(f"{path}-wal")


def test_without_a_log_on_disk_every_reader_is_told_that_its_place_is_gone():
    """A server that is killed begins anew, and says so to all five."""

    async def scenario():
        async with killed(None, 2, random.Random(1)) as (_, readers, _, epochs):
            assert len(set(epochs)) == 3
            await until(lambda: all(reader.resets >= 1 for reader in readers.values()))

    asyncio.run(scenario())


def test_a_server_keeps_the_clock_of_its_log(path):
    """t0 is that of the first start, so that moments stay comparable."""

    async def scenario():
        server = Server("polling", schedule=every(0.01), log=path, same_ports=True)
        starts, urls = [], []
        for _ in range(3):
            await server.start()
            starts.append(server._told()["t0_ns"])
            urls.append(server.url())
            server.kill()
        assert len(set(starts)) == len(set(urls)) == 1

    asyncio.run(scenario())


def test_serving_closes_its_log_whatever_happens(path):
    """Also where a port cannot be had."""

    async def scenario():
        with serve.listen(serve.Meter()) as taken:
            taken.listen()
            with pytest.raises(OSError, match="cannot listen"):
                async with serve.serving(["polling"], every(1.0), log=path, port=taken.getsockname()[1]):
                    pytest.fail("it serves")
        opened(path).close()

    with asyncio.Runner(loop_factory=serve.new_event_loop) as runner:
        runner.run(scenario())
