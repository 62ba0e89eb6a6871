"""Take pictures of both pages: `python docs/picture.py`.

The live page's is docs/live.png, for the README and lesson 00. The echo page's belongs to the package: a notebook shows
it in place of a page whose server has ended.
"""

import base64
import io
import json
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import in_background, launched  # noqa: E402 - found in the folder of the tests

from wsdemo.echo import PICTURE, EchoServer  # noqa: E402
from wsdemo.live.server import LiveServer  # noqa: E402

LESSON = DOCS.parent / "notebooks" / "00_start_here.ipynb"
SECONDS = 62
"""A little more than the chart's minute."""
MOST_BYTES = 300_000


def main() -> None:
    take_echo()
    path = DOCS / "live.png"
    with in_background(LiveServer(speed=240)) as server, launched() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light", locale="en-GB")
        page.goto(server.url)
        page.wait_for_timeout(SECONDS * 1000)
        page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size} bytes")
    if size > MOST_BYTES:
        sys.exit(f"that is more than {MOST_BYTES}")
    attach(path)


def take_echo() -> None:
    """As the lesson's reader may leave it: opened, something sent, and answered."""
    with in_background(EchoServer(heard=lambda _: None)) as server, launched() as browser:
        page = browser.new_page(viewport={"width": 960, "height": 640}, color_scheme="light", locale="en-GB")
        page.goto(server.page_url)
        page.click("#open")
        page.fill("#text", "hello")
        page.click("#send")
        page.locator("[data-kind=received]").wait_for()
        PICTURE.write_bytes(packed(io.BytesIO(page.screenshot())))
    print(f"{PICTURE.name}: {PICTURE.stat().st_size} bytes")


def packed(picture: Path | io.BytesIO) -> bytes:
    """Return a picture in 256 colours."""
    target = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(256).save(target, "PNG", optimize=True)
    return target.getvalue()


def attach(picture: Path) -> None:
    """Put the picture into the lesson's cell that shows it: a lesson may be opened alone."""
    book = json.loads(LESSON.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        if picture.name in cell.get("attachments", {}):
            cell["attachments"][picture.name] = {"image/png": base64.b64encode(packed(picture)).decode()}
    LESSON.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
