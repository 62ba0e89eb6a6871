"""The WebSocket protocol by hand: the opening handshake and the frames of RFC 6455, for reading.

Nothing in the course is served with this module; `websockets` does that, faster and with more care. It shows what
such a library hides: one HTTP exchange that ends in 101, and after it, on the same TCP connection, frames of 2 to 14
bytes of header and a payload. No function here touches a socket: bytes go in, bytes or frames come out.

Read it in this order: the handshake (text), `Frame`, `encode` and `decode` (bits), `Assembler` (messages), the close
codes, and `describe`, which draws a header bit by bit. The names are those of the lesson `04_upgrade_the_connection`.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "CLOSE_CODES",
    "GUID",
    "MAX_SIZE",
    "Assembler",
    "Frame",
    "Opcode",
    "WireError",
    "accept_key",
    "apply_mask",
    "close_payload",
    "decode",
    "describe",
    "encode",
    "handshake_check",
    "handshake_request",
    "handshake_response",
    "new_key",
    "parse_close",
    "parse_head",
    "split_head",
]

Buffer = bytes | bytearray | memoryview

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3: a string no other protocol would answer with
MAX_SIZE = 2**20  # bytes of one message; without a bound a header may announce 2**63 bytes and the reader keeps them


class WireError(ValueError):
    """What came over the wire breaks RFC 6455; the connection cannot go on.

    `code` says how to end it. Once frames flow it is the close code that the RFC names (section 7.4.1): 1002 protocol
    error, 1007 text that is not UTF-8, 1009 too big. A server that refuses a handshake answers with an HTTP status
    (400, 426); a client has nobody to tell and only reports 1006. `str(error)` is one sentence.
    Used in the lesson `04_upgrade_the_connection`.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


# The opening handshake: one HTTP request, one HTTP response (section 4)


def new_key() -> str:
    """Return a fresh `Sec-WebSocket-Key`: 16 random bytes in base64, 24 characters (RFC 6455 section 4.1).

    It is no secret. It proves that the answer was made for this request and did not come out of a cache.
    Used in the lesson `04_upgrade_the_connection`.
    """
    return base64.b64encode(secrets.token_bytes(16)).decode()


def accept_key(key: str) -> str:
    """Return the `Sec-WebSocket-Accept` that answers `key`: base64 of SHA-1 of `key + GUID`, 28 characters.

    Source: RFC 6455 sections 1.3 and 4.2.2. Built in the lesson `04_upgrade_the_connection`.
    """
    digest = hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()  # a check of understanding, no secret
    return base64.b64encode(digest).decode()


def handshake_request(host: str, path: str, key: str, *, origin: str | None = None) -> bytes:
    """Return the request with which a client asks to leave HTTP, ready to be sent.

    `host` is a name with its port (`"127.0.0.1:8000"`), `path` begins with `/`, `key` comes from `new_key()`; browsers
    add the `origin` of the page. Raises ValueError for a space, a control character or a non-ASCII one, which would
    let one value write the next header. Source: RFC 6455 section 4.1.
    Built in the lesson `04_upgrade_the_connection`.
    """
    for value in (host, path, key, origin or ""):
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f"{value!r} cannot stand in a request: use printable ASCII without spaces")
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    if origin is not None:
        lines.append(f"Origin: {origin}")
    return _head(lines)


def handshake_response(request: bytes) -> bytes:
    """Return the `101 Switching Protocols` that answers `request`: all bytes up to and with its empty line.

    After it the connection speaks frames. Extensions and subprotocols are declined by not naming them. Raises
    WireError whose code is the HTTP status to answer with: 426 where the client did not ask for WebSocket version 13,
    400 for any other fault. Source: RFC 6455 sections 4.2.1 and 4.2.2.
    Built in the lesson `04_upgrade_the_connection`.
    """
    first, headers = parse_head(request)
    if not re.fullmatch(r"GET \S+ HTTP/1\.1", first):
        raise WireError(400, f"a handshake begins with GET, a path and HTTP/1.1, not with {first!r}")
    if "host" not in headers:
        raise WireError(400, "the request names no Host")
    if not _asks_for_websocket(headers):
        raise WireError(426, "the request is plain HTTP: it lacks Upgrade: websocket or Connection: Upgrade")
    if headers.get("sec-websocket-version") != "13":
        raise WireError(426, "the only version spoken here is Sec-WebSocket-Version: 13")
    key = headers.get("sec-websocket-key", "")
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    if size != 16:
        raise WireError(400, f"Sec-WebSocket-Key must be 16 bytes in base64, not {key!r}")
    return _head(
        [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key)}",
        ]
    )


