"""A sixth transport is one Python file, one JavaScript file and one row: here they are, and everything follows.

Newline-delimited JSON is server-sent events without the conventions, so it teaches nothing that those do not. It lives
here as the proof, and not among the five of the course.
"""

import asyncio
import contextlib
import importlib.util
import shutil
import sys
import time
from pathlib import Path

import pytest
from browser import browser, in_background  # noqa: F401 - browser is a fixture
from ideal import compared
from patience import patient

from wsdemo import plots, theory
from wsdemo.feed import Feed
from wsdemo.guard import Guard
from wsdemo.live import PAGE, server, sessions
from wsdemo.live.server import LiveServer
from wsdemo.meter import Meter, listen
from wsdemo.reader import Reader
from wsdemo.transports import TRANSPORTS, Transport
from wsdemo.updates import every

FILES = Path(__file__).parent / "ndjson"


@pytest.fixture
def ndjson(monkeypatch, tmp_path):
    """The three things, where the package would have them."""
    spec = importlib.util.spec_from_file_location("wsdemo.transports.ndjson", FILES / "ndjson.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, spec.name, module)
    shutil.copytree(PAGE, tmp_path / "page")
    shutil.copy(FILES / "ndjson.js", tmp_path / "page" / "transports")
    for place in (server, sessions):
        monkeypatch.setattr(place, "PAGE", tmp_path / "page")
    row = Transport("ndjson", "JSON lines", "push", "streamed", "http", "#009E73", theory.push)
    monkeypatch.setitem(TRANSPORTS, row.name, row)
    return row


def test_it_is_heard_and_resumes(ndjson):
    """Every update once and in order; whoever comes back with a position gets what came after it."""

    async def heard(url, count, **position):
        async with contextlib.aclosing(ndjson.module().hear(url, Reader(**position))) as deliveries:
            return [(await anext(deliveries)).seq for _ in range(count)]

    async def scenario():
        sock = listen(Meter())
        url = ndjson.url(sock.getsockname()[1])
        async with asyncio.timeout(patient(20)), Feed(every(0.01)) as feed, ndjson.module().serve(feed, sock, Guard()):
            assert await heard(url, 5, after=0) == [1, 2, 3, 4, 5]
            assert await heard(url, 3, after=2, epoch=feed.epoch) == [3, 4, 5]
        sock.close()

    asyncio.run(scenario())


def test_it_is_drawn_and_predicted(ndjson):
    """Figures and table take its row as they take any other."""
    comparison = compared("polling", "ndjson")
    assert "JSON lines" in str(comparison)
    assert "JSON lines" in plots.overview(comparison).alt
    assert comparison["ndjson"].predicted.requests == comparison["ndjson"].clients


def test_it_is_offered_on_the_page(browser, ndjson):  # noqa: F811
    """It can be chosen on either side, hears, and is described by its habit."""
    with in_background(LiveServer(speed=1200, interval_s=0.2)) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.url)
        for side in ("left", "right"):
            page.locator(f".{side} .transport").select_option("ndjson")
            deadline = time.monotonic() + patient(20)
            while (state := page.evaluate(f"wsdemo.snapshot().sides.{side}"))["heard"] == 0:
                assert time.monotonic() < deadline, "nothing was heard"
                page.wait_for_timeout(50)
            assert (state["transport"], state["failures"], state["lost"]) == ("ndjson", 0, 0)
