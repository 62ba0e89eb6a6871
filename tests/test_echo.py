"""The echo server against bad input: each case with its exact answer, a healthy connection beside them throughout."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
import websockets
from patience import patient
from test_jupyter import outside_jupyter  # noqa: F401 - a fixture
from websockets.asyncio.client import connect

from wsdemo import connection as connection_module
from wsdemo import echo, wire
from wsdemo.__main__ import main as command_line
from wsdemo.echo import MAX_MESSAGE_BYTES, EchoServer
from wsdemo.wire import Frame, Opcode, close_payload

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = bytes.fromhex("37fa213d")
CONT, TEXT, BINARY, CLOSE, PING, PONG = Opcode
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")
LIBRARY = int(websockets.__version__.split(".")[0])


# The table: what is sent, and what must come back


@dataclass(frozen=True)
class Case:
    """What a peer sends, and the answer.

    name: what is wrong with it, or right. sent: the bytes; "{host}" in a request's bytes becomes the server's address.
    then: what is sent once the server has switched protocols; earlier a client may not send frames.
    answer: what comes back, in order: a status, "time" for the answer to a message, "pong b'..'", "close 1002",
    "nothing" for a connection that is closed without a word. After an answer that does not end the connection, it
    must still close properly. deviates: how the answer differs from what the RFC says, and why it is accepted.
    ends: whether the peer stops sending after it. older: the answer with websockets before 17.
    """

    name: str
    sent: bytes
    answer: tuple[str, ...]
    then: bytes = b""
    deviates: str = ""
    ends: bool = False
    older: tuple[str, ...] | None = None

    @property
    def expected(self) -> tuple[str, ...]:
        return self.older if self.older is not None and LIBRARY < 17 else self.answer


def request(*changes: str, first: str = "GET /ws HTTP/1.1", without: str = "", end: str = "\r\n\r\n") -> bytes:
    """Return a correct handshake, but for one change: `changes` replace lines of that name or are added."""
    lines = {
        "host": "Host: {host}",
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "sec-websocket-key": f"Sec-WebSocket-Key: {KEY}",
        "sec-websocket-version": "Sec-WebSocket-Version: 13",
    }
    for change in changes:
        lines.pop(change.partition(":")[0].lower(), None)
    lines.pop(without.lower(), None)
    return ("\r\n".join([first, *lines.values(), *changes]) + end).encode("latin-1")


def http(name: str, status: str, sent: bytes, **more) -> Case:
    return Case(f"handshake: {name}", sent, tuple(status.split(", ")), **more)


def frames(name: str, answer: str, *sent: Frame | bytes, **more) -> Case:
    """Return a case that sends frames, masked unless they are given as bytes, after a correct handshake."""
    data = b"".join(frame if isinstance(frame, bytes) else wire.encode(frame) for frame in sent)
    return Case(f"frames: {name}", request(), ("101", *filter(None, answer.split(", "))), then=data, **more)


def frame(opcode: int, payload: bytes = b"", **bits) -> Frame:
    return Frame(opcode, payload, **({"mask": MASK} | bits))


def size(opcode: int, length: int, form: int) -> bytes:
    """Return the header of a masked frame that announces `length` in the length form 126 (2 bytes) or 127 (8)."""
    return bytes([0x80 | opcode, 0x80 | form]) + length.to_bytes({126: 2, 127: 8}[form], "big") + MASK


def close(code: int) -> Frame:
    return frame(CLOSE, code.to_bytes(2, "big"))


SILENT = "the library drops what is no HTTP without an answer; RFC 9112 would have 400, and a scanner learns less"
SILENT_ONCE = ("nothing",)  # until websockets 17 each of these was no HTTP to the library
VERSION = "RFC 6455 section 4.4 would have 426 and the version that is understood; the library says 400"
SHORTEST = "RFC 6455 section 5.2 wants the shortest form; the library reads all three, which harms nobody"
LIMIT = MAX_MESSAGE_BYTES

HANDSHAKES = [
    http("as it should be", "101", request()),
    http(
        "names in lower case, lists, any case of the values",
        "101",
        request("upgrade: WebSocket", "connection: keep-alive, upgrade", f"sec-websocket-key: {KEY}"),
    ),
    http("a query", "101", request(first="GET /ws?a=b HTTP/1.1")),
    http("Host with another port", "101", request("Host: localhost:8888")),
    http("Host in capitals", "101", request("Host: LOCALHOST")),
    http(
        "an extension is offered, and not taken",
        "101",
        request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
    ),
    http("a subprotocol is offered, and not taken", "101", request("Sec-WebSocket-Protocol: chat")),
    http("no Upgrade", "426", request(without="Upgrade")),
    http("Upgrade to something else", "426", request("Upgrade: h2c")),
    http("no Connection", "426", request(without="Connection")),
    http("Connection without upgrade", "426", request("Connection: keep-alive")),
    http("no version", "400", request(without="Sec-WebSocket-Version"), deviates=VERSION),
    http("version 8", "400", request("Sec-WebSocket-Version: 8"), deviates=VERSION),
    http("version 14", "400", request("Sec-WebSocket-Version: 14"), deviates=VERSION),
    http("two versions", "400", request("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8")),
    http("no key", "400", request(without="Sec-WebSocket-Key")),
    http("an empty key", "400", request("Sec-WebSocket-Key:")),
    http("a key that is not base64", "400", request("Sec-WebSocket-Key: ????????????????????????")),
    http("a key of 15 bytes", "400", request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")),
    http("a key of 18 bytes", "400", request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA")),
    http("two keys", "400", request(f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}")),
    http("method POST", "405", request(first="POST /ws HTTP/1.1"), older=SILENT_ONCE),
    http("method HEAD", "405", request(first="HEAD /ws HTTP/1.1"), older=SILENT_ONCE),
    http("a method in lower case", "405", request(first="get /ws HTTP/1.1"), older=SILENT_ONCE),
    http(
        "HTTP/1.0",
        "505",
        request(first="GET /ws HTTP/1.0"),
        older=SILENT_ONCE,
        deviates="RFC 6455 section 4.2.1 leaves the status open; the library's says exactly what is wrong",
    ),
    http("HTTP/2.0", "nothing", request(first="GET /ws HTTP/2.0"), deviates=SILENT),
    http("another path", "404", request(first="GET /nowhere HTTP/1.1")),
    http("the page's path", "404", request(first="GET / HTTP/1.1")),
    http("no Host", "400", request(without="Host")),
    http("two Hosts", "400", request("Host: {host}", "Host: evil.example")),
    http("an empty Host", "421", request("Host:"), deviates="RFC 9110 would allow 400 too; it is no host served here"),
    http("a foreign Host", "421", request("Host: evil.example")),
    http("a Host that begins like ours", "421", request("Host: localhost.evil.example")),
    http("a Host that hides ours in a user name", "421", request("Host: localhost@evil.example")),
    http("a Host that is no name", "421", request("Host: [::1")),
    http("the page's own Origin", "101", request("Origin: http://{host}")),
    http("the page's own Origin behind TLS", "101", request("Origin: https://{host}")),
    http("a foreign Origin", "403", request("Origin: http://evil.example")),
    http("a foreign Origin, its name in lower case", "403", request("origin: http://evil.example")),
    http("the Origin of a page on another port", "403", request("Origin: http://127.0.0.1:1")),
    http("an Origin that begins like ours", "403", request("Origin: http://{host}.evil.example")),
    http("an Origin that hides ours in a user name", "403", request("Origin: http://{host}@evil.example")),
    http("the Origin of a sandboxed page", "403", request("Origin: null")),
    http("two Origins", "400", request("Origin: http://{host}", "Origin: http://evil.example")),
    http("a header line at the limit", "101", request("X: " + "x" * (8192 - 5))),
    http("a header line over the limit", "431", request("X: " + "x" * (8192 - 4)), older=SILENT_ONCE),
    http("as many headers as the limit", "101", request(*["X: y"] * 123)),
    http("more headers than the limit", "431", request(*["X: y"] * 124), older=SILENT_ONCE),
    http("a request line over the limit", "414", request(first=f"GET /{'x' * 8192} HTTP/1.1"), older=SILENT_ONCE),
    http("a header without a colon", "nothing", request("nonsense"), deviates=SILENT),
    http("a space in a header's name", "nothing", request("X y: z"), deviates=SILENT),
    http("a header folded over two lines", "nothing", request("X: y\r\n z"), deviates=SILENT),
    http("a NUL in a header", "nothing", request("X: \0"), deviates=SILENT),
    http("a path beyond ASCII", "nothing", request(first="GET /\xe4 HTTP/1.1"), deviates=SILENT, older=("404",)),
    http("lines that end in LF alone", "nothing", request().replace(b"\r\n", b"\n"), ends=True, deviates=SILENT),
    http("a body", "nothing", request("Content-Length: 5", end="\r\n\r\nhello"), deviates=SILENT),
    http("a body in chunks", "nothing", request("Transfer-Encoding: chunked"), deviates=SILENT),
    http("HTTP/0.9", "nothing", b"GET /ws\r\n", deviates=SILENT),
    http("the first bytes of TLS", "nothing", bytes.fromhex("16030100a5010000a10303") + b"\x0a", deviates=SILENT),
    http("garbage", "nothing", bytes(range(256)), deviates=SILENT),
    http("half a request, then the end", "nothing", request()[:60], ends=True),
    http("nothing, then the end", "nothing", b"", ends=True),
    http(
        "a text in the same packet",
        "101, time",
        request() + wire.encode(frame(TEXT, b"x")),
        deviates="RFC 6455 section 4.1 makes the client wait; a server that does not mind harms nobody",
    ),
    http(
        "a ping in the same packet",
        "101, pong b''",
        request() + wire.encode(frame(PING)),
        deviates="RFC 6455 section 4.1 makes the client wait; a server that does not mind harms nobody",
    ),
    http(
        "a broken frame in the same packet",
        "101, close 1002",
        request() + wire.encode(frame(3)),
        deviates="RFC 6455 section 4.1 makes the client wait; one that does not is told what is wrong all the same",
    ),
    http("two requests for the page in a packet", "200", b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n" * 2),
    http("plain HTTP for the page", "200", b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    http("HEAD for the page", "200", b"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n", older=SILENT_ONCE),
    http("POST to the page", "405", b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n", older=SILENT_ONCE),
    http("the page for a foreign Host", "421", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    http("a path out of the pages", "404", b"GET /../echo.py HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    http("plain HTTP for the socket", "426", b"GET /ws HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    *(
        http(
            f"a browser asks beforehand for {path}: {what}",
            status,
            f"OPTIONS {path} HTTP/1.1\r\nHost: {{host}}\r\n{lines}\r\n".encode(),
            older=SILENT_ONCE,
        )
        for path in ("/", "/ws")
        for what, status, lines in (
            ("the page's own", "204", "Origin: http://{host}\r\nAccess-Control-Request-Method: GET\r\n"),
            ("a foreign page", "403", "Origin: http://evil.example\r\nAccess-Control-Request-Method: GET\r\n"),
            ("nobody's", "405", "Access-Control-Request-Method: GET\r\n"),
            ("for nothing", "405", "Origin: http://{host}\r\n"),
        )
    ),
]

MESSAGES = [
    *(
        frames(f"a text of {length} bytes", "time", frame(TEXT, b"x" * length))
        for length in (0, 1, 125, 126, 127, 65535, 65536, LIMIT - 1, LIMIT)
    ),
    *(frames(f"bytes, {length} of them", "time", frame(BINARY, b"\xff" * length)) for length in (0, 126, 65536)),
    frames("a text over the limit", "close 1009", frame(TEXT, b"x" * (LIMIT + 1))),
    frames("bytes over the limit", "close 1009", frame(BINARY, b"x" * (LIMIT + 1))),
    frames("only the header of a text over the limit", "close 1009", size(TEXT, LIMIT + 1, 127)),
    frames("a length of 63 bits", "close 1009", size(TEXT, 2**63 - 1, 127)),
    frames(
        "a length of 64 bits",
        "close 1009",
        size(TEXT, 2**63, 127),
        deviates="RFC 6455 section 5.2 wants the first bit 0, so 1002 would be apt; to the library it is too big",
    ),
    frames("5 bytes announced in 2", "time", size(TEXT, 5, 126) + wire.apply_mask(b"hello", MASK), deviates=SHORTEST),
    frames("5 bytes announced in 8", "time", size(TEXT, 5, 127) + wire.apply_mask(b"hello", MASK), deviates=SHORTEST),
    frames(
        "fragments that together reach the limit", "time", frame(TEXT, b"x" * (LIMIT - 1), fin=False), frame(CONT, b"x")
    ),
    frames(
        "fragments that together pass the limit", "close 1009", frame(TEXT, b"x" * LIMIT, fin=False), frame(CONT, b"x")
    ),
    frames("two messages", "time, time", frame(TEXT, b"one"), frame(TEXT, b"two")),
    frames("a mask of zeros", "time", frame(TEXT, b"hello", mask=bytes(4))),
    frames("a NUL and the last character of Unicode", "time", frame(TEXT, "\0\U0010ffff".encode())),
    frames("RSV1", "close 1002", frame(TEXT, b"x", rsv1=True)),
    frames("RSV2", "close 1002", frame(TEXT, b"x", rsv2=True)),
    frames("RSV3", "close 1002", frame(TEXT, b"x", rsv3=True)),
    frames("RSV1 in a continuation", "close 1002", frame(TEXT, b"x", fin=False), frame(CONT, b"x", rsv1=True)),
    frames("RSV1 in a ping", "close 1002", frame(PING, b"x", rsv1=True)),
    *(frames(f"opcode {opcode}", "close 1002", frame(opcode, b"x")) for opcode in (3, 4, 5, 6, 7)),
    *(frames(f"opcode {opcode}", "close 1002", frame(opcode, b"x")) for opcode in (11, 12, 13, 14, 15)),
    frames("a text in clear", "close 1002", frame(TEXT, b"x", mask=None)),
    frames("a ping in clear", "close 1002", frame(PING, b"x", mask=None)),
    frames("a close in clear", "close 1002", frame(CLOSE, close_payload(1000), mask=None)),
    frames("HTTP on an open WebSocket", "close 1002", b"GET / HTTP/1.1\r\n\r\n"),
]

FRAGMENTS = [
    frames("a text in two fragments", "time", frame(TEXT, b"he", fin=False), frame(CONT, b"llo")),
    frames(
        "a text in 200 fragments", "time", frame(TEXT, fin=False), *[frame(CONT, b"x", fin=False)] * 198, frame(CONT)
    ),
    frames("bytes in two fragments", "time", frame(BINARY, b"\xff", fin=False), frame(CONT, b"\xff")),
    frames(
        "a ping between two fragments",
        "pong b'p', time",
        frame(TEXT, b"he", fin=False),
        frame(PING, b"p"),
        frame(CONT, b"llo"),
    ),
    frames("a character cut between two fragments", "time", frame(TEXT, b"\xe2\x82", fin=False), frame(CONT, b"\xac")),
    frames("a continuation without a start", "close 1002", frame(CONT, b"x")),
    frames(
        "a continuation after the last, in the same packet",
        "close 1002",
        frame(TEXT, b"x", fin=False),
        frame(CONT, b"x"),
        frame(CONT, b"x"),
    ),
    frames("a new text inside a fragmented one", "close 1002", frame(TEXT, b"x", fin=False), frame(TEXT, b"x")),
    frames("new bytes inside a fragmented text", "close 1002", frame(TEXT, b"x", fin=False), frame(BINARY, b"x")),
    frames(
        "a close inside a fragmented text",
        "close 1002",
        frame(TEXT, b"x", fin=False),
        close(1000),
        deviates="RFC 6455 section 5.4 lets control frames come between fragments, so 1000 would be apt; the library"
        " takes a message that will never be finished for an error",
    ),
    frames("a fragmented ping", "close 1002", frame(PING, b"x", fin=False)),
    frames("a fragmented pong", "close 1002", frame(PONG, b"x", fin=False)),
    frames("a fragmented close", "close 1002", frame(CLOSE, close_payload(1000), fin=False)),
]

UTF8 = [
    *(
        frames(f"a text with {what}", "close 1007", frame(TEXT, data))
        for what, data in {
            "a byte that never occurs": b"hello \xff",
            "a lone continuation byte": b"\x80",
            "an overlong form": b"\xc0\x80",
            "a surrogate": b"\xed\xa0\x80",
            "a number past Unicode": b"\xf4\x90\x80\x80",
            "a cut character": b"\xe2\x82",
        }.items()
    ),
    frames("a bad byte in the first fragment", "close 1007", frame(TEXT, b"\xff", fin=False), frame(CONT, b"x")),
    frames("a bad byte in the last fragment", "close 1007", frame(TEXT, b"x", fin=False), frame(CONT, b"\xff")),
    frames(
        "a character cut by another, over fragments",
        "close 1007",
        frame(TEXT, b"\xe2\x82", fin=False),
        frame(CONT, b"\xc3\xa4"),
    ),
    frames("a good text before a bad one", "time, close 1007", frame(TEXT, b"x"), frame(TEXT, b"\xff")),
]

CONTROL = [
    frames("a ping without payload", "pong b''", frame(PING)),
    frames("a ping of 125 bytes", f"pong {b'x' * 125}", frame(PING, b"x" * 125)),
    frames("a ping of 126 bytes", "close 1002", frame(PING, b"x" * 126)),
    frames(
        "a ping that announces more than the limit",
        "close 1009",
        size(PING, LIMIT + 1, 127),
        deviates="RFC 6455 section 5.5 would have 1002; the library looks at the limit first",
    ),
    frames("a pong of 126 bytes", "close 1002", frame(PONG, b"x" * 126)),
    frames("a close of 126 bytes", "close 1002", frame(CLOSE, close_payload(1000) + b"x" * 124)),
    frames("a pong that nobody asked for", "", frame(PONG, b"x")),
    frames("100 pings", ", ".join(["pong b'x'"] * 100), *[frame(PING, b"x")] * 100),
    frames("a close without a code", "close 1005", frame(CLOSE)),
    frames("a close of 1 byte", "close 1002", frame(CLOSE, b"\x03")),
    frames("a close with the longest reason", "close 1000", frame(CLOSE, close_payload(1000, "x" * 123))),
    frames("a close whose reason is not UTF-8", "close 1007", frame(CLOSE, close_payload(1000) + b"\xff")),
    frames("a text after the close", "close 1000", close(1000), frame(TEXT, b"x")),
    frames("a ping after the close", "close 1000", close(1000), frame(PING, b"x")),
    frames("a second close", "close 1000", close(1000), close(1001)),
    *(
        frames(f"close code {code}", f"close {code}", close(code))
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    ),
    *(
        frames(f"close code {code}", "close 1002", close(code))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
]

CASES = HANDSHAKES + MESSAGES + FRAGMENTS + UTF8 + CONTROL


# How they are played


class ServerProcess:
    """An echo server in a process of its own, as `children.Child` starts one, spoken to without an event loop."""

    def __init__(self, **options: float):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wsdemo", "child", "echo"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")},
        )
        job = {"max_connections": 100, "open_timeout_s": 5, "keepalive_s": 20} | options
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        self.address = "127.0.0.1", json.loads(self.process.stdout.readline())["ports"]["echo"]
        self.host = f"127.0.0.1:{self.address[1]}"

    def counters(self) -> dict[str, int]:
        self.process.stdin.write("{}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def rss(self) -> int:
        """Return the resident memory of the process in bytes."""
        return psutil.Process(self.process.pid).memory_info().rss

    def wait_for_open(self, wanted: int, limit_s: float = 3.0) -> None:
        """Wait until the server holds `wanted` connections."""
        deadline = time.monotonic() + patient(limit_s)
        while (count := self.counters()["open_now"]) != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        assert count == wanted

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            assert self.process.wait(patient(10)) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


class Peer:
    """A raw TCP connection to a server that says what comes back in the words of the table."""

    def __init__(self, server: ServerProcess, receive_buffer: int | None = None):
        self.host = server.host.encode()
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patient(5))
        self.socket.connect(server.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.upgraded = False
        self.is_head = False

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc_info) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.is_head = data.startswith(b"HEAD ")
        self.socket.sendall(data.replace(b"{host}", self.host))

    def hear(self) -> str:
        """Return the next thing that the server says; "end" when it has ended the connection."""
        while (said := self._said()) is None:
            data = self.socket.recv(65536)
            if not data:
                assert self.buffer == b"", "the connection ended in the middle of an answer"
                return "end"
            self.buffer += data
        return said

    def _said(self) -> str | None:
        if self.upgraded or self.buffer > b"\x7f":  # HTTP begins with a letter, a frame from a server never does
            decoded = wire.decode(self.buffer, masked=False)
            if decoded is None:
                return None
            frame, used = decoded
            self.buffer = self.buffer[used:]
            return _words(frame)
        if (parts := wire.split_head(self.buffer)) is None:
            return None
        first, headers = wire.parse_head(parts[0])
        status = first.split(" ")[1]
        if status == "101":
            wire.handshake_check(parts[0], KEY)
            self.upgraded, self.buffer = True, parts[1]
            return status
        length = 0 if self.is_head or status == "204" else int(headers["content-length"])
        if len(parts[1]) < length:
            return None
        assert headers["connection"] == "close"
        self.buffer = parts[1][length:]
        return status

    def say(self, text: str = "hello") -> str:
        """Say something over an open WebSocket and return what comes back."""
        self.send(wire.encode(frame(TEXT, text.encode())))
        return self.hear()

    def open(self) -> Peer:
        self.send(request())
        assert self.hear() == "101"
        return self


def _words(frame: Frame) -> str:
    if frame.opcode == CLOSE:
        return f"close {wire.parse_close(frame.payload)[0]}"
    if frame.opcode == TEXT:
        return "time" if TIME.fullmatch(frame.payload.decode()) else repr(frame.payload)
    return f"{Opcode(frame.opcode).name.lower()} {frame.payload}"


def play(server: ServerProcess, case: Case) -> tuple[str, ...]:
    """Return the server's answer to a case, having ended the connection in order where the answer did not."""
    said = []
    with Peer(server) as peer:
        peer.send(case.sent)
        if case.ends:
            peer.socket.shutdown(socket.SHUT_WR)
        while len(said) < len(case.answer):
            said.append(peer.hear())
            if said[-1] == "101":
                peer.send(case.then)
            if said[-1] == "end":
                return tuple(said[:-1]) or ("nothing",)
        if said[-1].startswith("close") or not peer.upgraded:
            assert peer.hear() == "end"
        else:
            peer.send(wire.encode(close(1000)))
            assert [peer.hear(), peer.hear()] == ["close 1000", "end"], "the connection was no longer in order"
    return tuple(said)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def healthy(server: ServerProcess) -> Iterator[Peer]:
    """A connection that does nothing wrong and is held as long as the cases run."""
    with Peer(server) as peer:
        yield peer.open()


