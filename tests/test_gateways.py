"""Gateways on one broker: whoever is killed, readers lose nothing, hear nothing twice, and in order."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import time

import aiohttp
import psutil
import pytest
from patience import patient

from wsdemo.__main__ import main
from wsdemo.gateways import Gateways
from wsdemo.processes.children import PYTHON
from wsdemo.reader import Reader
from wsdemo.scale.broker import Broker
from wsdemo.serve import Server
from wsdemo.transports import TRANSPORTS
from wsdemo.updates import every

RATE_PER_S = 50


class Readers:
    """Readers of gateways, each beginning with another; heard: what each has, in the order in which it came."""

    def __init__(self, gateways, names, count):
        self.heard = [[] for _ in range(count)]
        self.readers = [Reader(0.05, after=0) for _ in range(count)]
        self._ways = [
            TRANSPORTS[name].module().hear(gateways.urls(name, first=number), reader)
            for number, (name, reader) in enumerate(zip(itertools.cycle(names), self.readers, strict=False))
        ]

    async def __aenter__(self):
        self._tasks = [asyncio.create_task(self._attend(*one)) for one in zip(self._ways, self.heard, strict=True)]
        return self

    async def __aexit__(self, *exc_info):
        for task in self._tasks:
            task.cancel()
        failures = [one for one in await asyncio.gather(*self._tasks, return_exceptions=True) if one]
        assert not [one for one in failures if not isinstance(one, asyncio.CancelledError)], failures

    async def _attend(self, way, heard):
        async with contextlib.aclosing(way) as deliveries:
            async for delivery in deliveries:
                heard.append((delivery.seq, time.monotonic()))

    async def have(self, seq):
        """Wait until every reader has heard this update."""
        async with asyncio.timeout(patient(60)):
            while not all(heard and heard[-1][0] >= seq for heard in self.heard):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    def newest(self):
        return max(heard[-1][0] for heard in self.heard if heard)

    def judge(self):
        """All updates, each once, in order; and no reader was ever sent back to the beginning."""
        for heard in self.heard:
            assert [seq for seq, _ in heard] == list(range(1, len(heard) + 1))
        assert sum(reader.resets for reader in self.readers) == 0


@pytest.mark.large
def test_gateways_are_killed_under_readers_and_nothing_is_lost(amount):
    """Killed (-9) one after the other, and started again on the same ports, under readers by all transports."""
    kills, readers = amount(small=4, large=20), 20

    async def scenario():
        async with Gateways(*TRANSPORTS, count=2, schedule=every(1 / RATE_PER_S)) as gateways:
            async with Readers(gateways, TRANSPORTS, readers) as crowd:
                await crowd.have(5)
                for number in range(kills):
                    victim = gateways[number % len(gateways)]
                    pid, ports = victim.pid, [victim.port(name) for name in TRANSPORTS]
                    victim.kill()
                    await crowd.have(crowd.newest() + 5)  # by the other
                    await victim.start()
                    assert victim.pid != pid and [victim.port(name) for name in TRANSPORTS] == ports
                    await crowd.have(crowd.newest() + 5)
                assert sum(reader.failures for reader in crowd.readers) >= kills
            crowd.judge()

    asyncio.run(scenario())


@pytest.mark.large
def test_the_broker_is_killed_under_readers_and_nothing_is_lost(amount):
    """What it had acknowledged survives; what it had not is sent again; gateways find it again by themselves."""
    kills, readers = amount(small=1, large=3), 20

    async def scenario():
        async with Gateways(*TRANSPORTS, count=2, schedule=every(1 / RATE_PER_S)) as gateways:
            pids = [one.pid for one in gateways]
            async with Readers(gateways, TRANSPORTS, readers) as crowd:
                await crowd.have(5)
                for _ in range(kills):
                    gateways.broker.kill()
                    assert gateways.fallen() == ["broker"]
                    await gateways.broker.start()
                    await crowd.have(crowd.newest() + 20)
            crowd.judge()
            assert [one.pid for one in gateways] == pids  # none of them has ended over it
            assert sum(reader.failures for reader in crowd.readers) == 0

    asyncio.run(scenario())


def test_a_deploy_goes_gateway_by_gateway_and_nothing_is_lost():
    """Each sends its readers away, ends and is there again; they go on at the other meanwhile."""

    async def scenario():
        async with Gateways(*TRANSPORTS, count=2, schedule=every(1 / RATE_PER_S)) as gateways:
            async with Readers(gateways, TRANSPORTS, 10) as crowd:
                await crowd.have(5)
                before = [one.pid for one in gateways]
                await gateways.roll(0.3)
                assert not set(before) & {one.pid for one in gateways}
                await crowd.have(crowd.newest() + 10)
            crowd.judge()

    asyncio.run(scenario())


def test_all_gateways_have_one_epoch_and_one_etag():
    """So a position, and what a cache keeps, is good at any of them."""

    async def tag(http, url):
        async with http.get(url, params={"after": 0}) as answer:
            return answer.headers["ETag"]

    async def scenario():
        schedule = every(0.02)
        async with Gateways("conditional", count=3, schedule=schedule, duration_s=0.5) as gateways:
            while (did := await gateways.source.did())["acknowledged"] < 24:
                assert did["retries"] == 0
                await asyncio.sleep(0.02)
            assert len({one.epoch for one in gateways}) == 1
            async with aiohttp.ClientSession() as http, asyncio.timeout(patient(20)):
                while len(tags := {await tag(http, url) for url in gateways.urls()}) > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # one may be behind by a message
            assert tags == {f'"{gateways[0].epoch}-24"'}

    asyncio.run(scenario())


def test_what_cannot_be_is_refused_before_anything_starts():
    with pytest.raises(ValueError, match="at least 1 gateway, not 0"):
        Gateways("polling", count=0)
    with pytest.raises(ValueError, match="unknown transport 'smoke'"):
        Gateways("smoke")
    with pytest.raises(ValueError, match="say publish=True"):
        Gateways("polling", broker="nats://10.0.0.5:4222", schedule=every(1.0))
    with pytest.raises(ValueError, match="has an address such as"):
        Gateways("polling", broker="10.0.0.5")
    with pytest.raises(ValueError, match="to the publisher"):
        Server("polling", broker="nats://10.0.0.5:4222", schedule=every(1.0))


def test_gateways_join_a_broker_that_runs_elsewhere():
    """One publishes, the others do not; all have the same news."""

    async def scenario():
        async with Broker() as broker:
            async with (
                Gateways("websocket", count=1, broker=broker.url, publish=True, schedule=every(0.02)) as here,
                Gateways("websocket", count=1, broker=broker.url) as there,
            ):
                assert (here.broker, there.broker, there.source) == (None, None, None)
                assert here[0].epoch == there[0].epoch
                async with Readers(there, ["websocket"], 2) as crowd:
                    await crowd.have(10)
                crowd.judge()

    asyncio.run(scenario())


def processes(pid):
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def is_left(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_until(condition):
    give_up = time.monotonic() + patient(30)
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@contextlib.contextmanager
def serving(*words, folder):
    """Run the command line; give the process and what its first line says."""
    env = os.environ | {"TMPDIR": str(folder)}
    command = [*PYTHON, "serve", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_command_starts_all_of_it_and_leaves_nothing_however_it_ends(number, tmp_path):
    """A broker, its supervisor, a publisher and two gateways: Ctrl-C, SIGTERM or kill -9 of the parent ends all."""
    words = ("polling", "websocket", "--gateways", "2", "--schedule", "every", "--rate", "50")
    with serving(*words, folder=tmp_path) as (process, about):
        assert {name: len(urls) for name, urls in about["urls"].items()} == {"polling": 2, "websocket": 2}
        assert about["broker"].startswith("nats://127.0.0.1:")
        family = processes(process.pid)
        assert len(family) == 6
        asyncio.run(first_five(about["urls"]["polling"]))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=patient(30))
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert "Traceback" not in stderr
    wait_until(lambda: not any(map(is_left, family)) and not list(tmp_path.glob("wsdemo-broker-*")))


async def first_five(urls):
    async with contextlib.aclosing(TRANSPORTS["polling"].module().hear(urls, Reader(0.02, after=0))) as deliveries:
        assert [(await anext(deliveries)).seq for _ in range(5)] == [1, 2, 3, 4, 5]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_ends_by_itself_is_started_again_at_the_same_address(tmp_path):
    """Gateway and broker are killed under the command; it says so, and readers find both again."""
    words = ("polling", "--gateways", "1", "--schedule", "every", "--rate", "50")
    with serving(*words, folder=tmp_path) as (process, about):
        asyncio.run(first_five(about["urls"]["polling"]))
        port = about["ports"]["polling"][0]
        for victim in ("gateway", "broker"):
            family = processes(process.pid)
            if victim == "gateway":
                killed = next(one for one in family if port in [sock.laddr.port for sock in one.net_connections()])
            else:
                killed = next(one for one in family if one.name().startswith("nats-server"))
            killed.kill()
            wait_until(lambda victim=victim: victim in process.stderr.readline())
            wait_until(lambda: "all of them run" in process.stderr.readline())
            asyncio.run(first_five(about["urls"]["polling"]))


REFUSED = {
    "no gateway": (["polling", "--gateways", "0"], "at least 1"),
    "publishing nowhere": (["polling", "--publish"], "--broker"),
    "a schedule that nobody plays": (["polling", "--broker", "nats://10.0.0.5", "--schedule", "every"], "--publish"),
    "no address": (["polling", "--broker", "10.0.0.5"], "nats://"),
    "the echo": (["echo", "--gateways", "2"], "echo has no updates"),
    "ports beyond the last": (["polling", "sse", "--gateways", "3", "--port", "65531"], "65530"),
}


@pytest.mark.parametrize("words, said", REFUSED.values(), ids=REFUSED)
def test_the_command_refuses_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", *words])
    stderr = capsys.readouterr().err
    assert (end.value.code, stderr.count("\n")) == (2, 1) and said in stderr
