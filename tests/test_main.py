"""The command line, as a person and a script meet it: in another process, from another folder."""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from bisect import bisect_left
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import sandbox
from ideal import made
from patience import patient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from wsdemo import __main__ as command_line
from wsdemo.command import compare as compare_command
from wsdemo.command import lab as lab_command
from wsdemo.command import running as running_command
from wsdemo.guard import names_of
from wsdemo.line import WORDS
from wsdemo.log import DiskLog
from wsdemo.result import Comparison
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every
from wsdemo.workload import Pace

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


def has_ended(sock: socket.socket) -> bool:
    """Whether the other side has closed this connection."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of the processes is left; a zombie that nobody has waited for yet is gone too."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


# --- compare: the numbers ---------------------------------------------------------------------------------------------

CLIENTS, INTERVAL_S, DURATION_S = 2, 0.5, 2.0
SEED = "146"
LATE_S = 0.1
"""How late a poll may be answered before a count is in doubt. With this seed no update lies that close after a poll."""

PREDICTED = ["requests", "wasted", "latency_mean_s", "latency_p50_s", "latency_p95_s", "bytes_sent", "bytes_received"]
PREDICTED += ["held_connections", "server_cpu_s"]
TRANSPORT_KEYS = {
    "opening_bytes",
    "held_connections",
    "heartbeats",
    "segments",
    "line_did",
    "predicted",
    "predicted_within",
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
    "notes",
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
    assert set(told) == {"schedule", "clients", "interval_s", "line", "transports"} and told["line"] is None
    assert set(told["schedule"]) == {"kind", "rate_per_s", "updates", "duration_s", "seed", "at_s"}
    assert list(told["transports"]) == ["polling", "websocket"]
    for transport in told["transports"].values():
        assert set(transport) == TRANSPORT_KEYS
        assert set(transport["latency_s"]) == {"mean", "p50", "p95", "p99", "predicted_mean"}
        assert all(isinstance(note, str) for note in transport["notes"])
        parts = ("latency_s", "predicted", "predicted_within")
        figures = [value for key, value in transport.items() if key not in (*parts, "segments", "line_did", "notes")]
        numbers = [*figures, *(value for part in parts for value in transport[part].values() if value is not None)]
        assert transport["latency_s"]["p99"] is not None or any("no p99" in note for note in transport["notes"])
        assert list(transport["predicted"]) == list(transport["predicted_within"]) == PREDICTED
        assert None not in transport["predicted"].values()  # a rehearsal has found what it takes on this machine
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


# --- where the output goes -----------------------------------------------------------------------------------------

SHORT = ("compare", "--transports", "polling", "--duration", "0.3", "--clients", "1")
FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_any_encoding_prints_the_table_and_saves_the_picture(encoding, tmp_path):
    """What an old terminal has no character for is spelt in ASCII, and the columns still stand below each other."""
    run = wsdemo(*SHORT, folder=tmp_path, env=os.environ | {"PYTHONIOENCODING": encoding}, encoding=encoding)
    assert (run.returncode, run.stderr) == (0, "")
    lines = {line[:20].strip(): line for line in run.stdout.splitlines()}
    share, poisson, latency = lines["wasted share"], lines["... if Poisson"], lines["mean latency"]
    assert len(share) == len(poisson) == len(latency)
    assert "?" not in run.stdout and "\\u" not in run.stdout
    assert (tmp_path / "wsdemo-compare.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("job", ["", "compare", "serve", "line", "trials", "live", "lab"])
def test_help_is_printed_in_any_encoding(job, tmp_path):
    """The dots in `A,B,…`, too."""
    run = wsdemo(*job.split(), "--help", folder=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (run.returncode, run.stderr) == (0, "") and "A,B,..." in run.stdout + "A,B,..." * (job != "compare")


@pytest.mark.skipif(resource is None, reason="no limit on the size of files here")
def test_a_picture_is_whole_or_not_there(tmp_path):
    """On a disk that fills up: a sentence and status 1, the earlier picture as it was, and the numbers all the same."""
    picture = tmp_path / "wsdemo-compare.png"
    picture.write_bytes(b"an earlier picture")
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))}
    # What counts coverage in CI writes files of its own, which would fail as well.
    run = wsdemo(*SHORT, folder=tmp_path, env=sandbox.environment(), **small)
    assert run.returncode == 1
    assert "wsdemo-compare.png could not be saved" in run.stderr and len(run.stderr.splitlines()) == 1
    assert picture.read_bytes() == b"an earlier picture"
    assert list(tmp_path.iterdir()) == [picture]
    assert "wasted share" in run.stdout and "picture:" not in run.stdout


@FULL
@pytest.mark.parametrize("arguments", [SHORT, (*SHORT, "--json", "--plot", "wsdemo-compare.png")])
def test_a_full_disk_is_a_sentence_and_does_not_cost_the_picture(arguments, tmp_path):
    """The picture is saved first, so it is there whatever becomes of the table."""
    with open("/dev/full", "w") as full:
        run = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 1
    assert "No space left on device" in run.stderr.splitlines()[-1] and "Traceback" not in run.stderr
    assert (tmp_path / "wsdemo-compare.png").stat().st_size > 10_000


@FULL
@pytest.mark.parametrize("words", ["--help", "--version", "serve polling", "serve echo", "live --no-browser"])
def test_every_job_says_that_the_disk_is_full(words, tmp_path):
    """Not Python itself, with a traceback, when it ends."""
    with open("/dev/full", "w") as full:
        options = {"stdout": full, "stderr": subprocess.PIPE, "text": True, "timeout": TIMEOUT_S}
        run = subprocess.run([*COMMAND, *words.split()], cwd=tmp_path, **options)
    assert run.returncode == 1
    assert re.fullmatch(r"python -m wsdemo.*No space left on device.*\n", run.stderr)


def test_whoever_has_read_enough_is_no_error_to_complain_of(tmp_path):
    """`python -m wsdemo --help | head -1`: status 1 and not a word."""
    with running("compare", "--help", folder=tmp_path) as process:
        process.stdout.close()
        stderr = process.stderr.read()
        assert (process.wait(TIMEOUT_S), stderr) == (1, "")


@pytest.mark.skipif(os.name == "nt", reason="POSIX file descriptors")
@pytest.mark.parametrize("closed", [(2,), (0, 2), (1,), (0, 1, 2)])
def test_streams_that_were_closed(closed, tmp_path):
    """Without stderr the JSON is still alone on stdout, and nothing else gets its number; without stdout it is said."""

    def close():
        for number in closed:
            os.close(number)

    run = wsdemo(*SHORT, "--json", "--plot", "x.png", folder=tmp_path, preexec_fn=close)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert (tmp_path / "x.png").read_bytes().rstrip().endswith(b"IEND\xaeB`\x82")
    if 1 in closed:
        assert run.returncode == 1
        assert 2 in closed or "standard output cannot be written" in run.stderr
    else:
        assert run.returncode == 0
        assert run.stdout.count("\n") == 1 and set(json.loads(run.stdout)["transports"]) == {"polling"}
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX file descriptors")
def test_a_refusal_without_stderr_has_its_status(tmp_path):
    """There is nobody to read the sentence; a script still learns that its words were wrong."""
    run = wsdemo("compare", "--clients", "0", folder=tmp_path, preexec_fn=lambda: os.close(2))
    assert (run.returncode, run.stdout) == (2, "")


@pytest.mark.parametrize(
    "error, status",
    [
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 1),
        (json.JSONDecodeError("Expecting value", "<html>", 0), 1),
        (OSError("no such device"), 1),
        (ValueError("clients must be a whole number"), 2),
    ],
)
def test_only_the_readers_own_words_are_usage_errors(error, status, here, monkeypatch):
    """What cannot be decoded or parsed is a kind of ValueError in Python, but no mistake of whoever typed the words."""

    def run(_):
        raise error

    monkeypatch.setattr(compare_command, "run", run)
    result = here("compare")
    assert (result.returncode, len(result.stderr.splitlines())) == (status, 1)


INTERRUPT = """
import os, signal, sys
def hook(event, arguments):
    if event == "import" and arguments[0] == os.environ["INTERRUPT_AT"] and os.getppid() == int(os.environ["STARTER"]):
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    "job, module",
    [
        ("compare", "wsdemo.command.options"),
        ("compare", "numpy"),
        ("compare", "tqdm"),
        ("serve polling", "wsdemo.processes.children"),
        ("serve polling", "wsdemo.feed"),
        ("live --no-browser", "aiohttp"),
        ("live --no-browser", "wsdemo.live.server"),
        ("lab", "wsdemo.command.lab"),
    ],
)
def test_ctrl_c_while_it_starts_is_quiet(job, module, tmp_path):
    """In the first tenths of a second, when modules are being loaded, Ctrl-C ends every job without a traceback."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = {"PYTHONPATH": path, "INTERRUPT_AT": module, "STARTER": str(os.getpid())}
    run = wsdemo(*job.split(), folder=tmp_path, env=os.environ | told)
    assert run.returncode in (-signal.SIGINT, 130)
    assert (run.stdout, run.stderr.strip()) in (("", ""), ("", "stopped"))


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
    "a seed for what is regular": (
        ["compare", *LONG, "--schedule", "every", "--seed", "2"],
        "poisson, bursts or earthquakes",
    ),
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
    "a line that nobody knows": (["compare", *LONG, "--line", "dely=3ms"], "delay"),
    "a line without a unit": (["compare", *LONG, "--line", "delay=50"], "50ms"),
    "a WebSocket where Upgrade is refused": (["compare", *LONG, "--line", "upgrade=426"], "choose other transports"),
    "a line to nowhere": (["line"], "--to"),
    "a line to no port": (["line", "--to", "0"], "1 to 65535"),
    "a line of another kind": (["line", "--to", "80", "--vanish", "left"], "up, down, both"),
    "a line with no time": (["line", "--to", "80", "--cut-every", "0s"], "cut-every must be a number above 0"),
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
    "a log where a folder is": (["serve", "polling", "--log", "folder.png"], "is no file, and a log is one"),
    "a log for the echo": (["serve", "echo", "--log", "news.log"], "echo has no updates"),
    "a drain that takes less than no time": (["serve", "polling", "--drain", "-1"], "--drain"),
    "a drain of the echo server": (["serve", "echo", "--drain", "1"], "echo"),
    "allowing no origin": (["serve", "polling", "--allow-origin", "localhost"], "http://127.0.0.1:5500"),
    "allowing every origin to the echo": (["serve", "echo", "--allow-origin", "*"], "scheme, host and port"),
    "allowing a page's address to the live page": (["live", "--allow-origin", "http://a/page.html"], "scheme, host"),
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


def with_files(limit: int) -> dict:
    """Return the option of a process that may have so many files open, and no more."""
    return {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))}


@pytest.mark.skipif(resource is None, reason="no limit on open files here")
@pytest.mark.parametrize("limit", [256, 1024])
@pytest.mark.parametrize("job", ["serve polling", "serve polling sse", "serve echo", "live --no-browser"])
def test_what_fits_is_used(job, limit, tmp_path):
    """With few open files a server has room for fewer, says so, and serves: nobody asked for the 2,000."""
    with running(*job.split(), folder=tmp_path, **with_files(limit)) as process:
        first = process.stdout.readline()
        url = json.loads(first)["urls"] if first.startswith("{") else {"polling": first.strip()}
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url.get("page", url.get("polling"))) as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    few = job.startswith("serve") or limit == 256
    assert ("note: the limit on open files leaves room for" in stderr) == few


@pytest.mark.skipif(resource is None, reason="no limit on open files here")
@pytest.mark.parametrize(
    "arguments, fit",
    [(["polling", "--max-connections", "193"], 192), (["polling", "sse", "--max-connections", "100"], 96)],
)
def test_more_connections_than_open_files_are_refused_with_what_fits(arguments, fit, tmp_path):
    """Whoever asks for a number gets it, or hears which one is possible."""
    assert_refused(wsdemo("serve", *arguments, folder=tmp_path, **with_files(256)), f"at most {fit}")


@pytest.mark.skipif(resource is None, reason="no limit on open files here")
def test_a_crowd_does_not_kill_a_small_server(tmp_path):
    """1,050 connections to a server for a hundred, where a process may have many files: it still answers afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1400:
        pytest.skip("too few open files here for such a crowd")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    try:
        command = ("serve", "polling", "--max-connections", "100")
        with running(*command, folder=tmp_path, stderr=subprocess.DEVNULL) as process:
            about = json.loads(process.stdout.readline())
            address = ("127.0.0.1", about["ports"]["polling"])
            with contextlib.ExitStack() as crowd:
                held = [crowd.enter_context(socket.create_connection(address)) for _ in range(1050)]
                server = psutil.Process(process.pid)

                def is_full():
                    return process.poll() is not None or server.num_fds() >= 1000 or has_ended(held[-1])

                until(is_full, "the server has as many as it can take")
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(about["urls"]["polling"], timeout=TIMEOUT_S) as response:
                assert response.status == 200
            assert process.poll() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