@pytest.fixture(scope="module")
def hasty() -> Iterator[ServerProcess]:
    """The same server with limits of a second instead of 5 and 20."""
    process = ServerProcess(open_timeout_s=1, keepalive_s=1)
    yield process
    process.stop()


def test_the_table_is_long_and_names_are_unique():
    assert len(CASES) == len({case.name for case in CASES}) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answer(server: ServerProcess, healthy: Peer, case: Case):
    """Each case has its exact answer, and the healthy connection does not notice."""
    assert play(server, case) == case.expected
    assert healthy.say() == "time"


def test_further_passes_leave_no_trace(server: ServerProcess, healthy: Peer):
    """All cases again: the same answers, no connection left, and less than half a KiB of memory for each."""

    def passes(count: int) -> int:
        for case in CASES * count:
            assert play(server, case) == case.expected
        server.wait_for_open(1)
        return server.rss()

    before = passes(2)  # the first ones fill caches and the allocator's pools
    assert passes(3) - before < 256 * 1024
    assert healthy.say() == "time"


def test_a_flood_of_pings_is_cut_off(server: ServerProcess, healthy: Peer):
    """Who asks for pongs and never reads them is let go at once, not when the server's memory is full of pongs."""
    before = server.rss()
    with Peer(server, receive_buffer=2048) as peer:
        peer.open()
        pings = wire.encode(frame(PING, b"x" * 125)) * 100
        with pytest.raises(ConnectionError):
            for _ in range(64 * 1024 * 1024 // len(pings)):
                peer.socket.sendall(pings)
    server.wait_for_open(1)
    assert server.rss() - before < 2 * 1024 * 1024
    assert healthy.say() == "time"


def test_a_slow_sender_is_heard(server: ServerProcess, healthy: Peer):
    """Byte by byte, each in a packet of its own: handshake, text, ping and close are understood all the same."""
    with Peer(server) as peer:
        talk = map(wire.encode, (frame(TEXT, "hällo".encode()), frame(PING, b"p"), frame(TEXT, b"x" * 126)))
        said = []
        for data, answers in ((request().replace(b"{host}", peer.host), 1), (b"".join(talk), 3)):
            for byte in data:
                peer.send(bytes([byte]))
                time.sleep(0.0005)
            said += [peer.hear() for _ in range(answers)]
        assert said == ["101", "time", "pong b'p'", "time"]
        for byte in wire.encode(close(4000)):
            peer.send(bytes([byte]))
        assert [peer.hear(), peer.hear()] == ["close 4000", "end"]
    assert healthy.say() == "time"


def test_a_full_server_says_so():
    process = ServerProcess(max_connections=2)
    try:
        with Peer(process) as one, Peer(process) as two:
            assert [one.open().say(), two.open().say()] == ["time", "time"]
            with Peer(process) as three:
                three.send(request())
                assert three.hear() == "503"
            assert one.say() == "time"
        process.wait_for_open(0)
        with Peer(process) as one:
            assert one.open().say() == "time"
    finally:
        process.stop()


# Peers that are silent or gone


def test_silent_and_half_open_peers(hasty: ServerProcess):
    """Whoever says nothing, or no longer, is let go in bounded time, each with its answer; all of them side by side.

    Limits here: 1 s for a handshake, 1 s between pings, 1 s for a pong, 1 s for the end of a connection.
    """
    began = time.monotonic()
    names = (
        "never speaks",
        "half a request",
        "a byte now and then",
        "no pong",
        "stuck in a frame",
        "ends its side",
        "resets",
        "never ends",
        "deaf",
        "deaf, pings",
    )
    with contextlib.ExitStack() as stack:
        peers = {name: stack.enter_context(Peer(hasty, 2048 if "deaf" in name else None)) for name in names}
        peers["half a request"].send(request()[:60])
        for name in names[3:]:
            peers[name].open()
        peers["stuck in a frame"].send(wire.encode(frame(TEXT, b"x" * 100))[:50])
        peers["resets"].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peers["resets"].socket.close()

        # A peer that ends its side has left without a close frame: there is nobody to say one to.
        peers["ends its side"].socket.shutdown(socket.SHUT_WR)
        assert peers["ends its side"].hear() == "end"

        # It is told that it broke the rules, and stays; the server does not wait for it.
        peers["never ends"].send(wire.encode(frame(TEXT, b"x", rsv1=True)))
        assert [peers["never ends"].hear(), peers["never ends"].hear()] == ["close 1002", "end"]

        # They talk and never listen: the server keeps little for them, and cuts them off.
        before = hasty.rss()
        _talk_until_stuck(peers["deaf"].socket, TEXT)
        _talk_until_stuck(peers["deaf, pings"].socket, PING)
        assert hasty.rss() - before < 4 * 1024 * 1024

        peers["a byte now and then"].send(b"G")
        time.sleep(max(0, began + 0.8 - time.monotonic()))
        with contextlib.suppress(ConnectionError):
            peers["a byte now and then"].send(b"E")
        for name in ("never speaks", "half a request"):
            assert peers[name].hear() == "end"
        with contextlib.suppress(ConnectionResetError):
            assert peers["a byte now and then"].hear() == "end"
        for name in ("no pong", "stuck in a frame"):
            assert peers[name].hear().startswith("ping")
            assert [peers[name].hear(), peers[name].hear()] == ["close 1011", "end"]
        hasty.wait_for_open(0, limit_s=5)  # although each of them still has its end open
    assert time.monotonic() < began + patient(8)


def test_a_quiet_peer_that_answers_pings_is_kept(hasty: ServerProcess):
    """Silence alone is no fault: a peer that only returns pings outlives the limits of the test above."""
    began = time.monotonic()
    with Peer(hasty) as peer:
        peer.open()
        while time.monotonic() < began + 2.5:
            said = peer.hear()
            assert said.startswith("ping ")
            peer.send(wire.encode(frame(PONG, ast.literal_eval(said.removeprefix("ping ")))))
        assert peer.say() == "time"


def _talk_until_stuck(talker: socket.socket, opcode: int) -> None:
    talker.settimeout(patient(0.3))
    message = wire.encode(frame(opcode, b"x" * 100)) * 100
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            talker.send(message)


# The server in the event loop of whoever starts it, as in a notebook


def test_start_again_gives_one_server():
    """A cell that is run again stops the server of the run before, says goodbye to its clients, and leaves no task."""

    async def main():
        one = await echo.start(heard=lambda line: None)
        async with connect(one.url, proxy=None) as client:
            await client.send("hello")
            assert TIME.fullmatch(await client.recv())
            two = await echo.start(heard=lambda line: None)
            await client.wait_closed()
            assert client.close_code == 1001
        assert (one.running, two.running, repr(one)) == (False, True, "<EchoServer: not running>")
        assert await two.start() is two
        await two.stop()
        await two.stop()
        assert not two.running
        async with two:  # and it can be started again
            assert two.running
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_stop_does_not_wait_for_silent_connections():
    """A browser keeps a spare connection that says nothing; a handshake that never comes must not delay the end."""

    async def main():
        async with EchoServer() as server:
            spare = socket.create_connection(("127.0.0.1", server.port))
            await asyncio.sleep(0.05)
            began = time.monotonic()
        spare.close()
        return time.monotonic() - began

    assert asyncio.run(main()) < patient(2)


def test_what_clients_say_is_printed_harmlessly(capsys):
    """Control characters cannot steer a terminal, and a long message does not fill it."""

    async def main():
        async with EchoServer() as server, connect(server.url, proxy=None) as client:
            for message in ("h\x1b[2Jllo\n", "x" * 100_000, b"\0\1\2"):
                await client.send(message)
                await client.recv()

    asyncio.run(main())
    assert capsys.readouterr().out.splitlines() == [
        "client 1 says 'h\\x1b[2Jllo\\n'",
        f"client 1 says '{'x' * 200}'... (100000 characters)",
        "client 1 says 3 bytes",
    ]


def test_a_port_in_use_is_said():
    async def main():
        async with EchoServer() as server:
            with pytest.raises(OSError, match="choose another port, or 0 for any"):
                await EchoServer(port=server.port).start()

    asyncio.run(main())


# Where it is seen from


def test_under_a_hub_its_name_is_served_and_foreign_pages_are_not(outside_jupyter, monkeypatch):  # noqa: F811
    """What arrives through jupyter-server-proxy names the hub; a page of another site is refused all the same."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/me/")

    async def status(url: str, origin: str) -> int:
        try:
            async with connect(url, proxy=None, origin=origin, host="127.0.0.1", port=urlsplit(url).port) as client:
                return client.response.status_code
        except websockets.InvalidStatus as error:
            return error.response.status_code

    async def main():
        async with EchoServer() as server:
            hub = f"ws://hub.example:{server.port}/ws"
            own = f"http://hub.example:{server.port}"
            assert await status(hub, own) == 101
            assert await status(hub, "https://evil.example") == 403
            assert await status(hub.replace("hub", "evil"), own.replace("hub", "evil")) == 421

    asyncio.run(main())


# The command line


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("echo", "polling"), "echo answers on its own"),
        (("echo", "echo"), "echo answers on its own"),
        (("echo", "--rate", "2"), "echo has no updates"),
        (("echo", "--schedule", "poisson"), "echo has no updates"),
        (("echo", "--duration", "2"), "echo has no updates"),
        (("echo", "--port", "65536"), "--port must lie between"),
    ],
)
def test_what_does_not_go_with_echo_is_refused(capsys, arguments, sentence):
    """In one line on stderr and with status 2, before anything starts."""
    with pytest.raises(SystemExit) as stopped:
        command_line(["serve", *arguments])
    said = capsys.readouterr()
    assert (stopped.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert sentence in said.err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_the_command_runs_until_ctrl_c():
    """JSON first, then what clients say; Ctrl-C ends it with status 0 and frees the port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wsdemo", "serve", "echo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        about = json.loads(process.stdout.readline())
        port = about["ports"]["echo"]
        assert about["urls"] == {"echo": f"ws://127.0.0.1:{port}/ws", "page": f"http://127.0.0.1:{port}/"}

        async def main():
            async with connect(about["urls"]["echo"], proxy=None) as client:
                await client.send("hello")
                assert TIME.fullmatch(await client.recv())
                process.send_signal(signal.SIGINT)
                await client.wait_closed()
                return client.close_code

        assert asyncio.run(main()) == 1001
        out, err = process.communicate(timeout=patient(10))
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "client 1 says 'hello'\n")
    assert "Ctrl-C stops the server." in err
    assert "Traceback" not in err
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=patient(5))


