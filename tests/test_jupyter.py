"""Where a page that a notebook serves is found: directly, or through the proxy of the Jupyter that shows it."""

import pytest

from wsdemo import jupyter

HUB = {"JUPYTERHUB_SERVICE_PREFIX": "/user/someone/"}


@pytest.fixture
def environment(monkeypatch):
    """Give a function that sets the variables of a hub; without it there is none, and no Jupyter above this test."""
    for name in ("JUPYTERHUB_SERVICE_PREFIX", *jupyter.HUB_ADDRESSES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("psutil.Process.parents", lambda self: [])
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def test_without_a_jupyter_above_the_page_is_on_this_machine(environment):
    """A port of 127.0.0.1, with the slash that the page needs to find its files."""
    assert jupyter.page_url(8000) == "http://127.0.0.1:8000/"


def test_on_a_hub_the_page_is_below_the_readers_own_address(environment):
    """A path of the site that the reader is logged in to: it works from another machine, and in a frame."""
    environment(HUB)
    assert jupyter.page_url(8000) == "/user/someone/proxy/8000/"


def test_no_further_host_is_served_on_a_laptop(environment):
    """The guard's own loopback names are enough there."""
    assert jupyter.public_hosts() == ()


@pytest.mark.parametrize("said, hosts", [
    ({}, ("*",)),
    ({"JUPYTERHUB_HOST": "https://hub.example"}, ("hub.example",)),
    ({"JUPYTERHUB_PUBLIC_URL": "https://someone.hub.example:8443/user/someone/",
      "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/hub/"}, ("hub.example", "someone.hub.example")),
])
def test_a_hubs_own_names_are_served_if_it_says_them(environment, said, hosts):
    """A hub that says how it is reached is believed; one that does not has its own login before every request."""
    environment(HUB | said)
    assert jupyter.public_hosts() == hosts
