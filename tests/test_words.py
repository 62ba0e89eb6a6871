"""Numbers read the same everywhere: in the table, in captions and on axes."""

import math

import pytest

from wsdemo import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (20, "20"),
        (1707, "1,707"),
        (12345678, "12,345,678"),
        (0.01234, "0.0123"),
        (1.25, "1.25"),
        (9.996, "10"),
        (0.0999951, "0.1"),
        (123.4, "123"),
        (999.6, "1,000"),
        (0.00001, "0.00001"),
        (-2.5, "-2.5"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_three_figures_and_no_exponent(value, text):
    """Whole numbers keep all their digits, fractions lose their last noughts, and rounding may carry."""
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1, "1"), (1707, "1,707"), (2.6, "3"), (1234567.0, "1,234,567"), (math.nan, "–")]
)
def test_a_count_is_whole_and_a_dash_where_there_was_nothing_to_count(value, text):
    """Thousands are set apart."""
    assert words.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0%"), (0.0, "0%"), (1, "100%"), (0.5, "50.0%"), (0.8439, "84.4%"), (0.9999, "100.0%"), (0.0001, "0.0%")],
)
def test_a_share_is_in_per_cent_and_only_none_and_all_have_no_decimals(value, text):
    """Nearly all is "100.0%", hardly any is "0.0%": neither can be taken for the whole or for nothing."""
    assert words.share(value) == text


def test_a_share_has_as_many_decimals_as_asked_for():
    """None and all have none in any case."""
    assert [words.share(0.84391, places) for places in (0, 1, 2)] == ["84%", "84.4%", "84.39%"]
    assert [words.share(value, 2) for value in (0, 1)] == ["0%", "100%"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4.3, "4.3 s"),
        (3600, "3,600 s"),
        (1, "1 s"),
        (0.9996, "1 s"),
        (0.999, "999 ms"),
        (0.25, "250 ms"),
        (0.00012, "0.12 ms"),
        (0.00001, "0.01 ms"),
        (0.000009, "9 µs"),
        (2.5e-7, "0.25 µs"),
        (-0.25, "-250 ms"),
        (math.nan, "–"),
    ],
)
def test_a_duration_is_in_the_unit_that_suits_it(seconds, text):
    """Seconds from one second, milliseconds down to a hundredth of one, microseconds below; never "1,000 ms"."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 MiB"), (30 << 20, "30.0 MiB"), (1.25 * 2**20, "1.2 MiB")])
def test_memory_is_in_mebibytes(size, text):
    """Of 1,048,576 bytes each, to a tenth."""
    assert words.mebibytes(size) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (("a", "b", "c"), "a, b and c")],
)
def test_a_list_reads_as_in_a_sentence(names, text):
    """Commas, and an "and" before the last; a list of none is nothing."""
    assert words.listed(names) == text


@pytest.mark.parametrize(
    ("sentence", "text"), [("", ""), ("a", "A"), ("polling with ETag", "Polling with ETag"), ("5 polls", "5 polls")]
)
def test_a_sentence_begins_with_a_capital(sentence, text):
    """The rest of it stays as it is."""
    assert words.capital(sentence) == text
