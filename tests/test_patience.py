"""Every time limit of the tests goes through `patient`, so that one factor makes a slow machine's run sound."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE, patient

TESTS = Path(__file__).parent
CLOCKS = {"time.monotonic()", "time.perf_counter()", "time.time()", "loop.time()"}
FIRST_IS_A_LIMIT = {"timeout", "settimeout", "set_default_timeout", "set_default_navigation_timeout", "result"}
"""Functions and methods whose first argument is one: asyncio.timeout(20), socket.settimeout(5), future.result(20)."""


def limits(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the expression of each time limit: of a call, of a deadline, and of a claim that something took less."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(keywords=keywords) if any(word.arg == "timeout" for word in keywords):
                yield from (word.value for word in keywords if word.arg == "timeout")
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]) if (
                name in FIRST_IS_A_LIMIT
            ):
                yield first
            case ast.Call(func=ast.Attribute(attr="wait_for"), args=[_, second]):
                yield second
            case ast.Call(func=ast.Attribute(value=owner, attr="wait" | "join"), args=[first]):
                if ast.unparse(owner).endswith(("process", "thread")):
                    yield first
            case ast.BinOp(left=left, op=ast.Add(), right=right) if ast.unparse(left) in CLOCKS:
                yield right
            case ast.Assert(test=ast.Compare(left=left, comparators=[ast.BinOp(right=right)])):
                if ast.unparse(left) in CLOCKS:
                    yield right


def scaled_names(tree: ast.Module) -> set[str]:
    """Return the names that a module gives to `patient(...)`."""
    named = [node for node in tree.body if isinstance(node, ast.Assign) and is_scaled(node.value, set())]
    return {target.id for node in named for target in node.targets if isinstance(target, ast.Name)}


def is_scaled(limit: ast.expr, names: set[str]) -> bool:
    match limit:
        case ast.Call(func=ast.Name(id="patient")) | ast.Constant(value=None):
            return True
        case ast.Name(id=name):
            return name in names
    return False


def bare_limits(source: str) -> list[str]:
    """Return each limit of a module that does not go through `patient`, with its line."""
    tree = ast.parse(source)
    names = scaled_names(tree)
    return [f"{limit.lineno}: {ast.unparse(limit)}" for limit in limits(tree) if not is_scaled(limit, names)]


@pytest.mark.parametrize("path", sorted(TESTS.glob("*.py")), ids=lambda path: path.name)
def test_no_limit_is_bare(path):
    """A bare number would not grow on a slow machine, and fail there for no fault."""
    assert bare_limits(path.read_text(encoding="utf-8")) == []


def test_the_rule_sees_the_limits_of_these_tests():
    """It must not pass because it finds nothing."""
    found = [limit for path in TESTS.glob("*.py") for limit in limits(ast.parse(path.read_text(encoding="utf-8")))]
    assert len(found) > 40


BARE = [
    "subprocess.run(command, timeout=30)",
    "async def f():\n    async with asyncio.timeout(20):\n        pass",
    "asyncio.wait_for(talk(), 20)",
    "deadline = time.monotonic() + 10",
    "def f(seconds):\n    return time.monotonic() + seconds",
    "assert time.monotonic() < began + 8",
    "self.process.wait(10)",
    "thread.join(5)",
    "sock.settimeout(5)",
    "page.set_default_timeout(10_000)",
    "expect(page).to_have_text('x', timeout=20_000)",
    "run_coroutine_threadsafe(work, loop).result(20)",
    "LIMIT_S = 30\nsubprocess.run(command, timeout=LIMIT_S)",
    "LIMIT_S = 2 * patient(30)\nprocess.wait(timeout=LIMIT_S)",
]
SCALED = [
    "subprocess.run(command, timeout=patient(30))",
    "LIMIT_S = patient(30)\nsubprocess.run(command, timeout=LIMIT_S)",
    "settings(deadline=None, timeout=None)",
    "deadline = time.monotonic() + patient(seconds)",
    "feed.wait(4)\n', '.join(names)\nprocess.wait()",
    "assert time.monotonic() < began + patient(8)",
]


@pytest.mark.parametrize("source", BARE)
def test_a_bare_limit_is_found(source):
    """Each of these once stood in a test, or could."""
    assert len(bare_limits(source)) == 1


@pytest.mark.parametrize("source", SCALED)
def test_a_scaled_limit_passes(source):
    """So do calls that only look like one."""
    assert bare_limits(source) == []


@pytest.mark.parametrize(("variable", "factor"), [("3", 3), ("0.5", 0.5), ("", 1)])
def test_the_factor_comes_from_the_environment(variable, factor):
    """Set to nothing it is 1."""
    code = "import patience; print(patience.patient(10))"
    environment = {"WSDEMO_TEST_PATIENCE": variable, "PYTHONPATH": str(TESTS)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(run.stdout) == 10 * factor
    assert patient(2) == 2 * PATIENCE
