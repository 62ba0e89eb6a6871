"""Tests that are large: whole where time does not matter, and in a small form on the desk of whoever runs the suite."""

from __future__ import annotations

import os
from collections.abc import Callable, Sized
from typing import TypeVar

import pytest

T = TypeVar("T")
RAN = "large"
"""The name of the property by which a test's report, also one from another process, says how much of it ran."""


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "run the tests marked `large` in full; so does CI=true in the environment"
    parser.addoption("--large", action="store_true", default=bool(os.environ.get("CI")), help=help_text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a mark without a small form, and a small form without the mark: either would say what is not so."""
    for item in items:
        marked = item.get_closest_marker("large") is not None
        if marked != ("amount" in getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid}: the mark `large` and the fixture `amount` go together")


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[..., T]:
    """Give `amount(small=..., large=...)`, which returns one of the two, a number or a list, and notes which it was.

    Only for tests marked `large`.
    """
    in_full = request.config.getoption("large")

    def choose(*, small: T, large: T) -> T:
        said = _size(large) if in_full else f"{_size(small)} of {_size(large)}"
        request.node.user_properties.append((RAN, said))
        return large if in_full else small

    return choose


def _size(value: object) -> str:
    return str(len(value)) if isinstance(value, Sized) else str(value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ends = [report for report in reports if getattr(report, "when", "") == "teardown"]
    ran = {report.nodeid: dict(report.user_properties).get(RAN) for report in ends}
    if not (ran := {test: size for test, size in ran.items() if size}):
        return
    terminalreporter.section("large tests")
    for test, size in ran.items():
        terminalreporter.line(f"{test}: {size}")
    if config.getoption("large"):
        terminalreporter.line("large tests ran in full")
    else:
        terminalreporter.line("large tests ran in their small form; --large or CI=true runs them in full")
