"""How many requests a real browser sends at once to one server by HTTP/1.1, counted there and on lesson 03's page."""

from __future__ import annotations

import json

import pytest
from browser import browser, in_background  # noqa: F401 - browser is a fixture
from repository import ROOT

try:
    from playwright.sync_api import expect
except ImportError:
    expect = None  # then the fixture `browser` skips every test here, or fails it in CI

CELLS = ("imports", "serving", "six-page", "six-handler")


@pytest.fixture
def lesson() -> dict:
    """The names that lesson 03 has when its page begins."""
    book = json.loads((ROOT / "notebooks" / "03_ask_smarter.ipynb").read_text(encoding="utf-8"))
    sources = {cell["id"]: "".join(cell["source"]) for cell in book["cells"]}
    names: dict = {}
    for name in CELLS:
        exec(sources[name], names)
    return names


def test_a_browser_sends_six_of_ten_requests(browser, lesson):  # noqa: F811
    """Six reach the server, and the page says so; four wait in the browser until one of the six is over."""
    arrived = []

    async def counting(request):
        if "held" in request.query:
            arrived.append(request.query["held"])
        return await lesson["ten_at_once"](request)

    with in_background(lesson["serving"](counting)) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        expect(page.locator("output")).to_have_text("6 of 10")
        # Time in which a seventh could come, if there were one.
        page.wait_for_timeout(500)
        assert len(arrived) == 6
        assert page.locator("output").inner_text() == "6 of 10"


def test_a_second_page_of_the_server_waits_too(browser, lesson):  # noqa: F811
    """The six are the browser's, not the page's: what another tab asks arrives once the first tab has gone."""
    arrived = []

    async def counting(request):
        arrived.append(request.query_string)
        return await lesson["ten_at_once"](request)

    with in_background(lesson["serving"](counting)) as url, browser.new_context() as context:
        first, second = context.new_page(), context.new_page()
        first.goto(url)
        expect(first.locator("output")).to_have_text("6 of 10")
        second.evaluate("url => { setTimeout(() => { location = url; }); }", f"{url}?tab=2")
        second.wait_for_timeout(500)
        assert len(arrived) == 7  # the first page, and its six
        first.close()
        expect(second.locator("output")).to_have_text("6 of 10")
        assert "tab=2" in arrived
