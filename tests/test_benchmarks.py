"""The benchmarks run, and count what they say they do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

FAN_OUT = Path(__file__).parent.parent / "benchmarks" / "fan_out.py"


def run(*arguments):
    command = [sys.executable, str(FAN_OUT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60))


@pytest.mark.parametrize("kinds", [(), ("sse", "bare")])
def test_each_kind_has_its_line_and_the_first_is_the_measure(kinds):
    """Five readers for a moment: every kind has messages and a cost, and the first kind's ratio is 1."""
    result = run(*kinds, "--readers", "5", "--updates", "10", "--rounds", "1", "--period", "0.05")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(kinds or ("bare", "websocket", "sse"))
    for line in lines:
        name, *numbers = re.findall(r"\S+", line)
        cost, least, most, ratio, messages = (float(number.replace(",", "")) for number in numbers)
        assert 0 < least == cost == most, name
        assert messages >= 5, name
        assert ratio == 1 or line is not lines[0]


def test_an_unknown_kind_is_refused_with_those_that_there_are():
    """Before anything is started."""
    result = run("carrier-pigeon")
    assert result.returncode == 2
    assert "there are bare, websocket, sse" in result.stderr