# Pages from elsewhere


@contextlib.asynccontextmanager
async def asked(server: EchoServer, method: str, path: str, **headers: str):
    """Ask over HTTP, and give the answer and its body."""
    async with aiohttp.ClientSession() as session:
        async with session.request(method, f"http://127.0.0.1:{server.port}{path}", headers=headers) as response:
            yield response, await response.text()


def test_a_page_from_elsewhere_may_come_if_its_origin_is_allowed(outside_jupyter):  # noqa: F811
    """It opens the socket and reads the page; another one does neither, and whoever runs the server is told how."""
    mine, other = "http://127.0.0.1:5500", "http://127.0.0.1:5501"

    async def scenario():
        refused = []
        async with EchoServer(allowed_origins=[mine], heard=lambda _: None, refused=refused.append) as server:
            async with connect(server.url, proxy=None, origin=mine) as connection:
                await connection.send("x")
                assert TIME.fullmatch(await connection.recv())
            async with asked(server, "GET", "/", Origin=mine) as (response, text):
                assert (response.status, text[:9].lower()) == (200, "<!doctype")
                assert response.headers.getall("Access-Control-Allow-Origin") == [mine]
            leave = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
            if LIBRARY >= 17:
                async with asked(server, "OPTIONS", "/ws", Origin=mine, **leave) as (response, text):
                    assert (response.status, text) == (204, "")
                    assert response.headers.getall("Access-Control-Allow-Origin") == [mine]
                    assert response.headers["Access-Control-Allow-Private-Network"] == "true"
                    assert not {"Content-Length", "Content-Type"} & set(response.headers)
            assert refused == []
            with pytest.raises(websockets.InvalidStatus) as caught:
                await connect(server.url, proxy=None, origin=other)
            assert caught.value.response.status_code == 403
            async with asked(server, "GET", "/", Origin=other) as (response, _):
                assert response.status == 403 and "Access-Control-Allow-Origin" not in response.headers
            assert refused == [f"a page from {other!r}; if it is yours, allow it with --allow-origin {other}"] * 2

    asyncio.run(scenario())


