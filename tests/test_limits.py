"""Open files: what fits, and a sentence for what does not."""

import subprocess
import sys

import pytest

from wsdemo import limits

resource = pytest.importorskip("resource", reason="Windows has no limit on open sockets")


def test_what_cannot_fit_is_refused_with_what_would():
    """The sentence names the limit and the largest number that fits."""
    limit = limits.file_limit()
    if limit is None:
        limits.check_connections(10**9)
    else:
        with pytest.raises(ValueError, match=f"use at most {limit - limits.SPARE_FILES}"):
            limits.check_connections(limit)


def test_the_soft_limit_is_raised_as_far_as_needed():
    """A process that starts with 256 files (macOS) can then hold 300 connections, if the hard limit allows it."""
    script = (
        "import resource; from wsdemo import limits;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard));"
        "limits.allow_connections(300);"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) == 300 + limits.SPARE_FILES


def test_a_low_hard_limit_is_respected():
    """Where the hard limit is too low nothing is changed and the error says so."""
    script = (
        "import resource; from wsdemo import limits;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200));"
        "limits.allow_connections(150)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "use at most 136" in result.stderr


def test_as_many_as_the_sentence_says_do_fit(monkeypatch):
    """What it names as the most is let through, and one more is not."""
    monkeypatch.setattr(limits, "file_limit", lambda: limits.SPARE_FILES + 36)
    limits.check_connections(36)
    with pytest.raises(ValueError, match="use at most 36,"):
        limits.check_connections(37)


def test_a_limit_that_is_high_enough_stays_as_it_is():
    """Whoever asks for few connections takes none from the rest of the process."""
    script = (
        "import resource; from wsdemo import limits;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard));"
        "limits.allow_connections(100);"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) == 512
