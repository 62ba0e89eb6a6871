"""Messages, which are what a program sees (RFC 6455 section 5.4), and their end: codes and reasons (5.5.1 and 7.4)."""

from wsdemo.wire.error import WireError
from wsdemo.wire.frames import MAX_SIZE, Frame, Opcode

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


def _text(payload: bytes, what: str) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(1007, f"{what} is not UTF-8: {error.reason} at byte {error.start}") from error
