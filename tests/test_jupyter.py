"""Where a page that a notebook serves is found: directly, or through the proxy of the Jupyter that shows it."""

import contextlib
import html
import importlib.util
import json
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from wsdemo import jupyter


@pytest.fixture
def outside_jupyter(monkeypatch, tmp_path):
    """Take away what a hub or a Jupyter server sets; give the folder in which a server leaves its address."""
    for name in ("JUPYTERHUB_SERVICE_PREFIX", *jupyter.HUB_ADDRESSES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_the_page_outside_jupyter(outside_jupyter):
    """A port of this machine, with the slash that a page needs to find its files."""
    assert jupyter.page_url(8000) == "http://127.0.0.1:8000/"
    assert jupyter.public_hosts() == ()


@contextlib.contextmanager
def jupyter_server(folder, status, body, **headers):
    """Run a server that answers a question about its proxy like this, and leaves its address as Jupyter does."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status if "servers-info" in self.path else 200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        leave_address(folder, f"http://127.0.0.1:{server.server_port}/user/someone/")
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def leave_address(folder, url):
    about = {"base_url": "/user/someone/", "url": url, "token": "secret"}
    (folder / f"jpserver-{os.getppid()}.json").write_text(json.dumps(about))


@pytest.fixture(params=[True, False], ids=["proxy beside the kernel", "no proxy beside the kernel"])
def beside_the_kernel(request, monkeypatch):
    """Whether the kernel's own environment has jupyter-server-proxy, which is not to the point."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if request.param else None)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody's; the question must not go there
    return request.param


@pytest.mark.parametrize(
    "status, body, page",
    [
        (200, b'{"server_processes": []}', "/user/someone/proxy/8000/"),
        (404, b"<html>no such page</html>", "http://127.0.0.1:8000/"),
    ],
)
def test_the_server_is_asked_whether_it_has_the_proxy(outside_jupyter, beside_the_kernel, status, body, page):
    """JupyterLab may be of one environment and the kernel of another: what counts is what the server can do."""
    with jupyter_server(outside_jupyter, status, body) as asked:
        assert jupyter.page_url(8000) == page
    assert asked == [("/user/someone/server-proxy/servers-info", "token secret")]


@pytest.mark.parametrize(
    "status, body, headers",
    [
        (403, b"forbidden", {}),
        (302, b"", {"Location": "/login"}),
        (200, b"<html>log in</html>", {}),
        (200, b"42", {}),
        (500, b"", {}),
    ],
)
def test_a_server_that_does_not_say_leaves_a_guess(outside_jupyter, beside_the_kernel, status, body, headers):
    """One with a password instead of a token, say: then the kernel's own environment is the next best sign."""
    with jupyter_server(outside_jupyter, status, body, **headers):
        expected = "/user/someone/proxy/8000/" if beside_the_kernel else "http://127.0.0.1:8000/"
        assert jupyter.page_url(8000) == expected


def test_a_server_that_is_gone_or_cannot_be_understood_is_no_reason_to_fail(outside_jupyter, beside_the_kernel):
    """Its file outlives a server that was killed."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        leave_address(outside_jupyter, f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        expected = "/user/someone/proxy/8000/" if beside_the_kernel else "http://127.0.0.1:8000/"
        assert jupyter.page_url(8000) == expected
    for nonsense in ("{}", "", "[]", '{"url": 5, "token": null, "base_url": 5}'):
        (outside_jupyter / f"jpserver-{os.getppid()}.json").write_text(nonsense)
        assert jupyter.page_url(8000) == "http://127.0.0.1:8000/"


def test_a_link_stands_beside_every_frame():
    """Where a notebook shows no frames, as VS Code's may not, the page can still be opened; nothing is smuggled in."""
    frame = jupyter.Frame('/a?b="c"&d', "<A page>", height_px=60)
    markup = frame._repr_html_()
    assert markup.count('="/a?b=&quot;c&quot;&amp;d"') == 2
    assert re.search(r'<iframe src=.* title="&lt;A page&gt;".* height="60"', markup)
    assert re.search(r'<a href=[^>]*target="_blank" rel="noopener">', markup)
    assert repr(frame) == '<A page>: /a?b="c"&d'


def test_a_frame_that_lasts_finds_out_first_whether_its_page_is_there(tmp_path):
    """It asks for the page at its own address, and has a sentence and a picture for when nobody answers."""
    (tmp_path / "a.png").write_bytes(b"PNG")
    url = "/proxy/1/?</script>&\"'"
    frame = jupyter.Frame(url, "A 50 % <page>", lasting=True, picture=tmp_path / "a.png")
    (page,) = re.findall(r' srcdoc="([^"]*)"', frame._repr_html_())
    page = html.unescape(page)
    assert page.count("</script>") == 1
    (script,) = re.findall(r"const url = (.*);", page)
    assert json.loads(script) == url
    assert "Run the cell again" in page and 'src="data:image/png;base64,UE5H"' in page
    assert "srcdoc" not in jupyter.Frame(url, "A page")._repr_html_()
    assert "<img" not in jupyter.Frame(url, "A page", lasting=True)._repr_html_().replace("&lt;img", "<img")


@pytest.mark.parametrize(
    "hub, expected",
    [
        ({}, ("*",)),
        ({"JUPYTERHUB_PUBLIC_URL": "", "JUPYTERHUB_PUBLIC_HUB_URL": "", "JUPYTERHUB_HOST": ""}, ("*",)),
        ({"JUPYTERHUB_PUBLIC_URL": "https://Hub.example:8443/user/me/"}, ("hub.example",)),
        (
            {"JUPYTERHUB_PUBLIC_URL": "https://me.hub.example/", "JUPYTERHUB_HOST": "https://hub.example"},
            ("hub.example", "me.hub.example"),
        ),
    ],
)
def test_the_names_of_a_hub(outside_jupyter, monkeypatch, hub, expected):
    """A hub that says how it is reached is believed; one that does not has its login before every request."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    for name, value in hub.items():
        monkeypatch.setenv(name, value)
    assert jupyter.public_hosts() == expected
    assert jupyter.page_url(8000) == "/user/me/proxy/8000/"


@pytest.mark.skipif(importlib.util.find_spec("jupyter_server_proxy") is None, reason="needs jupyter-server-proxy")
def test_the_server_need_not_have_started_the_kernel_itself(outside_jupyter):
    """A wrapper may stand between: each process above this one is asked, the nearest first."""
    grandparent = psutil.Process().parents()[1]
    file = outside_jupyter / f"jpserver-{grandparent.pid}.json"
    file.write_text(json.dumps({"base_url": "/far/"}))
    assert jupyter.page_url(8000) == "/far/proxy/8000/"
    (outside_jupyter / f"jpserver-{os.getppid()}.json").write_text(json.dumps({"base_url": "/near/"}))
    assert jupyter.page_url(8000) == "/near/proxy/8000/"
