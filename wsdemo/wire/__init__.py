"""The WebSocket protocol by hand: the opening handshake and the frames of RFC 6455, for reading.

Nothing in the course is served with this module; `websockets` does that, faster and with more care. It shows what
such a library hides: one HTTP exchange that ends in 101, and after it, on the same TCP connection, frames of 2 to 14
bytes of header and a payload. No function here touches a socket: bytes go in, bytes or frames come out.

Read it in this order: `handshake` (text), `frames` with `encode` and `decode` (bits), `messages` with `Assembler` and
the close codes, and `picture`, whose `describe` draws a header bit by bit. The names are those of the lesson
`04_upgrade_the_connection`.
"""

from wsdemo.wire.error import WireError
from wsdemo.wire.frames import MAX_SIZE, Frame, Opcode, apply_mask, decode, encode
from wsdemo.wire.handshake import (
    GUID,
    accept_key,
    handshake_check,
    handshake_request,
    handshake_response,
    new_key,
    parse_head,
    split_head,
)
from wsdemo.wire.messages import CLOSE_CODES, Assembler, close_payload, parse_close
from wsdemo.wire.picture import describe

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
