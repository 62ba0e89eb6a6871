"""Whatever a stranger sends, to every server: an answer below 500 or the end of the connection, and nothing is left.

No error of ours is logged, no connection hangs, no task stays, and the server goes on as before.
"""

import asyncio
import gzip
import json
import logging
import zlib

import pytest
from test_door import SERVED, SERVERS, Caller, clock, inside, opened, question, until  # noqa: F401 - a fixture
from test_transports import run

from wsdemo import door
from wsdemo.live import server as live_server

LONG = "x" * 9_000
METHODS = [
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "PRI",
    "get",
    "FOO",
    "G(T",
    "A" * 50,
]
TARGETS = [
    *("http://localhost{}", "http://evil.example{}", "http://[::1{}", "https://localhost:99999{}", "http://[v1.x]{}"),
    *(
        "http://localhost:abc{}",
        "http://user:pw@localhost{}",
        "http://{}",
        "//evil.example{}",
        "/{}",
        "http:///updates",
    ),
    *("http://", "*", "", "updates", "localhost:80", "javascript:alert(1)", "http://a b/", "http://\xff/", "?after=1"),
    *("/%00", "/\0", "{}%00", "{}#fragment", "{}?#", "{}/../..", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"),
    *("/\\..\\x", "/%zz", "/%", "/" + LONG, "{}?x=[", "{}?=&&==&", "{}?" + "a=1&" * 1800),
    *(
        "{}?after=%00",
        "{}?after=\0",
        "{}?after=1&after=2",
        "{}?after=%ff",
        "{}?after=\xff",
        "{}?after=+1",
        "{}?after=%20",
    ),
    *("{}?after=" + "9" * 400, "{}?after=" + "9" * 7_000, "{}?after=%F0%9F%98%80", "{}?after=1;x", "{}?after=\udc80"),
    *("{}?after=1&epoch=%ff", "{}?after=1&epoch=" + "x" * 7_000, "{}?after=1&epoch", "{}?after=0&epoch=%0d%0aX:1"),
]
HOSTS = [
    *(None, "", "\xff", "[::1", "localhost:99999", "localhost:abc", "[::1]:x", "a" * 8_000, "localhost\0", "\udc80"),
    *(
        "localhost/../",
        "[v1.x]",
        "[fe80::1%25lo]",
        "xn--\xff.example",
        "local\thost",
        "[localhost]",
        "[1.2.3.4]",
        "::1",
    ),
    "localhost\r\nHost: evil.example",
]
HEADERS = [
    *(
        f"Origin: {value}"
        for value in ("http://[::1", "\xff", "http://localhost:99999", "http://localhost:abc", "null")
    ),
    *(f"Origin: {value}" for value in (LONG[:8_000], "http://[x]", "", "//", "http://localhost\udc80")),
    "Origin: http://localhost\r\nOrigin: http://evil.example",
    *(f"Last-Event-ID: {value}" for value in ("x-\xff", "\udc80-1", "-", "--", "a-b-3", "\0-1", "%00-1", "x-1#y")),
    *(f"Last-Event-ID: {value}" for value in ("x-" + "9" * 5_000, "a&after=3-1", "e-1\r\nLast-Event-ID: e-2")),
    *(f"If-None-Match: {value}" for value in ("\xff", "*", 'W/"x"', '"x",' * 2_000, "\udc80", '"')),
    *(f"Accept-Encoding: {value}" for value in ("gzip", "\xff")),
    *(f"Connection: {value}" for value in ("close", "upgrade", "\xff")),
    *(f"Expect: {value}" for value in ("100-continue", "nonsense")),
    *(f"Range: {value}" for value in ("bytes=0-1", "bytes=9999-", "x")),
    *(f"Transfer-Encoding: {value}" for value in ("gzip", "chunked, chunked", "\xff")),
    *(f"Content-Length: {value}" for value in ("-1", "x", "1\r\nContent-Length: 2", "9" * 400, "0")),
    *("Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Encoding: br", "Content-Encoding: nonsense"),
    *("Content-Type: text/plain; charset=nonsense", "Content-Type: \xff", "Cookie: \xff=\xfe; $x", "Accept: \xff"),
    *("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x", "Upgrade: websocket"),
    *(f"X: {LONG}", ": x", "X y: z", "X\0: z", "X: y\r\n folded", "X: y\rz", "\r\n".join(["X: y"] * 300)),
    *('Forwarded: for="', "X-Forwarded-Host: \xff", "If-Modified-Since: x", "Date: \xff", "Te: trailers"),
    *("Sec-WebSocket-Key: x", "Sec-WebSocket-Extensions: \xff", "Sec-WebSocket-Protocol: \xff"),
]
VERSIONS = [
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "HTTP/9.9",
    "http/1.1",
    "HTTP/1",
    "HTTP/11.11",
    "XTTP/1.1",
    "",
]
NO_HTTP = [
    bytes(range(256)),
    bytes(1_000),
    bytes.fromhex("16030100a5010000a10303"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
CHUNKS = [b"zz\r\nxx\r\n0\r\n\r\n", b"f" * 40 + b"\r\n", b"5;" + b"x" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"]
CHUNKS += [b"0\r\n" + b"X: y\r\n" * 1_000 + b"\r\n", b"-1\r\n\r\n", b"1\r\nxx"]


def raw(text):
    return text.encode("latin-1", "surrogateescape")


def asked(name, *, target=None, method="GET", version="HTTP/1.1", headers=(), host="localhost"):
    """Return a right request with one thing wrong."""
    first, *lines = question(name).decode().split("\r\n")
    path = first.split(" ")[1]
    target = path if target is None else target.replace("{}", path)
    lines = [*([] if host is None else [f"Host: {host}"]), *headers, *lines[1:]]
    return raw("\r\n".join([f"{method} {target} {version}", *lines]))


def methods(name):
    for method in METHODS:
        yield asked(name, method=method)
        yield asked(name, method=method, headers=["Content-Length: 3"]) + b"abc"


def targets(name):
    for target in TARGETS:
        yield asked(name, target=target)


def hosts(name):
    for host in HOSTS:
        yield asked(name, host=host)


def headers(name):
    for header in HEADERS:
        yield asked(name, headers=[header])


def forms(name):
    for version in VERSIONS:
        yield asked(name, version=version)
    right = question(name)
    yield right.replace(b"\r\n", b"\n")
    yield right.replace(b"\r\n", b"\r") + b"\r\n\r\n"
    yield b"\r\n\r\n" + right
    yield right * 20
    yield right + b"\0\1" + right
    for data in NO_HTTP:
        yield data + b"\r\n\r\n"
    for chunks in CHUNKS:
        for method in ("GET", "POST"):
            yield asked(name, method=method, headers=["Transfer-Encoding: chunked"]) + chunks


KINDS = {kind.__name__: kind for kind in (methods, targets, hosts, headers, forms)}


@pytest.fixture
def faults(caplog):
    """Everything that is logged as an error, by whomever."""
    caplog.set_level(logging.ERROR)
    yield lambda: [record.getMessage() + str(record.exc_info) for record in caplog.records]


async def outcome(name, port, data):
    """Send this; return the status of the answer, 0 if the connection ended without one."""
    caller = await Caller(name).call(port)
    try:
        caller.send(data)
        return await caller.answer()
    finally:
        caller.leave()


@SERVERS
@pytest.mark.parametrize("kind", KINDS)
def test_a_strange_request_is_answered_or_ended(name, kind, faults, monkeypatch):
    """Each on a connection of its own, all at once."""

    async def scenario():
        async with opened(name, 1_000, monkeypatch) as (port, its_door):
            assert await outcome(name, port, question(name)) in SERVED
            await until(lambda: inside(its_door) == 0)
            before = len(asyncio.all_tasks())
            cases = list(KINDS[kind](name))
            statuses = await asyncio.gather(*(outcome(name, port, data) for data in cases))
            wrong = [(data[:80], status) for data, status in zip(cases, statuses, strict=True) if status >= 500]
            # What is not served (501), and a version of HTTP that is not spoken (505), are words for the client.
            assert [case for case in wrong if case[1] not in (501, 505)] == []
            await until(lambda: inside(its_door) == 0 and len(asyncio.all_tasks()) <= before)
            assert await outcome(name, port, question(name)) in SERVED
        assert faults() == []

    run(scenario())


@SERVERS
def test_readers_who_leave_at_once_are_no_errors(name, faults, monkeypatch):
    """They ask and have left before the answer could begin, by an end (FIN) or by a reset."""

    async def scenario():
        async with opened(name, 1_000, monkeypatch) as (port, its_door):
            before = len(asyncio.all_tasks())
            for _ in range(10):
                for leave in ("end", "reset", "expects"):
                    caller = await Caller(name).call(port)
                    expects = ["Expect: 100-continue"] if leave == "expects" else []
                    caller.send(asked(name, headers=expects))
                    if leave != "reset":
                        caller.writer.write_eof()
                        await caller.ended()
                    caller.leave()
            await until(lambda: inside(its_door) == 0 and len(asyncio.all_tasks()) <= before)
            assert await outcome(name, port, question(name)) in SERVED
        assert faults() == []

    run(scenario())


@SERVERS
@pytest.mark.parametrize("data", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n" * 50], ids=str)
def test_what_is_no_whole_request_ends_in_time(name, data, clock, monkeypatch):  # noqa: F811
    """The door's clock tells: no library has to."""

    async def scenario():
        async with opened(name, 10, monkeypatch) as (port, its_door):
            caller = await Caller(name).call(port)
            caller.send(data)
            await until(lambda: inside(its_door) == 1)
            clock.ahead_s += door.SILENCE_S + 1
            await caller.ended()
            await until(lambda: inside(its_door) == 0)
            caller.leave()

    run(scenario())


# --- the live page's messages -----------------------------------------------------------------------------------------

RECIPE = {"speed": 3600.0, "start_s": 0.0, "elapsed_s": 0.0, "left": "polling", "right": "websocket"}
SESSION = json.dumps(RECIPE).encode()


def message(body, *headers, path="/session", kind="application/json", length=None):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", *headers]
    if not any(header.startswith("Transfer-Encoding") for header in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return raw("\r\n".join([*lines, "", ""])) + body


def instead(name, text):
    """Return a recipe with this text in place of one value."""
    return SESSION.replace(f'"{name}": {json.dumps(RECIPE[name])}'.encode(), f'"{name}": {text}'.encode())


NUMBERS = [
    "1" * 310,
    "1" * 700,
    "-" + "1" * 310,
    "1e400",
    "-1e400",
    "NaN",
    "-Infinity",
    "true",
    "null",
    "[1]",
    '"1"',
    "1e308",
]
NAMES = ['"\\ud800"', '"\\u0000"', "1" * 310, '{"a": 1}', '"polling\\n"', '"../polling"', "[[]]"]
CHARSETS = [
    "nonsense",
    "hex",
    "base64",
    "zip",
    "rot13",
    "idna",
    "punycode",
    "undefined",
    "utf-7",
    "utf-16",
    "mbcs",
    "\xff",
]
CHARSETS += ["x" * 300, "../../etc/passwd", "encodings", "__init__", "unicode_escape"]
COMPRESSED = {
    "gzip": [b"nonsense", b"\x1f\x8b\x08", gzip.compress(SESSION)[:20], gzip.compress(b" " * 10**7)],
    "deflate": [b"xx", zlib.compress(b"[" * 10**6)],
}
BAD_MESSAGES = [
    *((400, message(instead(field, text))) for field in ("speed", "start_s", "elapsed_s") for text in NUMBERS),
    *((400, message(instead(field, text))) for field in ("left", "right") for text in NAMES),
    *((415, message(SESSION, kind=f"application/json; charset={charset}")) for charset in CHARSETS),
    *((415, message(SESSION, kind=kind)) for kind in ("", "text/json", "\xff", "application/json, text/plain")),
    *(((400, 413), message(body, f"Content-Encoding: {how}")) for how, bodies in COMPRESSED.items() for body in bodies),
    *(
        (400, message(body))
        for body in (b"[" * 1_000, b'{"a":' * 190, b"1" * 1_000, b'"\xff"', SESSION.decode().encode("utf-16"))
    ),
    *(
        (400, message(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked"))
        for body in (b"{", b"\0")
    ),
    *((413, message(b"x" * size)) for size in (1_025, 100_000)),
    *(
        (404, message(b"{}", path=path))
        for path in ("/session//beat", "/session/%00/beat", "/session/%ff/beat", "/session/")
    ),
    *((404, message(b"{}", path=path)) for path in ("/session/" + "x" * 5_000 + "/beat", "/session/%ed%a0%80/side")),
]


def test_a_message_that_makes_no_sense_is_the_pages_fault(faults, monkeypatch):
    """Numbers beyond all numbers, odd charsets, broken compression: 400, 413 or 415, and no session begins."""

    async def scenario():
        async with opened("live", 1_000, monkeypatch) as (port, its_door):
            statuses = await asyncio.gather(*(outcome("live", port, data) for _, data in BAD_MESSAGES))
            wrong = [
                (data[-80:], status)
                for (expected, data), status in zip(BAD_MESSAGES, statuses, strict=True)
                if status not in (expected if isinstance(expected, tuple) else (expected,))
            ]
            assert wrong == []
            assert await outcome("live", port, message(SESSION)) == 200
            await until(lambda: inside(its_door) == 0)
        assert faults() == []

    run(scenario())


@pytest.mark.parametrize(
    "data",
    [message(b"{", length=500), message(b"", length=10**12), message(b"1\r\n{\r\n", "Transfer-Encoding: chunked")],
    ids=["half", "none", "chunks"],
)
def test_a_message_that_never_comes_is_not_waited_for(data, faults, monkeypatch):
    """408 after a few seconds; and a page that leaves within its message is no error."""
    monkeypatch.setattr(live_server, "BODY_TIMEOUT_S", 0.3)

    async def scenario():
        async with opened("live", 10, monkeypatch) as (port, its_door):
            assert await outcome("live", port, data) == 408
            caller = await Caller("live").call(port)
            caller.send(data)
            await until(lambda: inside(its_door) == 1)
            caller.leave()
            await until(lambda: inside(its_door) == 0)
        assert faults() == []

    run(scenario())
