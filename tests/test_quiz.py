"""The quiz for teachers: each question can be imported, has one right answer, and a number that theory gives, too."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import gift
import pytest
from repository import ROOT, read

from wsdemo import choose, theory, wire

QUIZ = "docs/teaching/quiz.gift"
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def quiz() -> list[gift.Question]:
    return gift.parse(read(QUIZ))


# --- its form ---------------------------------------------------------------------------------------------------------


def test_every_question_is_read():
    """At least thirty of all four kinds, each with a title of its own and a word to each wrong answer."""
    questions = quiz()
    assert len(questions) >= 30
    assert len(questions) == len(re.findall(r"^::", read(QUIZ), re.MULTILINE))
    assert {question.kind for question in questions} == {"choice", "true or false", "number", "short text"}
    assert all(len(question.why_wrong) == max(1, len(question.wrong)) for question in questions)


def test_both_true_and_false_are_right_somewhere():
    """Or pupils would soon know the answer."""
    assert {question.right for question in quiz() if question.kind == "true or false"} == {("TRUE",), ("FALSE",)}


def test_every_lesson_has_a_category_with_questions_of_its_own():
    """In the order of the lessons, by number and title."""
    categories = list(dict.fromkeys(question.category for question in quiz()))
    assert [name.rpartition("/")[2].replace(" ", "_").lower() for name in categories] == LESSONS


GOOD = """
// a comment
$CATEGORY: Course/00 Start

::One:: Is a \\= b? {
    =yes #indeed
    ~no #it is
    ~perhaps #it is
}

::Two:: 1 and 1 {#
    =2:0.5 #indeed
    ~#count again
}

::Three:: So it is. {TRUE
    #it is
    #indeed
}

