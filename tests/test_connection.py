"""WebSocket connections to those who talk and never listen: on every server that has them, they hold up nobody."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from patience import patient

from wsdemo import wire
from wsdemo.connection import MAX_BUFFERED_BYTES

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = wire.encode(wire.Frame(wire.Opcode.PING, b"x" * 125, mask=b"mask"))
TEXT = wire.encode(wire.Frame(wire.Opcode.TEXT, b"x" * 100, mask=b"mask"))


@contextlib.contextmanager
def serving(what, *options):
    """Run `python -m wsdemo serve` in a process; give it and the port of its WebSocket."""
    command = [sys.executable, "-m", "wsdemo", "serve", what, *options]
    # A file takes all that clients say; a pipe that nobody reads would hold up the echo server's `print`.
    with (
        tempfile.NamedTemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE, text=True) as server,
    ):
        try:
            while not (line := Path(said.name).read_text().partition("\n"))[1]:
                time.sleep(0.02)
            yield server, json.loads(line[0])["ports"][what]
        finally:
            server.kill()


@contextlib.contextmanager
def connected(what, port, query=""):
    """Shake hands by a socket whose buffer for what comes is small."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(patient(20))
        sock.connect(("127.0.0.1", port))
        sock.sendall(HANDSHAKE.format(path="/ws" if what == "echo" else f"/updates{query}").encode())
        assert sock.recv(12) == b"HTTP/1.1 101"
        yield sock


@pytest.mark.parametrize(
    "what, options",
    [("echo", []), ("websocket", ["--schedule", "every", "--rate", "0.001"])],
    ids=["echo", "websocket"],
)
def test_a_flood_of_pings_is_cut_off(what, options):
    """Who asks for pongs and never reads them is let go, also while there is no news to find it out by."""
    with serving(what, *options) as (server, port):
        rss = psutil.Process(server.pid).memory_info().rss
        with connected(what, port) as sock, pytest.raises(ConnectionError):
            for _ in range(64 * 1024 * 1024 // len(PING) // 100):
                sock.sendall(PING * 100)
        assert psutil.Process(server.pid).memory_info().rss - rss < 16 * MAX_BUFFERED_BYTES
        with connected(what, port):
            pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize(
    "what, options, query",
    [("echo", [], ""), ("websocket", ["--schedule", "every", "--rate", "5000"], "?after=0")],
    ids=["echo", "websocket"],
)
def test_ctrl_c_waits_for_nobody(what, options, query):
    """A client that does not listen, one that says nothing at all, one in the middle of its request: all are left."""
    with serving(what, *options) as (server, port), contextlib.ExitStack() as stack:
        if what == "websocket":
            time.sleep(2)  # a log of 3 MB, which no buffer of the system's takes
        stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"GET /")
        for _ in range(1 if what == "echo" else 3):
            sock = stack.enter_context(connected(what, port, query))
            sock.settimeout(patient(0.5))
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(10_000 if what == "echo" else 1):
                    sock.sendall(TEXT * 100)
        before_s = time.monotonic()
        server.send_signal(signal.SIGINT)
        _, stderr = server.communicate(timeout=patient(60))
        assert time.monotonic() - before_s < patient(8)
        assert server.returncode == 0 and "Traceback" not in stderr
