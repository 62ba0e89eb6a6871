"""A test that hangs ends the run, red, and shows where every thread stood."""

import sandbox

HANGS = """
import asyncio
import threading

def waits_in_a_thread():
    threading.Event().wait()

def test_that_is_sound():
    pass

def test_that_hangs():
    # The hardest case: no exception in the main thread could end it, since asyncio.run would wait for the thread.
    async def waits_for_the_thread():
        await asyncio.to_thread(waits_in_a_thread)

    asyncio.run(waits_for_the_thread())
"""

IN_TEAR_DOWN = """
import threading
import pytest

@pytest.fixture
def stuck():
    yield
    threading.Event().wait()

def test_that_fails_first(stuck):
    assert False
"""


def test_a_hanging_test_is_ended_with_the_stack_of_every_thread(tmp_path):
    """The limit is 10 minutes, by its factor 3 s here. The test and the thread that it waits for are both named."""
    folder = sandbox.make(tmp_path, test_hangs=HANGS)
    run = sandbox.run_pytest(folder, "tests", "-v", WSDEMO_TEST_PATIENCE="0.005")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "test_that_is_sound PASSED" in run.stdout
    assert "Timeout (0:00:03)!" in run.stderr
    assert "in waits_in_a_thread" in run.stderr
    assert "in test_that_hangs" in run.stderr


def test_a_tear_down_that_hangs_is_ended_too(tmp_path):
    """Also after a failure: pytest's own limit (faulthandler_timeout) is called off by one."""
    folder = sandbox.make(tmp_path, test_hangs=IN_TEAR_DOWN)
    run = sandbox.run_pytest(folder, "tests", WSDEMO_TEST_PATIENCE="0.005")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "Timeout (0:00:03)!" in run.stderr
    assert "in stuck" in run.stderr


def test_a_hang_in_a_worker_ends_the_run_too(tmp_path):
    """The whole suite is shared by several processes: the run is red, and names the test once."""
    folder = sandbox.make(tmp_path, test_hangs=HANGS)
    run = sandbox.run_pytest(folder, "-v", "-n2", WSDEMO_TEST_PATIENCE="0.005")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "in waits_in_a_thread" in run.stderr
    assert run.stdout.count("crashed while running 'tests/test_hangs.py::test_that_hangs'") == 1


def test_who_started_the_run_may_have_been_deaf_to_ctrl_c(tmp_path):
    """As a shell starts what ends in "&": a child would never hear the Ctrl-C of a test."""
    source = "import signal\n\ndef test_it():\n    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN\n"
    folder = sandbox.make(tmp_path, test_planted=source)
    deaf = "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.exit(pytest.main(['tests']))"
    run = sandbox.run(folder, "-c", deaf)
    assert run.returncode == 0, run.stdout + run.stderr
