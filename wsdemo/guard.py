"""Who may ask: the checks of the Host and Origin headers, and how a server's own address is spelt. Knows no transport.

A server on 127.0.0.1 is not private by itself. Any page in the same browser can send it requests (so the Origin is
checked), and a page whose own name is made to resolve to 127.0.0.1 can even read the answers, which is called DNS
rebinding (so the Host is checked).
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def in_brackets(host: str) -> str:
    """Return a host as addresses spell it: an IPv6 address in brackets (RFC 3986 section 3.2.2), a name as it is."""
    return f"[{host}]" if ":" in host else host


def authority(host: str, port: int) -> str:
    """Return "host:port" as it stands in an address: "127.0.0.1:8000", "[::1]:8000"."""
    return f"{in_brackets(host)}:{port}"


def is_public(host: str) -> bool:
    """Whether a server that listens on this address can be reached from other machines."""
    return host not in LOOPBACK_NAMES


def warn_public(host: str, what: str = "connect") -> None:
    """Say on stderr, if others can reach a server on this address, `what` they can do then."""
    if is_public(host):
        print(f"warning: listening on {host}, so whoever can reach this machine can {what}", file=sys.stderr)


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served. status: 403 (Origin), 421 (Host) or 503 (full), RFC 9110 section 15.

    reason: a sentence for whoever asked.
    """

    status: int
    reason: str


class Guard:
    """Decides by Host, Origin and the number of open connections whether a request is served.

    bound_host: the address the server listens on. On a loopback address only loopback names are served. On any other,
    every IP address is (a page cannot rebind a name it did not use), and the names in `allowed_hosts`.
    allowed_hosts: further host names, such as the one JupyterHub is reached by; "*" turns the check of Host off.
    max_connections: how many connections one listening socket holds.
    page_ports: ports of the same host whose pages may use this server, besides its own.
    """

    def __init__(
        self,
        bound_host: str = "127.0.0.1",
        allowed_hosts: Iterable[str] = (),
        max_connections: int = 2000,
        page_ports: Iterable[int] = (),
    ):
        self.max_connections = max_connections
        self._page_ports = frozenset(page_ports)
        self._names = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}
        self._any_address = is_public(bound_host)

    def refusal(self, headers: Mapping[str, str], open_now: int = 0) -> Refusal | None:
        """Return why a request with these headers must be refused while `open_now` connections are open, or None."""
        host = headers.get("Host", "")
        name = _host_name(host)
        if name is None or not self._serves(name):
            return Refusal(421, f"This server does not answer for the host {host[:80]!r}; use its own address.")
        origin = headers.get("Origin")
        if origin is not None and not self._welcomes(origin, host):
            return Refusal(403, f"Pages from {origin[:80]!r} may not use this server.")
        if open_now > self.max_connections:
            return Refusal(503, f"All {self.max_connections} connections of this server are taken; try again later.")
        return None

    def permission(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that let the page that asks read the answer, where it comes from another port.

        Source: WHATWG Fetch, section 3.2 (CORS protocol). Empty for pages of this server and for other programs.
        """
        origin, host = headers.get("Origin"), headers.get("Host", "")
        if origin is None or not self._welcomes(origin, host) or _netloc(origin) == host.lower():
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Headers": "If-None-Match, Last-Event-ID",
            "Access-Control-Expose-Headers": "ETag",
            "Vary": "Origin",
        }

    def _welcomes(self, origin: str, host: str) -> bool:
        # The same rule as gorilla/websocket's default, the Origin's host and port are the Host's, and our own pages.
        if _netloc(origin) == host.lower():
            return True
        try:
            page = urlsplit(origin)
            return page.port in self._page_ports and page.hostname == _host_name(host)
        except ValueError:
            return False

    def _serves(self, name: str) -> bool:
        return "*" in self._names or name in self._names or (self._any_address and _is_address(name))


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
