"""What a process has had of the processors: of all its threads, in small steps where the system counts them."""

import os
import sys
import threading
import time

import pytest

from wsdemo.processes import cpu


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_time_of_every_thread_is_counted():
    """A thread's own clock says what it had; the process has had that at least."""
    before = cpu.cpu_s(os.getpid())
    go_on = threading.Event()
    thread = threading.Thread(target=lambda: (busy(0.05), go_on.wait()))
    thread.start()
    while cpu.cpu_s(os.getpid()) - before < 0.05 - 0.02 * cpu.in_ticks():
        time.sleep(0.01)  # for ever, if it were not counted: the test's own time limit ends that
    go_on.set()
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts nanoseconds")
def test_threads_that_end_while_they_are_counted_do_not_turn_it_into_ticks():
    """They were there when the list was made, and gone when they were read."""
    stop = threading.Event()

    def start_threads():
        while not stop.is_set():
            threading.Thread(target=lambda: None).start()

    starter = threading.Thread(target=start_threads)
    starter.start()
    try:
        assert not any(cpu.in_ticks() for _ in range(300))
    finally:
        stop.set()
        starter.join()
