"""The echo server's page in a real browser: its buttons and log, and what a hostile message or page can do to it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http import HTTPStatus

import pytest
from browser import (  # noqa: F401 - browser is a fixture
    Watch,
    browser,
    in_background,
    jupyter_site,
    notebook_showing,
)
from patience import patient
from websockets.asyncio.server import serve

from wsdemo import echo
from wsdemo.echo import EchoServer
from wsdemo.jupyter import Frame
from wsdemo.pages.web import security_headers

try:
    from playwright.sync_api import expect
except ImportError:
    expect = None  # then the fixture `browser` skips every test here, or fails it in CI

HOSTILE = "<img src=x onerror=\"document.title='fired'\">"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


@pytest.fixture(autouse=True)
def on_a_laptop(monkeypatch):
    """The servers here are to know of no hub, even where the tests run on one."""
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)


@pytest.fixture
def server():
    """An echo server beside the test; `said` holds what it would have printed."""
    said = []
    with in_background(EchoServer(heard=said.append)) as running:
        running.said = said
        yield running


@pytest.fixture
def page(browser):  # noqa: F811
    """An empty page in a browser context of its own."""
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(patient(10_000))
        page.watch = Watch(page)
        yield page


def address(server: EchoServer, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{server.port}/"


def shown(page) -> list[str]:
    """Return the log's entries, without the time of day."""
    return [
        re.sub(r"^\d\d:\d\d:\d\d\n", "", text).replace("\n", " ") for text in page.locator("#log p").all_inner_texts()
    ]


def opened(page, url: str):
    page.goto(url)
    page.click("#open")
    expect(page.locator("#state")).to_have_text("open")
    return page


def on(page) -> set[str]:
    """Return which of the buttons can be pressed."""
    return {name for name in ("open", "close", "send") if page.locator(f"#{name}").is_enabled()}


def complaint(page, text: str) -> str:
    """Wait for a complaint on the console that contains `text`, take it off the list and return it."""
    for _ in range(round(patient(100))):
        for found in page.watch.complaints:
            if text in found:
                page.watch.complaints.remove(found)
                return found
        page.wait_for_timeout(50)
    raise AssertionError(f"nobody complained of {text!r}, only {page.watch.complaints}")


# The page at work


def test_open_send_close(server, page):
    """Each button does what it says, the log tells it, and nothing goes anywhere else."""
    page.goto(address(server))
    assert (on(page), shown(page)) == ({"open"}, [])
    expect(page.locator("#address")).to_have_text(server.url)
    page.click("#open")
    expect(page.locator("#state")).to_have_text("open")
    assert on(page) == {"close", "send"}
    page.click("#send")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    page.fill("#text", "grüße")
    page.press("#text", "Enter")
    expect(page.locator("[data-kind=received]")).to_have_count(2)
    page.click("#close")
    expect(page.locator("#state")).to_have_text("closed")
    assert on(page) == {"open"}
    patterns = [
        "opened handshake done",
        "sent hello",
        f"received {TIME}",
        "sent grüße",
        f"received {TIME}",
        "closed code 1000, normal closure",
    ]
    assert all(map(re.fullmatch, patterns, shown(page)))
    assert server.said == ["client 1 says 'hello'", "client 1 says 'grüße'"]
    page.click("#clear")
    assert shown(page) == []
    assert (page.watch.hosts, page.watch.complaints) == ({f"127.0.0.1:{server.port}"}, [])


