"""TCP segments of a connection, as the kernel counts them, and what the line carries besides the payload.

`TCP_INFO` is read without any right that the owner of a socket lacks. Only Linux gives both counters. Source: struct
tcp_info in include/uapi/linux/tcp.h, since Linux 4.2.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import NamedTuple

# Eight single bytes, 24 of four, four of eight: then tcpi_segs_out and tcpi_segs_in (section "RFC4898" of the struct).
_SEGMENTS_AT = 8 + 24 * 4 + 4 * 8
_SEGMENTS = struct.Struct("=II")
_OPTIONS_AT = 5
_HAS_TIMESTAMPS = 1

IPV4_BYTES = 20
"""A header of IPv4 without options (RFC 791, section 3.1)."""
TCP_BYTES = 20
"""A header of TCP without options (RFC 9293, section 3.1)."""
TIMESTAMP_BYTES = 12
"""The timestamps of every segment behind the first two, 10 bytes and 2 of padding (RFC 7323, section 3.2)."""


class Segments(NamedTuple):
    """What one end of a connection has sent and received, acknowledgements without payload included."""

    sent: int
    received: int
    has_timestamps: bool


def segments(sock: socket.socket) -> Segments | None:
    """Return the segments of an open connection so far, None where the system does not count them or it is closed."""
    if sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_AT + _SEGMENTS.size)
    except OSError:
        return None
    if len(info) < _SEGMENTS_AT + _SEGMENTS.size:  # an older kernel gives as much as it has
        return None
    sent, received = _SEGMENTS.unpack_from(info, _SEGMENTS_AT)
    return Segments(sent, received, bool(info[_OPTIONS_AT] & _HAS_TIMESTAMPS))


def line_bytes(payload: int, segments: int, *, timestamps: bool = True, ip_header: int = IPV4_BYTES) -> int:
    """Return what IP carries for so much payload in so many segments: payload and headers, of both ways if both count.

    Every segment has an IP header of `ip_header` bytes (40 for IPv6), a TCP header of 20 and, where both ends agreed on
    them, as Linux, macOS and Windows 11 do among themselves, 12 bytes of timestamps. Left out are the frames of the
    Ethernet below, the 8 bytes more that the first two segments of a connection have for their options, and selective
    acknowledgements, which only a line that loses something needs.
    """
    return payload + segments * (ip_header + TCP_BYTES + (TIMESTAMP_BYTES if timestamps else 0))
