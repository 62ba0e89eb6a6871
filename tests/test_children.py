"""Child processes: they answer, they fail with a sentence, and they never outlive whoever started them."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from patience import patient

from wsdemo.live import LivePage, jupyter_tile
from wsdemo.measure import measure
from wsdemo.processes import children
from wsdemo.processes.children import Child, ChildFailed
from wsdemo.updates import every

SERVER = {
    "transports": ["websocket"],
    "schedule": every(1.0).recipe(),
    "duration_s": None,
    "hold": False,
    "max_connections": 100,
}


def wait_until_gone(pid):
    """Wait until a process is gone (or a zombie of another parent); the bound only ends a hopeless wait."""
    deadline = time.monotonic() + patient(30)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_a_child_answers_line_by_line_and_stops():
    """Its first line says where it is; stop waits until it is gone, and may be called again."""

    async def scenario():
        child = Child("server", SERVER)
        about = await child.answer()
        assert set(about) == {"urls", "ports", "t0_ns", "epoch"}
        assert set(about["ports"]) == {"websocket", "probe"}
        child.tell({})
        assert (await child.answer())["meters"]["websocket"]["connections"] == 0
        await child.stop()
        assert not psutil.pid_exists(child.pid)
        await child.stop()
        child.kill()

    asyncio.run(scenario())


def test_a_child_that_cannot_start_says_why():
    """The error is the last line of its stderr."""

    async def scenario():
        child = Child("server", SERVER | {"transports": ["pigeon"]})
        with pytest.raises(ChildFailed, match="unknown transport 'pigeon'"):
            await child.answer()
        child.kill()

    asyncio.run(scenario())


@pytest.mark.parametrize("said, quoted", [("b'ready to serve\\n'", "ready to serve"), ("b'\\xff\\n'", "xff")])
def test_a_line_that_is_not_json_is_quoted(monkeypatch, said, quoted):
    """A library that prints is named by what it printed, not by a JSONDecodeError; the child is gone afterwards."""
    code = f"import sys, time; sys.stdout.buffer.write({said}); sys.stdout.flush(); time.sleep(600)"
    monkeypatch.setattr(children, "PYTHON", (sys.executable, "-c", code))

    async def scenario():
        child = Child("server", SERVER)
        with pytest.raises(ChildFailed, match=f"in JSON, but said .*{quoted}"):
            await child.answer()
        child._process.wait(patient(30))
        child.kill()

    asyncio.run(scenario())


@pytest.fixture
def pupils_folder(monkeypatch, tmp_path):
    """Be in a folder with modules of the reader's own, named like Python's."""
    for name in ("random", "http", "json", "asyncio", "wsdemo"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is my own module')")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["polling", "websocket"])
def test_children_do_not_import_the_notebooks_folder(pupils_folder, name):
    """A pupil's `random.py` or `http.py` beside the lesson stops neither a server nor its clients nor the live page."""

    async def scenario():
        run = await measure(name, every(0.1), clients=2, interval_s=0.1, duration_s=0.3, progress=False)
        assert run.missed == 0 and run.deliveries > 0
        async with LivePage() as page:
            assert page.port > 0

    asyncio.run(scenario())


def test_the_tile_in_the_launcher_does_not_import_the_folder_either(pupils_folder):
    """Jupyter starts it in its own folder, which is the notebooks' if it was opened there."""
    command = [word.replace("{port}", "0") for word in jupyter_tile()["command"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("http://"), process.stderr.read()
        finally:
            process.kill()


def test_telling_a_dead_child_is_an_error():
    """Not a broken pipe, but the child's own last words or its status."""

    async def scenario():
        child = Child("server", SERVER)
        await child.answer()
        psutil.Process(child.pid).kill()
        # Not wait_until_gone: a process may be called a zombie while one of its threads still holds the pipe.
        child._process.wait(patient(30))
        with pytest.raises(ChildFailed):
            child.tell({})
        child.kill()

    asyncio.run(scenario())


PARENT = f"""
import asyncio, json, sys, time
from wsdemo.processes.children import Child
async def main():
    server = Child("server", {SERVER!r})
    about = await server.answer()
    crowd = Child("clients", dict(
        transport="websocket", url=about["urls"]["websocket"], host="127.0.0.1", probe_port=about["ports"]["probe"],
        interval_s=1.0, duration_s=600.0, phases_s=[0.5],
    ))
    await crowd.answer()
    print(json.dumps([server.pid, crowd.pid]), flush=True)
    ENDING
asyncio.run(main())
"""


@pytest.mark.parametrize("ending", ["time.sleep(600)", "return", "raise SystemExit(3)", "1 / 0"])
def test_children_end_with_their_parent_however_it_ends(ending):
    """Killed hard, returning, exiting or failing: the pipe ends, and so do both kinds of children."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.replace("ENDING", ending)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pids = json.loads(parent.stdout.readline())
    assert len(pids) == 2
    if "sleep" in ending:
        parent.kill()
    parent.wait()
    parent.stdout.close()
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups that Ctrl-C reaches like this")
def test_the_stop_button_does_not_hit_the_child():
    """A child has a session of its own, so SIGINT to the parent's process group passes it by."""

    async def scenario():
        child = Child("server", SERVER)
        await child.answer()
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
        await child.stop()

    asyncio.run(scenario())


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_child_that_stands_still_ends_with_its_parent_too():
    """It does not see the end of its stdin; whoever started it remembers it, and ends it at its own end."""
    ending = "import os, signal; globals().update(kept=[server, crowd]); os.kill(server.pid, signal.SIGSTOP)"
    parent = subprocess.run(
        [sys.executable, "-c", PARENT.replace("ENDING", ending)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=patient(60),
    )
    server, crowd = json.loads(parent.stdout)
    try:
        wait_until_gone(server)
        wait_until_gone(crowd)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


@pytest.mark.parametrize("told", ["", '{"transports": ["webs'])
def test_a_child_without_a_whole_job_ends_without_a_word(told):
    """Whoever started it was killed before or while telling it: nobody is there to read a traceback."""
    child = subprocess.run(
        [sys.executable, "-m", "wsdemo", "child", "server"],
        input=told,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
