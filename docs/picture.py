"""Take the README's picture of the live page: `python docs/picture.py` writes docs/live.png."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import in_background, launched  # noqa: E402 - found in the folder of the tests

from wsdemo.live.server import LiveServer  # noqa: E402

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


if __name__ == "__main__":
    main()