def test_keyboard_alone(server, page):
    """Every control is reached and used by keyboard, and the focus never falls out of the page."""
    page.goto(address(server))
    page.keyboard.press("Tab")
    expect(page.locator("#language")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#open")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#close")).to_be_focused()
    expect(page.locator("#state")).to_have_text("open")
    page.keyboard.press("Tab")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#state")).to_have_text("closed")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Tab")  # Send is off, so the next one is Clear, and then the log
    page.keyboard.press("Tab")
    expect(page.locator("#log")).to_be_focused()
    assert server.said == ["client 1 says 'by hand'"]


def test_it_cannot_be_opened_twice_nor_send_while_closed(server, page):
    sockets = []
    page.on("websocket", lambda socket: sockets.append(socket))
    page.goto(address(server))
    page.press("#text", "Enter")
    page.evaluate("document.forms[0].requestSubmit()")
    assert shown(page) == []
    page.evaluate("for (const _ of [1, 2, 3]) { document.querySelector('#open').click() }")
    expect(page.locator("#state")).to_have_text("open")
    page.evaluate("document.querySelector('#open').dispatchEvent(new MouseEvent('click'))")
    page.click("#send")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    assert len(sockets) == 1
    page.evaluate("for (const _ of [1, 2, 3]) { document.querySelector('#close').click() }")
    expect(page.locator("#state")).to_have_text("closed")
    assert [text.split()[0] for text in shown(page)] == ["opened", "sent", "received", "closed"]


def test_a_server_that_stops_is_said_and_so_is_one_that_is_gone(page):
    with in_background(EchoServer(heard=lambda line: None)) as server:
        opened(page, address(server))
    expect(page.locator("#state")).to_have_text("closed")
    page.click("#open")
    expect(page.locator("[data-kind=failed]")).to_have_count(1)
    assert shown(page)[1:] == [
        "closed code 1001, going away: the server stops, or the page is left "
        "(this server stops; come back within 0.2 s); this page did not ask for it",
        "failed no WebSocket could be opened: the server is gone, or it refuses this page",
    ]
    assert on(page) == {"open"}


def test_in_a_notebooks_frame_it_says_what_to_do_when_its_server_is_gone(page):
    """While it is shown, and, with the page's picture, when the notebook is opened again."""
    frame = page.frame_locator("iframe")
    with ExitStack() as stack:
        with in_background(EchoServer(heard=lambda line: None)) as server:
            markup = Frame(server.page_url, "Echo", lasting=True, picture=echo.PICTURE)._repr_html_()
            page.goto(stack.enter_context(notebook_showing(markup)))
            frame.locator("#open").click()
            expect(frame.locator("#state")).to_have_text("open")
        frame.locator("#open").click()
        expect(frame.locator("[data-kind=failed]")).to_contain_text("run the cell again")
        page.reload()
        expect(frame.get_by_text("Run the cell again")).to_be_visible()
        assert frame.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 600


def test_a_server_that_dies_is_said_and_a_new_one_can_be_used(page):
    command = [sys.executable, "-m", "wsdemo", "serve", "echo", "--port"]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        port = re.search(r'"echo": (\d+)', process.stdout.readline())[1]
        opened(page, f"http://127.0.0.1:{port}/")
        process.kill()
    expect(page.locator("#state")).to_have_text("closed")
    assert shown(page)[1:] == ["closed code 1006, the connection broke without a goodbye; this page did not ask for it"]
    with subprocess.Popen([*command, port], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        process.stdout.readline()
        page.click("#open")
        expect(page.locator("#state")).to_have_text("open")
        process.kill()


def test_a_message_over_the_limit_closes_with_1009(server, page):
    opened(page, address(server))
    page.fill("#text", "x" * (echo.MAX_MESSAGE_BYTES + 1))
    page.click("#send")
    expect(page.locator("#state")).to_have_text("closed")
    assert shown(page)[-1].startswith("closed code 1009, the message was too big")


def test_the_log_does_not_grow_without_end(server, page):
    opened(page, address(server))
    page.evaluate("for (let i = 0; i < 600; i += 1) { document.forms[0].requestSubmit() }")
    expect(page.locator("#log p").last).to_contain_text("received")
    assert page.locator("#log p").count() == 500


@pytest.mark.parametrize("width, height", [(320, 568), (390, 844), (1280, 720)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_and_follows_its_scheme(server, page, width, height, scheme):
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    opened(page, address(server))
    page.fill("#text", "a" * 300)
    page.click("#send")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (min(map(int, re.findall(r"\d+", background))) > 200) == (scheme == "light")


# Its languages


@pytest.mark.parametrize(
    ("locale", "lang", "heading"), [("en-US", "en-GB", "Echo"), ("zh-TW", "zh-CN", "回声"), ("fr-FR", "en-GB", "Echo")]
)
def test_the_browsers_language_is_spoken(browser, server, locale, lang, heading):  # noqa: F811
    """English, Chinese, and English for who speaks neither."""
    with browser.new_context(locale=locale) as context:
        page = context.new_page()
        page.goto(address(server))
        expect(page.locator("h1")).to_have_text(heading)
        assert page.locator("html").get_attribute("lang") == lang


def test_the_other_language_is_a_button_away(server, page):
    """It says everything again, the log too, and stands in the address, so that a reload does not forget it."""
    opened(page, address(server))
    page.click("#send")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    page.click("#language")
    expect(page.locator("#state")).to_have_text("已打开")
    assert shown(page)[:2] == ["打开 握手完成", "发送 hello"]
    page.click("#close")
    expect(page.locator("#state")).to_have_text("已关闭")
    assert shown(page)[-1].startswith("关闭 代码 1000") and shown(page)[-1].endswith("正常关闭")
    words = page.inner_text("body").replace("hello", "").replace("English", "")
    assert not re.search(r"[A-Za-z]{3,}", re.sub(r"ws://\S+|WebSocket|[\dT:.+-]{20,}", "", words))
    page.reload()
    expect(page.locator("h1")).to_have_text("回声")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#log'), '::before').content") == '"还没有发生任何事。"'
    )
    page.click("#language")
    expect(page.locator("h1")).to_have_text("Echo")
    assert page.url.endswith("#language=en")
    page.goto("about:blank")
    page.goto(address(server) + "#language=tlh")
    expect(page.locator("h1")).to_have_text("Echo")
    assert page.watch.complaints == []


def test_both_languages_have_the_same_texts(server, page):
    """No key is missing in either, and each has the placeholders of the other."""
    page.goto(address(server))
    texts = page.evaluate("async () => (await import('./texts.js')).TEXTS")
    assert list(texts) == ["en", "zh"] and texts["en"].keys() == texts["zh"].keys()
    for key, english in texts["en"].items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", texts["zh"][key])), key


# Hostile messages and pages, each with a control that must fall for them


@asynccontextmanager
async def unguarded(html: str, reply: str = "secret", headers: dict[str, str] | None = None) -> AsyncIterator[int]:
    """Serve a page at every path but /ws, and say `reply` to whoever opens that; ask nobody who they are."""

    def answer_page(connection, request):
        if request.path == "/ws":
            return None
        response = connection.respond(HTTPStatus.OK, UNSAFE_SCRIPT if request.path == "/unsafe.js" else html)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/javascript" if request.path == "/unsafe.js" else "text/html"
        response.headers.update(headers or {})
        return response

    async def attend(connection):
        await connection.send(reply)
        await connection.wait_closed()

    async with serve(attend, "127.0.0.1", 0, process_request=answer_page, close_timeout=0.1, open_timeout=1) as running:
        yield running.sockets[0].getsockname()[1]


UNSAFE_PAGE = "<!doctype html><title>quiet</title><p id=log></p><script src=unsafe.js></script>"
UNSAFE_SCRIPT = """
new WebSocket(`ws://${location.host}/ws`).onmessage = ({ data }) => {
  document.querySelector("#log").innerHTML = data;  // the mistake
};
"""


def test_a_hostile_message_is_shown_as_text(server, page, monkeypatch):
    """Whatever the server says, and whatever the reader sends, stays text in the log."""
    monkeypatch.setattr(echo, "answer", lambda: HOSTILE)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, address(server))
    page.fill("#text", HOSTILE)
    page.click("#send")
    expect(page.locator("[data-kind=received]")).to_have_count(1)
    assert shown(page)[1:] == [f"sent {HOSTILE}", f"received {HOSTILE}"]
    assert page.locator("#log img").count() == 0
    assert not any(url.endswith("/x") for url in asked)
    assert (page.title(), page.watch.complaints) == ("Echo: a first WebSocket", [])


def test_control_the_same_message_fires_where_innerhtml_shows_it(page):
    with in_background(unguarded(UNSAFE_PAGE, HOSTILE)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page).to_have_title("fired")


def test_the_policy_of_our_page_would_have_held_back_even_innerhtml(page):
    """The second line of defence: with our Content-Security-Policy the image is there, its script does not run."""
    with in_background(unguarded(UNSAFE_PAGE, HOSTILE, security_headers())) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        expect(page.locator("#log img")).to_have_count(1)
        complaint(page, "Executing inline event handler violates")
        assert page.title() == "quiet"


def hijacker(url: str) -> str:
    """Return a page that opens somebody else's WebSocket and puts what it hears, or that it failed, in its title."""
    return f"""<!doctype html><title>waiting</title><script>
        const socket = new WebSocket("{url}");
        socket.onopen = () => socket.send("give me");
        socket.onmessage = ({{ data }}) => {{ document.title = "stole " + data; }};
        socket.onclose = () => {{ document.title = "failed"; }};
    </script>"""


def test_a_page_of_another_origin_cannot_open_the_socket(server, page):
    """Cross-site WebSocket hijacking: the browser lets any page try, so the server must look at the Origin."""
    with in_background(unguarded(hijacker(server.url))) as port:
        for host in ("evil.example", "127.0.0.1"):
            page.goto(f"http://{host}:{port}/")
            expect(page).to_have_title("failed")
            complaint(page, "Unexpected response code: 403")
    assert (server.said, page.watch.complaints) == ([], [])


def test_control_an_unguarded_socket_is_hijacked(page):
    with (
        in_background(unguarded("")) as victim,
        in_background(unguarded(hijacker(f"ws://127.0.0.1:{victim}/ws"))) as port,
    ):
        page.goto(f"http://evil.example:{port}/")
        expect(page).to_have_title("stole secret")


def test_a_rebound_name_is_not_served(server, page):
    """DNS rebinding: a foreign name that resolves to 127.0.0.1 has our page's Origin, but not our Host."""
    response = page.goto(address(server, "evil.example"))
    assert response.status == 421
    assert "does not answer for the host 'evil.example" in page.inner_text("body")
    with in_background(unguarded(hijacker(f"ws://evil.example:{server.port}/ws"))) as port:
        page.goto(f"http://evil.example:{port}/")
        expect(page).to_have_title("failed")
        complaint(page, "Unexpected response code: 421")
    assert server.said == []


def test_control_an_unguarded_server_answers_a_rebound_name(page):
    script = hijacker("/ws").replace('"/ws"', "`ws://${location.host}/ws`")
    with in_background(unguarded(script)) as port:
        assert page.goto(f"http://evil.example:{port}/").status == 200
        expect(page).to_have_title("stole secret")


def test_only_pages_of_this_machine_may_frame_it(server, page):
    """A notebook on localhost shows the page in an IFrame; a page of another site gets an empty frame."""
    with in_background(unguarded(f'<iframe src="{address(server)}"></iframe>')) as port:
        for host in ("localhost", "127.0.0.1"):
            page.goto(f"http://{host}:{port}/")
            frame = page.frame_locator("iframe")
            frame.locator("#open").click()
            expect(frame.locator("#state")).to_have_text("open")
        assert page.watch.complaints == []
        page.goto(f"http://evil.example:{port}/")
        complaint(page, "frame-ancestors")
        assert page.frame_locator("iframe").locator("#open").count() == 0


# Behind jupyter-server-proxy


@pytest.fixture(scope="module")
def jupyter(browser, tmp_path_factory):  # noqa: F811
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        pytest.skip("needs jupyter-server-proxy")
    with jupyter_site(str(tmp_path_factory.mktemp("root"))) as (port, login):
        yield port, login


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "hub.example"])
def test_behind_the_proxy_it_works_under_any_base(page, jupyter, host):
    """At /user/someone/proxy/PORT/, under Jupyter's own Host and Origin, on a laptop as on a hub."""
    port, login = jupyter
    with in_background(EchoServer(allowed_hosts=["hub.example"], heard=lambda line: None)) as server:
        page.goto(f"http://{host}:{port}{login}")
        opened(page, f"http://{host}:{port}/user/someone/proxy/{server.port}/")
        expect(page.locator("#address")).to_have_text(f"ws://{host}:{port}/user/someone/proxy/{server.port}/ws")
        page.click("#send")
        expect(page.locator("[data-kind=received]")).to_have_count(1)
        page.click("#close")
        expect(page.locator("#state")).to_have_text("closed")
        assert shown(page)[-1] == "closed code 1000, normal closure"
        assert (page.watch.hosts, page.watch.complaints) == ({f"{host}:{port}"}, [])


