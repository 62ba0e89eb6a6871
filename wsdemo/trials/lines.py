"""Trials of the line: cut, half-open, slow, in the hands of a proxy, answered in the server's place."""

from __future__ import annotations

import asyncio

from wsdemo.line import Fault
from wsdemo.reader import Refused
from wsdemo.transports import TRANSPORTS
from wsdemo.trials.stage import Stage
from wsdemo.trials.trial import ALL, WAITING, over
from wsdemo.updates import poisson
from wsdemo.workload import Pace

QUICK = Pace(ping_s=0.4, comment_s=0.4, hold_s=0.4, answer_s=0.4)
"""A pace at which a dead line is noticed soon."""
RARE_PER_S = 0.8
"""News so rare that a line falls silent between them."""


async def cut_anywhere(stage: Stage, *, cuts: int = 12) -> None:
    """Cut connections after a number of bytes that is drawn, in the middle of whatever is said then."""
    line = await stage.line(await stage.server())
    all_heard = await stage.readers(line, 2)
    while (had := line.did.counts["cut"]) < cuts:
        line.change(Fault(cut_after_bytes=stage.chance.randrange(1, 3000), rst=stage.chance.random() < 0.5))
        await stage.did(line, "cut", had + stage.chance.randrange(1, 4))  # the next connections, too
        line.change(None)
        await stage.more(all_heard)
    stage.judge(all_heard)


async def half_open(stage: Stage, *, way: str) -> None:
    """Let nothing through for a time; then all that has waited comes late, as TCP sends it again."""
    server = await stage.server()
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    for _ in range(2):
        line.change(f"vanish={way}")
        await asyncio.sleep(stage.chance.uniform(0.1, 1.2))
        line.change(None)
        await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def dead(stage: Stage, *, way: str) -> None:
    """Let nothing through until readers notice by themselves; then let new connections through."""
    server = await stage.server(pace=QUICK)
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2, pace=QUICK)
    line.change(f"vanish={way}")
    await stage.until(lambda: all(heard.reader.failures for heard in all_heard), "its readers notice that it is dead")
    line.change(None)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)
    await stage.open_is(server, len(all_heard))


async def slow(stage: Stage) -> None:
    """Go through a line with delay, jitter and little bandwidth, which is also cut."""
    server = await stage.server(poisson(30.0, stage.chance.randrange(2**31)))
    line = await stage.line(server, "delay=20ms,jitter=30ms,bandwidth=40KB")
    all_heard = await stage.readers(line, 2)
    for _ in range(3):
        await stage.more(all_heard, stage.chance.randrange(1, 8))
        line.cut(rst=stage.chance.random() < 0.5)
    await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def idle(stage: Stage, *, beats: bool) -> None:
    """Hear rare news through a proxy that drops who is idle; beats: whether the server speaks in between."""
    pace = QUICK if beats else Pace()
    server = await stage.server(poisson(RARE_PER_S, stage.chance.randrange(2**31)), pace=pace)
    line = await stage.line(server, "idle=300ms" if not beats else "idle=3s")
    if not beats:
        # A first question is answered at once where there is news. Held, it would be dropped, and nobody comes back who
        # has never been there.
        await stage.published(server, 1)
    all_heard = await stage.readers(line, 2, pace=pace, interval_s=0.8)
    await stage.more(all_heard, 3)
    if not beats:
        await stage.did(line, "idle", 2)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def buffering(stage: Stage) -> None:
    """Have answers held back until they end or are large; what is held back comes in the end."""
    server = await stage.server()
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    for _ in range(2):
        line.change(f"hold={stage.chance.randrange(500, 6000)}B")
        await stage.more(all_heard, 5)
        if stage.chance.random() < 0.5:
            line.cut()
        line.change(None)
        await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)


