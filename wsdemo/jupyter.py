"""Where a server that a notebook started is seen from: directly on a laptop, through jupyter-server-proxy elsewhere.

The proxy serves port 8000 of the kernel's machine at `<base>/proxy/8000/`, behind Jupyter's own login. What arrives
there was looked at with jupyter-server-proxy 4.6: Host and Origin are the browser's, so they name Jupyter's address
and not the server's; requests carry `X-Forwarded-Context`, WebSocket handshakes do not.
"""

from __future__ import annotations

import html
import importlib.util
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import psutil

HUB_ADDRESSES = ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST")
"""Where JupyterHub says by which name it is reached, if its configuration knows (source: Spawner.get_env, 5.0)."""
PATIENCE_S = 2.0
"""How long the Jupyter server may take to say whether it has the proxy."""


def page_url(port: int) -> str:
    """Return the address at which the browser that shows this notebook finds the page served on `port` of 127.0.0.1.

    Under Jupyter with jupyter-server-proxy it is a path of Jupyter's own site, such as "/user/me/proxy/8000/": it
    works from another machine too, and in an IFrame. Otherwise it is "http://127.0.0.1:8000/". Both end in a slash,
    which a page needs to find its neighbours.
    """
    base = _base_url()
    return f"http://127.0.0.1:{port}/" if base is None else f"{base.rstrip('/')}/proxy/{port}/"


def public_hosts() -> tuple[str, ...]:
    """Return the host names, besides localhost, by which browsers reach this kernel's machine: for `Guard`.

    On a laptop there are none. Under JupyterHub they are what the hub says of itself. A hub that does not say it, as
    Binder's do not (`BINDER_LAUNCH_HOST` names the site that started it, not the one that serves it), gives ("*",):
    every name. That gives nothing away there. Each request has passed the hub's login, whose cookie a rebound name
    does not have, and the loopback of the hub's machine is not that of the reader's browser. The Origin is still
    checked against the Host.
    """
    if "JUPYTERHUB_SERVICE_PREFIX" not in os.environ:
        return ()
    names = {urlsplit(os.environ.get(variable, "")).hostname for variable in HUB_ADDRESSES}
    return tuple(sorted(name for name in names if name is not None)) or ("*",)


GONE = "This page does not answer: its server was stopped, or the kernel restarted. Run the cell again."
FINDS_OUT = """<!doctype html><meta charset="utf-8"><title>%(title)s</title>
<style>:root { color-scheme: light dark; font: 1em/1.5 sans-serif } img { max-width: 100%% }</style>
<div hidden><p>%(gone)s</p>%(picture)s</div>
<script>
const url = %(url)s;
const gone = () => { document.querySelector("div").hidden = false; };
fetch(url, { mode: "no-cors", cache: "no-store" }).then(
  (answer) => (answer.type === "opaque" || answer.ok ? location.replace(url) : gone()),
  gone,
);
</script>"""
"""What a frame holds at first. From another port the browser does not show an answer, but whether there was one."""


class Frame:
    """A page in a frame of the notebook, with a link to it below: some notebooks, such as VS Code's, show no frames.

    url: where the browser finds it, see `page_url`; title: what it is, for those who cannot see it; lasting: whether
    its server lasts beyond the cell. Then the frame asks first whether the server is still there, and says what to do
    if it is not: notebooks are opened again, and kernels restarted. picture: a PNG of the page, to be shown instead.
    """

    def __init__(
        self,
        url: str,
        title: str,
        *,
        width: str = "100%",
        height_px: int = 600,
        lasting: bool = False,
        picture: Path | None = None,
    ):
        self.url, self.title = url, title
        self._size = f'width="{html.escape(width)}" height="{height_px}"'
        self._lasting, self._picture = lasting, picture

    def __repr__(self) -> str:
        return f"{self.title}: {self.url}"

    def _repr_html_(self) -> str:
        url, title = html.escape(self.url), html.escape(self.title)
        return (
            f'<iframe src="{url}" title="{title}" {self._size} style="border:0"{self._first()}></iframe>'
            f'<p><a href="{url}" target="_blank" rel="noopener">Open it in a tab of its own</a></p>'
        )

    def _first(self) -> str:
        """Return the attribute that makes the frame find out first whether its page is there."""
        if not self._lasting:
            return ""
        picture = ""
        if self._picture is not None:
            data = b64encode(self._picture.read_bytes()).decode()
            picture = f'<img src="data:image/png;base64,{data}" alt="A picture of it: {html.escape(self.title)}">'
        # Within a script no "<" may begin a tag that ends it.
        url = json.dumps(self.url).replace("<", "\\u003c")
        page = FINDS_OUT % {"title": html.escape(self.title), "gone": GONE, "picture": picture, "url": url}
        return f' srcdoc="{html.escape(page)}"'


def _base_url() -> str | None:
    """Return the base URL of the Jupyter server above this process, None without one or without the proxy."""
    if (prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX")) is not None:
        return prefix
    for server in _servers_above():
        has_proxy = _says_it_has_the_proxy(server)
        if has_proxy is None:  # the next best guess: server and kernel are often of one environment
            has_proxy = importlib.util.find_spec("jupyter_server_proxy") is not None
        base_url = server.get("base_url")
        return base_url if has_proxy and isinstance(base_url, str) else None
    return None


def _servers_above() -> Iterator[dict[str, Any]]:
    """Yield what the Jupyter servers among this process's parents left about themselves.

    A kernel does not know its server's address, but the server leaves it in a file named after its process.
    """
    try:
        from jupyter_core.paths import jupyter_runtime_dir

        folder, parents = jupyter_runtime_dir(), psutil.Process().parents()
    except (ImportError, OSError, psutil.Error):
        return  # then the direct address is the best guess
    for process in parents:
        try:
            with open(os.path.join(folder, f"jpserver-{process.pid}.json"), encoding="utf-8") as file:
                server = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(server, dict):
            yield server


def _says_it_has_the_proxy(server: dict[str, Any]) -> bool | None:
    """Ask a Jupyter server itself, since it may be of another environment than this kernel; None where it says nothing.

    jupyter-server-proxy answers at this address, to whoever has the server's token.
    """
    try:
        headers = {"Authorization": f"token {server['token']}"}
        question = Request(f"{server['url']}server-proxy/servers-info", headers=headers)
        # Without a proxy of the network's: the server is on this machine.
        with build_opener(ProxyHandler({})).open(question, timeout=PATIENCE_S) as answer:
            return "server_processes" in json.load(answer)
    except HTTPError as error:
        error.close()
        return False if error.code == 404 else None
    except (OSError, HTTPException, KeyError, TypeError, ValueError):
        return None