def test_behind_the_proxy_an_unknown_host_is_refused(page, jupyter):
    port, login = jupyter
    with in_background(EchoServer(heard=lambda line: None)) as server:
        page.goto(f"http://hub.example:{port}{login}")
        assert page.goto(f"http://hub.example:{port}/user/someone/proxy/{server.port}/").status == 421


def test_behind_the_proxy_without_its_slash_the_page_says_what_is_wrong(page, jupyter):
    port, login = jupyter
    with in_background(EchoServer(heard=lambda line: None)) as server:
        page.goto(f"http://localhost:{port}{login}")
        page.goto(f"http://localhost:{port}/user/someone/proxy/{server.port}")
        expect(page.locator("#address")).to_contain_text("Does its address end in a slash?")
        assert on(page) == set()


# A page of the reader's own, served from elsewhere


FIRST_MESSAGE = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => socket.send("from elsewhere");
  socket.onmessage = ({ data }) => { resolve(data); socket.close(); };
  socket.onerror = () => resolve("failed");
})"""
FIRST_EVENT = """(url) => new Promise((resolve) => {
  const source = new EventSource(url);
  source.addEventListener("position", ({ lastEventId }) => { resolve(lastEventId); source.close(); });
  source.onerror = () => { resolve("failed"); source.close(); };
})"""
SECOND_ANSWER = """async (url) => {
  try {
    const first = await fetch(`${url}?after=0`, { cache: "no-store" });
    const { epoch, seq } = await first.json();
    const tag = first.headers.get("ETag");
    const headers = { "If-None-Match": tag };  // not a header that needs no leave, so the browser asks beforehand
    const second = await fetch(`${url}?after=0`, { cache: "no-store", headers });
    return `${tag === `"${epoch}-${seq}"`} ${second.status}`;
  } catch {
    return "failed";
  }
}"""
SERVE = [sys.executable, "-m", "wsdemo", "serve"]


@contextmanager
def serving(*arguments: str) -> Iterator[dict[str, str]]:
    """Run `python -m wsdemo serve` with these arguments; give its addresses."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([*SERVE, *arguments], **pipes) as process:
        try:
            yield json.loads(process.stdout.readline())["urls"]
        finally:
            process.kill()


