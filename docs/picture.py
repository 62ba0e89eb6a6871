"""Take the picture of the live page: `python docs/picture.py` writes docs/live.png, for the README and lesson 00."""

import base64
import io
import json
import sys
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import in_background, launched  # noqa: E402 - found in the folder of the tests

from wsdemo.live.server import LiveServer  # noqa: E402

LESSON = DOCS.parent / "notebooks" / "00_start_here.ipynb"
SECONDS = 62
"""A little more than the chart's minute."""
MOST_BYTES = 300_000


def main() -> None:
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


def attach(picture: Path) -> None:
    """Put the picture, in 256 colours, into the lesson's cell that shows it: a lesson may be opened alone."""
    packed = io.BytesIO()
    Image.open(picture).convert("RGB").quantize(256).save(packed, "PNG", optimize=True)
    book = json.loads(LESSON.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        if picture.name in cell.get("attachments", {}):
            cell["attachments"][picture.name] = {"image/png": base64.b64encode(packed.getvalue()).decode()}
    LESSON.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
