"""Schedules: reproducible, ascending, and the earthquakes as the catalogue has them."""

import argparse
import csv
import itertools
import json
import math
import statistics
from importlib import resources

import pytest
from repository import read

from wsdemo import theory
from wsdemo.catalogue import kinds
from wsdemo.updates import (
    SCHEDULES,
    Option,
    Schedule,
    Update,
    bursts,
    catalogue,
    earthquakes,
    every,
    from_file,
    from_recipe,
    poisson,
)


@pytest.mark.parametrize("schedule", [every(0.3), poisson(5.0), bursts(5.0), earthquakes(5000)], ids=lambda s: s.kind)
def test_updates_are_numbered_ascending_and_inside_the_run(schedule):
    """Updates are numbered 1, 2, 3 …, never go back in time, and fall before the end of the run."""
    updates = list(schedule.updates(20))
    assert len(updates) > 30
    assert [update.seq for update in updates] == list(range(1, len(updates) + 1))
    times = [update.at_s for update in updates]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < 20
    assert times == schedule.times(20)


@pytest.mark.parametrize(
    "schedule",
    [every(0.3), poisson(5.0, seed=8), bursts(5.0, 4, 0.7, seed=8), earthquakes(5000, 777.5)],
    ids=lambda s: s.kind,
)
def test_the_same_recipe_gives_the_same_updates(schedule):
    """A schedule may be played any number of times, and a shorter run is the beginning of a longer one."""
    assert list(schedule.updates(9)) == list(schedule.updates(9))
    assert list(schedule.updates(18))[: len(schedule.times(9))] == list(schedule.updates(9))


def test_periodic_updates_do_not_drift():
    """Update n comes at exactly n periods, however many there are."""
    assert list(itertools.islice((u.at_s for u in every(0.1).updates()), 999, 1000)) == [1000 * 0.1]


