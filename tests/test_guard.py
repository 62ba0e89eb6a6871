"""Who may ask: Host, Origin and the number of connections."""

import re
import socket
import time
from collections import namedtuple

import psutil
import pytest
from multidict import CIMultiDict
from websockets.datastructures import Headers

from wsdemo.guard import Guard, Terminal, authority, is_public, names_of, read_origin, warn_public


def status(guard, **headers):
    refusal = guard.refusal({name.capitalize(): value for name, value in headers.items()})
    return refusal and refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:8888", "[::1]:8000", "LOCALHOST", "127.0.0.1"])
def test_a_loopback_server_answers_for_loopback_names(host):
    """With or without a port, in capitals or not."""
    assert status(Guard(), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "192.0.2.7",
        "127.0.0.1@evil.example",
        "[::1",
        "localhost:x@evil.example",
    ],
)
def test_any_other_host_is_misdirected(host):
    """DNS rebinding arrives with the attacker's own name in Host: 421."""
    assert status(Guard(), host=host) == 421


@pytest.mark.parametrize("kind", [CIMultiDict, Headers])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("Host", "localhost"), ("Host", "localhost")],
        [("Host", "localhost"), ("host", "evil.example")],
        [("Host", "localhost"), ("Origin", "http://localhost"), ("origin", "http://localhost")],
    ],
)
def test_a_request_has_one_host_and_at_most_one_origin(kind, lines):
    """RFC 9112, section 3.2, and RFC 6454, section 7.3, in the headers of both libraries: 400 and a sentence."""
    headers = kind(lines)
    refusal = Guard().refusal(headers)
    assert (refusal.status, refusal.reason) == (400, "A request has one Host and at most one Origin.")
    assert Guard(page_ports=[80]).permission(headers) == {}


@pytest.mark.parametrize("origin", [None, "http://localhost:8000", "https://localhost:8000", "http://LOCALHOST:8000"])
def test_programs_and_pages_of_the_same_host_and_port_may_ask(origin):
    """No Origin, or one whose host and port equal the Host header (gorilla's default)."""
    assert status(Guard(), host="localhost:8000", **({"origin": origin} if origin else {})) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:9999",
        "http://localhost",
        "http://127.0.0.1:8000",
        "http://localhost:8000.evil.example",
        "garbage",
        "http://[::1",
    ],
)
def test_pages_from_elsewhere_may_not(origin):
    """Another name, another port, or a sandboxed page ("null"): 403."""
    assert status(Guard(), host="localhost:8000", origin=origin) == 403


def test_a_page_on_a_named_port_of_the_same_host_may_ask():
    """The live page's port may use its siblings, and gets the headers that let it read the answer."""
    guard = Guard(page_ports=[8000])
    headers = {"Host": "localhost:9000", "Origin": "http://localhost:8000"}
    assert guard.refusal(headers) is None
    assert guard.permission(headers)["Access-Control-Allow-Origin"] == "http://localhost:8000"
    for origin in ("http://evil.example:8000", "http://localhost:8001", "http://127.0.0.1:8000"):
        assert guard.refusal(headers | {"Origin": origin}).status == 403
        assert guard.permission(headers | {"Origin": origin}) == {}


ALLOWED = ["http://127.0.0.1:5500", "https://Site.example/", "http://[2001:db8::1]:80", "null", "vscode-webview://abc"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:5500",
        "HTTP://127.0.0.1:5500",
        "https://site.example",
        "https://site.example:443",
        "http://[2001:db8::1]",
        "null",
        "file://",
        "vscode-webview://abc",
    ],
)
def test_a_page_whose_origin_is_allowed_may_ask_and_read(origin):
    """However the two spell it; a page from a file is "null", of which some browsers say "file://"."""
    guard = Guard(allowed_origins=ALLOWED)
    headers = {"Host": "localhost:8000", "Origin": origin}
    assert guard.refusal(headers) is None
    assert guard.permission(headers)["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://127.0.0.1:5500",
        "http://127.0.0.1:5501",
        "http://127.0.0.1",
        "http://127.0.0.1:55000",
        "http://localhost:5500",
        "http://site.example",
        "https://site.example:8443",
        "https://www.site.example",
        "https://site.example.evil.example",
        "https://site.example@evil.example",
        "https://evil.example/https://site.example",
        "nullify",
        "",
    ],
)
def test_the_whole_origin_counts(origin):
    """Another scheme, host or port is another origin: 403."""
    guard = Guard(allowed_origins=ALLOWED)
    assert guard.refusal({"Host": "localhost:8000", "Origin": origin}).status == 403
    assert guard.permission({"Host": "localhost:8000", "Origin": origin}) == {}


