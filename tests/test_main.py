"""The command line, as a person and a script meet it: in another process, from another folder."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from bisect import bisect_left

import psutil
import pytest
from ideal import made
from patience import patient
from websockets.sync.client import connect

from wsdemo import __main__ as command_line
from wsdemo.command import compare as compare_command
from wsdemo.command import lab as lab_command
from wsdemo.result import Comparison
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every

try:
    import resource
except ImportError:
    resource = None

DEAD_PROXY = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
TIMEOUT_S = patient(100)
"""A bound for a machine that hangs; no test is decided by it."""
COMMAND = (sys.executable, "-m", "wsdemo")


def wsdemo(*arguments: str, folder, **options) -> subprocess.CompletedProcess:
    """Run the command line to its end in `folder`."""
    pipes = {"capture_output": True, "text": True}
    return subprocess.run([*COMMAND, *arguments], cwd=folder, timeout=TIMEOUT_S, **pipes, **options)


@pytest.fixture
def here(capsys):
    """Run the command line to its end in this process."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        with pytest.raises(SystemExit) as end:
            command_line.main([*arguments])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code, said.out, said.err)

    return run


@contextlib.contextmanager
def running(*arguments: str, folder, **options):
    """Start the command line in `folder`, and make sure that it ends."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, *arguments], cwd=folder, **pipes | options) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition, what: str):
    """Wait for something to become true, and return it; a generous bound, since only whether it comes is tested."""
    give_up = time.monotonic() + patient(30)
    while not (value := condition()):
        assert time.monotonic() < give_up, f"waited in vain until {what}"
        time.sleep(0.02)
    return value


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of the processes is left; a zombie that nobody has waited for yet is gone too."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


# --- compare: the numbers ---------------------------------------------------------------------------------------------

CLIENTS, INTERVAL_S, DURATION_S = 2, 0.5, 2.0
SEED = "146"
LATE_S = 0.1
"""How late a poll may be answered before a count is in doubt. With this seed no update lies that close after a poll."""

TRANSPORT_KEYS = {
    "requests",
    "wasted",
    "wasted_fraction",
    "predicted_wasted_fraction",
    "predicted_wasted_fraction_poisson",
    "published",
    "deliveries",
    "missed",
    "duplicates",
    "latency_s",
    "bytes_sent",
    "bytes_received",
    "connections",
    "server_cpu_s",
    "server_peak_rss_bytes",
}


def polls_of(client: int) -> list[float]:
    """One client's polls before the end of the run: its first after its share of an interval, then one an interval."""
    times = ((client + 0.5) / CLIENTS * INTERVAL_S + k * INTERVAL_S for k in itertools.count())
    return list(itertools.takewhile(lambda at_s: at_s < DURATION_S, times))


def possible_wasted(at_s: list[float], late_s: float) -> set[int]:
    """Return every number of wasted polls, over all clients, that theory allows: usually one.

    A poll is wasted exactly when no update lies in (previous poll, this poll]. It is answered a little after it is due,
    so an update that comes within `late_s` after a poll is brought either by that poll or by the next one.
    """
    totals = {0}
    for polls in map(polls_of, range(CLIENTS)):
        bringers = []  # for each update, the polls that may bring it; one past the end is the further poll, not counted
        for at in at_s:
            due = bisect_left(polls, at)
            early = due > 0 and at - polls[due - 1] <= late_s
            bringers.append((due - 1, due) if early else (due,))
        wasted = {len(polls) - len({*choice} - {len(polls)}) for choice in itertools.product(*bringers)}
        totals = {total + number for total in totals for number in wasted}
    return totals