def test_a_poisson_schedule_has_exponential_gaps():
    """Mean and standard deviation of the gaps are both 1 / rate: 40,000 gaps, within five standard errors."""
    times = [0.0, *poisson(4.0, seed=3).times(10_000)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(0.25, rel=5 / len(gaps) ** 0.5)
    assert statistics.stdev(gaps) == pytest.approx(0.25, rel=5 * 2**0.5 / len(gaps) ** 0.5)


def test_bursts_come_as_often_as_they_say():
    """Over many seeds the number of updates is the rate times the time, within five standard errors of their own."""
    counts = [len(bursts(4.0, 10, 0.2, seed).times(500)) for seed in range(100)]
    assert statistics.fmean(counts) == pytest.approx(2000, abs=5 * statistics.stdev(counts) / 10)


def test_bursts_are_bursts():
    """In windows longer than a burst, counts vary many times more than by chance; without aftershocks, as by chance."""

    def dispersion(schedule):
        counts = [0] * 4000
        for at_s in schedule.times(4000.0):
            counts[int(at_s)] += 1
        return statistics.variance(counts) / statistics.fmean(counts)

    # A burst within one window gives 1 + E[k(k-1)] / E[k] = 1 + (9**2 + 2 * 9) / 10; the edges of windows cut some.
    assert dispersion(bursts(2.0, 10, 0.001)) == pytest.approx(1 + 99 / 10, rel=0.15)
    assert dispersion(bursts(2.0, 1)) == pytest.approx(1, rel=0.15)


def test_asked_at_its_mean_gap_a_source_wastes_by_its_kind():
    """A regular source nothing, a random one exp(-1), bursts that are over at once exp(-1 / burst): all of one rate."""
    shares = [
        theory.wasted_fraction_given(schedule.times(20_000), 0.5, 20_000)
        for schedule in (every(0.5), poisson(2.0), bursts(2.0, 10, 0.0001))
    ]
    assert shares[0] == pytest.approx(0, abs=1e-4)
    assert shares[1:] == pytest.approx([math.exp(-1), math.exp(-0.1)], abs=0.01)


def test_a_burst_has_its_first_update():
    """Fewer than one update in a burst is refused by name."""
    with pytest.raises(ValueError, match="at least 1"):
        bursts(2, 0.5)


def test_another_seed_is_other_luck():
    """A seed changes what is random, and nothing else."""
    assert poisson(2).with_seed(5) == poisson(2, seed=5) != poisson(2, seed=6)
    assert every(2).with_seed(5) == every(2)
    assert earthquakes(10).with_seed(5).start_s != earthquakes(10).with_seed(6).start_s
    assert earthquakes(10).with_seed(5).seed == 5
    assert bursts(2, 4, 0.7).with_seed(5) == bursts(2, 4, 0.7, seed=5) != bursts(2, 4, 0.7, seed=6)


def test_the_catalogue_is_the_file():
    """All 1,707 events of the file are there, in its order, with numbers where the file has numbers."""
    with (resources.files("wsdemo") / "data" / "earthquakes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    events = catalogue()
    assert len(events) == len(rows) == 1707
    assert [data["id"] for _, data in events] == [row["id"] for row in rows]
    assert all(-90 <= data["latitude"] <= 90 and -180 <= data["longitude"] <= 180 for _, data in events)


def test_what_is_said_of_the_week_is_so():
    """The kinds that SOURCES.md and the README count, and the magnitudes: all are known, 44 are negative."""
    assert kinds() == {"earthquake": 1679, "explosion": 15, "quarry blast": 13}
    magnitudes = [data["magnitude"] for _, data in catalogue()]
    assert (None in magnitudes, sum(size < 0 for size in magnitudes), min(magnitudes)) == (False, 44, -0.8)
    said = " ".join(read("wsdemo/data/SOURCES.md").split())
    assert "(1,679 earthquakes, 15 explosions, 13 quarry blasts)" in said
    assert "44 are negative, the least -0.8" in said
    assert "1,707 of them (1,679 earthquakes" in read("README.md")


def test_the_week_looks_like_a_poisson_process():
    """The gaps' coefficient of variation is 1.000, and a poll a minute is wasted 84.40 % of the time."""
    times = [at_s for at_s, _ in catalogue()]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert round(statistics.stdev(gaps) / statistics.fmean(gaps), 2) == 1.00
    # The last event ends the run here, so that the mean is over gaps between events and nothing else.
    measured = theory.wasted_fraction_given([t - times[0] for t in times[:-1]], 60, times[-1] - times[0])
    assert round(measured, 4) == 0.8440
    assert round(theory.wasted_fraction(1 / statistics.fmean(gaps), 60), 4) == 0.8440


def test_a_replay_starts_where_it_is_told_and_goes_on_after_the_week():
    """Speed divides every gap, start_s cuts off the beginning, and the week begins again after its end."""
    times = [at_s for at_s, _ in catalogue()]
    replay = list(itertools.islice(earthquakes(speed=100, start_s=times[10] - 50).updates(), 1707))
    assert replay[0].at_s == pytest.approx(0.5)
    assert replay[0].data["id"] == catalogue()[10][1]["id"]
    assert replay[-1].data["id"] == catalogue()[9][1]["id"]
    assert replay[1].at_s - replay[0].at_s == pytest.approx((times[11] - times[10]) / 100)


@pytest.mark.parametrize(
    "schedule",
    [
        every(0.3),
        poisson(5.0, seed=8),
        bursts(5.0, 4, 0.7, seed=8),
        earthquakes(5000, 777.5),
        earthquakes(9).with_seed(4),
    ],
)
def test_a_recipe_makes_the_same_schedule_in_another_process(schedule):
    """What is told as JSON is read back as the same schedule."""
    told = json.loads(json.dumps(schedule.recipe()))
    assert from_recipe(told) == schedule
    assert list(from_recipe(told).updates(10)) == list(schedule.updates(10))


def test_every_kind_of_schedule_is_a_row():
    """The registry has each class under its own name, and each says what it is and makes itself from few words."""
    assert {"every", "poisson", "bursts", "earthquakes"} <= set(SCHEDULES)
    for kind, row in SCHEDULES.items():
        assert row.kind == kind
        assert issubclass(row, Schedule)
        assert row.help
        assert all(option.name.startswith("--") and option.help for option in row.options)


def test_an_option_is_found_by_the_name_that_argparse_gives_it():
    """Also one of two words, which no schedule has yet."""
    option = Option("--burst-size", int, "N", "updates at once")
    parser = argparse.ArgumentParser()
    parser.add_argument(option.name, type=option.type)
    assert vars(parser.parse_args(["--burst-size", "3"])) == {option.key: 3}


@pytest.mark.parametrize(
    "make, value",
    [
        (every, 0),
        (poisson, -1),
        (bursts, 0),
        (lambda spread_s: bursts(1, spread_s=spread_s), 0),
        (lambda burst: bursts(1, burst), float("nan")),
        (poisson, float("nan")),
        (earthquakes, float("inf")),
        (every, "1"),
    ],
)
def test_impossible_schedules_are_refused(make, value):
    """A rate, period or speed must be a number above 0; the sentence names it."""
    with pytest.raises(ValueError, match="must be a number above 0"):
        make(value)


def test_a_start_outside_the_week_is_refused():
    """There is nothing to replay before or after the catalogued week."""
    with pytest.raises(ValueError, match="inside the week"):
        earthquakes(1, start_s=8 * 24 * 3600)


def table(tmp_path, text):
    path = tmp_path / "arrivals.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_moments_is_a_schedule(tmp_path):
    """The column at_s says when; the others are data, numbers where they read as numbers."""
    schedule = from_file(table(tmp_path, '\ufeffat_s,place,magnitude\n0.5,"Here, there",3\n0.5,x,\n2,NaN,4.5\n'))
    assert list(schedule.updates()) == [
        Update(1, 0.5, {"place": "Here, there", "magnitude": 3}),
        Update(2, 0.5, {"place": "x", "magnitude": ""}),
        Update(3, 2.0, {"place": "NaN", "magnitude": 4.5}),
    ]
    assert schedule.times(2) == [0.5, 0.5]
    assert schedule.rate_per_s == 1.5
    assert schedule.with_seed(3) == schedule
    assert list(from_recipe(json.loads(json.dumps(schedule.recipe()))).updates()) == list(schedule.updates())


def test_a_table_is_read_once(tmp_path):
    """What is measured is what was predicted, although the file has changed meanwhile."""
    path = table(tmp_path, "at_s\n1\n")
    schedule = from_file(path)
    path.write_text("at_s\n1\n2\n", encoding="utf-8")
    assert from_recipe(schedule.recipe()).times(10) == [1.0]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "none of them is at_s"),
        ("when,what\n1,x\n", "its columns are when, what"),
        ("at_s\n", "has no moments"),
        ("at_s\n2\n1\n", "line 3: at_s must be seconds after the start, in ascending order, not 1"),
        ("at_s\n-1\n", "line 2: at_s must be"),
        ("at_s\nsoon\n", "not 'soon'"),
        ("at_s\nInfinity\n", "not 'Infinity'"),
        ("at_s\ntrue\n", "not 'true'"),
        ("at_s,b\n1\n", "line 2 does not have as many fields"),
        ("at_s\n1,2\n", "line 2 does not have as many fields"),
    ],
)
def test_a_table_that_is_none_is_refused_by_line(tmp_path, text, words):
    """The sentence names the file, and what is wrong with it."""
    with pytest.raises(ValueError, match=r"arrivals\.csv") as refused:
        from_file(table(tmp_path, text))
    assert words in str(refused.value)


