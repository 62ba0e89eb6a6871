"""The protocol by hand, held against RFC 6455 and against the parser of `websockets`."""

import ast
import asyncio
import inspect
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from patience import patient
from websockets import frames as lib
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.uri import parse_uri

from wsdemo import wire
from wsdemo.wire import Assembler, Frame, Opcode, WireError, decode, encode

# The same examples in every run, and no limit of time or speed: a busy machine must not turn a test red.
FIXED = settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = bytes.fromhex("37fa213d")
DATA, CONTROL = (Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY), (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
BOUNDARIES = (0, 1, 125, 126, 127, 65535, 65536)

masks = st.none() | st.binary(min_size=4, max_size=4)
control_frames = st.builds(Frame, st.sampled_from(CONTROL), st.binary(max_size=125), mask=masks)
data_frames = st.builds(Frame, st.sampled_from(DATA), st.binary(max_size=300), st.booleans(), mask=masks)
pings = st.builds(Frame, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125), mask=masks)
frames = control_frames | data_frames


def library_parse(data: bytes, *, masked: bool, max_size: int = wire.MAX_SIZE):
    """Do what `decode` does, with the library: its frame and the bytes it took, None for "more", or its exception."""
    reader = StreamReader()
    reader.feed_data(data)
    try:
        next(lib.Frame.parse(reader.read_exact, mask=masked, max_size=max_size))
    except StopIteration as done:
        return done.value, len(data) - len(reader.buffer)
    return None


def same(ours: Frame, theirs: lib.Frame) -> bool:
    """A frame of the library has no mask; everything else must be equal."""
    return (ours.opcode, ours.payload, ours.fin, ours.rsv1, ours.rsv2, ours.rsv3) == (
        theirs.opcode,
        bytes(theirs.data),
        theirs.fin,
        theirs.rsv1,
        theirs.rsv2,
        theirs.rsv3,
    )


def refusal(call, *args, **options) -> int:
    """Return the close code with which `call` refuses its arguments."""
    with pytest.raises(WireError) as caught:
        call(*args, **options)
    assert str(caught.value) and not str(caught.value).endswith("."), "the error is a sentence to be quoted"
    return caught.value.code


# The opening handshake


def test_the_sample_key_of_section_1_3():
    """The key of RFC 6455 section 1.3 is answered as there."""
    assert wire.accept_key(KEY) == ACCEPT


def test_the_request_byte_for_byte():
    """A request is these bytes and no others."""
    assert wire.handshake_request("127.0.0.1:8000", "/chat", KEY, origin="http://127.0.0.1:8888") == (
        b"GET /chat HTTP/1.1\r\n"
        b"Host: 127.0.0.1:8000\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Origin: http://127.0.0.1:8888\r\n"
        b"\r\n"
    )


def test_the_response_byte_for_byte():
    """The answer to a request is these bytes and no others."""
    assert wire.handshake_response(wire.handshake_request("a", "/", KEY)) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


def test_keys_are_new_each_time():
    """A key has 24 characters for 16 bytes, and no two are equal."""
    keys = {wire.new_key() for _ in range(50)}
    assert len(keys) == 50 and {len(key) for key in keys} == {24}


@pytest.mark.parametrize("field", ["host", "path", "key", "origin"])
@pytest.mark.parametrize("bad", ["a\r\nX: 1", "a b", "\N{SNOWMAN}", "a\x00", "a\tb"])
def test_a_value_cannot_write_the_next_header(field, bad):
    """Line ends, spaces and other characters that would change the request are refused before it is built."""
    with pytest.raises(ValueError, match="cannot stand in a request"):
        wire.handshake_request(**{"host": "a", "path": "/", "key": KEY, "origin": "http://a"} | {field: bad})


def library_status(request: bytes) -> int:
    """Ask the library's server protocol for the status with which it answers `request`."""
    server = ServerProtocol()
    server.receive_data(request)
    events = server.events_received()
    return server.accept(events[0]).status_code if events else 400


def library_opens(response: bytes) -> bool:
    """Tell whether the library's client protocol, made to send KEY, takes `response` for an open WebSocket."""
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    client.key = KEY
    client.send_request(client.connect())
    client.receive_data(response)
    return client.state is OPEN


GOOD_REQUEST = wire.handshake_request("127.0.0.1:8000", "/chat?after=3", KEY)
GOOD_RESPONSE = wire.handshake_response(GOOD_REQUEST)


def test_the_library_opens_with_our_request():
    """The library's server answers our request with 101 and the key's answer, which our client accepts."""
    server = ServerProtocol()
    server.receive_data(GOOD_REQUEST)
    server.send_response(server.accept(server.events_received()[0]))
    response = b"".join(server.data_to_send())
    assert response.startswith(b"HTTP/1.1 101 ") and server.state is OPEN
    wire.handshake_check(response, KEY)


