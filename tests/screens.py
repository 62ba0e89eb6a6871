"""Take pictures of the live page and the echo page on every screen: `python tests/screens.py OUTDIR [NAME]`.

NAME is a part of a picture's name, such as "dark" or "phone"; without it all are taken. Each picture is a file of its
own, and sheets show the pictures of one screen side by side. tests/test_screens.py measures on the same screens what a
machine can measure. Whether it looks right, only a person can see.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from browser import in_background, launched

from wsdemo.echo import EchoServer
from wsdemo.live.server import LiveServer

SIZES = {
    "lab-780": (780, 900, 1),  # the widths that a notebook gives its frames in JupyterLab
    "lab-900": (900, 900, 1),
    "lab-1024": (1024, 900, 1),
    "lab-1220": (1220, 900, 1),
    "tablet": (820, 1180, 2),
    "short": (640, 360, 2),
    "phone": (390, 844, 3),
    "zoom-200": (720, 450, 2),  # what a laptop's 1440 x 900 are at 200 %
    "laptop": (1440, 900, 1),
    "hd": (1920, 1080, 1),
    "qhd": (2560, 1440, 1),
    "uhd": (3840, 2160, 1),
}
"""Width and height in CSS pixels, and how many pixels of the screen one of them is wide."""
PAPER = (794, 1123, 2)
"""A4 at 96 pixels an inch."""
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
SECONDS = 5
"""How long a page has run before its first picture, so that it has something to show."""


@dataclass(frozen=True)
class Screen:
    """One way to look at a page. size: of SIZES, or "a4"; forced: whether the system forces its own colours."""

    size: str
    language: str = "en"
    scheme: str = "light"
    forced: bool = False

    @property
    def name(self) -> str:
        return "-".join([self.size, self.language, self.scheme, *(["forced"] if self.forced else [])])

    @property
    def is_paper(self) -> bool:
        return self.size == "a4"


def screens() -> list[Screen]:
    """Return all: every size and paper in both languages and schemes, and some of them in forced colours."""
    schemes = list(itertools.product(LOCALES, ("light", "dark")))
    plain = [Screen(size, *how) for how in schemes for size in (*SIZES, "a4")]
    forced = [Screen(size, *how, forced=True) for how in schemes for size in ("lab-900", "laptop", "phone", "a4")]
    return plain + forced


def contexts(wanted: list[Screen]) -> Iterator[tuple[Screen, list[Screen]]]:
    """Give the screens that one context of a browser can show in turn, with one that stands for them."""
    for how, group in itertools.groupby(wanted, lambda one: dataclasses.replace(one, size="")):
        yield how, list(group)


@contextmanager
def context_for(browser, how: Screen) -> Iterator:
    options = {"forced_colors": "active"} if how.forced else {}
    with browser.new_context(locale=LOCALES[how.language], color_scheme=how.scheme, **options) as context:
        yield context


def turn_to(page, session, screen: Screen) -> None:
    """Show a page on another screen while it runs, as when a window is moved, zoomed or printed.

    session: of the browser's own protocol; what it has set ends with it.
    """
    width, height, scale = PAPER if screen.is_paper else SIZES[screen.size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", metrics)
    page.emulate_media(media="print" if screen.is_paper else "screen")
    page.wait_for_timeout(400)  # a few frames, and the chart's and the numbers' next turn


def picture(session) -> bytes:
    """Return the whole page as PNG, in the screen's own pixels."""
    size = session.send("Page.getLayoutMetrics")["cssContentSize"]
    whole = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    return b64decode(session.send("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": whole})["data"])


def greet(page) -> None:
    """Let the echo page have something in its log."""
    page.click("#open")
    page.click("#send")
    page.fill("#text", "word-" * 16)
    page.click("#send")


def take(folder: Path, wanted: list[Screen]) -> list[Path]:
    """Take the pictures; return their files."""
    taken = []
    with ExitStack() as stack:
        browser = stack.enter_context(launched())
        servers = {
            "live": (stack.enter_context(in_background(LiveServer(speed=1200, interval_s=0.5))).url, None),
            "echo": (stack.enter_context(in_background(EchoServer(heard=lambda _: None))).page_url, greet),
        }
        for how, group in contexts(wanted):
            for name, (url, prepare) in servers.items():
                with context_for(browser, how) as context:
                    taken += _take_of(context.new_page(), url, prepare, group, folder, name)
                print(f"{name}: {len(taken)} pictures", flush=True)
    return taken


def _take_of(page, url: str, prepare: Callable | None, group: list[Screen], folder: Path, name: str) -> list[Path]:
    taken = []
    page.goto(url)
    if prepare is not None:
        prepare(page)
    page.wait_for_timeout(1000 * SECONDS)
    session = page.context.new_cdp_session(page)
    for screen in group:
        turn_to(page, session, screen)
        path = folder / f"{name}-{screen.name}.png"
        path.write_bytes(picture(session))
        taken.append(path)
        if screen.is_paper:
            page.pdf(path=path.with_suffix(".pdf"), format="A4")
    return taken


def sheet(paths: list[Path], target: Path, across: int = 4, width: int = 900) -> None:
    """Put pictures on one sheet, each with its name's place in the order of the files."""
    from PIL import Image, ImageDraw

    small = []
    for path in paths:
        with Image.open(path) as picture:
            height = round(picture.height * width / picture.width)
            small.append(picture.convert("RGB").resize((width, height)))
    rows = [small[i : i + across] for i in range(0, len(small), across)]
    heights = [max(picture.height for picture in row) + 24 for row in rows]
    whole = Image.new("RGB", (across * width, sum(heights)), "white")
    draw = ImageDraw.Draw(whole)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            at = (column * width, sum(heights[:row]))
            draw.text((at[0] + 4, at[1] + 6), paths[row * across + column].stem, "black")
            whole.paste(picture, (at[0], at[1] + 24))
    whole.save(target)


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    part = arguments[1] if len(arguments) > 1 else ""
    taken = take(folder, [screen for screen in screens() if part in screen.name])
    for page in ("live", "echo"):
        for size in dict.fromkeys(screen.size for screen in screens()):
            if shown := [path for path in taken if path.name.startswith(f"{page}-{size}-")]:
                sheet(shown, folder / f"sheet-{page}-{size}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
