"""A frame's header, drawn bit by bit, to be looked at."""

from wsdemo.wire.error import Buffer
from wsdemo.wire.frames import Opcode, apply_mask


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
