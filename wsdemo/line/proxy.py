"""What bad proxies do to HTTP: they hold answers back, refuse `Upgrade`, and say that nobody is behind them."""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from wsdemo.line.fault import Fault

if TYPE_CHECKING:
    import h11

MOST_HEAD_BYTES = 65536
"""Of a request whose headers do not end, no more is looked at."""
_UPGRADE = re.compile(rb"^upgrade[ \t]*:", re.IGNORECASE | re.MULTILINE)


def head_is_whole(begun: bytes | bytearray) -> bool:
    """Whether the headers of a request have come, or so much that nobody waits for the rest."""
    return b"\r\n\r\n" in begun or len(begun) >= MOST_HEAD_BYTES


def refusal(head: bytes | bytearray, fault: Fault) -> tuple[str, bytes] | None:
    """Return what is done with a request, in words, and the whole answer; None if it is let through."""
    if fault.unavailable_status is not None:
        return f"answered {fault.unavailable_status}", _answer(fault.unavailable_status, fault.retry_after_s)
    if fault.upgrade_status is not None and _UPGRADE.search(bytes(head.partition(b"\r\n\r\n")[0])):
        return f"refused Upgrade with {fault.upgrade_status}", _answer(fault.upgrade_status)
    return None


def _answer(status: int, retry_after_s: float | None = None) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    body = f"{status} {phrase}\n"
    lines = [f"HTTP/1.1 {status} {phrase}", "Content-Type: text/plain", f"Content-Length: {len(body)}"]
    if retry_after_s is not None:
        lines.append(f"Retry-After: {math.ceil(retry_after_s)}")  # whole seconds (RFC 9110, section 10.2.3)
    return "\r\n".join([*lines, "Connection: close", "", body]).encode()


class Holder:
    """Holds the answers of one connection back, each until it ends or `most` bytes have come.

    Where one ends, `h11` says. What is not HTTP, or no longer since 101, passes at once: a proxy has become a tunnel.
    An answer that had begun to pass before nobody has followed: it ends with the next question.
    """

    def __init__(self) -> None:
        self._parser: h11.Connection | None = None
        self._kept = bytearray()
        self._has_begun = self._is_tunnel = self._is_lost = False

    def passed(self, data: bytes) -> None:
        """Note what passes while nothing is to be held back."""
        if not self._has_begun:
            self._is_tunnel = not data.startswith(b"HTTP/1.") or data[8:13] == b" 101 "
        self._has_begun = self._is_lost = True

    def asked(self) -> None:
        """Note that a question has passed in the other direction."""
        self._is_lost = False

    def take(self, data: bytes, most: int) -> bytes:
        """Return what passes now that this has come too."""
        self._has_begun = True
        self._kept += data
        if not self._is_tunnel and not self._ended(data) and len(self._kept) < most:
            return b""
        return self.rest()

    def rest(self) -> bytes:
        """Return all that was held back."""
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    @property
    def holds(self) -> int:
        """How many bytes are held back."""
        return len(self._kept)

    def _ended(self, data: bytes) -> bool:
        """Follow the answers; return whether one has ended, or nobody can say where one will."""
        if self._is_lost:
            return data.endswith(b"\r\n0\r\n\r\n")
        import h11  # here, since every process of this package imports the words of a line, and few hold answers back

        try:
            while data:
                if self._parser is None:
                    self._parser = _awaiting()
                self._parser.receive_data(data)
                while (event := self._parser.next_event()) is not h11.NEED_DATA:
                    if isinstance(event, h11.EndOfMessage):
                        data = self._parser.trailing_data[0]
                        self._parser = None
                        break
                else:
                    return False
            return True
        except h11.RemoteProtocolError:  # which h11 says of 101 as well, since its question did not ask for it
            self._is_tunnel = True
            return True


def _awaiting() -> h11.Connection:
    """Return a parser that waits for one answer to some question without a body."""
    import h11

    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "any")]))
    parser.send(h11.EndOfMessage())
    return parser
