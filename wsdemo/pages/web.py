"""What the servers of pages have in common: some files, the types of all, and the headers that protect a page."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from wsdemo.guard import in_brackets

CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
"""What browsers are told a file is, by its suffix. What is not listed is not served."""


SHARED = Path(__file__).with_name("shared")
"""The browser's files that pages have in common."""


def shared_files() -> dict[str, Path]:
    """Return the files that pages have in common, each by the path at which a page's server has to serve it."""
    return {f"/shared/{path.name}": path for path in sorted(SHARED.glob("*.js"))}


def content_type(name: str) -> str:
    """Return the type of a page's file, without its charset, which is UTF-8. Raises KeyError for any other file."""
    return CONTENT_TYPES[PurePath(name).suffix]


def security_headers(*connect: str) -> dict[str, str]:
    """Return the headers that go with every file of a page. connect: where it may connect to besides its own origin."""
    sources = " ".join(("'self'", *connect))
    return {
        # Only this site's own files run or load, and a notebook on this site or this machine may show the page.
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        f" connect-src {sources}; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self' http://localhost:* http://127.0.0.1:*",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        # Another server may get the same port tomorrow, and the browser must not show it this page.
        "Cache-Control": "no-store",
    }


def policy_name(host: str) -> str | None:
    """Return the name in a Host header if it can stand in a policy without becoming part of its grammar, or None."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return None
    return in_brackets(name) if re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", name) else None
