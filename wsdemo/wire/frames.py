"""Frames: what travels once the handshake is over (RFC 6455 section 5)."""

from dataclasses import dataclass
from enum import IntEnum

from wsdemo.wire.error import Buffer, WireError

MAX_SIZE = 2**20  # bytes of one message; without a bound a header may announce 2**63 bytes and the reader keeps them


class Opcode(IntEnum):
    """What a frame carries, 4 bits; from 8 on it controls the connection (RFC 6455 section 5.2).

    Used in the lesson `04_upgrade_the_connection`.
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