@pytest.mark.parametrize(
    "text", ["*", "", "localhost:5500", "http://", "http://a/page", "http://a:b", "http://a b", "x"]
)
def test_what_is_no_origin_cannot_be_allowed(text):
    """It would never fit, so it is refused when the guard is made, with how one looks."""
    with pytest.raises(ValueError, match="or null; not"):
        Guard(allowed_origins=[text])


@pytest.mark.parametrize(
    "text, origin",
    [
        ("http://a:080", "http://a"),
        ("https://a:80", "https://a:80"),
        ("ws://a:80", "ws://a:80"),
        ("http://a:5500", "http://a:5500"),
        ("http://a;rm -rf", None),
        ("http://a$(x)", None),
        ("http://a\n", None),
        ("http://é", None),
    ],
)
def test_an_origin_has_one_spelling_and_nothing_a_shell_would_take(text, origin):
    """The port is left out where the scheme says it (RFC 6454, section 6.2)."""
    assert read_origin(text) == origin


def advice(guard, open_now=0, **headers):
    said = []
    guard._tell = said.append
    guard.refusal({name.capitalize(): value for name, value in headers.items()}, open_now)
    return said


def test_each_refusal_tells_whoever_runs_the_server_which_option_would_allow_it():
    """Origin, Host and too many; nothing is said of what is served, or of what no option would allow."""
    guard = Guard(max_connections=3)
    assert advice(guard, host="localhost", origin="http://127.0.0.1:5500") == [
        "a page from 'http://127.0.0.1:5500'; if it is yours, allow it with --allow-origin http://127.0.0.1:5500"
    ]
    assert advice(guard, host="localhost", origin="null") == [
        "a page from 'null'; if it is yours, allow it with --allow-origin null"
    ]
    assert advice(guard, host="Hub.example:8000") == [
        "a request for the host 'Hub.example:8000';"
        " if this server goes by that name, allow it with --allow-host hub.example"
    ]
    assert advice(guard, 4, host="localhost") == [
        "a connection, since all 3 connections of this server are taken; --max-connections allows more"
    ]
    assert advice(Guard(max_connections=3, option_for_more=None), 4, host="localhost") == [
        "a connection, since all 3 connections of this server are taken"
    ]
    assert advice(guard, 3, host="localhost") == advice(guard) == []


@pytest.mark.parametrize("nonsense", ["http://\x1b[2J", "http://a;reboot", "http://évil", "x" * 5000, "http://a\r\nb"])
def test_a_stranger_cannot_write_on_the_terminal(nonsense):
    """What was sent is quoted, in ASCII and cut short, and never becomes part of a command."""
    (line,) = advice(Guard(), host="localhost", origin=nonsense)
    (other,) = advice(Guard(), host=nonsense)
    for said in (line, other):
        assert said.isascii() and said.isprintable() and len(said) < 200
        assert re.fullmatch(r"[^-]*(--allow-host [a-z0-9.]+)?", said)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_terminal_gets_one_line_a_second_however_many_are_refused(capsys, clock):
    """On stderr; those between are counted in the next line."""
    tell = Terminal()
    for after_s in (0.0, 0.1, 0.5, 0.3, 0.2, 5.0):
        clock[0] += after_s
        tell(f"at {clock[0]:.1f}")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "refused: at 1000.0",
        "refused: at 1001.1 (3 more were refused since the last line)",
        "refused: at 1006.1",
    ]


def test_a_terminal_that_is_gone_is_no_reason_to_fail(monkeypatch):
    """Whoever started the server has closed it."""

    class Gone:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    monkeypatch.setattr("sys.stderr", Gone())
    Terminal()("a page")