def handshake_check(response: bytes, key: str) -> None:
    """Check as the client that sent `key` that `response`, up to and with its empty line, opens a WebSocket.

    Raises WireError with code 1006 (never sent, only reported: there is no WebSocket yet to close).
    Source: RFC 6455 section 4.1. Used in the lesson `04_upgrade_the_connection`.
    """
    first, headers = parse_head(response, code=1006)
    if first.split(" ")[:2] != ["HTTP/1.1", "101"]:
        raise WireError(1006, f"the server did not switch protocols: {first!r}")
    if not _asks_for_websocket(headers):
        raise WireError(1006, "the 101 lacks Upgrade: websocket or Connection: Upgrade")
    if headers.get("sec-websocket-accept") != accept_key(key):
        raise WireError(1006, "Sec-WebSocket-Accept does not answer the key of this request")
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        raise WireError(1006, "the server chose an extension or a subprotocol that nobody offered")


def split_head(buffer: Buffer) -> tuple[bytes, bytes] | None:
    """Split `buffer` behind the empty line that ends an HTTP head; None means that more bytes are needed.

    The rest is no longer HTTP: a server may send its first frame in the same packet as its 101.
    Source: RFC 9112 section 2.1. Used in the lesson `04_upgrade_the_connection`.
    """
    head, empty_line, rest = bytes(buffer).partition(b"\r\n\r\n")
    return (head + empty_line, rest) if empty_line else None


def parse_head(head: bytes, *, code: int = 400) -> tuple[str, dict[str, str]]:
    """Return the first line of an HTTP head and its headers, names in lower case, repeated ones joined by commas.

    Raises WireError with `code` where the head does not end in its one empty line or a header has no name.
    Source: RFC 9112 sections 2 to 5. Used in the lesson `04_upgrade_the_connection`.
    """
    parts = split_head(head)
    if parts is None or parts[1]:
        raise WireError(code, "an HTTP head ends in its first empty line, and nothing follows it")
    # HTTP does not say what bytes beyond ASCII mean in a header; latin-1 takes them all.
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise WireError(code, f"a header is a name, a colon and a value, not {line!r}")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return first, headers


