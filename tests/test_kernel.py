"""What a learner does to a kernel, and what is left of it: cells run twice and interrupted, kernels ended and killed.

Processes are remembered while they run and must be gone afterwards. How long that takes is never judged.
"""

import contextlib
import os
import socket
import time
from dataclasses import dataclass, field

import psutil
import pytest
from kernels import KernelManager
from patience import patient

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

PATIENCE_S = patient(60)
"""A bound for a machine that hangs; no test is decided by it."""

IMPORTS = """
import asyncio, os
from wsdemo import serve
from wsdemo.measure import compare, measure
from wsdemo.serve import Server
from wsdemo.updates import every, poisson
duration_s = 600
"""
MEASURE = "m = await measure('polling', poisson(20), clients=2, interval_s=0.1, duration_s=duration_s)"
COMPARE = (
    "c = await compare(['websocket', 'polling'], poisson(20), clients=2, interval_s=0.1, duration_s=duration_s)\n"
    "m = c['polling']"
)
START = "server = await serve.start('websocket')"
BLOCK = "async with Server('polling') as server:\n    print(server.pid)\n    await asyncio.sleep(duration_s)"
INTERRUPTED = ("CancelledError", "KeyboardInterrupt")


def until(condition, what: str):
    """Wait for something to become true, and return it."""
    give_up = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < give_up, f"waited in vain until {what}"
        time.sleep(0.02)
    return value


@dataclass
class Seen:
    """Processes and the ports on which they listened, remembered while they ran."""

    processes: set[psutil.Process] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)

    def look(self, parent: psutil.Process) -> set[psutil.Process]:
        """Add what runs below a process now, and return it."""
        now = {child for child in parent.children(recursive=True) if alive(child)}
        self.processes |= now
        for child in now:
            with contextlib.suppress(psutil.Error):  # it ended while we looked
                # A child that is just being born still holds its parent's sockets.
                self.ports |= listening(child) - listening(parent)
        return now

    def gone(self) -> bool:
        """Whether none of the processes runs and none of the ports is open."""
        return not any(map(alive, self.processes)) and not any(map(is_open, self.ports))


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and only waits to be noticed does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening(process: psutil.Process) -> set[int]:
    """Return the ports on which a process listens."""
    return {sock.laddr.port for sock in process.net_connections("tcp") if sock.status == psutil.CONN_LISTEN}


def is_open(port: int) -> bool:
    """Whether anybody listens on a port, also a process that nobody remembered."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Kernel:
    """A kernel as JupyterLab runs it, with a memory of what ran below it."""

    def __init__(self, folder: str):
        self.manager = KernelManager(kernel_name="python3")
        # A profile of its own, so that nobody's IPython settings or history take part.
        self.manager.start_kernel(cwd=folder, env=os.environ | {"IPYTHONDIR": folder})
        self.connect()

    def connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)
        self.process = psutil.Process(self.manager.provisioner.pid)
        self.seen = Seen()
        assert self.run(IMPORTS) == ""

    def begin(self, code: str) -> str:
        """Send a cell and return without waiting for its end."""
        return self.client.execute(code)

    def end(self, cell: str) -> str:
        """Wait for a cell's end; return what it printed and the name of its exception, if any."""
        said = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] == "error":
                said.append(content["ename"])
            elif content.get("execution_state") == "idle":
                return "".join(said).strip()

    def wait_for(self, kind: str) -> None:
        """Wait for a message of that kind from the cell that runs."""
        until(lambda: self.client.get_iopub_msg(timeout=PATIENCE_S)["msg_type"] == kind, f"{kind} comes")

    def run(self, code: str) -> str:
        """Run a cell to its end."""
        return self.end(self.begin(code))

    def children(self) -> set[psutil.Process]:
        """Look at, and remember, what runs below the kernel now."""
        return self.seen.look(self.process)

    def wait_for_children(self, number: int, *, listening: bool = True) -> None:
        """Wait until that many processes run below the kernel, and one of them listens."""
        until(lambda: len(self.children()) >= number and (self.seen.ports or not listening), f"{number} children run")

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()

    def stop(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory):
    """One kernel for the tests that leave it running."""
    kernel = Kernel(str(tmp_path_factory.mktemp("kernel")))
    yield kernel
    kernel.stop()


@pytest.fixture
def kernel(shared_kernel):
    """The shared kernel with nothing running below it, before and after the test."""
    shared_kernel.seen = Seen()
    yield shared_kernel
    left = shared_kernel.children()
    for process in left:  # one test's failure must not be the next one's
        process.kill()
    assert left == set()


@pytest.fixture
def mortal_kernel(tmp_path):
    """A kernel of its own for a test that ends it."""
    kernel = Kernel(str(tmp_path))
    yield kernel
    kernel.stop()


# --- cells run twice --------------------------------------------------------------------------------------------------


