"""Trials of strangers beside a healthy reader: bad HTTP, bad frames, readers that do not read, crowds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys

import psutil

from wsdemo.reader import Refused
from wsdemo.serve import Server
from wsdemo.trials.heard import Heard
from wsdemo.trials.nonsense import FRAMES, HTTP, Say, head
from wsdemo.trials.stage import Stage, memory_bytes
from wsdemo.trials.trial import STREAMED, over
from wsdemo.updates import File
from wsdemo.wire import handshake_request, new_key
from wsdemo.workload import Pace

if sys.platform != "win32":
    import resource

STRANGERS = 24
MORE_FILES = 12
"""How many more files a server may open than it has, when it runs out of them."""
SLOW = 6
ROUNDS = 3
BIG_BYTES, BIG_EVERY_S, KEPT = 8_000, 0.02, 250
"""News that fill what is between a server and a slow reader, and how many of them the log keeps."""
MORE_MEMORY_BYTES = 6 * 1024 * 1024
"""What an allocator may keep. A round of slow readers has up to 1.5 MiB in the server at a time."""


async def bad_http(stage: Stage, *, strangers: int = STRANGERS) -> None:
    """Let strangers say what is no HTTP, or bad HTTP, and leave in all ways, beside healthy readers."""
    server = await stage.server()
    healthy = await stage.readers(server, 2)
    says = [stage.chance.choice(list(HTTP.values())) for _ in range(strangers)]
    for first in range(0, strangers, 6):
        await asyncio.gather(
            *(_visit(server, b"", say, random.Random(stage.chance.random())) for say in says[first : first + 6])
        )
    await _undisturbed(stage, server, healthy)


async def bad_frames(stage: Stage, *, kind: str, strangers: int = 6) -> None:
    """Let strangers shake hands as they should, and then say what is no frame, or a forbidden one."""
    server = await stage.server()
    healthy = await stage.readers(server, 2)
    for _ in range(strangers):
        hello = handshake_request(f"127.0.0.1:{server.port()}", "/updates?after=0", new_key())
        await _visit(server, hello, FRAMES[kind], stage.chance)
    await _undisturbed(stage, server, healthy)


async def _visit(server: Server, hello: bytes, say: Say, chance: random.Random) -> None:
    """Connect, say it in pieces, hear a little of the answer, and leave, politely or not."""
    words, pieces, polite = say(chance), chance.randrange(1, 4), chance.random() < 0.5
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
    with contextlib.suppress(ConnectionError):
        if hello:
            writer.write(hello)
            await reader.readuntil(b"\r\n\r\n")
        for number in range(pieces):
            writer.write(words[number * len(words) // pieces : (number + 1) * len(words) // pieces])
            await asyncio.sleep(0.01)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1000), 0.1)
    writer.close() if polite else writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _undisturbed(stage: Stage, server: Server, healthy: list[Heard]) -> None:
    """Judge readers whom nothing should have reached, and wait until nothing of the strangers is left in the server."""
    await stage.more(healthy)
    await stage.caught_up(server, healthy)
    stage.judge(healthy)
    failures = sum(heard.reader.failures for heard in healthy)
    stage.claim(not failures, f"healthy readers had {failures} failures")
    await stage.open_is(server, len(healthy))


async def slow_readers(stage: Stage) -> None:
    """Let readers ask and read nothing: they are cut off, their memory comes back, healthy ones hear on."""
    moments_s = [n / 1000 if n < KEPT else 0.5 + (n - KEPT) * BIG_EVERY_S for n in range(KEPT + 4000)]
    rows = tuple((at_s, {"x": "x" * BIG_BYTES}) for at_s in moments_s)
    server = await stage.server(File("big", rows), log_size=KEPT, pace=Pace(answer_s=1.0))
    healthy = await stage.readers(
        server, 1, after=None
    )  # where it begins depends on the machine, what follows does not
    bases = []
    for _ in range(ROUNDS):
        had = (await stage.counters(server))["connections"]
        with contextlib.ExitStack() as sockets:
            for _ in range(SLOW):
                sockets.enter_context(_asks_and_reads_nothing(server))
            await stage.until_counted(server, "connections", had + SLOW)
            await stage.open_is(server, len(healthy))  # all cut off, while none has left
        await stage.more(healthy)
        bases.append(memory_bytes(server))
    stage.judge(healthy, first=None)
    grown = bases[-1] - bases[0]
    stage.claim(grown < MORE_MEMORY_BYTES, f"the server kept {grown / 2**20:.1f} MiB of {SLOW} slow readers")


def _asks_and_reads_nothing(server: Server) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port()))
    if server.names[0] == "websocket":
        sock.sendall(handshake_request(f"127.0.0.1:{server.port()}", "/updates?after=0", new_key()))
    else:
        sock.sendall(head(f"Host: 127.0.0.1:{server.port()}"))
    return sock


async def no_files_left(stage: Stage) -> None:
    """Let the server run out of descriptors: who is there hears on, and when the crowd has left others come in."""
    server = await stage.server()
    healthy = await stage.readers(server, 2)
    most = psutil.Process(server.pid).num_fds() + MORE_FILES
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as crowd:
        for _ in range(4 * MORE_FILES):
            sock = crowd.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", server.port()))
            if stage.chance.random() < 0.5:
                with contextlib.suppress(OSError):
                    sock.send(head("Host: 127.0.0.1")[: stage.chance.randrange(1, 90)])
        await stage.more(healthy, 10)
    await _undisturbed(stage, server, healthy)
    late = await stage.readers(server, 2)
    await _undisturbed(stage, server, healthy + late)


async def full_house(stage: Stage) -> None:
    """Let all places be taken: one more reader is told so, and finds one when another has left."""
    server = await stage.server(max_connections=3)
    healthy = await stage.readers(server, 3)
    (fourth,) = await stage.readers(server, 1)
    told = isinstance(fourth.failure, Refused) and fourth.failure.status == 503
    stage.claim(told, f"one reader too many was told {fourth.failure}")
    await stage.leave(healthy[:1])
    await stage.open_is(server, 2)
    healthy = healthy[1:] + await stage.readers(server, 1)
    await _undisturbed(stage, server, healthy)


ROWS = (
    *over("bad-http", "strangers say what is bad HTTP or none: healthy readers notice nothing", bad_http),
    *(
        row
        for kind in FRAMES
        for row in over(
            f"bad-frames-{kind}",
            f"strangers send frames ({kind}) that a server must not believe: healthy readers notice nothing",
            bad_frames,
            ["websocket"],
            parameters={"kind": kind},
        )
    ),
    *over(
        "slow-readers",
        "readers ask and never read: they are cut off, and the server's memory is back at its base",
        slow_readers,
        STREAMED,
        systems=("linux", "darwin"),
    ),
    *over(
        "no-files-left",
        "a server runs out of descriptors: who is there hears on, and later others come in",
        no_files_left,
        systems=("linux",),
    ),
    *over(
        "full-house", "all places are taken: one more reader is told, and comes in when another has left", full_house
    ),
)