def test_the_weeks_are_joined_at_one_mean_gap():
    """Update 1,708 is the first event again, exactly one week of the schedule later; the third week likewise."""
    played = [update.at_s for update in itertools.islice(earthquakes(speed=1).updates(), 3415)]
    first, second, third = played[::1707]
    times = [at_s for at_s, _ in catalogue()]
    gap = (times[-1] - times[0]) / (len(times) - 1)
    assert second - first == pytest.approx(times[-1] + gap)
    assert third - second == pytest.approx(second - first)


def test_a_seed_is_the_same_luck_each_time():
    """Whoever gives the same seed hears the same updates: on another day, and in another process."""
    for schedule in (poisson(5.0), earthquakes(5000)):
        assert schedule.with_seed(7) == schedule.with_seed(7)
        assert schedule.with_seed(7).times(5) == schedule.with_seed(7).times(5)


def test_a_table_whose_moments_are_all_the_start_has_a_rate(tmp_path):
    """Nothing passes between the first and the last: its updates are counted as those of a second."""
    assert from_file(table(tmp_path, "at_s\n0\n0\n")).rate_per_s == 2.0


def test_a_table_that_was_told_is_equal_to_the_one_that_was_read(tmp_path):
    """As every schedule: JSON has no tuples, and the other process makes them again."""
    schedule = from_file(table(tmp_path, "at_s,place\n0.5,here\n2,there\n"))
    assert from_recipe(json.loads(json.dumps(schedule.recipe()))) == schedule


def test_wherever_a_replay_starts_the_second_week_comes_when_it_does():
    """A start cuts off what came before it, and moves nothing else: one week later everything comes again."""
    whole = [update.at_s for update in itertools.islice(earthquakes(speed=1).updates(), 3414)]
    start_s = catalogue()[700][0] - 1
    late = [update.at_s for update in itertools.islice(earthquakes(speed=1, start_s=start_s).updates(), 3414 - 700)]
    assert [at_s + start_s for at_s in late] == pytest.approx(whole[700:])