def waits(at_s: list[float]) -> list[float]:
    """Return how long each update waits for each client's next poll: a latency that no poller can beat."""
    timetables = [[*polls_of(client), polls_of(client)[-1] + INTERVAL_S] for client in range(CLIENTS)]
    return [min(poll for poll in timetable if poll >= at) - at for timetable in timetables for at in at_s]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> dict:
    """One short comparison with --json and --plot, in an environment whose proxy answers nobody."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run = wsdemo(
        "compare",
        "--schedule",
        "poisson",
        "--rate",
        "2",
        "--seed",
        SEED,
        "--interval",
        str(INTERVAL_S),
        "--clients",
        str(CLIENTS),
        "--duration",
        str(DURATION_S),
        "--json",
        "--plot",
        "picture.png",
        folder=folder,
        env=os.environ | DEAD_PROXY,
    )
    assert run.returncode == 0, run.stderr
    return {"stdout": run.stdout, "stderr": run.stderr, "folder": folder}


def test_json_is_one_object_and_nothing_else(compared):
    """Standard output is one line, one JSON object, with exactly the keys that scripts rely on."""
    assert compared["stdout"].count("\n") == 1
    told = json.loads(compared["stdout"])
    assert set(told) == {"schedule", "clients", "interval_s", "transports"}
    assert set(told["schedule"]) == {"kind", "rate_per_s", "updates", "duration_s", "seed", "at_s"}
    assert list(told["transports"]) == ["polling", "websocket"]
    for transport in told["transports"].values():
        assert set(transport) == TRANSPORT_KEYS
        assert set(transport["latency_s"]) == {"mean", "p50", "p95", "p99", "predicted_mean"}
        numbers = [value for key, value in transport.items() if key != "latency_s"] + [*transport["latency_s"].values()]
        assert all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)


def test_json_repeats_the_workload(compared):
    """The object says what was asked for, and when each update came."""
    told = json.loads(compared["stdout"])
    schedule = told["schedule"]
    assert (told["clients"], told["interval_s"]) == (CLIENTS, INTERVAL_S)
    assert (schedule["kind"], schedule["rate_per_s"], schedule["seed"]) == ("poisson", 2.0, int(SEED))
    assert schedule["duration_s"] == DURATION_S
    assert schedule["updates"] == len(schedule["at_s"]) == 5
    assert schedule["at_s"] == sorted(schedule["at_s"]) and 0 < schedule["at_s"][0] <= schedule["at_s"][-1] < DURATION_S


def test_polling_counts_are_those_of_an_oracle(compared):
    """Requests, wasted requests and deliveries follow from the update times alone."""
    told = json.loads(compared["stdout"])
    at_s, polling = told["schedule"]["at_s"], told["transports"]["polling"]
    (wasted,) = possible_wasted(at_s, LATE_S)  # so the seed was chosen: how busy the machine is changes nothing
    assert polling["requests"] == sum(len(polls_of(client)) for client in range(CLIENTS))
    assert polling["wasted"] == wasted
    assert polling["wasted_fraction"] == polling["wasted"] / polling["requests"]
    assert (polling["published"], polling["deliveries"]) == (len(at_s), CLIENTS * len(at_s))
    assert (polling["missed"], polling["duplicates"]) == (0, 0)
    assert polling["connections"] >= CLIENTS


def test_the_oracle_doubts_only_what_is_in_doubt():
    """An update makes polls useful wherever it lies; only beside others, just after a poll, does it leave a doubt."""
    polls = sum(len(polls_of(client)) for client in range(CLIENTS))
    assert possible_wasted([], LATE_S) == {polls}
    assert possible_wasted([0.24], LATE_S) == {polls - 2}  # each client hears it once
    assert possible_wasted([0.13], LATE_S) == {polls - 2}  # whichever poll of the first client brings it
    assert possible_wasted([0.13, 0.24], LATE_S) == {polls - 2, polls - 3}  # its next poll brings one of them, or both
    assert possible_wasted([DURATION_S - 0.01], LATE_S) == {polls}  # the further poll, after the end, brings it


def test_polling_is_never_faster_than_its_timetable(compared):
    """The mean latency of polling is at least the mean wait of each update for the next poll of each client."""
    told = json.loads(compared["stdout"])
    wait_s = waits(told["schedule"]["at_s"])
    assert told["transports"]["polling"]["latency_s"]["mean"] >= sum(wait_s) / len(wait_s)


def test_push_counts_are_those_of_an_oracle(compared):
    """Push asks once a client, wastes nothing, and every client hears every update once."""
    told = json.loads(compared["stdout"])
    at_s, push = told["schedule"]["at_s"], told["transports"]["websocket"]
    assert (push["requests"], push["wasted"], push["wasted_fraction"]) == (CLIENTS, 0, 0.0)
    assert (push["published"], push["deliveries"]) == (len(at_s), CLIENTS * len(at_s))
    assert (push["missed"], push["duplicates"]) == (0, 0)
    assert push["predicted_wasted_fraction"] == push["predicted_wasted_fraction_poisson"] == 0


def test_bytes_are_at_least_what_the_messages_need(compared):
    """Every poll needs a request line with its headers, every update a message to each client."""
    told = json.loads(compared["stdout"])
    polling, push = told["transports"]["polling"], told["transports"]["websocket"]
    assert polling["bytes_received"] > polling["requests"] * len("GET /updates HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert push["bytes_sent"] > push["deliveries"] * len('{"seq": 1, "at_s": 0.1, "published_at_ns": 1, "data": {}}')


def test_json_with_a_plot_saves_the_picture_and_says_so_on_stderr(compared):
    """The picture is a PNG with something in it."""
    picture = (compared["folder"] / "picture.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and len(picture) > 10_000
    assert "picture.png" in compared["stderr"]


def test_without_json_a_table_is_printed_and_a_picture_saved(tmp_path):
    """The table has the prediction beside each number; the picture gets its default name in the current folder."""
    run = wsdemo("compare", "--transports", "polling", "--duration", "0.5", "--clients", "2", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert "earthquakes" in lines[0]
    assert lines[2].split() == ["Polling", "theory"]
    rows = {line[:20].strip(): line.split()[-2:] for line in lines}
    assert rows["requests"] == ["4", "4"]
    assert (rows["missed"], rows["duplicates"]) == (["0", "0"], ["0", "0"])
    assert (tmp_path / "wsdemo-compare.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["wsdemo-compare.png"]
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_comparison_that_is_stopped_leaves_no_process(number, tmp_path):
    """Ctrl-C ends a comparison with status 130 and no traceback, SIGKILL ends it anyhow; its children go with it."""
    with running("compare", "--duration", "600", "--plot", "picture.png", folder=tmp_path) as process:
        own = psutil.Process(process.pid)
        children = until(lambda: len(found := own.children(recursive=True)) >= 2 and found, "server and clients run")
        process.send_signal(number)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in stderr
    until(lambda: gone(children), "server and clients are gone")
    assert list(tmp_path.iterdir()) == []


# --- refusals ---------------------------------------------------------------------------------------------------------

# If one of these were not refused, it would run for ten minutes and the test would say so.
LONG = ("--duration", "600", "--interval", "1")
REFUSED = {
    "an unknown transport": (["compare", "--transports", "polling,smoke"], "'smoke'"),
    "a transport named twice": (["compare", "--transports", "polling,polling"], "once"),
    "no transport": (["compare", "--transports", ""], "choose from"),
    "an unknown schedule": (["compare", "--schedule", "tides"], "tides"),
    "an unknown option": (["compare", "--colour", "red"], "--colour"),
    "a rate for the earthquakes": (["compare", *LONG, "--rate", "2"], "--speed"),
    "a speed for poisson": (["compare", *LONG, "--schedule", "poisson", "--speed", "2"], "earthquakes"),
    "a seed for what is regular": (["compare", *LONG, "--schedule", "every", "--seed", "2"], "poisson or earthquakes"),
    "a seed and a start": (["compare", *LONG, "--seed", "2", "--start", "60"], "choose one"),
    "an interval longer than the run": (["compare", "--duration", "1", "--interval", "2"], "longer"),
    "clients that are no number": (["compare", *LONG, "--clients", "many"], "many"),
    "half a client": (["compare", *LONG, "--clients", "1.5"], "1.5"),
    "more polls than a run can hold": (["compare", "--duration", "600", "--interval", "0.0001"], "polls"),
    "a seed that is no number": (["compare", *LONG, "--seed", "lucky"], "lucky"),
    "a start outside the week": (["compare", *LONG, "--start", "-1"], "week"),
    "a picture in a folder that does not exist": (["compare", *LONG, "--plot", "nowhere/x.png"], "folder"),
    "a picture in something that is no folder": (["compare", *LONG, "--plot", f"{os.devnull}/x.png"], "folder"),
    "a picture of an unknown kind": (["compare", *LONG, "--plot", "x.docx"], ".png"),
    "a picture where a folder is": (["compare", *LONG, "--plot", "folder.png"], "cannot be written"),
    "no job": ([], "required"),
    "an unknown job": (["fly"], "fly"),
    "serving nothing": (["serve"], "TRANSPORT"),
    "serving an unknown transport": (["serve", "polling", "smoke"], "'smoke'"),
    "serving a transport twice": (["serve", "polling", "polling"], "once"),
    "a port above the last": (["serve", "polling", "--port", "65536"], "65535"),
    "two ports where one is left": (["serve", "polling", "websocket", "--port", "65535"], "65534"),
    "a negative port": (["serve", "polling", "--port", "-1"], "--port"),
    "a server for nobody": (["serve", "polling", "--max-connections", "0"], "at least 1"),
    "serving a rate of the earthquakes": (["serve", "polling", "--rate", "1"], "--speed"),
    "serving for no time": (["serve", "polling", "--duration", "0"], "--duration"),
}
IMPOSSIBLE = {
    "--interval": ["--duration", "600"],
    "--duration": [],
    "--clients": LONG,
    "--speed": LONG,
    "--rate": [*LONG, "--schedule", "poisson"],
}


def assert_refused(run: subprocess.CompletedProcess, words: str) -> None:
    """A refusal is one line on stderr that says what is wrong, status 2, and nothing on stdout."""
    assert run.returncode == 2
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("python -m wsdemo")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_in_one_line(case, tmp_path):
    """Unknown and impossible values are refused before anything starts, with what would be possible."""
    (tmp_path / "folder.png").mkdir()
    arguments, words = REFUSED[case]
    assert_refused(wsdemo(*arguments, folder=tmp_path), words)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
@pytest.mark.parametrize("option", IMPOSSIBLE)
def test_numbers_that_make_no_run_are_refused(option, value, here, monkeypatch):
    """In this process, where it can be seen that no server was even made."""
    monkeypatch.setattr("wsdemo.measure.Server", lambda *_, **__: pytest.fail("a server was made"))
    assert_refused(here("compare", *IMPOSSIBLE[option], option, value), option.strip("-"))


@pytest.mark.skipif(resource is None, reason="no limit on open files here")
def test_more_clients_than_open_files_are_refused_with_what_fits(tmp_path):
    """A limit of 256 open files, as on macOS, is read before anything starts."""
    run = wsdemo(
        "compare",
        *LONG,
        "--clients",
        "250",
        folder=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    assert_refused(run, "at most 192")


def test_a_picture_that_cannot_be_written_is_refused(here, monkeypatch, tmp_path):
    """Before the run, not after it. In this process, since root, who may run this test, may write anywhere."""
    monkeypatch.setattr(compare_command.os, "access", lambda path, mode: False)
    assert_refused(here("compare", *LONG, "--plot", str(tmp_path / "x.png")), "cannot be written")


# --- serve ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_on_loopback_until_it_is_stopped(number, tmp_path):
    """The first line is JSON with the addresses; each transport answers on its own port, on 127.0.0.1 alone."""
    arguments = ("serve", "polling", "websocket", "--schedule", "every", "--rate", "20")
    with running(*arguments, folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        assert set(about) == {"urls", "ports", "t0_ns", "epoch"}
        assert set(about["ports"]) == {"polling", "websocket"}
        listening = [sock for sock in psutil.Process(process.pid).net_connections("inet") if sock.status == "LISTEN"]
        assert {(sock.laddr.ip, sock.laddr.port) for sock in listening} == {
            ("127.0.0.1", port) for port in about["ports"].values()
        }
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(about["urls"]["polling"]) as response:
            position = json.load(response)
        assert (position["epoch"], position["updates"]) == (about["epoch"], [])
        with connect(about["urls"]["websocket"], proxy=None) as connection:
            place, first, second = (json.loads(connection.recv()) for _ in range(3))
        assert place["epoch"] == about["epoch"]
        assert (first["seq"], second["seq"]) == (place["seq"] + 1, place["seq"] + 2)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert stdout == ""
    assert "Traceback" not in stderr and "warning" not in stderr
    assert about["urls"]["polling"] in stderr and about["urls"]["websocket"] in stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_serve_on_every_interface_warns(tmp_path):
    """Another host than this machine's own only by an explicit argument, and with a warning on stderr."""
    with running("serve", "polling", "--host", "0.0.0.0", folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert about["urls"]["polling"].startswith("http://0.0.0.0:")
    assert stderr.startswith("warning: listening on 0.0.0.0")


def test_serve_on_a_port_in_use_says_so_in_one_line(tmp_path):
    """That is no mistake in the arguments, so the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = wsdemo("serve", "polling", "--port", str(port), folder=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert f"port {port}" in run.stderr and "choose another port" in run.stderr


# --- lab and help -----------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(monkeypatch, here):
    """Run `lab` as some user on some machine, and note the command that would start JupyterLab."""

    def run(*arguments: str, uid: int = 1000, browser: bool = True, first: str = "pyproject.toml"):
        started: list[list[str]] = []
        monkeypatch.setattr(lab_command, "FIRST_NOTEBOOK", first)
        monkeypatch.setattr(lab_command.os, "geteuid", lambda: uid, raising=False)
        monkeypatch.setattr(lab_command, "has_browser", lambda: browser)

        def become(command):
            started.append(command)
            sys.exit(0)

        monkeypatch.setattr(lab_command, "become", become)
        return here("lab", *arguments), started

    return run


def test_lab_refuses_to_run_as_root_and_says_what_to_do(lab):
    """JupyterLab would refuse in a page of log; here it is one line."""
    run, started = lab(uid=0)
    assert_refused(run, "--allow-root")
    assert started == []


def test_lab_opens_the_first_lesson_with_the_repository_as_root(lab):
    """A user with a browser gets JupyterLab without further words."""
    run, (command,) = lab()
    assert (run.returncode, run.stderr) == (0, "")
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert command[-1].endswith("/lab/tree/pyproject.toml")
    assert "--no-browser" not in command and "--allow-root" not in command


def test_lab_passes_on_what_it_was_told(lab):
    """Root in a container may go on, and the port is JupyterLab's."""
    _, (command,) = lab("--allow-root", "--port", "9999", uid=0)
    assert "--allow-root" in command and "--ServerApp.port=9999" in command


def test_lab_without_a_browser_says_how_to_reach_it(lab):
    """On a machine without a browser the address has to be opened on another one."""
    run, (command,) = lab(browser=False)
    assert "--no-browser" in command and "ssh -L" in run.stderr


def test_lab_without_the_lessons_says_where_they_should_be(lab):
    """An installed copy has no lessons beside it."""
    run, started = lab(first="notebooks/nowhere.ipynb")
    assert_refused(run, "clone the repository")
    assert started == []


@pytest.mark.parametrize("job", ["", "compare", "serve", "lab"])
def test_every_job_explains_itself(job, tmp_path):
    """--help ends with status 0 and names every option, and every transport where one is asked for."""
    run = wsdemo(*job.split(), "--help", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("usage: python -m wsdemo")
    if job in ("compare", "serve"):
        assert all(name in run.stdout for name in TRANSPORTS)
    assert "child" not in run.stdout and "SUPPRESS" not in run.stdout  # not meant for people


# --- what is said where, and handed on --------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [True, False])
def test_notes_go_to_stderr_beside_json_and_a_picture_is_saved_only_where_asked_for(
    as_json, monkeypatch, capsys, tmp_path
):
    """A script reads one object from stdout and finds no file that it did not name; a person gets both."""

    async def compare(*_, **__):
        return Comparison((made(notes=("it was disturbed",)),))

    monkeypatch.setattr("wsdemo.measure.compare", compare)
    monkeypatch.chdir(tmp_path)
    command_line.main(["compare", *(["--json"] if as_json else [])])
    said = capsys.readouterr()
    note = "note: Polling: it was disturbed\n"
    if as_json:
        assert list(json.loads(said.out)["transports"]) == ["polling"]
        assert said.err == note
    else:
        assert note in said.out and said.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ([] if as_json else ["wsdemo-compare.png"])


def test_what_serve_is_told_reaches_the_server(monkeypatch):
    """Every option, each under its own name."""
    told = {}

    async def served(names, schedule, **options):
        told.update(options, names=names, schedule=schedule)

    monkeypatch.setattr("wsdemo.serve.run", served)
    where = ["--host", "localhost", "--port", "8000", "--allow-host", "a.example", "--allow-host", "b.example"]
    what = ["--schedule", "every", "--rate", "4", "--duration", "5", "--max-connections", "7"]
    command_line.main(["serve", "sse", "polling", *where, *what])
    assert told == {
        "names": ["sse", "polling"],
        "schedule": every(0.25),
        "duration_s": 5.0,
        "host": "localhost",
        "port": 8000,
        "max_connections": 7,
        "allowed_hosts": ["a.example", "b.example"],
    }


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_rubbish_is_no_reason_for_a_traceback(tmp_path):
    """Port scanners come to every server; the terminal stays readable."""
    with running("serve", "websocket", "polling", folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        for port in about["ports"].values():
            tls, endless = b"\x16\x03\x01\x00\xa5\x01\x00", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000
            for rubbish in (tls, endless, b"GET / HTTP/1.1\r\nHost", b"nonsense\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as scanner:
                    scanner.sendall(rubbish)
                    scanner.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(ConnectionError):
                        while scanner.recv(65536):
                            pass
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert stderr.splitlines() == [
        f"WebSocket: {about['urls']['websocket']}",
        f"Polling: {about['urls']['polling']}",
        "Ctrl-C stops the server.",
        "",
        "stopped",
    ]


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_whoever_has_read_enough_is_told_nothing_more(tmp_path):
    """`| head`: the end of a pipe ends the command, without a traceback and without Python's own complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with running("serve", "polling", folder=tmp_path, stdout=writing, env=buffered) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, stderr) == (1, "")
