"""Measure the live page's frames and memory: `python tests/live_frames.py [SECONDS]`. No test, since times are not.

Twenty quakes a second for a minute. A frame's script time is read from the browser's own trace: all that ran in the
main thread's tasks under FunctionCall, FireAnimationFrame, EvaluateScript and their like, summed up between two frames.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from browser import in_background, launched

from wsdemo.live.server import LiveServer

SPEED = 7075.0
"""Twenty quakes a second."""
SCRIPT = {
    "FireAnimationFrame",
    "FunctionCall",
    "EvaluateScript",
    "TimerFire",
    "RunMicrotasks",
    "EventDispatch",
    "MinorGC",
    "MajorGC",
    "v8.callFunction",
    "WebSocketReceive",
}
CATEGORIES = ["devtools.timeline", "v8", "disabled-by-default-v8.gc"]


def script_ms_per_frame(events: list[dict]) -> tuple[list[float], float]:
    """Return the script milliseconds of each frame, and the frames a second."""
    frames = [event for event in events if event["name"] == "FireAnimationFrame" and event.get("ph") == "X"]
    thread = max(
        {(event["pid"], event["tid"]) for event in frames},
        key=lambda key: sum((event["pid"], event["tid"]) == key for event in frames),
    )
    begins = sorted(event["ts"] for event in frames if (event["pid"], event["tid"]) == thread)
    scripts = sorted(
        (event["ts"], event["dur"])
        for event in events
        if event["name"] in SCRIPT and event.get("ph") == "X" and (event["pid"], event["tid"]) == thread
    )
    outer, end = [], 0
    for start, length in scripts:  # what runs inside another is already in that one's time
        if start >= end:
            outer.append((start, length))
            end = start + length
    times, place = [], 0
    for begin, following in itertools.pairwise(begins):
        while place < len(outer) and outer[place][0] < begin:
            place += 1
        total = 0
        while place < len(outer) and outer[place][0] < following:
            total += outer[place][1]
            place += 1
        times.append(total / 1000)
    return times, (len(begins) - 1) / ((begins[-1] - begins[0]) / 1e6)


def heap_bytes(session, page) -> int:
    session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"]


def main(seconds: float) -> None:
    trace = Path("/tmp/wsdemo-live-trace.json")
    with in_background(LiveServer(speed=SPEED, interval_s=0.5)) as server, launched() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        session = page.context.new_cdp_session(page)
        page.goto(server.url)
        page.wait_for_timeout(3000)
        browser.start_tracing(page=page, path=trace, categories=CATEGORIES)
        page.wait_for_timeout(5000 if seconds > 20 else 0)
        sizes = [heap_bytes(session, page)]
        for _ in range(4):
            page.wait_for_timeout(seconds * 250)
            sizes.append(heap_bytes(session, page))
        browser.stop_tracing()
        now = page.evaluate("wsdemo.snapshot()")
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    times, rate = script_ms_per_frame(events)
    times.sort()
    print(
        f"{len(times)} frames, {rate:.1f} a second; {now['sides']['right']['heard']} quakes heard,"
        f" {now['sides']['right']['lost']} lost"
    )
    for share in (0.5, 0.95, 0.99):
        print(f"script time of a frame, p{share * 100:.0f}: {times[int(share * len(times))]:.2f} ms")
    print("heap after a collection:", ", ".join(f"{size / 2**20:.2f} MiB" for size in sizes))
    trace.unlink()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
