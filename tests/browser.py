"""A real browser for the tests: Debian's Chromium, driven by Playwright's Python package.

Use the fixture `browser` in a module by importing it (`from browser import browser  # noqa: F401`). It is started once
a module and reaches this machine only. Playwright's synchronous interface keeps an event loop running in its thread,
so tests that use it must not call `asyncio.run`; `in_background` runs a server of theirs beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from asyncio.selector_events import _SelectorTransport
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from patience import patient

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A proxy of the environment would get every name that is not loopback.
    "--no-proxy-server",
    # Names that end in .example are this machine, as a rebinding name server would say, and far.example is its other
    # loopback address, where no server of a test listens; no other name exists.
    "--host-resolver-rules=MAP far.example [::1], MAP *.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost,"
    " EXCLUDE 127.0.0.1",
]


def missing() -> str | None:
    """Return what this machine lacks for tests in a browser, None if nothing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "the package playwright is not installed (pip install -r requirements.txt)"
    if not os.access(CHROMIUM, os.X_OK):
        return f"there is no browser at {CHROMIUM} (apt-get install chromium, or name one in CHROMIUM)"
    return None


def require() -> None:
    """Skip the test, saying why, where there is no browser; in CI fail, since there the tests must have run."""
    if (why := missing()) is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs the tests in a browser, but {why}")
        pytest.skip(why)


@contextlib.contextmanager
def launched(*flags: str) -> Iterator:
    """Give a running Chromium with a new user-data directory; `flags` are added to `FLAGS`."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=patient(20_000))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        running.new_context = _patient_contexts(running.new_context)
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def profile(*flags: str, foreign_cookies: bool) -> Iterator:
    """Give a context of a browser with a profile of its own, as a user's: a tab in secret has other rules for cookies.

    foreign_cookies: whether the profile lets servers other than the page's site have their cookies, which Chromium's
    own default does and Debian's does not.
    """
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        settings = Path(home, "Default", "Preferences")
        settings.parent.mkdir()
        settings.write_text(json.dumps({"profile": {"cookie_controls_mode": 0 if foreign_cookies else 1}}))
        context = playwright.chromium.launch_persistent_context(
            home, executable_path=CHROMIUM, args=[*FLAGS, *flags], timeout=patient(30_000)
        )
        context.set_default_timeout(patient(30_000))
        try:
            yield context
        finally:
            context.close()


def _patient_contexts(new_context: Callable) -> Callable:
    """Return the same function, for contexts whose default limits are this machine's."""

    def patient_context(**options):
        context = new_context(**options)
        context.set_default_timeout(patient(30_000))
        return context

    return patient_context


@pytest.fixture(scope="module")
def browser() -> Iterator:
    require()
    with launched() as running:
        yield running


class Watch:
    """What a page did that a test may not see on it: its requests, its errors, its complaints on the console."""

    def __init__(self, page):
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self.hosts.add(_host(request.url)))
        page.on("websocket", lambda socket: self.hosts.add(_host(socket.url)))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._hear)

    def _hear(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


def _host(url: str) -> str:
    """Return "host:port" of an address, its scheme for one without a host, such as "data:"."""
    scheme, _, rest = url.partition(":")
    return rest[2:].partition("/")[0] if rest.startswith("//") else f"{scheme}:"


@contextlib.contextmanager
def notebook_showing(markup: str) -> Iterator[str]:
    """Serve a page with an output of a notebook in it; give its address. A page of loopback's own may ask loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<!doctype html>" + markup.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def in_background(server: AbstractAsyncContextManager) -> Iterator:
    """Run `async with server` in an event loop of its own thread while the body runs; give what it gives."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait_for(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(patient(20))

    try:
        value = wait_for(server.__aenter__())
        try:
            yield value
        finally:
            gc.disable()  # until `_settle` has closed what a collection would find and complain of
            wait_for(server.__aexit__(None, None, None))
    finally:
        wait_for(_settle())
        gc.enable()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _settle() -> None:
    """End what a server leaves in its loop, such as handshakes that a browser's spare connections never began.

    asyncio.run does the same with tasks. Otherwise the garbage collector finds them, during some later test. So it does
    with a connection that was let in while its server closed: the server refuses it then (`Server._attach`), of which
    asyncio tells nobody, and which it does not close.
    """
    await _turns()  # what was just let in becomes a transport
    loop = asyncio.get_running_loop()
    known = set(loop._transports.values())
    for one in gc.get_objects():
        # By its type: to ask a weak proxy what it is would raise where its object has gone.
        ours = issubclass(type(one), _SelectorTransport) and one._loop is loop
        if ours and one not in known and one._sock is not None:
            sock, one._sock = one._sock, None
            sock.close()
    for transport in known:
        transport.abort()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await _turns()  # a transport that was closed says so


async def _turns() -> None:
    """Let the loop do what it has to do already."""
    for _ in range(5):
        await asyncio.sleep(0)


@contextlib.contextmanager
def jupyter_site(root: str, application: str = "jupyter_server", *options: str) -> Iterator[tuple[int, str]]:
    """Run Jupyter as Binder does: under a base URL, reachable by other names than localhost, with a token.

    root: the folder it shows; application: "jupyter_server", which starts faster, or "jupyterlab". Gives its port and
    the path and query with which a browser logs in; what is served lies below /user/someone/.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = "a-token-for-tests"
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as log:
        # Folders of its own, so that no setting and no running server of this user plays a part.
        own = {
            name: os.path.join(home, name)
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                application,
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                "--ServerApp.base_url=/user/someone/",
                f"--IdentityProvider.token={token}",
                "--ServerApp.allow_remote_access=True",
                f"--ServerApp.root_dir={root}",
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | own,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/user/someone/api", process, log)
            yield port, f"/user/someone/api?token={token}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(patient(10))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen, log, limit_s: float = 60) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # HTTP_PROXY would get even this
    deadline = time.monotonic() + patient(limit_s)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            direct.open(url, timeout=patient(5)).close()
            return
        except OSError:
            time.sleep(0.1)
    log.seek(0)
    pytest.fail(f"Jupyter did not start: {log.read().decode(errors='replace')[-2000:]}")
