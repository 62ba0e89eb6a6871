"""What the servers of pages share: the types of files, and a policy that no header can add to."""

from pathlib import Path

import pytest

import wsdemo
from wsdemo.pages.web import content_type, policy_name, security_headers

PAGES = [
    path
    for folder in ("live", "pages")
    for path in (Path(wsdemo.__file__).parent / folder).rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc", ".png")
]


def test_every_file_of_a_page_has_a_type():
    """A file that no browser could be told about would not be served; sources and pictures for notebooks have none."""
    assert len(PAGES) > 20
    assert {path.suffix: content_type(path.name) for path in PAGES} == {
        ".html": "text/html",
        ".css": "text/css",
        ".js": "text/javascript",
        ".svg": "image/svg+xml",
    }
    with pytest.raises(KeyError):
        content_type("server.py")


def test_the_policy_allows_this_site_and_what_it_is_told():
    """Nothing inline, nothing from elsewhere; connections to its own origin, and to those named."""
    policy = security_headers()["Content-Security-Policy"]
    assert "default-src 'none';" in policy and "connect-src 'self';" in policy and "unsafe" not in policy
    more = security_headers("http://a:*", "ws://a:*")["Content-Security-Policy"]
    assert more == policy.replace("connect-src 'self';", "connect-src 'self' http://a:* ws://a:*;")


@pytest.mark.parametrize(
    "host, name",
    [
        ("127.0.0.1:80", "127.0.0.1"),
        ("Hub.example", "hub.example"),
        ("[::1]:80", "[::1]"),
        ("a;script-src *", None),
        ("a *", None),
        ("x'y", None),
        ("évil", None),
        ("[::1", None),
        ("", None),
    ],
)
def test_a_host_adds_nothing_to_the_policys_grammar(host, name):
    """Only letters, digits, dots, hyphens and the colons of an address come through."""
    assert policy_name(host) == name


def test_the_other_headers_leave_nothing_to_the_browsers_guess():
    """No guess at a type, no address told to others, and no copy kept: another server may get the port tomorrow."""
    headers = security_headers()
    del headers["Content-Security-Policy"]
    assert headers == {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
