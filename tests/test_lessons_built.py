"""What the package says was built in a lesson was: under the same name, in that lesson."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILT = re.compile(r"(plain form is built|[Bb]uilt) in (?:the )?(?:lesson )?`(\d\d_\w+)`(?:, as `(\w+)`)?")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(source: str) -> Iterator[Definition]:
    """Yield every function and class of a source, at any depth."""
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, Definition))


def promises() -> list[tuple[str, str, str]]:
    """Return (module, name in the lesson, lesson) for each docstring that says where it was built.

    Only a plain form may have another name in the lesson, and then the docstring says which.
    """
    found = []
    for path in sorted((ROOT / "wsdemo").rglob("*.py")):
        for node in definitions(path.read_text(encoding="utf-8")):
            docstring = " ".join((ast.get_docstring(node) or "").split())
            for how, lesson, other_name in BUILT.findall(docstring):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found.append((module, other_name if "plain" in how and other_name else node.name, lesson))
    return found


def built_in(lesson: str) -> set[str]:
    """Return the names that the code cells of a lesson define."""
    book = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    return {node.name for cell in cells for node in definitions(cell)}


def test_the_package_says_where_much_of_it_was_built():
    """Without this, a search that finds nothing would pass."""
    assert len(promises()) > 15


@pytest.mark.parametrize(("module", "name", "lesson"), promises(), ids=str)
def test_it_was_built_there(module, name, lesson):
    """A reader who follows the docstring finds the function in the lesson."""
    names = built_in(lesson)
    assert names, f"{lesson} defines nothing"
    assert name in names, f"{module}.{name}: {lesson} defines {sorted(names)}"
