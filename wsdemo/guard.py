"""Who may ask: the checks of Host and Origin, and how a server's own addresses are spelt. Knows no transport.

A server on 127.0.0.1 is not private by itself. A page of any site can send it requests, and can open a WebSocket and
listen (so the Origin is checked). Chromium asks its user first, since versions 142 and 147; others need not. And a page
whose own name is made to resolve to 127.0.0.1 can read the answers to requests, which is called DNS rebinding (so the
Host is checked).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_PORTS = {"http": 80, "https": 443}
PREFLIGHT_AGE_S = 600
"""How long a browser may remember that it was given leave."""


def in_brackets(host: str) -> str:
    """Return a host as addresses spell it: an IPv6 address in brackets (RFC 3986 section 3.2.2), a name as it is."""
    return f"[{host}]" if ":" in host else host


def authority(host: str, port: int) -> str:
    """Return "host:port" as it stands in an address: "127.0.0.1:8000", "[::1]:8000"."""
    return f"{in_brackets(host)}:{port}"


def is_public(host: str) -> bool:
    """Whether a server that listens on this address can be reached from other machines."""
    return host not in LOOPBACK_NAMES


def names_of(host: str) -> list[str]:
    """Return the names by which a server that listens on `host` is asked: the host itself, at best.

    "0.0.0.0" and "::" stand for every interface, and nobody can type them: there it is this machine's own addresses.
    """
    if host and not (_is_address(host) and ipaddress.ip_address(host).is_unspecified):
        return [host]
    import psutil  # not needed by the servers that a measurement starts, whose memory is measured

    family, alone = (socket.AF_INET6, "::1") if ":" in host else (socket.AF_INET, "127.0.0.1")
    found = {
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == family
    }
    # Those of this machine alone, and those that need the name of an interface behind them.
    shared = sorted(name for name in found if not name.startswith(("127.", "169.254.", "fe80", "::1")))
    return shared or [alone]


def warn_public(host: str, what: str = "connect") -> None:
    """Say on stderr, if others can reach a server on this address, `what` they can do then."""
    if is_public(host):
        print(f"warning: listening on {host}, so whoever can reach this machine can {what}", file=sys.stderr)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served. status: 400, 403 (Origin), 421 (Host) or 503 (full), RFC 9110 section 15.

    reason: a sentence for whoever asked; advice: one for whoever runs the server, with the option that would allow it.
    """

    status: int
    reason: str
    advice: str = ""


class Terminal:
    """Tells whoever runs a server what it refuses, on stderr: at most one line a second, however many are refused."""

    def __init__(self) -> None:
        self._silent_until_s = 0.0
        self._unsaid = 0

    def __call__(self, line: str) -> None:
        now_s = time.monotonic()
        if now_s < self._silent_until_s:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more were refused since the last line)" if self._unsaid else ""
        self._silent_until_s, self._unsaid = now_s + 1, 0
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone is no reason to fail
            print(f"refused: {line}{more}", file=sys.stderr, flush=True)


