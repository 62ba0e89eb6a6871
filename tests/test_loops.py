"""Event loops whose timers wake in time: which system call waits, and for how long."""

import os
import select
import selectors
import sys

import pytest

from wsdemo import loops, serve
from wsdemo.processes import clients

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only epoll counts in whole milliseconds")


@pytest.fixture
def waits(monkeypatch):
    """Note what `select` is asked to wait for, and let it find nothing at once."""
    asked = []

    def find_nothing(readable, writable, strange, timeout):
        asked.append((list(readable), timeout))
        return [], [], []

    monkeypatch.setattr(select, "select", find_nothing)
    return asked


@LINUX
@pytest.mark.parametrize("wait_s", [0.0001, 0.0123, 5.0])
def test_the_wait_is_not_rounded_up_to_whole_milliseconds(waits, wait_s):
    """It is `select` that waits, for epoll's one descriptor, and for just so long."""
    with loops.PromptSelector() as selector:
        assert selector.select(wait_s) == []
        assert waits == [([selector.fileno()], wait_s)]


@LINUX
@pytest.mark.parametrize("wait_s", [0, -1])
def test_who_does_not_wait_makes_no_further_call(waits, wait_s):
    """A loop that has work to do asks epoll alone."""
    with loops.PromptSelector() as selector:
        assert selector.select(wait_s) == []
        assert waits == []


def test_what_is_ready_ends_the_wait():
    """A byte that has come is seen, whatever the time: without a limit, with one and without waiting."""
    mine, theirs = os.pipe()
    with loops.PromptSelector() as selector:
        selector.register(mine, selectors.EVENT_READ)
        os.write(theirs, b"x")
        for wait_s in (None, 3600.0, 0):
            assert [(key.fd, events) for key, events in selector.select(wait_s)] == [(mine, selectors.EVENT_READ)]
    os.close(mine)
    os.close(theirs)


@LINUX
def test_a_descriptor_that_select_cannot_watch_is_left_to_epoll(waits, monkeypatch):
    """A process with very many files still has a loop, with coarser timers."""
    monkeypatch.setattr(loops, "SELECT_FILES", 0)
    with loops.PromptSelector() as selector:
        assert selector.select(0.001) == []
        assert waits == []


@LINUX
def test_a_timer_that_ends_the_wait_makes_no_further_call(waits, monkeypatch):
    """`select` has found that nothing came; epoll is not asked again before the timer's turn."""
    with loops.PromptSelector() as selector:
        monkeypatch.setattr(selectors.EpollSelector, "select", lambda *_: pytest.fail("epoll was asked"))
        assert selector.select(0.001) == []
        assert len(waits) == 1


@LINUX
def test_a_servers_timers_have_no_slack(tmp_path, monkeypatch):
    """The system is told when a server's loop is made; where it has no such file, or refuses, the loop is as good."""
    told = tmp_path / "slack"
    for place in (told, tmp_path / "nowhere" / "slack"):
        monkeypatch.setattr(loops, "TIMER_SLACK", place)
        serve.new_event_loop().close()
    assert told.read_text() == str(loops.SLACK_NS)


@pytest.mark.parametrize("make", [serve.new_event_loop, clients.new_event_loop])
def test_servers_and_clients_run_on_it_however_many_they_are(make):
    """No number of connections chooses a loop whose timers are later."""
    loop = make()
    try:
        assert isinstance(loop._selector, loops.PromptSelector)
    finally:
        loop.close()
