"""Where a server that a notebook started is seen from: directly on a laptop, through jupyter-server-proxy elsewhere.

The proxy serves port 8000 of the kernel's machine at `<base>/proxy/8000/`, behind Jupyter's own login. What arrives
there was looked at with jupyter-server-proxy 4.6: Host and Origin are the browser's, so they name Jupyter's address
and not the server's; requests carry `X-Forwarded-Context`, WebSocket handshakes do not.
"""

from __future__ import annotations

import importlib.util
import json
import os
from urllib.parse import urlsplit

HUB_ADDRESSES = ("JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_HOST")
"""Where JupyterHub says by which name it is reached, if its configuration knows (source: Spawner.get_env, 5.0)."""


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


def _base_url() -> str | None:
    """Return the base URL of the Jupyter server above this process, None without one or without the proxy."""
    if (prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX")) is not None:
        return prefix
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        return None
    try:
        import psutil
        from jupyter_core.paths import jupyter_runtime_dir

        # A kernel does not know its server's address, but the server leaves it in a file named after its process.
        for process in psutil.Process().parents():
            path = os.path.join(jupyter_runtime_dir(), f"jpserver-{process.pid}.json")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    base_url: str = json.load(file)["base_url"]
                    return base_url
    except (ImportError, OSError, KeyError, ValueError, psutil.Error):
        return None  # then the direct address is the best guess
    return None
