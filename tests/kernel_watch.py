"""Runs inside the kernel of every notebook under pytest, and reports what nbval cannot see.

A kernel sends no error message when an ExceptionGroup leaves a cell, nor when a task fails that nobody awaits, nor for
what a notebook leaves running. nbval looks only at error messages, so each of these would pass. `conftest.py` runs this
file before the first cell and `nothing_left()` after the last one. nbval then kills the kernel, so what coverage has
counted, if it counts, is saved before.
"""

import asyncio
import gc
import os
import runpy
import sys

import psutil

shell = get_ipython()  # noqa: F821 - a kernel's own name
loop = asyncio.get_running_loop()
lost: list[str] = []
patient = runpy.run_path(os.path.join(os.path.dirname(__file__), "patience.py"))["patient"]
LOOKS, PAUSE_S = 10, patient(0.05)
"""How often to look again, for cancelled tasks and ended children to be gone. All well, the first look is the last."""


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _ports() -> set[int]:
    return {sock.laddr.port for sock in psutil.Process().net_connections("inet") if sock.status == psutil.CONN_LISTEN}


def _failed_unseen() -> list[asyncio.Task]:
    """Failed tasks that are still referenced, and whose failure nobody has looked at."""
    tasks = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)]
    return [task for task in tasks if task.done() and task._log_traceback]


def _in_a_group(error: BaseException | None) -> bool:
    """IPython's own rule for what it prints on stderr in place of an error message."""
    return error is not None and (isinstance(error, BaseExceptionGroup) or _in_a_group(error.__context__))


def _collect(_: asyncio.AbstractEventLoop, context: dict) -> None:
    lost.append(f"{context['message']}: {context.get('exception', context.get('task'))!r}")


def _after_cell(result) -> None:
    failures, lost[:] = lost[:], []
    if result is not None and _in_a_group(result.error_in_exec):
        failures.append(f"an ExceptionGroup left the cell: {result.error_in_exec!r}")
    if failures:
        error = RuntimeError("; ".join(failures))
        shell.showtraceback((RuntimeError, error, None))


async def nothing_left() -> None:
    """Raise RuntimeError if the notebook leaves a lost task, a running task, a child process or an open port."""
    if "coverage" in sys.modules and (counted := sys.modules["coverage"].Coverage.current()):
        counted.save()
    for _ in range(LOOKS):
        if not (left := _left()):
            break
        await asyncio.sleep(PAUSE_S)
    gc.collect()  # so that a lost task in a reference cycle speaks up
    left += [f"a task failed and nobody looked: {task!r}" for task in _failed_unseen()]
    if left:
        raise RuntimeError("the notebook leaves behind " + "; ".join(left))


def _left() -> list[str]:
    tasks = [task for task in asyncio.all_tasks() if not _of_the_kernel(task)]
    return [
        *(f"a running task: {task!r}" for task in tasks),
        *(f"a child process: {pid}" for pid in _children() - children_before),
        *(f"an open port: {port}" for port in _ports() - ports_before),
    ]


def _of_the_kernel(task: asyncio.Task) -> bool:
    """Tell by the file of its code whether a task is the kernel's: it makes new ones for every cell."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and any(f"{os.sep}{name}{os.sep}" in code.co_filename for name in KERNEL_PACKAGES)


KERNEL_PACKAGES = ("ipykernel", "IPython", "tornado", "zmq")
children_before, ports_before = _children(), _ports()
loop.set_exception_handler(_collect)
shell.events.register("post_run_cell", _after_cell)
