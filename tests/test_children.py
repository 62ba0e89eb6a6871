"""Child processes: they answer, they fail with a sentence, and they never outlive whoever started them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
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
    "pace": {},
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


JOBS = {
    "server": SERVER,
    "clients": {
        "transport": "polling",
        "url": "http://127.0.0.1:1/updates",
        "host": "127.0.0.1",
        "probe_port": 0,
        "interval_s": 1.0,
        "duration_s": 600.0,
        "phases_s": [],
    },
    "live": {"speed": None, "interval_s": None},
    "echo": {"max_connections": 10, "open_timeout_s": 5, "keepalive_s": 20},
}
ENDS = {
    "half a line": (b'{"start', 0),
    "half a character": ('{"é'.encode()[:-1], 0),
    "no JSON": (b"stop please\n", 2),
    "no object": (b"[1]\n", 2),
    "no UTF-8": (b"\xff\xfe\n", 2),
    "a nest": (b"[" * 100_000 + b"\n", 2),
}


@contextlib.contextmanager
def spoken_to(kind):
    """Start a child of this kind as a plain process; nothing but its stdin holds it."""
    with subprocess.Popen(
        [sys.executable, "-m", "wsdemo", "child", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def probe():
    """A port that echoes, which clients measure their line by."""

    def echo(conn):
        with conn:
            while data := conn.recv(1024):
                conn.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", JOBS)
def test_a_child_ends_when_its_stdin_does_or_makes_no_sense(kind, end, probe):
    """After its job, and while its starter's end of the pipe may even stand open: no child is left an orphan."""
    words, status = ENDS[end]
    with spoken_to(kind) as child:
        job = JOBS[kind] | ({"probe_port": probe} if kind == "clients" else {})
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.readline()
        child.stdin.write(words)
        child.stdin.flush()
        if not words.endswith(b"\n"):
            child.stdin.close()
        assert child.wait(patient(20)) == (
            0 if kind == "clients" else status
        )  # clients do not tell why they were stopped
        said = child.stderr.read().decode()
        assert "Traceback" not in said and said.count("\n") == (child.returncode == 2)


@pytest.mark.parametrize("kind", JOBS)
@pytest.mark.parametrize("words", [b'{"transports": ["polling"]', b"", b"nonsense\n", b"[]\n"], ids=str)
def test_a_child_without_a_whole_job_ends(kind, words):
    """Half a job, none, or one that makes no sense."""
    with spoken_to(kind) as child:
        _, said = child.communicate(words, timeout=patient(20))
        assert child.returncode == (2 if words.endswith(b"\n") else 0)
        assert b"Traceback" not in said


def test_several_may_wait_for_one_child():
    """Each gets a line, in the order of asking; those that are cancelled take theirs with them."""

    async def scenario():
        child = Child("echo", JOBS["echo"])

        async def ask():
            child.tell({})
            return await child.answer()

        first, *others = [asyncio.create_task(child.answer()), *(asyncio.create_task(ask()) for _ in range(30))]
        await asyncio.sleep(0)
        for other in others[::3]:
            other.cancel()
        assert "urls" in await first
        for number, other in enumerate(others):
            if number % 3:
                assert set(await other) >= {"bytes_sent", "open_now"}
        assert set(await ask()) >= {"bytes_sent", "open_now"}
        await child.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
