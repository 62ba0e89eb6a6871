"""What strangers say that is no HTTP, no frame, or a forbidden one: by name, drawn from a chance."""

from __future__ import annotations

import random
from collections.abc import Callable

from wsdemo.wire import Frame, Opcode, encode

Say = Callable[[random.Random], bytes]
"""What a stranger says, drawn."""


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 4000))


def head(*lines: str) -> bytes:
    """Return the head of a request for updates, with these lines."""
    return "\r\n".join(["GET /updates?after=0 HTTP/1.1", *lines, "", ""]).encode("latin-1")


HTTP: dict[str, Say] = {
    "noise": _noise,
    "half a request": lambda chance: head("Host: 127.0.0.1")[: chance.randrange(1, 40)],
    "TLS": lambda chance: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
    "another protocol": lambda chance: chance.choice(
        [b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 99]
    ),
    "an unknown method": lambda chance: b"BREW /updates HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "no version": lambda chance: b"GET /updates\r\n\r\n",
    "a version that is none": lambda chance: b"GET /updates HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    "a long address": lambda chance: b"GET /" + b"a" * chance.randrange(9_000, 70_000) + b" HTTP/1.1\r\n\r\n",
    "a long header": lambda chance: head("Host: 127.0.0.1", "X: " + "b" * chance.randrange(9_000, 70_000)),
    "many headers": lambda chance: head(*(f"X-{n}: {n}" for n in range(chance.randrange(200, 2000)))),
    "no colon": lambda chance: head("Host 127.0.0.1"),
    "two hosts": lambda chance: head("Host: 127.0.0.1", "Host: example.org"),
    "another host": lambda chance: head("Host: example.org"),
    "another origin": lambda chance: head("Host: 127.0.0.1", "Origin: http://example.org"),
    "two lengths": lambda chance: head("Host: 127.0.0.1", "Content-Length: 5", "Content-Length: 6"),
    "a length that is none": lambda chance: head(
        "Host: 127.0.0.1", f"Content-Length: {chance.choice(['-1', 'x', '9' * 40])}"
    ),
    "a chunk that is none": lambda chance: (
        head("Host: 127.0.0.1", "Transfer-Encoding: chunked") + b"zz\r\n" + _noise(chance)
    ),
    "a smuggled request": lambda chance: (
        head("Host: 127.0.0.1", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    ),
    "a position that is none": lambda chance: b"GET /updates?after=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "an address that is none": lambda chance: b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "questions without waiting": lambda chance: head("Host: 127.0.0.1") * chance.randrange(2, 60),
    "nothing": lambda chance: b"",
}


def _masked(frame: Frame, chance: random.Random) -> bytes:
    return encode(
        Frame(frame.opcode, frame.payload, frame.fin, frame.rsv1, frame.rsv2, frame.rsv3, chance.randbytes(4))
    )


FRAMES: dict[str, Say] = {
    "noise": _noise,
    "unmasked": lambda chance: encode(Frame(Opcode.TEXT, b"not masked")),
    "reserved": lambda chance: _masked(Frame(chance.choice([3, 4, 7, 11, 15]), b"?"), chance),
    "reserved-bit": lambda chance: _masked(Frame(Opcode.TEXT, b"?", rsv2=True), chance),
    "endless": lambda chance: (
        bytes([0x82, 0xFF]) + (2 ** chance.randrange(25, 63)).to_bytes(8, "big") + chance.randbytes(4)
    ),
    "not-utf-8": lambda chance: _masked(Frame(Opcode.TEXT, b"\xff\xfe\xfd"), chance),
    "long-ping": lambda chance: _masked(Frame(Opcode.PING, bytes(126)), chance),
    "no-beginning": lambda chance: _masked(Frame(Opcode.CONTINUATION, b"of what?"), chance),
    "close-of-one-byte": lambda chance: _masked(Frame(Opcode.CLOSE, b"x"), chance),
    "half": lambda chance: _masked(Frame(Opcode.TEXT, bytes(100)), chance)[: chance.randrange(1, 100)],
    "flood-of-pings": lambda chance: _masked(Frame(Opcode.PING, b"?" * 100), chance) * 3000,
}