def test_serve_goes_on_with_its_log_however_it_ended(tmp_path):
    """Killed, stopped by Ctrl-C, by a service manager: the same epoch and clock; after a clean stop it is one file."""
    arguments = ("serve", "polling", "--schedule", "every", "--rate", "20", "--log", "news.log")
    histories = []
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        with running(*arguments, folder=tmp_path) as process:
            about = json.loads(process.stdout.readline())
            histories.append((about["epoch"], about["t0_ns"]))
            process.send_signal(number)
            _, stderr = process.communicate(timeout=TIMEOUT_S)
        assert "Traceback" not in stderr
        if number != signal.SIGKILL:
            assert [path.name for path in tmp_path.iterdir()] == ["news.log"]
    assert len(set(histories)) == 1


@pytest.mark.skipif(resource is None, reason="no limit on the size of files here")
def test_a_server_whose_log_finds_no_room_ends_with_a_sentence_and_goes_on_when_there_is_some(tmp_path):
    """A file that may not grow, as on a full disk. Nothing that the log has is lost, and nothing stands in it twice."""
    arguments = ("serve", "polling", "--schedule", "every", "--rate", "500", "--log", "news.log")
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, 2**17))}
    run = wsdemo(*arguments, folder=tmp_path, env=sandbox.environment(), **small)  # which counts no coverage
    assert run.returncode == 1
    assert "cannot be written" in run.stderr.splitlines()[-1] and "Traceback" not in run.stderr
    with contextlib.closing(DiskLog(tmp_path / "news.log")) as log:
        kept = [(one.seq, one.published_at_ns) for one in log.since(0)]
    assert [seq for seq, _ in kept] == list(range(1, len(kept) + 1)) and kept
    with running(*arguments, folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{about['urls']['polling']}?after=0") as response:
            answer = json.load(response)
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    assert answer["recovered"] and answer["epoch"] == log.epoch
    heard = [(one["seq"], one["published_at_ns"]) for one in answer["updates"]]
    most = min(len(heard), len(kept))
    assert heard[:most] == kept[:most] and [seq for seq, _ in heard] == list(range(1, len(heard) + 1))


def test_another_schedule_than_the_logs_is_refused_in_one_line(tmp_path):
    """The sentence says whose news it holds, and the file stays as it is."""
    with contextlib.closing(DiskLog(tmp_path / "news.log")) as log:
        log.claim(every(0.5))
    before = (tmp_path / "news.log").read_bytes()
    run = wsdemo("serve", "polling", "--log", "news.log", folder=tmp_path)
    assert_refused(run, "holds the news of another source (Every(period_s=0.5))")
    assert (tmp_path / "news.log").read_bytes() == before


def test_serve_drains_on_sigterm_and_lets_the_next_one_have_the_port(tmp_path):
    """The reader reads 1012, and the next server listens where the first one did while that one is still there."""
    common = ("serve", "websocket", "--schedule", "every", "--rate", "20")
    with running(*common, "--drain", "3600", folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        port, readers = about["ports"]["websocket"], []
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                readers.append(stack.enter_context(connect(about["urls"]["websocket"], proxy=None)))
                readers[-1].recv()
            process.send_signal(signal.SIGTERM)
            until(lambda: "sent away" in process.stderr.readline(), "it says that it drains")
            with running(*common, "--port", str(port), folder=tmp_path) as following:
                assert json.loads(following.stdout.readline())["ports"] == {"websocket": port}
                assert process.poll() is None
                with connect(about["urls"]["websocket"], proxy=None) as late:
                    assert json.loads(late.recv())["epoch"] != about["epoch"]
            process.send_signal(signal.SIGTERM)  # a second one ends the drain
            for reader in readers:
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        reader.recv()
                assert closed.value.rcvd.code == 1001
        assert process.wait(TIMEOUT_S) == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_serve_on_every_interface_warns(tmp_path):
    """Another host than this machine's own only by an explicit argument, and with a warning on stderr."""
    with running("serve", "polling", "--host", "0.0.0.0", folder=tmp_path) as process:
        about = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert urlsplit(about["urls"]["polling"]).hostname in names_of("0.0.0.0")
    assert stderr.startswith("warning: listening on 0.0.0.0")


LISTENING = {
    "serve polling": ("serve", "polling", "conditional", "--schedule", "every"),
    "serve echo": ("serve", "echo"),
    "live": ("live", "--no-browser"),
}


def addresses(process, job: str) -> list[str]:
    """Return the addresses that a server prints, in both of its outputs, until it says how to stop it."""
    lines = [] if job == "live" else [process.stdout.readline()]
    while not (line := process.stderr.readline()).startswith("Ctrl-C"):
        assert line, "the server ended"
        lines.append(line)
    if job == "live":
        lines += [process.stdout.readline() for _ in names_of("0.0.0.0" if "0.0.0.0" in process.args else "127.0.0.1")]
    return re.findall(r"(?:http|ws)://[^\s\"]+", "".join(lines))


@pytest.mark.parametrize("job", LISTENING)
def test_a_server_on_every_interface_prints_addresses_that_others_can_type(job, tmp_path):
    """This machine's own, in both outputs; each of them answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with running(*LISTENING[job], "--host", "0.0.0.0", folder=tmp_path) as process:
        printed = addresses(process, job)
        assert {urlsplit(url).hostname for url in printed} == set(names_of("0.0.0.0"))
        for url in printed:
            if url.startswith("http"):
                with direct.open(url, timeout=patient(20)) as response:
                    assert response.status == 200


@pytest.mark.parametrize("job", LISTENING)
def test_a_refusal_is_a_line_in_the_terminal_that_names_the_option(job, tmp_path):
    """A page from elsewhere, and a name that is not the server's; with the option each of them is served."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    mine = {"Origin": "http://127.0.0.1:5500"}, {"Host": "board.example"}

    def status(url: str, headers: dict[str, str]) -> int:
        try:
            with direct.open(urllib.request.Request(url, headers=headers), timeout=patient(20)) as response:
                return response.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def refusals(*options: str) -> tuple[list[int], list[str]]:
        with running(*LISTENING[job], *options, folder=tmp_path) as process:
            (url, *_) = [url for url in addresses(process, job) if url.startswith("http")]
            found, lines = [], []
            for headers in mine:
                found.append(status(url, headers))
                if found[-1] >= 400:
                    lines.append(process.stderr.readline())
                    time.sleep(1.1)  # one line a second
            return found, lines

    statuses, (page, host) = refusals()
    assert statuses == [403, 421]
    assert page.endswith("if it is yours, allow it with --allow-origin http://127.0.0.1:5500\n")
    assert host.endswith("if this server goes by that name, allow it with --allow-host board.example\n")
    options = [word for line in (page, host) for word in line.split("allow it with ")[1].split()]
    assert refusals(*options) == ([200, 200], [])


@pytest.mark.parametrize("job", ["serve polling", "serve echo"])
def test_a_full_server_names_the_option_that_makes_it_larger(job, tmp_path):
    """In its terminal; the one who came gets 503."""
    with running(*LISTENING[job], "--max-connections", "1", folder=tmp_path) as process:
        (url, *_) = [url for url in addresses(process, job) if url.startswith("http")]
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)):
            with pytest.raises(urllib.error.HTTPError, match="503") as caught:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=patient(20))
            caught.value.close()
        assert process.stderr.readline().endswith("are taken; --max-connections allows more\n")


