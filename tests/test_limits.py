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


@pytest.mark.parametrize(
    "limit, wanted, listeners, fit",
    [(None, 2000, 5, 2000), (256, 2000, 1, 192), (256, 100, 1, 100), (1024, 2000, 5, 192), (64, 2000, 1, 0)],
)
def test_what_fits_is_used(monkeypatch, limit, wanted, listeners, fit):
    """As many as were wanted, or as the limit has room for beside what Python needs, shared by the sockets."""
    monkeypatch.setattr(limits, "file_limit", lambda: limit)
    assert limits.fitting(wanted, listeners) == fit
    if fit == wanted:
        limits.check_connections(wanted, listeners)
    else:
        with pytest.raises(ValueError, match=rf"use at most {fit}, .*\(ulimit -n\)$"):
            limits.check_connections(wanted, listeners)


def test_windows_has_another_bound(monkeypatch):
    """Its `select` watches 512 sockets, which no setting changes: the sentence names what fits, and no `ulimit`."""
    monkeypatch.setattr(limits.sys, "platform", "win32")
    assert limits.fitting(2000) == 448
    limits.allow_connections(448)
    with pytest.raises(
        ValueError, match=r"^1000 connections need more sockets than Windows .*\(512\): use at most 448$"
    ):
        limits.check_connections(1000)
    with pytest.raises(ValueError, match=r"^100 connections to each of 5 sockets need .*: use at most 89$"):
        limits.check_connections(100, 5)


@pytest.mark.parametrize("limit", [256, 1024])
def test_a_server_in_a_lesson_uses_what_fits(limit):
    """Nobody asked for 2,000 connections, so a low limit is no reason not to start; whoever asks for more is told."""
    script = (
        "import asyncio, resource; from wsdemo.serve import Server; from wsdemo.live import LivePage;"
        "from wsdemo.transports import TRANSPORTS;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))\n"
        "async def main():\n"
        "    async with Server(*TRANSPORTS) as server, LivePage() as page:\n"
        "        print(len(server.url()) > 0, page.port > 0, (await server.counters())['connections'])\n"
        "    await Server('polling', max_connections=2000).start()\n"
        "asyncio.run(main())"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout == "True True 0\n", result.stderr
    assert f"use at most {limit - limits.SPARE_FILES}" in result.stderr.splitlines()[-1]


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