async def refused_upgrade(stage: Stage) -> None:
    """Refuse `Upgrade`: a WebSocket is told so, at once or as it comes back, and hears by another way; others go on."""
    server = await stage.server(others=[name for name in ("sse",) if name != stage.transport])
    status = stage.chance.choice([400, 403, 426])
    line = await stage.line(server)
    early = await stage.readers(line, 2)
    line.change(Fault(upgrade_status=status))
    line.cut()
    late = await stage.readers(line, 1)
    readers = [*early, *late]
    if TRANSPORTS[stage.transport].scheme == "ws":
        await stage.until(lambda: all(heard.failure for heard in readers), "its readers are told")
        told = [heard.failure.status for heard in readers if isinstance(heard.failure, Refused)]
        stage.claim(told == [status] * 3, f"Upgrade was refused with {status}, and readers were told {told}")
        for heard in early:
            heard.failure = None
        readers, down = early, await stage.reader(server, name="sse", after=early[0].seq, epoch=server.epoch)
        await stage.more([down], 5)
        stage.judge([down], first=early[0].seq + 1)
    else:
        await stage.more(readers)
        await stage.caught_up(server, readers)
    stage.judge(readers)


async def unavailable(stage: Stage, *, status: int) -> None:
    """Answer in the server's place for a while, as a proxy does while nobody is behind it."""
    server = await stage.server()
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    retry_after_s = stage.chance.choice([None, 1.0])
    for _ in range(2):
        had = line.did.counts["unavailable"]
        line.change(Fault(unavailable_status=status, retry_after_s=retry_after_s))
        await stage.did(line, "unavailable", had + stage.chance.randrange(2, 5))
        line.change(None)
        await stage.more(all_heard)
    await stage.caught_up(server, all_heard)
    stage.judge(all_heard)
    (first,) = await stage.readers(await stage.line(server, Fault(unavailable_status=status)), 1)
    refused = isinstance(first.failure, Refused) and first.failure.status == status
    stage.claim(refused, f"a reader that met {status} at first was told {first.failure}")


async def moved(stage: Stage) -> None:
    """Lead to another server with another history: each reader is told once, and has all of both."""
    server, other = await stage.server(), await stage.server()
    line = await stage.line(server)
    all_heard = await stage.readers(line, 2)
    await stage.more(all_heard, stage.chance.randrange(1, 20))
    line.lead_to(other.port())
    line.cut(rst=stage.chance.random() < 0.5)
    await stage.told_gone(all_heard, 1)
    await stage.more(all_heard)
    await stage.caught_up(other, all_heard)
    stage.judge(all_heard, resets=1)


ROWS = (
    *over(
        "cut", "connections are cut at random bytes, by FIN and by RST: nothing is lost or comes twice", cut_anywhere
    ),
    *(
        row
        for way, words in (("up", "what clients say"), ("down", "what the server says"), ("both", "all that is said"))
        for row in over(
            f"half-open-{way}",
            f"{words} gets lost for a time, nobody is told, and it comes late: nothing is missing",
            half_open,
            parameters={"way": way},
        )
    ),
    *over(
        "dead-line-down",
        "what the server says gets lost for good: readers notice, come back, and the server's end is gone",
        dead,
        parameters={"way": "down"},
    ),
    *over(
        "dead-line-up",
        "what clients say gets lost for good: whoever expects an answer notices and comes back",
        dead,
        [name for name in ALL if name != "sse"],  # there nobody expects one
        parameters={"way": "up"},
    ),
    *over("slow-line", "delay, jitter, little bandwidth, and cuts: all news come, late, in order", slow),
    *over(
        "idle-proxy",
        "a proxy drops who is idle, and the server speaks more often than that: rare news come whole",
        idle,
        parameters={"beats": True},
    ),
    *over(
        "idle-proxy-in-silence",
        "a proxy drops who is idle, and nobody speaks between rare news: readers come back in time for each",
        idle,
        WAITING,
        parameters={"beats": False},
    ),
    *over("buffering-proxy", "a proxy holds answers back: what is held back comes in the end, once", buffering),
    *over(
        "upgrade-refused",
        "a proxy refuses Upgrade: a WebSocket is told the status and hears by another way, the others go on",
        refused_upgrade,
    ),
    *(
        row
        for status in (502, 503)
        for row in over(
            f"unavailable-{status}",
            f"a proxy answers {status} for a while: readers wait and go on; who meets it at first is told",
            unavailable,
            parameters={"status": status},
        )
    ),
    *over("moved", "the line leads to another server: every reader is told once, and has all of its news", moved),
)
