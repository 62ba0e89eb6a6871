"""Who may ask: the checks of the Host and Origin headers. Knows no transport and no library.

A server on 127.0.0.1 is not private by itself. Any page in the same browser can send it requests (so the Origin is
checked), and a page whose own name is made to resolve to 127.0.0.1 can even read the answers, which is called DNS
rebinding (so the Host is checked).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


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
    """

    def __init__(self, bound_host: str = "127.0.0.1", allowed_hosts: Iterable[str] = (), max_connections: int = 2000):
        self.max_connections = max_connections
        self._names = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}
        self._any_address = bound_host not in LOOPBACK_NAMES

    def refusal(self, headers: Mapping[str, str], open_now: int = 0) -> Refusal | None:
        """Return why a request with these headers must be refused while `open_now` connections are open, or None."""
        host = headers.get("Host", "")
        name = _host_name(host)
        if name is None or not self._serves(name):
            return Refusal(421, f"This server does not answer for the host {host[:80]!r}; use its own address.")
        origin = headers.get("Origin")
        # The same rule as gorilla/websocket's default: no Origin (not a browser), or that of the page's own server.
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return Refusal(403, f"Pages from {origin[:80]!r} may not use this server.")
        if open_now > self.max_connections:
            return Refusal(503, f"All {self.max_connections} connections of this server are taken; try again later.")
        return None

    def _serves(self, name: str) -> bool:
        return "*" in self._names or name in self._names or (self._any_address and _is_address(name))


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
