"""`python -m wsdemo child KIND`: what the package starts beside itself. It is spoken to on stdin, not by people."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from wsdemo.processes.children import orders, read_job

if TYPE_CHECKING:
    from wsdemo.command.options import Jobs

Work = Callable[[Any, AsyncGenerator[Any]], Coroutine[Any, Any, None]]


def add(jobs: Jobs) -> None:
    command = jobs.add_parser("child")  # without help it is not in the list of jobs
    command.add_argument("kind", choices=KINDS)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    job = read_job()
    work, loop = KINDS[options.kind](job)

    async def obey() -> None:
        async with aclosing(orders()) as told:
            await work(job, told)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(obey())


# Each kind imports what it needs, and no more: its memory is measured.


def _server(job: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve

    return serve.run_child, serve.new_event_loop()


def _clients(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo.processes import clients

    return clients.run_child, clients.new_event_loop()


def _rehearsal(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo.processes import clients, rehearsal

    return rehearsal.run_child, clients.new_event_loop()


def _legs(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve
    from wsdemo.processes import legs

    return legs.run_child, serve.new_event_loop()


def _line(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve
    from wsdemo.processes import lines

    return lines.run_child, serve.new_event_loop()


def _tls(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve, tls

    return tls.run_child, serve.new_event_loop()


def _live(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve
    from wsdemo.live import server

    return server.run_child, serve.new_event_loop()


def _echo(job: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import echo, serve

    return echo.run_child, serve.new_event_loop()


def _trials(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve
    from wsdemo.trials import worker

    return worker.run_child, serve.new_event_loop()


def _broker(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo.scale import broker

    return broker.run_child, asyncio.SelectorEventLoop()


def _publisher(_: Any) -> tuple[Work, asyncio.AbstractEventLoop]:
    from wsdemo import serve
    from wsdemo.scale import publisher

    return publisher.run_child, serve.new_event_loop()


KINDS = {
    "server": _server,
    "clients": _clients,
    "rehearsal": _rehearsal,
    "legs": _legs,
    "line": _line,
    "tls": _tls,
    "live": _live,
    "echo": _echo,
    "trials": _trials,
    "broker": _broker,
    "publisher": _publisher,
}
