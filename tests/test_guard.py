"""Who may ask: Host, Origin and the number of connections."""

import pytest

from wsdemo.guard import Guard, authority, is_public, warn_public


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


def test_a_missing_host_is_misdirected():
    """HTTP/1.1 demands a Host header."""
    assert status(Guard()) == 421


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


def test_the_permission_says_all_that_a_browser_asks_for():
    """Who may read it, which headers may be sent and read, and that the answer depends on who asked (for caches)."""
    headers = {"Host": "localhost:9000", "Origin": "http://localhost:8000"}
    assert Guard(page_ports=[8000]).permission(headers) == {
        "Access-Control-Allow-Origin": "http://localhost:8000",
        "Access-Control-Allow-Headers": "If-None-Match, Last-Event-ID",
        "Access-Control-Expose-Headers": "ETag",
        "Vary": "Origin",
    }
