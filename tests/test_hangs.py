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
