"""The progress bar: visible in a terminal, silent in a log file, and nothing left behind."""

import io
import sys

import pytest

from wsdemo.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("show", [True, False])
def test_a_terminal_sees_the_bar_and_stdout_stays_clean(monkeypatch, capsys, show):
    """The bar goes to stderr, so that `--json` has stdout for itself; without `show` there is none."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(10, "Polling", show=show) as bar:
        bar.update(10)
    assert ("Polling" in terminal.getvalue()) is show
    assert capsys.readouterr().out == ""


def test_a_log_file_gets_no_bar(monkeypatch):
    """What is not a terminal is not drawn on."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress(10, "Polling") as bar:
        bar.update(10)
    assert log.getvalue() == ""
