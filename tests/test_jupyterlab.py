"""JupyterLab itself, in a real browser, under a base URL of Binder's shape: lessons run from top to bottom."""

import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from browser import browser, jupyter_site  # noqa: F401
from patience import patient

ROOT = Path(__file__).resolve().parent.parent
HUB = "hub.example"
RUN_MS = patient(150_000)
SETTINGS = {
    # Every cell in the page, not only those in sight; and no question to the project's servers about news.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab that shows a copy of the lessons, reached by a hub's name; gives its address and its login."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", root / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    settings = tmp_path_factory.mktemp("settings")
    for name, values in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/someone/")
        with jupyter_site(
            str(root), "jupyterlab", f"--LabApp.user_settings_dir={settings}", "--LabApp.extension_manager=readonly"
        ) as (port, login):
            yield f"http://{HUB}:{port}", login


@pytest.fixture
def opened(lab, browser):  # noqa: F811
    """Give a function that opens a lesson, logged in, when its kernel is ready; the page is closed afterwards."""
    address, login = lab
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address + login)

    def open_lesson(name):
        # In a workspace of its own: JupyterLab remembers in it what an earlier test had open, and opens that again.
        page.goto(f"{address}/user/someone/lab/workspaces/{Path(name).stem}/tree/notebooks/{name}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=patient(60_000))
        page.get_by_text("| Idle").wait_for(timeout=patient(60_000))  # the kernel's state, in the bar at the bottom
        return page

    yield open_lesson
    context.close()


def run_all(page):
    """Choose Run > Run All Cells as a reader would, and wait until every code cell has run."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    from playwright.sync_api import (
        TimeoutError,
    )  # not at the top: where it is missing, these tests skip with the reason

    # Cells that wait for their turn have a star; the stored outputs had numbers before.
    stars = "() => [...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.textContent === '[*]:')"
    try:
        page.wait_for_function(stars, timeout=patient(20_000))
    except TimeoutError:
        # What a person at the screen would be asked to read out.
        words = page.locator(".jp-Dialog, #jp-bottom-panel, .lm-Menu, .jp-InputPrompt").all_inner_texts()
        raise AssertionError(f"no cell waits for its turn; on the screen: {words}") from None
    page.wait_for_function(stars.replace("() => ", "() => !"), timeout=RUN_MS)


def run_again(page, words):
    """Run the last code cell with these words in it, and wait until it has run."""
    from playwright.sync_api import expect  # not at the top: where it is missing, these tests skip with the reason

    cell = page.locator(".jp-CodeCell", has_text=words).last
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    cell.locator(".cm-content").first.click()
    page.keyboard.press("Control+Enter")
    expect(prompt).not_to_have_text(before, timeout=patient(20_000))
    expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=patient(20_000))


def opened_again(page, title):
    """Show a frame anew, as a notebook that is opened later does, and wait until it says what to do; return it."""
    page.locator(f"iframe[title='{title}']").last.evaluate("frame => { frame.srcdoc = frame.srcdoc; }")
    frame = page.frame_locator(f"iframe[title='{title}']").last
    frame.get_by_text("Run the cell again").wait_for(timeout=patient(20_000))
    return frame


def errors(page):
    return page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count()


def figures(page):
    """Return the alt texts of all pictures that the notebook shows, empty for one without."""
    return page.eval_on_selector_all(".jp-OutputArea-output img", "images => images.map(image => image.alt)")


def test_the_first_lesson_runs_from_top_to_bottom(opened):
    """Run All Cells: no error, and every figure is there with a text for those who cannot see it."""
    page = opened("00_start_here.ipynb")
    page.evaluate("() => document.querySelectorAll('.jp-OutputArea-output img').forEach(image => image.remove())")
    run_all(page)
    assert errors(page) == 0
    alts = figures(page)
    assert len(alts) >= 2
    assert all(len(alt) > 40 for alt in alts), alts
    # The last cell has closed the live page; a reader who wants to see it again runs its cell again.
    run_again(page, "live.start(")
    live = page.frame_locator("iframe[title='Pull and push hear the same earthquakes']")
    live.locator(".left .vain", has_text="%").wait_for(timeout=patient(20_000))
    live.locator(".right .vain", has_text="%").wait_for(timeout=patient(20_000))
    run_again(page, "await page.stop()")
    page.get_by_text("The page is closed").last.wait_for(timeout=patient(10_000))
    assert errors(page) == 0


def test_the_echo_page_lives_in_the_notebook_through_the_proxy(opened):
    """The page of the echo lesson, in its frame below the hub's address: open, send, hear the time, close."""
    page = opened("05_push_the_news.ipynb")
    run_all(page)
    assert errors(page) == 0
    assert all(len(alt) > 40 for alt in figures(page))
    # The lesson stops the server at its end; a reader who wants to play runs the two cells again.
    run_again(page, "echo_server = ")
    run_again(page, "Frame(echo_server.page_url")
    frame = page.frame_locator(".jp-OutputArea-output iframe[title='The page of the echo server']")
    assert "/user/someone/proxy/" in page.locator("iframe[title='The page of the echo server']").get_attribute("src")
    frame.locator("#open").click()
    frame.locator("#state[data-state=open]").wait_for(timeout=patient(10_000))
    frame.locator("#text").fill("hello from the notebook")
    frame.locator("#send").click()
    log = frame.locator("#log")
    log.get_by_text("hello from the notebook").wait_for(timeout=patient(10_000))
    log.get_by_text(f"{datetime.now():%Y-%m-}").first.wait_for(timeout=patient(10_000))  # the answer is the time
    frame.locator("#close").click()
    frame.locator("#state[data-state=closed]").wait_for(timeout=patient(10_000))
    run_again(page, "await echo_server.stop()")
    page.get_by_text("not running").last.wait_for(timeout=patient(10_000))
    assert errors(page) == 0
    gone = opened_again(page, "The page of the echo server")
    assert gone.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 600