def test_what_the_terminal_says_stands_in_the_readme():
    """The table of what can go wrong has a row for each option that a refusal names."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## When something does not work")[2].partition("\n## ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `refused: ")]
    for option in ("--allow-origin", "--allow-host", "--max-connections"):
        assert sum(option in row for row in rows) == 1, option


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
        monkeypatch.setattr(lab_command, "browser", lambda: webbrowser.BaseBrowser() if browser else None)

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
    assert any(word.endswith("/lab/tree/pyproject.toml") for word in command)
    assert "--no-browser" not in command and "--allow-root" not in command


def test_lab_passes_on_what_it_was_told(lab):
    """Root in a container may go on, and the port is JupyterLab's."""
    _, (command,) = lab("--allow-root", "--port", "9999", uid=0)
    assert "--allow-root" in command and "--ServerApp.port=9999" in command


def test_lab_without_a_browser_says_how_to_reach_it(lab):
    """On a machine without a browser the address has to be opened on another one."""
    run, (command,) = lab(browser=False)
    assert "--no-browser" in command and "ssh -L" in run.stderr


@pytest.mark.parametrize("arguments, number", [(["--port", "9999"], "9999"), ([], "PORT")])
def test_lab_says_which_port_to_forward(lab, arguments, number):
    """The one it was given, and JupyterLab must not choose another; else the one in the address that it prints."""
    run, (command,) = lab("--no-browser", *arguments)
    assert f"ssh -L {number}:localhost:{number} " in run.stderr and "8888" not in run.stderr
    assert ("--ServerApp.port_retries=0" in command) == bool(arguments)