def test_the_library_opens_with_our_response():
    """Our answer to the library's own request opens the library's client."""
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    client.send_request(client.connect())
    client.receive_data(wire.handshake_response(b"".join(client.data_to_send())))
    assert client.state is OPEN and client.handshake_exc is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Upgrade: websocket", b"upgrade:WebSocket"),
        (b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
        (b"Connection: Upgrade", b"Connection: keep-alive\r\nConnection: upgrade"),
        (b"Host:", b"User-Agent: caf\xe9\r\nHost:"),
    ],
)
def test_requests_that_look_different_and_are_right(old, new):
    """Names and tokens have no case, Connection is a list, and other headers are no business of the handshake."""
    request = GOOD_REQUEST.replace(old, new)
    assert request != GOOD_REQUEST
    assert wire.handshake_response(request) == GOOD_RESPONSE
    assert library_status(request) == 101


# Old text, new text, the status to answer with, and whether the library refuses it as well.
BAD_REQUESTS = [
    (b"GET", b"POST", 400, True),
    (b"HTTP/1.1", b"HTTP/1.0", 400, True),
    (b" /chat?after=3", b"", 400, True),
    (b"Host: 127.0.0.1:8000\r\n", b"", 400, False),  # it leaves Host to the code around it
    (b"Host:", b"Host", 400, True),
    (b"Host:", b"X : 1\r\nHost:", 400, True),
    (b"Host:", b"X: 1\r\n folded: 2\r\nHost:", 400, True),
    (b"Upgrade: websocket\r\n", b"", 426, True),
    (b"websocket", b"h2c", 426, True),
    (b"Connection: Upgrade\r\n", b"", 426, True),
    (b"Connection: Upgrade", b"Connection: close", 426, True),
    (b"Connection: Upgrade", b"Connection: no-upgrade", 426, True),
    (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", 426, True),
    (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", 426, True),
    (b"Sec-WebSocket-Version: 13\r\n", b"", 426, True),
    (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400, True),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"", 400, True),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25j", 400, True),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZWVl", 400, True),
    (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZ***", 400, True),
    (b"Sec-WebSocket-Key:", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:", 400, True),
    (b"\r\n\r\n", b"\r\n", 400, True),
]


@pytest.mark.parametrize(("old", "new", "status", "library_too"), BAD_REQUESTS)
def test_bad_requests_are_refused(old, new, status, library_too):
    """Each fault is answered with its status, and the library refuses it as well."""
    request = GOOD_REQUEST.replace(old, new, 1)
    assert request != GOOD_REQUEST
    assert refusal(wire.handshake_response, request) == status
    assert (library_status(request) != 101) == library_too


@pytest.mark.parametrize("request_bytes", [b"", b"abc", b"\r\n\r\n", GOOD_REQUEST + b"\x81", GOOD_REQUEST * 2])
def test_what_is_not_one_head_is_refused(request_bytes):
    """Nothing, a scrap, an empty head and a head with more behind it are no request."""
    assert refusal(wire.handshake_response, request_bytes) == 400


# Old text, new text, and whether the library refuses it as well.
BAD_RESPONSES = [
    (b"101 Switching Protocols", b"200 OK", True),
    (b"HTTP/1.1", b"HTTP/1.0", True),
    (b"Upgrade: websocket\r\n", b"", True),
    (b"websocket", b"h2c", True),
    (b"Connection: Upgrade\r\n", b"", True),
    (b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"s3pplmbitxaq9kygzzhzrbk+xoo=", True),
    (b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", b"", True),
    (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n", True),
    (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", True),
    (b"\r\n\r\n", b"\r\n", True),
]


@pytest.mark.parametrize(("old", "new", "library_too"), BAD_RESPONSES)
def test_bad_responses_are_refused(old, new, library_too):
    """A client reports 1006 for each fault of the answer, where the library does not open either."""
    response = GOOD_RESPONSE.replace(old, new, 1)
    assert response != GOOD_RESPONSE
    assert library_opens(GOOD_RESPONSE)
    assert refusal(wire.handshake_check, response, KEY) == 1006
    assert library_opens(response) != library_too


def test_a_head_cut_at_every_byte():
    """Up to its last byte a head wants more; what follows it is handed back untouched."""
    frame = encode(Frame(Opcode.TEXT, b"already here"))
    stream = GOOD_RESPONSE + frame
    for cut in range(len(stream) + 1):
        expected = None if cut < len(GOOD_RESPONSE) else (GOOD_RESPONSE, stream[len(GOOD_RESPONSE) : cut])
        assert wire.split_head(stream[:cut]) == expected


# Frames: the examples of RFC 6455 section 5.7

EXAMPLES = [
    ("a text message in one frame", "81 05 48 65 6c 6c 6f", Frame(Opcode.TEXT, b"Hello")),
    ("the same, masked", "81 85 37 fa 21 3d 7f 9f 4d 51 58", Frame(Opcode.TEXT, b"Hello", mask=MASK)),
    ("a first fragment", "01 03 48 65 6c", Frame(Opcode.TEXT, b"Hel", fin=False)),
    ("its last fragment", "80 02 6c 6f", Frame(Opcode.CONTINUATION, b"lo")),
    ("a ping", "89 05 48 65 6c 6c 6f", Frame(Opcode.PING, b"Hello")),
    ("its masked pong", "8a 85 37 fa 21 3d 7f 9f 4d 51 58", Frame(Opcode.PONG, b"Hello", mask=MASK)),
    ("256 bytes", "82 7e 01 00" + 256 * " ab", Frame(Opcode.BINARY, 256 * b"\xab")),
    ("65,536 bytes", "82 7f 00 00 00 00 00 01 00 00" + 65536 * " cd", Frame(Opcode.BINARY, 65536 * b"\xcd")),
]


@pytest.mark.parametrize(("name", "text", "frame"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_the_examples_of_section_5_7(name, text, frame):
    """Each example reads as its frame, is written as its bytes, and the library reads the same."""
    data, masked = bytes.fromhex(text), frame.mask is not None
    assert decode(data) == (frame, len(data)) == decode(data, masked=masked)
    assert encode(frame) == data
    theirs, size = library_parse(data, masked=masked)
    assert same(frame, theirs) and size == len(data)


def test_the_fragments_of_section_5_7_make_hello():
    """The two fragments of the example are one message."""
    assembler = Assembler()
    assert assembler.add(Frame(Opcode.TEXT, b"Hel", fin=False)) is None
    assert assembler.add(Frame(Opcode.CONTINUATION, b"lo")) == "Hello"


# Frames: random ones against the library


@FIXED
@given(frames)
def test_a_frame_we_write_is_a_frame_the_library_reads(frame):
    """The library reads from our bytes the frame that we meant, and so do we."""
    data, masked = encode(frame), frame.mask is not None
    theirs, size = library_parse(data, masked=masked)
    assert same(frame, theirs) and size == len(data)
    assert decode(data) == decode(data, masked=masked) == (frame, len(data))


@FIXED
@given(frames, st.booleans())
def test_a_frame_the_library_writes_is_a_frame_we_read(frame, masked):
    """We read from the library's bytes the frame that it meant, and write them again to the last bit."""
    theirs = lib.Frame(lib.Opcode(frame.opcode), frame.payload, frame.fin)
    data = theirs.serialize(mask=masked)
    ours, size = decode(data, masked=masked)
    assert same(ours, theirs) and size == len(data) and (ours.mask is not None) == masked
    assert encode(ours) == data


@pytest.mark.parametrize("mask", [None, MASK], ids=["clear", "masked"])
@pytest.mark.parametrize("size", BOUNDARIES)
def test_every_form_of_the_length(size, mask):
    """On both sides of each boundary we and the library read the same, and the header is as short as it can be."""
    frame = Frame(Opcode.BINARY, bytes(i * 7 % 256 for i in range(size)), mask=mask)
    data = encode(frame)
    header = 2 if size <= 125 else 4 if size <= 65535 else 10
    assert len(data) == header + (4 if mask else 0) + size
    assert decode(data) == (frame, len(data))
    assert same(frame, library_parse(data, masked=mask is not None)[0])
    assert lib.Frame(lib.Opcode.BINARY, frame.payload).serialize(mask=mask is not None)[:header] == data[:header]


@pytest.mark.parametrize("mask", [None, MASK], ids=["clear", "masked"])
@pytest.mark.parametrize("size", BOUNDARIES)
def test_every_form_of_the_length_cut_at_every_byte(size, mask):
    """Without its last byte a frame of any size is not there yet; a view of it costs no copy."""
    data = memoryview(encode(Frame(Opcode.TEXT, b"x" * size, mask=mask)))
    assert all(decode(data[:cut]) is None for cut in range(len(data)))
    assert decode(data)[1] == len(data)


@FIXED
@given(frames, st.binary(max_size=20), st.sampled_from([bytes, bytearray, memoryview]))
def test_a_frame_cut_at_every_byte(frame, rest, kind):
    """A part of a frame wants more, as in the library; the bytes behind it change nothing, whatever holds them."""
    data, masked = encode(frame), frame.mask is not None
    for cut in range(len(data)):
        assert decode(kind(data[:cut]), masked=masked) is None
        assert library_parse(data[:cut], masked=masked) is None
    ours, size = decode(kind(data + rest), masked=masked)
    assert (ours, size) == (frame, len(data)) and type(ours.payload) is bytes


# Headers that random bytes would hardly ever hit: each opcode and bit, each form of the length around its limits.
lengths = (
    st.integers(0, 125).map(lambda n: (n, b""))
    | st.sampled_from([0, 125, 126, 299, 300, 301, 65535]).map(lambda n: (126, n.to_bytes(2, "big")))
    | st.sampled_from([0, 125, 126, 300, 65535, 65536, 2**63 - 1, 2**63, 2**64 - 1]).map(
        lambda n: (127, n.to_bytes(8, "big"))
    )
)
headers = st.builds(
    lambda first, masked, length: bytes([first, masked << 7 | length[0]]) + length[1],
    st.integers(0, 255) | st.sampled_from([0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x01, 0x02, 0x00]),
    st.booleans(),
    lengths,
)


def verdict(parse, data: bytes, **options):
    """Reduce what `parse` says to a tuple: a frame with its size, a refusal with its code, or the wish for more."""
    try:
        found = parse(data, **options)
    except WireError as error:
        return "refused", error.code
    except ProtocolError:
        return "refused", 1002
    except PayloadTooBig:
        return "refused", 1009
    return ("more",) if found is None else ("frame", *found)


def not_shortest(data: bytes) -> bool:
    """Tell, without the code under test, whether a shorter form would have held the length."""
    form = data[1] & 0x7F
    return (form == 126 and int.from_bytes(data[2:4], "big") < 126) or (
        form == 127 and int.from_bytes(data[2:10], "big") < 65536
    )


@settings(FIXED, max_examples=1500)
@given(headers | st.binary(min_size=2, max_size=24), st.booleans())
@example(b"\x82\x7e\x00\x7d", False)
@example(b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", False)
def test_any_bytes_are_read_or_refused_as_the_library_does(data, masked):
    """Of any bytes the library and we make the same frame, or both refuse.

    Where we differ, the RFC is on our side: section 5.2 wants the shortest form of a length, which the library does
    not check.
    """
    data += bytes(range(256)) * 2  # enough for any payload under the limit, so that nobody can ask for more
    ours = verdict(decode, data, masked=masked, max_size=300)
    theirs = verdict(library_parse, data, masked=masked, max_size=300)
    if not_shortest(data):
        assert ours == ("refused", 1002)
    elif theirs[0] == "frame":
        assert ours[0] == "frame" and same(ours[1], theirs[1]) and ours[2] == theirs[2]
        assert encode(ours[1]) == data[: ours[2]]
    else:
        # The library looks at the size first; with two faults at once the codes may differ, the refusal may not.
        assert ours[0] == theirs[0] == "refused" and (ours[1] == theirs[1] or theirs[1] == 1009)


@FIXED
@given(headers | st.binary(min_size=2, max_size=24), st.booleans())
def test_a_refusal_needs_no_more_bytes(data, masked):
    """Each longer part of a stream is met with "more" or with the last word, and that word is never taken back."""
    data += bytes(range(256)) * 2
    last = verdict(decode, data, masked=masked, max_size=300)
    words = [verdict(decode, data[:cut], masked=masked, max_size=300) for cut in range(len(data) + 1)]
    waiting = words.count(("more",))
    assert words == [("more",)] * waiting + [last] * (len(words) - waiting)
    if last[0] == "refused":
        assert waiting <= 10, "a header has at most 10 bytes before its mask"


# Frames that are refused


@pytest.mark.parametrize(("bit", "first"), [("fin", 0x81), ("rsv1", 0x41), ("rsv2", 0x21), ("rsv3", 0x11)])
def test_each_bit_has_its_place(bit, first):
    """The four bits before the opcode are written where the figure in section 5.2 has them."""
    assert encode(Frame(Opcode.TEXT, **({"fin": False} | {bit: True}))) == bytes([first, 0])


FORBIDDEN = [
    ("RSV1", encode(Frame(Opcode.TEXT, b"a", rsv1=True)), 1002),
    ("RSV2", encode(Frame(Opcode.TEXT, b"a", rsv2=True)), 1002),
    ("RSV3", encode(Frame(Opcode.TEXT, b"a", rsv3=True)), 1002),
    *((f"opcode {code}", encode(Frame(code, b"a")), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *((f"{code.name} in fragments", encode(Frame(code, b"", fin=False)), 1002) for code in CONTROL),
    *((f"{code.name} of 126 bytes", encode(Frame(code, bytes(126))), 1002) for code in CONTROL),
    ("masked by a server", encode(Frame(Opcode.TEXT, b"a", mask=MASK)), 1002),
    ("too big", encode(Frame(Opcode.BINARY, bytes(1001))), 1009),
    ("announced too big", bytes.fromhex("82 7f 7f ff ff ff ff ff ff ff"), 1009),
]


@pytest.mark.parametrize(("name", "data", "code"), FORBIDDEN, ids=[name for name, _, _ in FORBIDDEN])
def test_forbidden_frames(name, data, code):
    """What section 5 forbids is refused with the code of section 7.4.1, by the library as well."""
    assert refusal(decode, data, masked=False, max_size=1000) == code
    assert verdict(library_parse, data, masked=False, max_size=1000) == ("refused", code)


def test_a_client_must_mask():
    """A server refuses a frame in clear, as the library does; without a direction both kinds are read."""
    data = encode(Frame(Opcode.TEXT, b"a"))
    assert refusal(decode, data, masked=True) == 1002
    assert verdict(library_parse, data, masked=True) == ("refused", 1002)
    assert decode(data) is not None


@pytest.mark.parametrize(
    ("data", "library"),
    [
        ("82 7e 00 00", "frame"),
        ("82 7e 00 7d" + 125 * " 00", "frame"),
        ("82 7f 00 00 00 00 00 00 00 00", "frame"),
        ("82 7f 00 00 00 00 00 00 ff ff" + 65535 * " 00", "frame"),
        ("82 7f 80 00 00 00 00 00 00 00", "refused"),  # for its size; the first bit of 64 must be 0
    ],
    ids=["0 in 16 bits", "125 in 16 bits", "0 in 64 bits", "65,535 in 64 bits", "the top bit of 64"],
)
def test_lengths_that_the_rfc_forbids(data, library):
    """A length not in its shortest form is refused; here the RFC (section 5.2) is stricter than the library."""
    assert refusal(decode, bytes.fromhex(data)) == 1002
    assert verdict(library_parse, bytes.fromhex(data), masked=False)[0] == library


def test_the_limit_is_one_mebibyte_and_includes_itself():
    """A payload of just the limit passes, one byte more is announced in vain."""
    assert wire.MAX_SIZE == 1_048_576
    assert decode(encode(Frame(Opcode.BINARY, bytes(wire.MAX_SIZE))))[0].payload == bytes(wire.MAX_SIZE)
    assert refusal(decode, encode(Frame(Opcode.BINARY, bytes(wire.MAX_SIZE + 1)))[:10]) == 1009


@pytest.mark.parametrize("wrong", [{"opcode": 16}, {"opcode": -1}, {"opcode": 1, "mask": b"abc"}])
def test_a_frame_cannot_hold_what_its_bits_cannot(wrong):
    """An opcode of more than 4 bits would spill into RSV3, and a mask of 3 bytes would shift the payload."""
    with pytest.raises(ValueError, match="4 bits"):
        Frame(**wrong)


# Messages


def library_reads(data: bytes, *, side=SERVER, max_size: int = wire.MAX_SIZE) -> tuple[list[lib.Frame], int | None]:
    """Feed a stream to the library's protocol: the frames it takes, and the close code with which it fails."""
    protocol = Protocol(side, state=OPEN, max_size=max_size)
    protocol.receive_data(data)
    return protocol.events_received(), protocol.close_sent.code if protocol.parser_exc else None


@FIXED
@given(st.lists(pings | data_frames, max_size=8), st.data())
def test_a_stream_cut_anywhere(sequence, data):
    """Whatever pieces a stream arrives in, the loop of the lesson finds the frames that were sent."""
    stream = b"".join(map(encode, sequence))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    buffer, found = bytearray(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[start:end]
        while (got := decode(buffer)) is not None:
            frame, size = got
            found.append(frame)
            del buffer[:size]
    assert found == sequence and not buffer


@FIXED
@given(st.lists(pings | data_frames, max_size=8), st.booleans())
def test_frames_out_of_order_fail_where_the_library_fails(sequence, from_client):
    """Of frames in any order we take as many as the library does, and fail with its code or not at all."""
    sequence = [Frame(f.opcode, b"a" * len(f.payload), f.fin, mask=MASK if from_client else None) for f in sequence]
    theirs, expected = library_reads(b"".join(map(encode, sequence)), side=SERVER if from_client else CLIENT)
    assembler, taken, code = Assembler(), 0, None
    try:
        for frame in sequence:
            assembler.add(frame)
            taken += 1
    except WireError as error:
        code = error.code
    assert (taken, code) == (len(theirs), expected)


@st.composite
def conversations(draw):
    """Messages, and frames that carry them: cut into fragments at any byte, with pings and pongs between."""
    expected, sequence = [], []
    for message in draw(st.lists(st.text(max_size=20) | st.binary(max_size=40), min_size=1, max_size=4)):
        payload = message.encode() if isinstance(message, str) else message
        cuts = [0, *sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4))), len(payload)]
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        for start, end in pairwise(cuts):
            for control in draw(st.lists(pings, max_size=1)):
                sequence.append(control)
                expected.append(control)
            sequence.append(Frame(opcode, payload[start:end], fin=False, mask=draw(masks)))
            opcode = Opcode.CONTINUATION
        last = sequence.pop()
        sequence.append(Frame(last.opcode, last.payload, mask=last.mask))
        expected.append(message)
    return expected, sequence


@FIXED
@given(conversations())
def test_messages_are_put_together_again(conversation):
    """Fragments give the message that was cut, even in the middle of a character, and control frames pass at once."""
    expected, sequence = conversation
    assembler = Assembler()
    assert [found for frame in sequence if (found := assembler.add(frame)) is not None] == expected


def test_a_ping_between_two_fragments():
    """A ping is handed out before the message it interrupts, which then comes whole."""
    assembler, ping = Assembler(), Frame(Opcode.PING, b"still there?")
    sequence = [Frame(Opcode.TEXT, b"caf\xc3", fin=False), ping, Frame(Opcode.CONTINUATION, b"\xa9")]
    assert [assembler.add(frame) for frame in sequence] == [None, ping, "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok \x80"],
    ids=["no such byte", "half a character", "too long a form", "a surrogate", "beyond Unicode", "no beginning"],
)
def test_text_that_is_not_utf_8(payload):
    """Bad UTF-8 is refused with 1007 in text, whole or in fragments, and is nobody's business in binary."""
    with pytest.raises(UnicodeDecodeError):
        payload.decode()
    assert refusal(Assembler().add, Frame(Opcode.TEXT, payload)) == 1007
    assembler = Assembler()
    assembler.add(Frame(Opcode.TEXT, b"", fin=False))
    assembler.add(Frame(Opcode.CONTINUATION, payload, fin=False))
    assert refusal(assembler.add, Frame(Opcode.CONTINUATION)) == 1007
    assert Assembler().add(Frame(Opcode.BINARY, payload)) == payload


@pytest.mark.parametrize("sizes", [(11,), (6, 5), (5, 5, 1), (10, 0, 1)])
def test_a_message_over_the_limit(sizes):
    """The limit holds for the sum of the fragments, as in the library, and falls with the frame that passes it."""
    sequence = [
        Frame(Opcode.CONTINUATION if i else Opcode.BINARY, bytes(size), fin=i == len(sizes) - 1, mask=MASK)
        for i, size in enumerate(sizes)
    ]
    assembler = Assembler(max_size=10)
    for frame in sequence[:-1]:
        assert assembler.add(frame) is None
    assert refusal(assembler.add, sequence[-1]) == 1009
    assert library_reads(b"".join(map(encode, sequence)), max_size=10)[1] == 1009


def test_the_limit_begins_anew_with_each_message():
    """Messages of just the limit pass one after the other, whole or in fragments."""
    assembler = Assembler(max_size=4)
    for _ in range(3):
        assert assembler.add(Frame(Opcode.BINARY, b"abcd")) == b"abcd"
        assert assembler.add(Frame(Opcode.BINARY, b"ab", fin=False)) is None
        assert assembler.add(Frame(Opcode.CONTINUATION, b"cd")) == b"abcd"


# Closing


@pytest.mark.parametrize("codes", [range(0, 1100), range(1100, 6000), (9999, 32768, 65535)], ids=str)
def test_close_codes_are_those_of_the_library(codes):
    """Each code is taken or refused as by the library, on the way in and on the way out."""
    for code in codes:
        payload = code.to_bytes(2, "big") + b"why"
        try:
            lib.Close.parse(payload)
        except ProtocolError:
            assert refusal(wire.parse_close, payload) == 1002, code
            with pytest.raises(ValueError, match="may not be sent"):
                wire.close_payload(code)
        else:
            assert wire.parse_close(payload) == (code, "why")
            assert wire.close_payload(code, "why") == payload == lib.Close(code, "why").serialize()


def test_close_codes_that_the_rfc_names():
    """Said once without the library: these pass, and those are never sent."""
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        assert wire.parse_close(wire.close_payload(code)) == (code, "")
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        assert refusal(wire.parse_close, code.to_bytes(2, "big")) == 1002


def test_an_empty_close_frame():
    """No code is reported as 1005, which cannot be told from the wire."""
    assert wire.parse_close(b"") == (1005, "") and lib.Close.parse(b"").code == 1005


@pytest.mark.parametrize(
    ("payload", "code"), [(b"\x03", 1002), (b"\x03\xe8\xff", 1007), (b"\x03\xed", 1002), (b"\x03\xe8\xc3", 1007)]
)
def test_bad_close_frames(payload, code):
    """A lone byte, a reason that is not UTF-8 and a code that is never sent are refused, by the library as well."""
    assert refusal(wire.parse_close, payload) == code
    if len(payload) == 1:
        with pytest.raises(WireError, match="never 1 byte"):
            wire.parse_close(payload)
    assert refusal(Assembler().add, Frame(Opcode.CLOSE, payload)) == code
    assert library_reads(encode(Frame(Opcode.CLOSE, payload, mask=MASK)))[1] == code


@FIXED
@given(st.sampled_from(sorted(wire.CLOSE_CODES)) | st.integers(3000, 4999), st.text(max_size=60))
def test_close_frames_there_and_back(code, reason):
    """A reason of up to 123 bytes comes back as it went; a longer one would not fit a control frame."""
    if len(reason.encode()) > 123:
        with pytest.raises(ValueError, match="123"):
            wire.close_payload(code, reason)
    else:
        frame = Frame(Opcode.CLOSE, wire.close_payload(code, reason))
        assert decode(encode(frame)) is not None and Assembler().add(frame) is frame
        assert wire.parse_close(frame.payload) == (code, reason)
        assert library_parse(encode(frame), masked=False)[0].data == lib.Close(code, reason).serialize()


def test_the_longest_reason():
    """123 bytes fit, 124 do not, however few characters they are."""
    assert len(wire.close_payload(1000, "x" * 123)) == 125
    for reason in ("x" * 124, "\N{SNOWMAN}" * 42):
        with pytest.raises(ValueError, match="123"):
            wire.close_payload(1000, reason)


# Looking at a frame


def test_a_frame_laid_out():
    """The masked example of section 5.7, a field a line."""
    assert wire.describe(bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")).splitlines() == [
        "bytes  bits      field     value",
        "0      1.......  FIN       1, the last frame of its message",
        "0      .000....  RSV1-3    0",
        "0      ....0001  opcode    1, text",
        "1      1.......  MASK      1, masked: from a client",
        "1      .0000101  length    5",
        "2-5              mask      37 fa 21 3d",
        "6-10             payload   7f 9f 4d 51 58",
        "                 in clear  'Hello'",
    ]


def test_a_forbidden_and_cut_frame_laid_out():
    """What is forbidden is shown as it is, and the end says what is still to come."""
    data = encode(Frame(3, b"x" * 300, fin=False, rsv1=True))[:30]
    assert wire.describe(data).splitlines() == [
        "bytes  bits      field     value",
        "0      0.......  FIN       0, more follow",
        "0      .100....  RSV1-3    set: an extension, or an error",
        "0      ....0011  opcode    3, reserved",
        "1      0.......  MASK      0, in clear: from a server",
        "1      .1111110  length    126, see the next 2 bytes",
        "2-3              length    01 2c = 300",
        "4-303            payload   78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 ..",
        "                 in clear  'xxxxxxxxxxxxxxxx' ..",
        "                           (cut: 30 of 304 bytes are here)",
    ]


def test_a_cut_length_laid_out():
    """A length of which a byte is missing has no value yet."""
    assert wire.describe(b"\x82\x7e\x01").splitlines()[-1] == "2-3              length  01 (cut)"


def is_whole(data: bytes) -> bool:
    """Tell, without the code under test, whether the frame that `data` begins with is all there."""
    if len(data) < 2:
        return False
    more = {126: 2, 127: 8}.get(data[1] % 128, 0)
    length = int.from_bytes(data[2 : 2 + more], "big") if more else data[1] % 128
    return len(data) >= 2 + more and len(data) >= 2 + more + (4 if data[1] > 127 else 0) + length


@FIXED
@given(headers | st.binary(max_size=24), st.binary(max_size=24))
def test_any_bytes_can_be_laid_out(header, rest):
    """The table refuses nothing, cut anywhere, and says "cut" exactly when there is no whole frame."""
    data = header + rest
    for cut in range(len(data) + 1):
        text = wire.describe(data[:cut])
        assert all(line == line.rstrip() for line in text.splitlines())
        assert ("(cut" in text) == (not is_whole(data[:cut]))


# The same on a real connection


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def read_frame(reader: asyncio.StreamReader, buffer: bytearray, *, masked: bool) -> Frame:
    while (got := decode(buffer, masked=masked)) is None:
        chunk = await reader.read(1000)
        assert chunk, "the peer hung up"
        buffer += chunk
    frame, size = got
    del buffer[:size]
    return frame


def test_a_client_by_hand_talks_to_the_library():
    """Over TCP: handshake, fragments with a ping between, the pong, the echo, and the closing handshake."""

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def talk() -> list[Frame]:
        async with serve(echo, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            key = wire.new_key()
            writer.write(wire.handshake_request(f"127.0.0.1:{port}", "/", key))
            wire.handshake_check(await read_head(reader), key)
            for frame in [
                Frame(Opcode.TEXT, b"Hel", fin=False, mask=MASK),
                Frame(Opcode.PING, b"?", mask=MASK),
                Frame(Opcode.CONTINUATION, b"lo", mask=MASK),
                Frame(Opcode.BINARY, bytes(70_000), mask=MASK),
            ]:
                writer.write(encode(frame))
            buffer = bytearray()
            answers = [await read_frame(reader, buffer, masked=False) for _ in range(3)]
            # Only now: a server that has read a close frame sends no more data.
            writer.write(encode(Frame(Opcode.CLOSE, wire.close_payload(4000, "done"), mask=MASK)))
            answers.append(await read_frame(reader, buffer, masked=False))
            writer.close()
            return answers

    assert asyncio.run(asyncio.wait_for(talk(), patient(20))) == [
        Frame(Opcode.PONG, b"?"),
        Frame(Opcode.TEXT, b"Hello"),
        Frame(Opcode.BINARY, bytes(70_000)),
        Frame(Opcode.CLOSE, wire.close_payload(4000, "done")),
    ]


def test_the_library_talks_to_a_server_by_hand():
    """Over TCP: the library's client opens, sends masked frames, is echoed in fragments, and closes in order."""

    async def by_hand(reader, writer):
        writer.write(wire.handshake_response(await read_head(reader)))
        buffer, assembler = bytearray(), Assembler()
        while True:
            match assembler.add(await read_frame(reader, buffer, masked=True)):
                case Frame(opcode=Opcode.CLOSE, payload=payload):
                    writer.write(encode(Frame(Opcode.CLOSE, payload)))
                    writer.close()
                    return
                case str(text):
                    payload = text.encode()
                    writer.write(encode(Frame(Opcode.TEXT, payload[:1], fin=False)))
                    writer.write(encode(Frame(Opcode.PING)))
                    writer.write(encode(Frame(Opcode.CONTINUATION, payload[1:])))

    async def talk():
        server = await asyncio.start_server(by_hand, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None) as connection:
                await connection.send("\N{SNOWMAN} melts")
                echoed = await connection.recv()
            return echoed, connection.close_code

    assert asyncio.run(asyncio.wait_for(talk(), patient(20))) == ("\N{SNOWMAN} melts", 1000)


# The module as something to read


def test_the_frame_code_is_short():
    """A frame, its mask, its encoder and its decoder together stay under 80 lines, docstrings included."""
    parts = (wire.Frame, wire.apply_mask, wire.encode, wire.decode)
    assert sum(len(inspect.getsource(part).splitlines()) for part in parts) < 80


def test_only_the_standard_library():
    """Nothing is hidden in somebody else's package."""
    files = list(Path(wire.__file__).parent.glob("*.py"))
    assert len(files) > 4
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert "hashlib" in names
    assert {name for name in names if not name.startswith("wsdemo.wire")} <= sys.stdlib_module_names


def test_every_public_name_says_where_it_is_built():
    """Each public class and function points to its lesson and names its source."""
    public = [getattr(wire, name) for name in wire.__all__]
    documented = [thing for thing in public if inspect.isclass(thing) or inspect.isfunction(thing)]
    assert len(documented) > 10
    for thing in documented:
        assert "`04_upgrade_the_connection`" in thing.__doc__, thing
        assert "section" in thing.__doc__, thing


@pytest.mark.parametrize("length, dots", [(1, ""), (15, ""), (16, ""), (17, " .."), (125, " ..")])
def test_only_a_payload_that_goes_on_is_said_to_go_on(length, dots):
    """Sixteen bytes are shown, and dots where there are more, in the bytes as in the clear text."""
    rows = wire.describe(wire.encode(Frame(Opcode.BINARY, b"a" * length))).splitlines()
    payload, clear = (row for row in rows if " payload " in row or " in clear " in row)
    assert payload.endswith("61" + dots)
    assert clear.endswith("'" + "a" * min(length, 16) + "'" + dots)
