"""What a message to one of many readers costs the server in CPU: each transport beside what its library can do.

`bare` is one frame an update, made once and written to the transport of each `websockets` connection: no guard, no
meter, no position, and no care for readers who are slow. Rounds are interleaved, so that what else the machine does
meets all alike; compare the ratios, since the microseconds are this machine's. Each server is a process of its own.
The readers are sockets in this one, which read and throw away.

    python benchmarks/fan_out.py --readers 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.frames import Frame, Opcode

from wsdemo.feed import News
from wsdemo.limits import allow_connections
from wsdemo.processes.cpu import cpu_s

KINDS = ("bare", "websocket", "sse")
HANDSHAKE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
ONE_MESSAGE = b'"seq"'
"""Stands once in each message, as it does in the first, which says the position."""


async def serve_bare(period_s: float) -> None:
    """Write one frame every `period_s` to all who are connected; say on stdout where."""
    connections: set[ServerConnection] = set()

    async def attend(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()
        connections.discard(connection)

    async with serve_websocket(attend, "127.0.0.1", 0, compression=None, backlog=1024, open_timeout=60) as server:
        print(json.dumps({"ports": {"bare": server.sockets[0].getsockname()[1]}}), flush=True)
        start_ns, seq = time.perf_counter_ns(), 0
        while True:
            seq += 1
            await asyncio.sleep(seq * period_s - (time.perf_counter_ns() - start_ns) / 1e9)
            text = News(seq, seq * period_s, start_ns + round(seq * period_s * 1e9), {"n": seq}).text()
            frame = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
            for connection in connections:
                connection.transport.write(frame)


@contextlib.contextmanager
def running(kind: str, period_s: float, readers: int) -> Iterator[tuple[int, int]]:
    """Run the server of one kind in a process; give its id and its port."""
    command = [sys.executable, __file__, "--serve-bare", str(period_s)]
    if kind != "bare":
        options = ["--schedule", "every", "--rate", str(1 / period_s), "--max-connections", str(readers + 10)]
        command = [sys.executable, "-m", "wsdemo", "serve", kind, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.pid, json.loads(server.stdout.readline())["ports"][kind]
        finally:
            server.terminate()


def connect(kind: str, port: int, key: str = "dGhlIHNhbXBsZSBub25jZQ==") -> socket.socket:
    """Return the socket of a reader whose request is answered."""
    reader = socket.create_connection(("127.0.0.1", port))
    extra = "" if kind == "sse" else HANDSHAKE.format(key=key)
    reader.sendall(f"GET /updates HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}\r\n".encode())
    answer = reader.recv(65536)
    if not answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
        raise SystemExit(f"{kind} answered {answer[:80]!r}")
    reader.setblocking(False)
    return reader


def count(selector: selectors.BaseSelector, for_s: float) -> int:
    """Read all that comes to the readers for so long; return how many messages it was."""
    messages, end_s = 0, time.monotonic() + for_s
    while (left_s := end_s - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            messages += key.fileobj.recv(65536).count(ONE_MESSAGE)  # type: ignore[union-attr] # sockets alone
    return messages


def cpu_a_message(kind: str, readers: int, updates: int, period_s: float) -> tuple[float, int]:
    """Measure one round; return microseconds of the server's CPU a message, and the number of messages."""
    with running(kind, period_s, readers) as (pid, port), contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(readers):
            selector.register(stack.enter_context(connect(kind, port)), selectors.EVENT_READ)
        count(selector, 10 * period_s)  # what came while they connected, and the first messages, which find all cold
        before_s = cpu_s(pid)
        messages = count(selector, updates * period_s)
        spent_s = cpu_s(pid) - before_s
    return spent_s * 1e6 / max(1, messages), messages


def main() -> None:
    """Measure in interleaved rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=KINDS, help=f"which of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--readers", type=int, default=1000, help="connections to each server (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=40, help="updates a round (default: %(default)s)")
    parser.add_argument("--period", type=float, default=0.05, help="seconds between two (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (default: %(default)s)")
    parser.add_argument("--serve-bare", type=float, metavar="PERIOD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_bare is not None:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve_bare(options.serve_bare))
        return
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    allow_connections(options.readers)
    found: dict[str, list[tuple[float, int]]] = {kind: [] for kind in options.kinds}
    for _ in range(options.rounds):
        for kind, rounds in found.items():
            rounds.append(cpu_a_message(kind, options.readers, options.updates, options.period))
    base = statistics.median(cost for cost, _ in next(iter(found.values())))
    print(f"{'':10}  {'us a message':>12}  {'from':>6}  {'to':>6}  {'ratio':>6}  {'messages':>9}")
    for kind, rounds in found.items():
        costs = sorted(cost for cost, _ in rounds)
        median, messages = statistics.median(costs), sum(messages for _, messages in rounds)
        print(f"{kind:10}  {median:12.2f}  {costs[0]:6.2f}  {costs[-1]:6.2f}  {median / base:6.2f}  {messages:9,}")


if __name__ == "__main__":
    main()