def hear_all(page) -> dict[str, str]:
    """Return what the page that is shown now hears from servers on other ports, by each way to ask."""
    quiet = ("--schedule", "every", "--rate", "0.001")  # so that nothing new comes between two questions
    allow = ("--allow-origin", page.evaluate("location.origin.startsWith('http') ? location.origin : 'null'"))
    with serving("echo", *allow) as echoes, serving("sse", "conditional", *quiet, *allow) as feeds:
        return {
            "echo": page.evaluate(FIRST_MESSAGE, echoes["echo"]),
            "sse": page.evaluate(FIRST_EVENT, feeds["sse"]),
            "conditional": page.evaluate(SECOND_ANSWER, feeds["conditional"]),
        }


def assert_heard(heard: dict[str, str]) -> None:
    assert re.fullmatch(TIME, heard["echo"])
    assert re.fullmatch(r"[0-9a-f]{8}-0", heard["sse"])
    assert heard["conditional"] == "true 304"


def test_a_page_on_another_port_uses_echo_and_sse_with_its_origin_allowed(page):
    """WebSocket, EventSource, and a fetch for which the browser asks beforehand."""
    with in_background(unguarded("<!doctype html><title>mine</title>")) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        assert_heard(hear_all(page))


def test_a_page_from_a_file_uses_them_where_null_is_allowed(page, tmp_path):
    """Such a page has no origin of its own, and the browser says "null" of it."""
    (tmp_path / "mine.html").write_text("<!doctype html><title>mine</title>")
    page.goto((tmp_path / "mine.html").as_uri())
    assert_heard(hear_all(page))


def test_control_without_the_option_the_same_page_hears_nothing(page):
    """By none of the three; another origin that is allowed does not help."""
    with in_background(unguarded("<!doctype html><title>mine</title>")) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        other = ("--allow-origin", f"http://localhost:{port}", "--allow-origin", "null")
        with serving("echo", *other) as echoes, serving("sse", "conditional", *other) as feeds:
            assert page.evaluate(FIRST_MESSAGE, echoes["echo"]) == "failed"
            assert page.evaluate(FIRST_EVENT, feeds["sse"]) == "failed"
            assert page.evaluate(SECOND_ANSWER, feeds["conditional"]) == "failed"