def test_what_is_no_origin_is_refused_before_it_listens():
    """With how one looks."""
    with pytest.raises(ValueError, match="an origin is scheme, host and port"):
        EchoServer(allowed_origins=["localhost:5500"])


# What is set right again


def test_a_client_that_was_slow_once_has_all_its_time_again(monkeypatch):
    """The clock that would cut it off runs while much waits to be taken, and stands once it is taken."""
    made = []

    class Noted(connection_module.Connection):
        def connection_made(self, transport):
            made.append(self)
            super().connection_made(transport)

    monkeypatch.setattr(connection_module, "Connection", Noted)

    async def main():
        async with EchoServer(heard=lambda _: None) as server:
            async with connect(server.url, proxy=None) as client:
                (connection,) = made
                assert connection._end is None
                connection.pause_writing()
                assert not connection._end.cancelled()
                connection.resume_writing()
                assert connection._end is None
                await client.send("hello")
                assert TIME.fullmatch(await client.recv())

    asyncio.run(main())


@pytest.mark.skipif(LIBRARY < 17, reason="before websockets 17 no request but GET comes this far")
@pytest.mark.parametrize("path, allowed", [("/ws", "GET"), ("/", "GET, HEAD"), ("/echo.js", "GET, HEAD")])
def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(server: ServerProcess, path: str, allowed: str):
    """RFC 9110 section 15.5.6 makes a 405 name them."""
    with socket.create_connection(server.address, timeout=patient(5)) as peer:
        peer.sendall(f"PUT {path} HTTP/1.1\r\nHost: {server.host}\r\nContent-Length: 0\r\n\r\n".encode())
        answer = b""
        while data := peer.recv(65536):
            answer += data
    first, headers = wire.parse_head(wire.split_head(answer)[0])
    assert first.split(" ")[1] == "405"
    assert headers["allow"] == allowed
