"""The progress bar: visible in a terminal, silent in a log file, and nothing left behind."""

import io
import sys

import pytest

from wsdemo import progress as module
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


@pytest.mark.parametrize("show", [True, False])
def test_a_notebook_keeps_nothing_of_the_bar(monkeypatch, capsys, show):
    """One output of the cell shows it while the work goes on and is empty afterwards, as is what the cell printed."""
    shown = []

    class Output:
        def update(self, bundle, raw):
            shown.append(bundle["text/plain"])

    monkeypatch.setattr(module, "_in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Output())
    with progress(10, "Polling", show=show) as bar:
        bar.update(10)
        assert any("Polling" in text for text in shown) is show
        assert "" not in shown
    assert shown[-1:] == ([""] if show else [])
    bar.close()
    assert shown.count("") == show
    assert capsys.readouterr() == ("", "")
