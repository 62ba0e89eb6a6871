"""The opening handshake: one HTTP request, one HTTP response (RFC 6455 section 4)."""

import base64
import hashlib
import re
import secrets

from wsdemo.wire.error import Buffer, WireError

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3: a string no other protocol would answer with


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
