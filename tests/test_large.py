"""The mark `large`: what is run in full and what in a small form, and that the run says which."""

import pytest
import sandbox

PLANTED = """
import pytest

@pytest.mark.large
@pytest.mark.parametrize("case", ["a", "b"])
def test_many_seeds(case, amount):
    for seed in range(amount(small=3, large=40)):
        print(case, seed)

@pytest.mark.large
def test_screens(amount):
    print(amount(small=["wide"], large=["wide", "tall"]))

def test_that_is_not_large():
    pass
"""
SMALL = "large tests ran in their small form; --large or CI=true runs them in full"
FULL = "large tests ran in full"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return sandbox.make(tmp_path_factory.mktemp("large"), test_planted=PLANTED)


def test_the_small_form_is_the_default_and_says_so(planted):
    """Every large test runs, small; the summary names each with how much of it ran."""
    run = sandbox.run_pytest(planted, "tests", "-s")
    assert run.returncode == 0, run.stdout + run.stderr
    assert (run.stdout.count("a 2"), run.stdout.count("a 3"), run.stdout.count("['wide']")) == (1, 0, 1)
    lines = run.stdout.splitlines()
    for line in ("test_many_seeds[a]: 3 of 40", "test_many_seeds[b]: 3 of 40", "test_screens: 1 of 2"):
        assert f"tests/test_planted.py::{line}" in lines
    assert SMALL in lines and FULL not in lines


@pytest.mark.parametrize("how", ["--large", "CI=true"])
def test_the_full_form_is_there_to_be_asked_for(planted, how):
    """By an option, or by the variable that every CI sets."""
    run = sandbox.run_pytest(
        planted, "tests", "-s", *([how] if how == "--large" else []), CI="" if how == "--large" else "true"
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (run.stdout.count("a 39"), run.stdout.count("['wide', 'tall']")) == (1, 1)
    lines = run.stdout.splitlines()
    assert "tests/test_planted.py::test_many_seeds[a]: 40" in lines
    assert FULL in lines and SMALL not in lines


def test_a_run_without_large_tests_says_nothing_of_them(planted):
    """What did not run needs no words."""
    run = sandbox.run_pytest(planted, "tests", "-k", "not_large")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "large tests" not in run.stdout


@pytest.mark.parametrize(
    "test",
    ["@pytest.mark.large\ndef test_marked():\n    pass", "def test_unmarked(amount):\n    amount(small=1, large=2)"],
    ids=["marked only", "amount only"],
)
def test_the_mark_and_the_amount_go_together(tmp_path, test):
    """A large test without a small form would never be small; an unmarked one could not be chosen by its mark."""
    run = sandbox.run_pytest(sandbox.make(tmp_path, test_planted=f"import pytest\n\n{test}\n"), "tests")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "go together" in run.stdout + run.stderr