class Guard:
    """Decides by Host, Origin and the number of open connections whether a request is served.

    bound_host: the address the server listens on. On a loopback address only loopback names are served. On any other,
    every IP address is (a page cannot rebind a name it did not use), and the names in `allowed_hosts`.
    allowed_hosts: further host names, such as the one JupyterHub is reached by; "*" turns the check of Host off.
    max_connections: how many connections one listening socket holds.
    page_ports: ports of the same host whose pages may use this server, besides its own.
    allowed_origins: further pages that may, by their whole origin, such as "http://127.0.0.1:5500"; "null" stands for
    a page that was opened from a file. tell: called with the advice of each refusal; option_for_more: the option that
    sets max_connections, where there is one. Raises ValueError for what is no origin.
    """

    def __init__(
        self,
        bound_host: str = "127.0.0.1",
        allowed_hosts: Iterable[str] = (),
        max_connections: int = 2000,
        page_ports: Iterable[int] = (),
        *,
        allowed_origins: Iterable[str] = (),
        tell: Callable[[str], object] | None = None,
        option_for_more: str | None = "--max-connections",
    ):
        self.max_connections = max_connections
        self._origins = frozenset(map(_allowed, allowed_origins))
        self._tell = tell
        self._option_for_more = option_for_more
        self._page_ports = frozenset(page_ports)
        self._names = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}
        self._any_address = is_public(bound_host)

    def refusal(self, headers: Mapping[str, str], open_now: int = 0) -> Refusal | None:
        """Return why a request with these headers must be refused while `open_now` connections are open, or None."""
        refusal = self._refusal(headers, open_now)
        if refusal is not None and refusal.advice and self._tell is not None:
            self._tell(refusal.advice)
        return refusal

    def _refusal(self, headers: Mapping[str, str], open_now: int) -> Refusal | None:
        hosts, origins = _values(headers, "Host"), _values(headers, "Origin")
        if len(hosts) != 1 or len(origins) > 1:
            # Which of two would have to be believed? RFC 9112 section 3.2 says so of Host, RFC 6454 7.3 of Origin.
            return Refusal(400, "A request has one Host and at most one Origin.")
        host, name = hosts[0], _host_name(hosts[0])
        if name is None or not self._serves(name):
            reason = f"This server does not answer for the host {host[:80]!r}; use its own address."
            return Refusal(421, reason, _advice_on_host(host, name))
        if origins and not self._welcomes(origins[0], host):
            reason = f"Pages from {origins[0][:80]!r} may not use this server."
            return Refusal(403, reason, _advice_on_origin(origins[0]))
        return self._full() if open_now > self.max_connections else None

    def _full(self) -> Refusal:
        full = f"all {self.max_connections} connections of this server are taken"
        option = f"; {self._option_for_more} allows more" if self._option_for_more else ""
        return Refusal(503, f"A{full[1:]}; try again later.", f"a connection, since {full}{option}")

    def turns_away(self) -> Refusal:
        """Refuse a connection for which there is no place, before anybody has read what it wants."""
        refusal = self._full()
        if self._tell is not None:
            self._tell(refusal.advice)
        return refusal

    def permission(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that let the page that asks read the answer, where it comes from elsewhere.

        Source: WHATWG Fetch, section 3.2 (CORS protocol). Empty for pages of this server and for other programs.
        """
        origin, host = _one(headers, "Origin"), _one(headers, "Host") or ""
        if origin is None or not self._welcomes(origin, host) or _netloc(origin) == host.lower():
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "ETag",
            "Vary": "Origin",
        }

    def preflight(self, headers: Mapping[str, str], methods: Iterable[str]) -> dict[str, str] | None:
        """Return the headers of the 204 to a browser that asks beforehand whether a page may ask; None for what is not.

        The request is an OPTIONS that was not refused; methods: what may be asked for at its address. Sources: WHATWG
        Fetch, section 4.8 (CORS-preflight fetch), WICG Private Network Access, section 3.1.
        """
        origin = _one(headers, "Origin")
        if origin is None or _one(headers, "Access-Control-Request-Method") is None:
            return None
        leave = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": "Content-Type, If-None-Match, Last-Event-ID",
            "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
            "Vary": "Origin",
        }
        if _one(headers, "Access-Control-Request-Private-Network") == "true":
            leave["Access-Control-Allow-Private-Network"] = "true"
        return leave

    def _welcomes(self, origin: str, host: str) -> bool:
        # The same rule as gorilla/websocket's default, the Origin's host and port are the Host's, and our own pages.
        if _netloc(origin) == host.lower() or read_origin(origin) in self._origins:
            return True
        try:
            page = urlsplit(origin)
            return page.port in self._page_ports and page.hostname == _host_name(host)
        except ValueError:
            return False

    def _serves(self, name: str) -> bool:
        return "*" in self._names or name in self._names or (self._any_address and _is_address(name))


def read_origin(text: str) -> str | None:
    """Return an origin in the one spelling that browsers use (RFC 6454, section 6.2), None for what is none.

    "null" stands for a page without an origin of its own, such as one from a file, of which some browsers say "file://".
    """
    text = text.lower()
    if text in ("null", "file://"):
        return "null"
    # Nothing else, so that an origin can be repeated in a terminal as part of a command.
    host = r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]"
    parts = re.fullmatch(rf"([a-z][a-z0-9+.-]{{0,30}})://({host})(?::([0-9]{{1,5}}))?", text)
    if parts is None:
        return None
    scheme, name, port = parts.groups()
    return f"{scheme}://{name}" + (f":{int(port)}" if port and int(port) != DEFAULT_PORTS.get(scheme) else "")


def _allowed(text: str) -> str:
    origin = read_origin(text.removesuffix("/"))  # as an address is copied
    if origin is None:
        raise ValueError(f"an origin is scheme, host and port, such as http://127.0.0.1:5500, or null; not {text!r}")
    return origin


def _advice_on_origin(header: str) -> str:
    origin = read_origin(header)
    option = "" if origin is None else f"; if it is yours, allow it with --allow-origin {origin}"
    return f"a page from {header[:80]!a}{option}"


def _advice_on_host(header: str, name: str | None) -> str:
    safe = re.fullmatch(r"[a-z0-9._:-]{1,253}", name or "")
    option = f"; if this server goes by that name, allow it with --allow-host {name}" if safe else ""
    return f"a request for the host {header[:80]!a}{option}"


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    """Return every value of a header, where a library's `get` would show the first (aiohttp) or raise (websockets)."""
    if (get_all := getattr(headers, "get_all", None)) is not None:
        return list(get_all(name))
    if (getall := getattr(headers, "getall", None)) is not None:
        return list(getall(name, []))
    return [headers[name]] if name in headers else []


def _one(headers: Mapping[str, str], name: str) -> str | None:
    values = _values(headers, name)
    return values[0] if len(values) == 1 else None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str:
    """Return "host:port" of an origin such as "http://127.0.0.1:8000", "" for "null" and other nonsense."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
