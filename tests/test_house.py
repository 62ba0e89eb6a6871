"""The plan of the house: who may import whom, and how large a room may grow."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import wsdemo

PACKAGE = Path(wsdemo.__file__).parent
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 350, 40


def modules() -> dict[str, Path]:
    """Return every module of the package by its dotted name; a package's own file has the package's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["wsdemo", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, source: str) -> set[str]:
    """Return the modules of the package that `source` imports, wherever the import stands: in a function, for types."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively; the course writes the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else str(node.module))
    return {module for module in found if module.partition(".")[0] == "wsdemo"} - {name}


def rooms() -> list[str]:
    """Return the rooms in the order in which `wsdemo/__init__.py` lists them."""
    listed = re.findall(r"^    (?! )((?:\w+)(?:, \w+)*)", wsdemo.__doc__, re.MULTILINE)
    return [room for line in listed for room in line.split(", ")]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def wrong_ways(name: str, source: str, order: list[str]) -> list[str]:
    """Return the imports that go up: to a room that stands after this module's own, or in no list."""
    own = order.index(room(name))
    return [
        f"{name} imports {other}"
        for other in sorted(imports(name, source))
        if other != "wsdemo" and (room(other) not in order or order.index(room(other)) > own)
    ]


def test_every_room_is_in_the_list_once():
    """A new module has to find its place in the order, or this turns red."""
    assert len(rooms()) == len(set(rooms())) > 20
    assert set(rooms()) == {room(name) for name in MODULES} - {"wsdemo"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"wsdemo"}))
def test_modules_import_only_what_stands_before_them(name):
    """Also inside functions, and where only a type is meant."""
    assert wrong_ways(name, MODULES[name].read_text(encoding="utf-8"), rooms()) == []


def test_there_is_no_circle_inside_a_room():
    """The modules of a folder have an order, too; a circle raises CycleError and names it."""
    graph = {name: imports(name, path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


@pytest.mark.parametrize(
    "source",
    [
        "from wsdemo import plots",
        "def draw():\n    from wsdemo.plots import overview",
        "if TYPE_CHECKING:\n    import wsdemo.measure",
    ],
)
def test_a_planted_import_is_found(source):
    """The rule can turn red: `result` must know neither drawing nor running."""
    assert len(wrong_ways("wsdemo.result", source, rooms())) == 1


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_read_in_one_sitting(name):
    """No module is longer than 350 lines, and no function than 40."""
    source = MODULES[name].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {function.name: function.end_lineno - function.lineno + 1 for function in functions}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.js")), ids=lambda path: path.name)
def test_a_script_is_read_in_one_sitting(path):
    """The browser's files keep the same bound."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_every_folder_says_what_it_is_for(name):
    """The first thing in a package is a docstring."""
    assert len(ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8"))) or "") > 40