::Four:: Which one? {
    =a #indeed
    =b #indeed
    =%0%* #a or b
}
"""


def test_a_small_quiz_is_read_as_moodle_reads_it():
    """With what each kind holds."""
    one, two, three, four = gift.parse(GOOD)
    assert one == gift.Question(
        "Course/00 Start", "One", "Is a = b?", "choice", ("yes",), ("no", "perhaps"), ("it is", "it is")
    )
    assert (two.number, two.tolerance, two.why_wrong) == (2, 0.5, ("count again",))
    assert (three.right, three.why_wrong) == (("TRUE",), ("it is",))
    assert (four.right, four.why_wrong) == (("a", "b"), ("a or b",))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("=yes", "~yes", "0 answers are right"),
        ("~no", "=no", "2 answers are right"),
        ("    ~perhaps #it is\n", "", "two wrong answers"),
        ("~perhaps", "~no", "stands twice"),
        ("~no #", "~%50%no #", "right in part"),
        ("~no #it is", "~no", "no feedback"),
        ("~no #it is", "~no #", "no kind|empty"),
        ("~no #it is", "~no #it is # not", "no kind"),
        ("~no #it is", "~no #it is: no", "no kind"),
        ("~no #it is", "~no #it = is", "no kind"),
        ("a \\= b", "a = b", "backslash"),
        ("a \\= b", "a \\* b", "no escape"),
        ("a \\= b? {", "a \\= b? {{", "backslash"),
        ("    ~perhaps #it is\n}", "    ~perhaps #it is\n} More.", "backslash"),
        ("    ~perhaps #it is\n}", "    ~perhaps #it is\n", "backslash"),
        ("    ~no", "\n    ~no", "backslash"),
        ("::Two::", "::One::", "title stands twice: One"),
        ("::Two:: ", "", "backslash"),
        ("::Two::", "::  ::", "empty"),
        ("=2:0.5", "=2", "no kind"),
        ("=2:0.5", "=two:0.5", "no kind"),
        ("=2:0.5", "=2:-0.5", "tolerance"),
        ("    ~#count again\n", "", "no kind"),
        ("{TRUE", "{TRUTH", "no kind|last answer"),
        ("{TRUE\n    #it is\n", "{TRUE\n", "no kind"),
        ("    =%0%* #a or b\n", "", "last answer"),
        ("=a #", "=%50%a #", "last answer"),
        ("    =a #indeed\n    =b #indeed\n", "", "no answer is right"),
        ("$CATEGORY: Course/00 Start\n", "", "first category"),
        ("$CATEGORY: Course/00 Start\n", "$CATEGORIE: Course\n", "CATEGORY"),
        ("$CATEGORY: Course/00 Start\n\n", "$CATEGORY: Course/00 Start\n", "CATEGORY"),
    ],
)
def test_a_broken_quiz_is_refused(old, new, complaint):
    """Also where Moodle would take it, as something else than was meant."""
    assert GOOD.count(old) == 1
    with pytest.raises(gift.Broken, match=complaint):
        gift.parse(GOOD.replace(old, new))


# --- its numbers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """Numbers as the text of a question states them, in order, and what follows from them."""

    numbers: str
    follows: Callable[..., float]


def percent_given(*stated: float) -> float:
    *at_s, duration_s, interval_s = stated
    return 100 * theory.wasted_fraction_given(at_s, interval_s, duration_s)


def header_bytes(size: float) -> float:
    frame = wire.Frame(wire.Opcode.BINARY, bytes(int(size)), mask=b"mask")
    return len(wire.encode(frame)) - size


def processes(readers: float, per_s: float, cpu_us: float, share: float) -> float:
    return math.ceil(readers * per_s * cpu_us / 1e6 / share) + 1


NUMBERS = {
    "Once a minute": Stated("354 60", lambda gap, interval: 100 * theory.wasted_fraction(1 / gap, interval)),
    "Mean age": Stated("4", theory.latency_mean),
    "Given the schedule": Stated("2 4 6 8 10 1", percent_given),
    "As often as it changes": Stated("2 0.5", lambda rate, interval: 100 * theory.wasted_fraction(rate, interval)),
    "A clock": Stated("10 4", lambda period, interval: 100 * theory.wasted_fraction_periodic(period, interval)),
    "Queries grow": Stated("80 0.25", lambda clients, interval: theory.polls_due(int(clients), interval, 1.0)),
    "The newest only": Stated("10 0.25", lambda *given: 100 * theory.missed_fraction_latest_only(*given)),
    "Transits": Stated("2", lambda updates: choose.WAYS["long_polling"]),
    "Held for how long": Stated(
        "354 25", lambda gap, hold: 100 * theory.long_poll_wasted_fraction(1 / gap, hold, delay_s=0)
    ),
    "Header of a frame": Stated("200", header_bytes),
    "Signs of life": Stated("400 6 20", lambda readers, ping, every: readers * theory.silence_cost(ping, every)),
    "Requests of a run": Stated("20 0.25 3", lambda clients, *given: theory.polls_due(int(clients), *given)),
    "One in so many": Stated("98.5", lambda percent: -math.log(percent / 100)),
    "Interval of least cost": Stated("1 5 10", theory.least_cost_interval),
    "Crossover": Stated("300 10 20", theory.crossover),
    "Time to notice": Stated("0.8 0.5", theory.latency_mean),
    "How many processes": Stated("100000 1 10 0.7", processes),
}
"""Each question whose answer is a number, by its title."""


def untrue(questions: list[gift.Question]) -> list[str]:
    """Return the titles of the numbers that do not follow from what their question states, or are not in the table."""
    numbers = [question for question in questions if question.kind == "number"]
    return [question.title for question in numbers if question.title not in NUMBERS or not _holds(question)]


def _holds(question: gift.Question) -> bool:
    """The text states the numbers of the table; they give the answer; and its tolerance lets no other answer pass."""
    stated = NUMBERS[question.title]
    given = stated.numbers.split()
    if re.findall(r"\d+(?:\.\d+)?", question.text) != given:
        return False
    off = abs(question.number - stated.follows(*map(float, given)))
    return off <= max(question.tolerance / 2, 1e-9) and question.tolerance <= 0.05 * question.number


def test_numbers_are_those_of_theory():
    """Each follows from the workload that its question states."""
    questions = quiz()
    assert untrue(questions) == []
    assert {question.title for question in questions if question.kind == "number"} == set(NUMBERS)


def test_the_number_of_98_5_percent_gives_98_5_percent():
    """The one that is solved for `x` is put back into the formula."""
    (question,) = (question for question in quiz() if question.title == "One in so many")
    assert theory.wasted_fraction(question.number, 1.0) == pytest.approx(0.985, abs=0.0002)


@pytest.mark.parametrize("title", NUMBERS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda question: replace(question, right=(str(question.number * 1.2),)),
        lambda question: replace(question, tolerance=question.number),
        lambda question: replace(question, text=re.sub(r"\d+", lambda found: f"{found[0]}7", question.text, count=1)),
        lambda question: replace(question, title="A number that nobody computed"),
    ],
    ids=["another answer", "a tolerance too wide", "another workload", "no row"],
)
def test_a_number_that_does_not_follow_is_found(title, spoil):
    """Whichever of answer, tolerance, text and table was changed alone."""
    (question,) = (question for question in quiz() if question.title == title)
    spoiled = spoil(question)
    assert untrue([question]) == []
    assert untrue([spoiled]) == [spoiled.title]