@pytest.mark.parametrize("between", [[], ["--"]])
def test_lab_hands_on_what_it_does_not_know(lab, between):
    """JupyterLab has hundreds of options; ours are taken out, and the others keep their order."""
    theirs = ["--ServerApp.ip=0.0.0.0", "--no-mathjax", "--ServerApp.token", "x", "--port-retries=3"]
    run, (command,) = lab("--no-browser", *between, *theirs)
    assert run.returncode == 0
    assert command[-len(theirs) :] == theirs and "--no-browser" in command


@pytest.mark.parametrize("job", ["compare", "serve polling", "live"])
def test_only_lab_hands_anything_on(here, job):
    """Elsewhere an unknown option is a slip of the pen."""
    assert_refused(here(*job.split(), "--ServerApp.ip=0.0.0.0"), "unrecognized arguments: --ServerApp.ip=0.0.0.0")


def test_lab_does_not_look_for_news_on_the_internet():
    """JupyterLab understands the options, and its page says that news are off and updates are never looked for."""
    from jupyterlab.labapp import LabApp

    app = LabApp()
    app.parse_command_line(list(lab_command.OFFLINE))
    assert app.news_url is None
    assert app.check_for_updates_class.__name__ == "NeverCheckForUpdate"


@pytest.mark.parametrize(
    "name, shows",
    [("firefox", True), ("/opt/w3m-like/chromium %s", True), ("lynx", False), ("/usr/bin/w3m %s", False), ("", True)],
)
def test_no_page_is_opened_in_a_text_browser(monkeypatch, name, shows):
    """It would take over the terminal, and could not show the page."""
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser(name))
    assert (running_command.browser() is not None) == shows


