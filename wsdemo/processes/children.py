"""Child processes that never outlive whoever started them, and the line-by-line JSON talk with them.

A child has a session of its own, so the stop button (SIGINT to the kernel's process group) does not hit it, and a pipe
as its stdin that it watches: when the kernel stops, restarts or is killed, the pipe ends and so does the child.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wsdemo.processes.jobs import Kind
from wsdemo.tasks import wake_for_signals

_living: weakref.WeakSet[Child] = weakref.WeakSet()

ROOT = Path(__file__).resolve().parent.parent.parent
_MAIN = f"import sys; sys.path.append({str(ROOT)!r}); from wsdemo.__main__ import main; main()"
PYTHON = (sys.executable, "-P", "-c", _MAIN)
"""Python, with this package at hand and without the current folder, which `-m` puts first: there lie the notebooks, and
a pupil's own `random.py` or `http.py` would be imported in place of Python's. `-P` came with Python 3.11."""


class ChildFailed(RuntimeError):
    """A child process ended or spoke out of turn; the text says what it last wrote on stderr."""


class Child:
    """`wsdemo child KIND` as a child process, spoken to with one JSON object a line.

    kind: what it is to be; job: the first line it is told, see `jobs`. Popen and threads rather than asyncio's
    subprocesses: those do not work on the event loop that Jupyter's kernel uses on Windows.
    """

    def __init__(self, kind: Kind, job: Mapping[str, Any]):
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        self._process = subprocess.Popen(
            [*PYTHON, "child", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",  # what is not UTF-8 is not JSON either, and is quoted as it came
            # Away from the stop button. The flag exists on Windows alone, where there are no sessions.
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # as asked for above
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._reading = ThreadPoolExecutor(1)  # a text file must not be read by two threads at once
        _living.add(self)
        wake_for_signals()  # so that waiting for a child that does not answer can be stopped
        with contextlib.suppress(ChildFailed):  # one that has died already says why when it is asked
            self.tell(job)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def tell(self, order: Mapping[str, Any]) -> None:
        """Send one line. Raises `ChildFailed` if the child is gone."""
        try:
            self._stdin.write(json.dumps(order) + "\n")
            self._stdin.flush()
        except (OSError, ValueError) as error:
            raise self._failed() from error

    async def answer(self) -> Any:
        """Wait for the child's next line.

        Several may wait at once: each gets a line, in the order in which they began to, also when some of them are
        cancelled meanwhile. Raises `ChildFailed`, with the end of its stderr, if there is none, or with the line if it
        is not JSON.
        """
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._reading, self._stdout.readline)
        except RuntimeError as error:
            raise ChildFailed("this child process has been ended") from error
        # Shielded, since the line of an asker that is cancelled must be read all the same, and be nobody else's.
        line = await asyncio.shield(reading)
        if not line:
            raise self._failed()
        try:
            return json.loads(line)
        except ValueError as error:
            self._process.kill()
            raise ChildFailed(
                f"a child process should have answered in JSON, but said {line.strip()[:200]!r}"
            ) from error

    async def stop(self) -> None:
        """End the child and wait until it is gone: by closing its stdin, by force if that is not enough."""
        self._close_stdin()
        try:
            await asyncio.to_thread(self._process.wait, 3)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when the waiting is cancelled
            self.kill()

    def kill(self) -> None:
        """End the child at once. Safe to call again."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        self._close_stdin()
        self._reading.shutdown()  # which waits for askers that were cancelled: they have come to the end now
        self._stdout.close()
        self._stderr.close()

    def _close_stdin(self) -> None:
        with contextlib.suppress(OSError):  # the child may be gone before the last line could be flushed
            self._stdin.close()

    def _failed(self) -> ChildFailed:
        self._process.kill()
        self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return ChildFailed(lines[-1] if lines else f"a child process ended with status {self._process.returncode}")


def read_job() -> Any:
    """In a child: wait for its job, the first line on stdin. Ends the child where there is none: nobody is there.

    Raises ValueError, quoting the line, if it is not JSON.
    """
    if (line := _whole_line()) is None:
        sys.exit(0)
    return _read_order(line)


async def orders() -> AsyncGenerator[Any]:
    """In a child: yield what it is told on stdin after its job, until stdin ends, be it within a line.

    Read in a thread, since on Windows an event loop cannot wait for a pipe. Raises ValueError, quoting it, for a line
    that is not JSON: whatever goes wrong in the thread must end the child, or nothing would.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def read() -> None:
        try:
            while (line := _whole_line()) is not None:
                loop.call_soon_threadsafe(queue.put_nowait, _read_order(line))
            loop.call_soon_threadsafe(queue.put_nowait, None)
        except Exception as error:
            loop.call_soon_threadsafe(queue.put_nowait, error)

    threading.Thread(target=read, daemon=True, name="wsdemo stdin").start()
    while (order := await queue.get()) is not None:
        if isinstance(order, Exception):
            raise order
        yield order


def _whole_line() -> str | None:
    """Return the next line on stdin, None at its end, and for the half of a line that may stand there."""
    line = sys.stdin.readline()
    return line if line.endswith("\n") else None


def _read_order(line: str) -> Any:
    """Return what a line says. Raises ValueError, quoting it, if that is not an object in JSON, as every order is."""
    try:
        order = json.loads(line)
    except (ValueError, RecursionError):
        order = None
    if not isinstance(order, dict):
        raise ValueError(f"told {line.strip()[:80]!r}, which is not an order in JSON")
    return order


def say(message: Mapping[str, Any]) -> None:
    """In a child: answer with one line on stdout."""
    print(json.dumps(message), flush=True)


@atexit.register
def _kill_the_living() -> None:
    for child in list(_living):
        if child.alive:
            child.kill()