def _head(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _asks_for_websocket(headers: dict[str, str]) -> bool:
    """Both headers are lists without case: browsers send `Connection: keep-alive, Upgrade`."""
    options = [option.strip().lower() for option in headers.get("connection", "").split(",")]
    return "upgrade" in options and headers.get("upgrade", "").lower() == "websocket"


# Frames: what travels once the handshake is over (section 5)


class Opcode(IntEnum):
    """What a frame carries, 4 bits; from 8 on it controls the connection (RFC 6455 section 5.2).

    Built in the lesson `04_upgrade_the_connection`.
    """

    CONTINUATION, TEXT, BINARY = 0x0, 0x1, 0x2
    CLOSE, PING, PONG = 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: an opcode of 4 bits, the payload in clear, FIN, RSV1 to RSV3 and the 4 bytes of a mask, or None.

    An allowed frame and its bytes are the same thing twice: `decode(encode(frame))` gives it back, and the reverse.
    Source: RFC 6455 section 5.2. Built in the lesson `04_upgrade_the_connection`.
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    mask: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.opcode <= 15 or (self.mask is not None and len(self.mask) != 4):
            raise ValueError("an opcode has 4 bits, a mask has 4 bytes")


def apply_mask(payload: Buffer, mask: bytes) -> bytes:
    """XOR byte i of `payload` with byte i mod 4 of `mask`; doing it twice undoes it (RFC 6455 section 5.3).

    Built in the lesson `04_upgrade_the_connection`.
    """
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def encode(frame: Frame) -> bytes:
    """Return `frame` as bytes; a client gives each frame a new mask, `secrets.token_bytes(4)`, a server none.

    It writes what it is told, forbidden frames too, so that a lesson can send one and see it refused.
    Source: RFC 6455 section 5.2. Built in the lesson `04_upgrade_the_connection`.
    """
    first = frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.opcode
    size = len(frame.payload)
    if size < 126:
        length, more = size, b""
    elif size < 2**16:
        length, more = 126, size.to_bytes(2, "big")
    else:
        length, more = 127, size.to_bytes(8, "big")
    if frame.mask is None:
        return bytes([first, length]) + more + frame.payload
    return bytes([first, 0x80 | length]) + more + frame.mask + apply_mask(frame.payload, frame.mask)


def decode(buffer: Buffer, *, masked: bool | None = None, max_size: int = MAX_SIZE) -> tuple[Frame, int] | None:
    """Return the first frame in `buffer` and its size in bytes; None means that more bytes are needed.

    `masked` is True where frames come from a client, False where they come from a server, None where both may come.
    Raises WireError 1002, or 1009 for a payload over `max_size` bytes, as soon as the header shows it.
    Source: RFC 6455 sections 5.1 to 5.5. Built in the lesson `04_upgrade_the_connection`.
    """
    if len(buffer) < 2:
        return None
    fin, rsv, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x70, buffer[0] & 0x0F
    has_mask, length, at = bool(buffer[1] & 0x80), buffer[1] & 0x7F, 2
    if rsv:
        raise WireError(1002, "RSV1 to RSV3 must be 0: no extension was agreed on")
    if opcode not in list(Opcode):
        raise WireError(1002, f"opcode {opcode} is reserved")
    if opcode >= Opcode.CLOSE and (not fin or length > 125):
        raise WireError(1002, "a control frame is one piece of at most 125 bytes")
    if masked is not None and has_mask != masked:
        raise WireError(1002, "a client masks every frame, a server none")
    if length > 125:
        at, smallest = (4, 126) if length == 126 else (10, 2**16)
        if len(buffer) < at:
            return None
        length = int.from_bytes(buffer[2:at], "big")
        if not smallest <= length < 2**63:
            raise WireError(1002, f"{length} in {at - 2} bytes: a length takes the shortest form and at most 63 bits")
    if length > max_size:
        raise WireError(1009, f"a payload of {length} bytes is over the limit of {max_size}")
    start = at + 4 * has_mask
    end = start + length
    if len(buffer) < end:
        return None
    mask = bytes(buffer[at:start]) if has_mask else None
    payload = apply_mask(buffer[start:end], mask) if mask else bytes(buffer[start:end])
    return Frame(Opcode(opcode), payload, fin, mask=mask), end


# Messages: what a program sees (section 5.4)


class Assembler:
    """Put the frames of one direction together again: `add` each as it comes, in order.

    A message may arrive in fragments, a first frame with its opcode and then continuations up to one with FIN, and
    control frames may come between them. `max_size` bounds one message, in bytes over all its fragments.
    Source: RFC 6455 sections 5.4 and 8.1. Built in the lesson `04_upgrade_the_connection`.
    """

    def __init__(self, max_size: int = MAX_SIZE) -> None:
        self.max_size = max_size
        self._opcode: int | None = None  # of the message that is not complete yet
        self._payload = bytearray()

    def add(self, frame: Frame) -> str | bytes | Frame | None:
        """Return a complete message as str (text) or bytes (binary), a control frame as it is, or None for "not yet".

        Raises WireError 1002 for a frame out of order or a bad close frame, 1007 for text that is not UTF-8 and 1009
        for a message over `max_size` bytes. Built in the lesson `04_upgrade_the_connection`.
        """
        if frame.opcode >= Opcode.CLOSE:
            if frame.opcode == Opcode.CLOSE:
                parse_close(frame.payload)
            return frame
        if (frame.opcode == Opcode.CONTINUATION) != (self._opcode is not None):
            raise WireError(1002, "a message begins with text or binary, and only continuations follow up to its FIN")
        if len(self._payload) + len(frame.payload) > self.max_size:
            raise WireError(1009, f"the message is over the limit of {self.max_size} bytes")
        if self._opcode is None:
            self._opcode = frame.opcode
        self._payload += frame.payload
        if not frame.fin:
            return None
        opcode, payload = self._opcode, bytes(self._payload)
        self._opcode, self._payload = None, bytearray()
        # Only the whole is decoded: a fragment may end in the middle of a character.
        return _text(payload, "the message") if opcode == Opcode.TEXT else payload


def _text(payload: bytes, what: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(1007, f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error


# Closing: a code and a reason (sections 5.5.1 and 7.4)

CLOSE_CODES = {
    1000: "normal closure",
    1001: "going away: a server stops, or a page is left",
    1002: "protocol error",
    1003: "this kind of data is not accepted",
    1007: "the data does not fit its type, such as text that is not UTF-8",
    1008: "policy violation",
    1009: "message too big",
    1010: "the client needs an extension that the server did not choose",
    1011: "internal error of the server",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
}
"""The codes a close frame may carry; 3000 to 3999 are for libraries (registered), 4000 to 4999 for anybody.

1005 (no code came), 1006 (the connection broke) and 1015 (TLS failed) are only ever reported, never sent. Source:
RFC 6455 section 7.4, and IANA's WebSocket Close Code Number Registry for 1012 to 1014."""


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame: 2 bytes of `code`, then `reason` in UTF-8, at most 123 bytes.

    Raises ValueError for a code that may not be sent or a reason that is too long. A close frame may also be empty.
    Source: RFC 6455 sections 5.5.1 and 7.4. Built in the lesson `04_upgrade_the_connection`.
    """
    text = reason.encode()
    if not _may_be_sent(code):
        raise ValueError(f"{code} may not be sent in a close frame: use 1000, or 4000 to 4999 for a code of your own")
    if len(text) > 123:
        raise ValueError(f"the reason has {len(text)} bytes: a control frame leaves 123 for it")
    return code.to_bytes(2, "big") + text


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame; an empty one gives `(1005, "")`, "no code came".

    Raises WireError 1002 for a lone byte or a code that may not be sent, 1007 for a reason that is not UTF-8.
    Source: RFC 6455 sections 5.5.1, 7.1.5 and 7.4. Used in the lesson `04_upgrade_the_connection`.
    """
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise WireError(1002, "a close frame has no payload, or 2 bytes of code and a reason, never 1 byte")
    code = int.from_bytes(payload[:2], "big")
    if not _may_be_sent(code):
        raise WireError(1002, f"{code} may not be sent in a close frame")
    return code, _text(payload[2:], "the reason")


def _may_be_sent(code: int) -> bool:
    return code in CLOSE_CODES or 3000 <= code <= 4999


# Looking at a frame


def describe(buffer: Buffer) -> str:
    """Return the first frame in `buffer` as a table for the eye, a field a line: bytes, bits, field and value.

    Nothing is refused: forbidden bits are shown as they are, and a frame that is cut says so at its end.
    Source: the figure in RFC 6455 section 5.2. Used in the lesson `04_upgrade_the_connection`.
    """
    data = bytes(buffer)
    if len(data) < 2:
        return f"(cut: a frame has 2 bytes or more, {len(data)} of them here)"
    first, second = data[0], data[1]
    opcode, has_mask, length, at = first & 0x0F, second >> 7, second & 0x7F, 2
    more = {126: 2, 127: 8}.get(length, 0)
    name = Opcode(opcode).name.lower() if opcode in list(Opcode) else "reserved"
    rows = [
        ("bytes", "bits", "field", "value"),
        ("0", _bits(first, 0x80), "FIN", "1, the last frame of its message" if first & 0x80 else "0, more follow"),
        ("0", _bits(first, 0x70), "RSV1-3", "set: an extension, or an error" if first & 0x70 else "0"),
        ("0", _bits(first, 0x0F), "opcode", f"{opcode}, {name}"),
        ("1", _bits(second, 0x80), "MASK", "1, masked: from a client" if has_mask else "0, in clear: from a server"),
        ("1", _bits(second, 0x7F), "length", f"{length}, see the next {more} bytes" if more else f"{length}"),
    ]
    if more:
        part, at = data[2 : 2 + more], 2 + more
        if len(part) < more:
            rows.append((f"2-{at - 1}", "", "length", f"{part.hex(' ')} (cut)".lstrip()))
            return _table(rows)
        length = int.from_bytes(part, "big")
        rows.append((f"2-{at - 1}", "", "length", f"{part.hex(' ')} = {length}"))
    start, end = at + 4 * has_mask, at + 4 * has_mask + length
    mask, payload = data[at:start], data[start : min(end, start + 16)]
    dots = " .." if length > 16 else ""
    if has_mask:
        rows.append((f"{at}-{start - 1}", "", "mask", mask.hex(" ")))
    if length:
        rows.append((f"{start}-{end - 1}" if length > 1 else f"{start}", "", "payload", payload.hex(" ") + dots))
        rows.append(("", "", "in clear", repr(apply_mask(payload, mask) if has_mask else payload)[1:] + dots))
    if len(data) < end:
        rows.append(("", "", "", f"(cut: {len(data)} of {end} bytes are here)"))
    return _table(rows)


def _bits(byte: int, shown: int) -> str:
    """Write `byte` in binary, with a dot for each bit that `shown` lacks."""
    return "".join(bit if keep == "1" else "." for bit, keep in zip(f"{byte:08b}", f"{shown:08b}", strict=True))


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