def test_starting_a_server_twice_gives_one_server(kernel):
    """A cell that starts a server may be run again: the earlier server ends before the new one starts."""
    assert kernel.run(START) == ""
    (first,) = kernel.children()
    (port,) = kernel.seen.ports - {int(kernel.run("print(server.probe_port)"))}
    assert kernel.run(START) == ""
    (second,) = kernel.children()
    assert second != first and not alive(first)
    assert not is_open(port)
    assert kernel.run("await server.stop()\nawait server.stop()") == ""
    assert kernel.seen.gone()


def test_a_block_with_a_server_may_run_twice(kernel):
    """Each run has a server of its own, and ends it."""
    assert kernel.run("duration_s = 0") == ""
    pids = {int(kernel.run(BLOCK)) for _ in range(2)}
    assert len(pids) == 2 and not any(map(psutil.pid_exists, pids))
    assert kernel.children() == set()


def test_a_failure_inside_the_block_ends_the_server(kernel):
    """An exception leaves the block as itself, and the server is gone."""
    said = kernel.run("async with Server('polling') as server:\n    print(server.pid)\n    1 / 0").split()
    assert said[1] == "ZeroDivisionError"
    assert not psutil.pid_exists(int(said[0]))


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(kernel):
    """The end of its stderr is the exception's text."""
    code = "try:\n    await Server('polling', max_connections=10**9).start()\nexcept Exception as e:\n    print(e)"
    assert "more open files than this system allows" in kernel.run(code)
    assert kernel.children() == set()


# --- cells interrupted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "moment"),
    [(MEASURE, "server starts"), (MEASURE, "clients start"), (MEASURE, "clock runs"), (COMPARE, "clock runs")],
    ids=["measure, server starts", "measure, clients start", "measure, clock runs", "compare, clock runs"],
)
def test_a_measurement_interrupted_leaves_nothing_and_runs_again(kernel, cell, moment):
    """The stop button at any moment ends server and clients, and the same cell then runs to its end."""
    assert kernel.run("duration_s = 600") == ""
    running = kernel.begin(cell)
    kernel.wait_for_children(1 if moment == "server starts" else 2, listening=moment == "clock runs")
    if moment == "clock runs":
        kernel.wait_for("update_display_data")  # the progress bar moves
    kernel.interrupt()
    assert kernel.end(running) in INTERRUPTED
    until(kernel.seen.gone, "server and clients are gone")
    assert kernel.children() == set()
    assert kernel.run("duration_s = 0.3") == ""
    assert kernel.run(cell) == ""
    assert kernel.run("print(m.requests, m.missed, m.duplicates)") == "6 0 0"


@pytest.mark.parametrize("moment", ["server starts", "server runs"])
def test_a_block_interrupted_leaves_nothing_and_runs_again(kernel, moment):
    """Also while the server is still starting, before it has said its first word."""
    assert kernel.run("duration_s = 600") == ""
    running = kernel.begin(BLOCK)
    kernel.wait_for_children(1, listening=moment == "server runs")
    kernel.interrupt()
    assert kernel.end(running).split()[-1] in INTERRUPTED
    until(kernel.seen.gone, "the server is gone")
    assert kernel.run("duration_s = 0") == ""
    assert not psutil.pid_exists(int(kernel.run(BLOCK)))


def test_the_stop_button_ends_a_cell_that_only_waits_and_spares_the_server(kernel):
    """It stops the cell that runs, though nothing happens in it, and not the server that an earlier cell started."""
    assert kernel.run(START) == ""
    (server,) = kernel.children()
    running = kernel.begin("print('waits')\nawait asyncio.Event().wait()")
    kernel.wait_for("stream")
    kernel.interrupt()
    assert kernel.end(running) in INTERRUPTED
    assert alive(server)
    assert kernel.run("print(server.running)\nawait server.stop()") == "True"
    assert kernel.seen.gone()


# --- kernels ended ----------------------------------------------------------------------------------------------------

ENDS = {
    "shutdown": lambda manager: manager.shutdown_kernel(),
    "shutdown at once": lambda manager: manager.shutdown_kernel(now=True),
    "restart": lambda manager: manager.restart_kernel(),
    "SIGKILL": lambda manager: manager.signal_kernel(9),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_end_of_a_kernel_leaves_a_process_or_a_port(mortal_kernel, end):
    """A server that lasts and a measurement that runs both end with the kernel, however it ends."""
    kernel = mortal_kernel
    assert kernel.run(START) == ""
    kernel.begin(MEASURE)
    kernel.wait_for_children(3)
    until(lambda: (kernel.children(), len(kernel.seen.ports) >= 4)[1], "both servers listen, each with its probe")
    ENDS[end](kernel.manager)
    until(kernel.seen.gone, "all processes and ports are gone")
    if end == "restart":
        kernel.client.stop_channels()
        kernel.connect()
        assert kernel.children() == set()
        assert kernel.run(START + "\nawait server.stop()") == ""