def test_a_browser_that_asks_beforehand_gets_leave():
    """For the methods of that address; the network is named only to those who ask for it."""
    guard = Guard(allowed_origins=["http://a:1"])
    ask = {"Host": "localhost", "Origin": "http://a:1", "Access-Control-Request-Method": "GET"}
    assert guard.preflight(ask, {"POST", "GET"}) == {
        "Access-Control-Allow-Origin": "http://a:1",
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Content-Type, If-None-Match, Last-Event-ID",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
    private = guard.preflight(ask | {"Access-Control-Request-Private-Network": "true"}, ["GET"])
    assert private["Access-Control-Allow-Private-Network"] == "true"
    for missing in ("Origin", "Access-Control-Request-Method"):
        assert guard.preflight({name: value for name, value in ask.items() if name != missing}, ["GET"]) is None


def test_a_program_and_a_page_of_the_same_port_need_no_permission():
    """Nothing crosses an origin there."""
    assert Guard().permission({"Host": "localhost:1"}) == {}
    assert Guard().permission({"Host": "localhost:1", "Origin": "http://localhost:1"}) == {}


def test_further_names_are_served_when_told_so():
    """A hub's public name is allowed by name; "*" allows every name."""
    assert status(Guard(allowed_hosts=["Hub.example"]), host="hub.example:443") is None
    assert status(Guard(allowed_hosts=["hub.example"]), host="other.example") == 421
    assert status(Guard(allowed_hosts=["*"]), host="other.example") is None


def test_a_server_on_the_network_answers_for_addresses():
    """Pupils type an IP address, which no rebinding page can have as its Host."""
    assert status(Guard("0.0.0.0"), host="192.0.2.7:8000") is None
    assert status(Guard("0.0.0.0"), host="[2001:db8::1]:8000") is None
    assert status(Guard("0.0.0.0"), host="evil.example") == 421


def test_a_full_server_says_so():
    """One connection over the limit is refused with 503 and a sentence."""
    guard = Guard(max_connections=3)
    assert guard.refusal({"Host": "localhost"}, 3) is None
    refusal = guard.refusal({"Host": "localhost"}, 4)
    assert refusal.status == 503 and "All 3 connections" in refusal.reason


def test_an_ipv6_address_stands_in_brackets():
    """Otherwise its last colon would be taken for the port's."""
    assert authority("127.0.0.1", 80) == "127.0.0.1:80"
    assert authority("localhost", 80) == "localhost:80"
    assert authority("::1", 80) == "[::1]:80"


@pytest.mark.parametrize(
    "host, public", [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_who_listens_for_everybody_is_warned(capsys, host, public):
    """On stderr, in one line that says what others can do; on loopback nothing is said."""
    assert is_public(host) == public
    warn_public(host, "use its ports")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (f"warning: listening on {host}, so whoever can reach this machine can use its ports\n" * public)


Address = namedtuple("Address", "family address")
INTERFACES = {
    "lo": [Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1")],
    "eth0": [Address(socket.AF_INET, "192.0.2.7"), Address(socket.AF_INET6, "2001:db8::7")],
    "wlan0": [Address(socket.AF_INET, "169.254.1.1"), Address(socket.AF_INET6, "fe80::1%wlan0")],
    "docker0": [Address(socket.AF_INET, "172.17.0.1"), Address(-1, "02:42:ac:11:00:02")],
}


@pytest.mark.parametrize(
    "host, names",
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("localhost", ["localhost"]),
        ("192.0.2.7", ["192.0.2.7"]),
        ("board.example", ["board.example"]),
        ("0.0.0.0", ["172.17.0.1", "192.0.2.7"]),
        ("", ["172.17.0.1", "192.0.2.7"]),
        ("::", ["2001:db8::7"]),
        ("0:0:0:0:0:0:0:0", ["2001:db8::7"]),
    ],
)
def test_every_interface_is_named_by_the_addresses_that_others_can_type(host, names, monkeypatch):
    """A server on 0.0.0.0 is at this machine's own addresses; nobody can type 0.0.0.0."""
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: INTERFACES)
    assert names_of(host) == names


@pytest.mark.parametrize("host, name", [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_machine_without_a_network_is_named_by_itself(host, name, monkeypatch):
    """There is always one address."""
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": INTERFACES["lo"]})
    assert names_of(host) == [name]


def test_the_permission_says_all_that_a_browser_asks_for():
    """Who may read it, which headers may be sent and read, and that the answer depends on who asked (for caches)."""
    headers = {"Host": "localhost:9000", "Origin": "http://localhost:8000"}
    assert Guard(page_ports=[8000]).permission(headers) == {
        "Access-Control-Allow-Origin": "http://localhost:8000",
        "Access-Control-Expose-Headers": "ETag",
        "Vary": "Origin",
    }
