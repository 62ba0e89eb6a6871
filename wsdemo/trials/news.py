"""Trials of the news and of positions: out of order, huge, all at once, gone, and places that lead nowhere."""

from __future__ import annotations

import string

from wsdemo.line import Fault
from wsdemo.news import MAX_UPDATE_BYTES
from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import over
from wsdemo.updates import File, Moment

HUGE = 12
AT_ONCE = 3000
SMALL_LOG = 10


async def out_of_order(stage: Stage, *, count: int = 120) -> None:
    """Publish what a clock that jumps has written down: late, out of order, many in one moment."""
    at_s, rows = 0.0, []
    for number in range(count):
        at_s += stage.chance.choice([0.0, 0.001, 0.02, 0.05, -0.3, -20.0, 20.0])
        at_s = at_s if -20 < at_s < 2.0 else stage.chance.random()
        rows.append((at_s, {"n": number}))
    await _all_come(stage, rows)


async def huge(stage: Stage) -> None:
    """Publish updates as large as any may be, through a line that is cut in the middle of them."""
    rows: list[Moment] = []
    for number in range(HUGE):
        most = MAX_UPDATE_BYTES - 40
        size = most if number % 3 == 0 else stage.chance.randrange(most)
        rows.append(
            (number * 0.05, {"n": number, "x": "".join(stage.chance.choices(string.printable[:90], k=size // 2))})
        )
    await _all_come(stage, rows, cuts=3)


async def flood(stage: Stage) -> None:
    """Publish thousands in the same moment: they come in parts, whole, to all, and through a cut."""
    await _all_come(stage, [(stage.chance.choice([0.0, 0.2]), {"n": n}) for n in range(AT_ONCE)], cuts=2)


async def _all_come(stage: Stage, rows: list[Moment], *, cuts: int = 0) -> None:
    """Serve these rows, and see that two readers have all of them, with their data, in the order of their numbers."""
    server = await stage.server(File("rows", tuple(rows)))
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    for _ in range(cuts):
        had = line.did.counts["cut"]
        line.change(Fault(cut_after_bytes=stage.chance.randrange(1, MAX_UPDATE_BYTES), rst=stage.chance.random() < 0.5))
        for _ in range(20):  # all may have come already, and then nothing passes that could be cut
            await stage.a_while(0.05)
            if line.did.counts["cut"] > had:
                break
        line.change(None)
    await stage.until(
        lambda: all(heard.seq == len(rows) or heard.failure for heard in all_heard),
        f"its readers have {len(rows)} updates",
    )
    stage.judge(all_heard)
    data = [data for _, data in rows]
    stage.claim(all(heard.data == data for heard in all_heard), "data came changed")


async def gone(stage: Stage) -> None:
    """Keep readers away until the log has let go what they lack: they are told, once, and have the rest."""
    server = await stage.server(log_size=SMALL_LOG)
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    line.change("status=503")
    await stage.until(lambda: line.did.counts["cut"] + line.did.counts["unavailable"] >= 2, "its readers are away")
    last = max(heard.seq for heard in all_heard)
    await stage.published(server, last + 3 * SMALL_LOG)
    line.change(None)
    await stage.told_gone(all_heard, 1)
    server_has = (await server.look())["seq"]
    await stage.until(
        lambda: all(heard.seq >= server_has for heard in all_heard), f"its readers have heard {server_has}"
    )
    stage.judge(all_heard, resets=None, gaps=True, first=None)


async def joins(stage: Stage, *, count: int = 8) -> None:
    """Let readers come at any moment: with a place in the log, which they go on from, or without one."""
    server = await stage.server()
    first = await stage.reader(server)
    for _ in range(count):
        await stage.more([first], stage.chance.randrange(1, 6))
        after = stage.chance.choice([None, 0, stage.chance.randrange(first.seq + 1)])
        (heard,) = await stage.readers(
            server, 1, after=after, epoch=stage.chance.choice([None, server.epoch]) if after else None
        )
        await stage.more([heard])
        stage.judge([heard], first=None if after is None else after + 1)
    await stage.caught_up(server, [first])
    stage.judge([first])


async def strange_places(stage: Stage) -> None:
    """Let readers come with a place of another history, or from the future: they are told, and get all there is."""
    server = await stage.server()
    first = await stage.reader(server)
    await stage.more([first], stage.chance.randrange(5, 20))
    places: list[tuple[int, str | None]] = [
        (stage.chance.randrange(1, 10**17), server.epoch),
        (stage.chance.randrange(1, 10**9), "beef"),
    ]
    places += [(stage.chance.randrange(10**6, 10**17), None), (0, "beef")]
    for after, epoch in places:
        (heard,) = await stage.readers(server, 1, after=after, epoch=epoch)
        await stage.more([heard])
        stage.judge([heard], resets=1)
    stage.judge([first])


ROWS = (
    *over(
        "out-of-order",
        "updates come late, out of order, and many in a moment: all are heard, by their numbers",
        out_of_order,
    ),
    *over("huge-updates", "updates as large as they may be, cut in the middle: all come, with their data", huge),
    *over("flood", f"{AT_ONCE:,} updates in one moment: they come in parts, and whole", flood),
    *over("gone", "readers are away until the log has let go what they lack: they are told, and hear the rest", gone),
    *over("joins", "readers come at any moment, with a place and without: each goes on from its own", joins),
    *over(
        "strange-places",
        "readers come with a place that leads nowhere: they are told, and get all there is",
        strange_places,
    ),
)