def test_no_page_is_opened_where_there_is_no_browser(monkeypatch):
    """As on a server."""

    def get():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", get)
    assert running_command.browser() is None


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_live_in_a_text_terminal_only_prints_its_address(tmp_path):
    """With `lynx` alone on the machine nothing is started: it would wait for keys."""
    lynx = tmp_path / "lynx"
    lynx.write_text(f"#!/bin/sh\ntouch {tmp_path}/opened\n")
    lynx.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    with running("live", folder=tmp_path, env=env | {"PATH": str(tmp_path), "TERM": "xterm"}) as process:
        url = process.stdout.readline().strip()
        assert "Ctrl-C" in process.stderr.readline()
        # An answer comes after whatever follows that line at once, and at its end the program waits for its threads.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 0
    assert not (tmp_path / "opened").exists()


def test_lab_without_the_lessons_says_where_they_should_be(lab):
    """An installed copy has no lessons beside it."""
    run, started = lab(first="notebooks/nowhere.ipynb")
    assert_refused(run, "clone the repository")
    assert started == []


@pytest.mark.parametrize("job", ["", "compare", "serve", "line", "trials", "lab"])
def test_every_job_explains_itself(job, tmp_path):
    """--help ends with status 0 and names every option, and every transport where one is asked for."""
    run = wsdemo(*job.split(), "--help", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("usage: python -m wsdemo")
    if job in ("compare", "serve"):
        assert all(name in run.stdout for name in TRANSPORTS)
    if job == "line":
        assert all(f"--{word} " in run.stdout for word in WORDS)
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
    said_first = "note: Polling: it was disturbed\n"
    if as_json:
        assert list(json.loads(said.out)["transports"]) == ["polling"]
        assert said.err.startswith(said_first)
        assert "note: Polling: theory has no bytes_sent" in said.err  # and why: this one was made without a rehearsal
    else:
        assert said_first in said.out and said.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ([] if as_json else ["wsdemo-compare.png"])


def test_what_serve_is_told_reaches_the_server(monkeypatch):
    """Every option, each under its own name."""
    told = {}

    async def served(names, schedule, **options):
        told.update(options, names=names, schedule=schedule)

    monkeypatch.setattr("wsdemo.serve.run", served)
    where = ["--host", "localhost", "--port", "8000", "--allow-host", "a.example", "--allow-host", "b.example"]
    where += ["--allow-origin", "null", "--allow-origin", "http://127.0.0.1:5500"]
    what = ["--schedule", "every", "--rate", "4", "--duration", "5", "--max-connections", "7"]
    what += ["--scale-heartbeats", "10", "--at-most-every", "0.5", "--log", "news.log", "--drain", "3"]
    command_line.main(["serve", "sse", "polling", *where, *what])
    assert told == {
        "names": ["sse", "polling"],
        "schedule": every(0.25),
        "duration_s": 5.0,
        "drain_s": 3.0,
        "host": "localhost",
        "port": 8000,
        "max_connections": 7,
        "allowed_hosts": ["a.example", "b.example"],
        "allowed_origins": ["null", "http://127.0.0.1:5500"],
        "note": "",
        "pace": Pace(ping_s=2.0, comment_s=1.5, hold_s=2.5, at_most_every_s=0.5),
        "log": "news.log",
    }


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_rubbish_is_no_reason_for_a_traceback(tmp_path):
    """Port scanners come to every server; the terminal stays readable."""
    with running("serve", "websocket", "polling", "--max-connections", "100", folder=tmp_path) as process:
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


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_line_says_where_it_is_what_it_does_and_in_the_end_what_it_did(number, tmp_path):
    """JSON for scripts, sentences for people; what happens at once is one line; Ctrl-C is its normal end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        to_port = server.getsockname()[1]
        with running("line", "--to", str(to_port), "--delay", "1ms", "--cut", "3B", folder=tmp_path) as process:
            about = json.loads(process.stdout.readline())
            assert about == {"port": about["port"], "to": to_port, "line": "delay=1ms,cut=3B"}
            with socket.create_connection(("127.0.0.1", about["port"]), timeout=TIMEOUT_S) as client:
                client.sendall(b"hello")
                passed, _ = server.accept()
                with passed:
                    passed.settimeout(TIMEOUT_S)
                    assert b"".join(iter(lambda: passed.recv(10), b"")) == b"hel"
                    assert client.recv(10) == b""
            process.send_signal(number)
            _, stderr = process.communicate(timeout=TIMEOUT_S)
    lines = stderr.splitlines()
    assert lines[:2] == [
        f"Line: 127.0.0.1:{about['port']} leads to port {to_port}, with delay=1ms,cut=3B",
        "Ctrl-C stops the line.",
    ]
    assert lines[2].endswith("connection 1: open")
    assert lines[-3:] == ["the line did: open 1, cut 1 and 3 bytes up and 0 down", "", "stopped"]
    assert process.returncode == 0


def test_what_compare_is_told_of_a_line_reaches_the_measurement(monkeypatch, tmp_path, capsys):
    """In its words; and the object says through which line it was measured."""
    told = {}

    async def compare(*_, **options):
        told.update(options)
        return Comparison((made(line="delay=50ms", line_did={"open": 4}),))

    monkeypatch.setattr("wsdemo.measure.compare", compare)
    command_line.main(["compare", "--json", "--line", "delay=50ms"])
    assert told["line"] == "delay=50ms"
    said = json.loads(capsys.readouterr().out)
    assert (said["line"], said["transports"]["polling"]["line_did"]) == ("delay=50ms", {"open": 4})


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
