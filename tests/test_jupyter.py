"""Where a page that a notebook serves is found: directly, or through the proxy of the Jupyter that shows it."""

import importlib.util
import json
import os

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


@pytest.mark.skipif(importlib.util.find_spec("jupyter_server_proxy") is None, reason="needs jupyter-server-proxy")
def test_the_page_under_jupyter(outside_jupyter):
    """The server above the kernel tells its base URL; one that cannot be understood is no reason to fail."""
    file = outside_jupyter / f"jpserver-{os.getppid()}.json"
    file.write_text(json.dumps({"base_url": "/user/someone/"}))
    assert jupyter.page_url(8000) == "/user/someone/proxy/8000/"
    file.write_text("{}")
    assert jupyter.page_url(8000) == "http://127.0.0.1:8000/"


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
