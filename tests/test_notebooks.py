"""The layout of the notebooks, and whether the rules that it is held to can turn red."""

import base64
import copy
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from kernels import KernelManager
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from notebook_rules import RULES, Lesson, source
from patience import patient
from PIL import Image, ImageChops, ImageStat

FOLDER = Path(__file__).parent.parent / "notebooks"

# --- the notebooks themselves -----------------------------------------------------------------------------------------


def course() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.ipynb"))


def lesson(name: str) -> Lesson:
    return Lesson(name, json.loads((FOLDER / name).read_text(encoding="utf-8")), course(), FOLDER)


def test_there_is_a_course():
    """Without this, a suite that finds no notebook would pass."""
    assert course(), f"there is no notebook in {FOLDER}"


def test_the_picture_in_the_first_lesson_is_the_readmes():
    """It is attached in fewer colours, and taken anew by the same command; so the two show the same moment."""
    cells = lesson("00_start_here.ipynb").cells
    (attached,) = [cell["attachments"]["live.png"]["image/png"] for cell in cells if "attachments" in cell]
    small = Image.open(io.BytesIO(base64.b64decode(attached))).convert("RGB")
    large = Image.open(FOLDER.parent / "docs" / "live.png").convert("RGB")
    assert small.size == large.size
    assert max(ImageStat.Stat(ImageChops.difference(small, large)).mean) < 4


@pytest.mark.parametrize("name", course() or ["no notebook"])
@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_every_lesson_keeps_every_rule(check, name):
    """One test for each rule and notebook, so that a report says which is broken where."""
    faults = list(check(lesson(name)))
    assert not faults, f"{check.__doc__}\n" + "\n".join(faults)


def test_the_first_lesson_runs_alone_in_any_folder(tmp_path, monkeypatch):
    """As papermill, Voilà and an installed wheel run it: nothing beside it; as a page it has no broken picture."""
    monkeypatch.chdir(tmp_path)
    book = nbformat.read(FOLDER / "00_start_here.ipynb", as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, timeout=patient(120), resources=where, kernel_manager_class=KernelManager).execute()
    page, _ = HTMLExporter().from_notebook_node(book)
    pictures = re.findall(r"<img[^>]*?\bsrc=\"([^\"]*)", page)
    assert len(pictures) >= 3
    assert [source[:60] for source in pictures if not source.startswith("data:image/png;base64,")] == []
    assert list(tmp_path.iterdir()) == []


# --- the rules themselves ---------------------------------------------------------------------------------------------

FIGURE = {"image/png": "iVBORw0KGgo=", "text/html": '<figure><img alt="A line." src=""></figure>', "text/plain": "line"}
NAMES = ["00_start_here.ipynb", "01_ask_twice.ipynb", "02_end_well.ipynb"]
OPENING = """# Ask twice

**What you'll do:** ask a server twice.

**What you'll learn**
- ask a question
- count the answers

**What you'll need:** [the first lesson](00_start_here.ipynb).

**Time:** five minutes.

Part 2 of 3 · [before: start here](00_start_here.ipynb) · [after: end well](02_end_well.ipynb)
"""
CLOSING = """## What you have now

In this notebook you:

- asked a question
- counted the answers

**In practice** `a != b` matters, see [above](#Ask-twice). Go on to [the end](02_end_well.ipynb).
"""


def sound_lesson(folder: Path) -> Lesson:
    """Make a short lesson that keeps every rule; the planted faults below are changes of it."""
    words = "A sentence that explains what the next cell does and why it is worth a look at all. "
    cells = [markdown(OPENING)]
    for number in (1, 2):
        cells += [
            markdown(f"### Exercise {number}: ask\n\n{words * 3}"),
            code("answer = 42", "exercise"),
            code("answer = await ask(f'http://127.0.0.1:{port}/')", "solution"),
        ]
        cells[-1]["metadata"]["jupyter"] = {"source_hidden": True}
    cells += [code("print(answer)", "nbval-check-output"), code("figure"), markdown(CLOSING)]
    cells[-3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "42\n"}]
    cells[-2]["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": copy.deepcopy(FIGURE)}]
    (folder / "line.png").touch()
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    for n, cell in enumerate(cells):
        cell["id"] = f"cell-{n}"
    return renumbered(Lesson("01_ask_twice.ipynb", book, list(NAMES), folder))


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, *tags: str) -> dict:
    cell = {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
    if tags:
        cell["metadata"]["tags"] = list(tags)
    return cell


def renumbered(lesson: Lesson) -> Lesson:
    for count, (_, cell) in enumerate(lesson.code, start=1):
        cell["execution_count"] = count
    return lesson


def put(place: int, cell: dict) -> Callable[[Lesson], None]:
    """Return a fault: a further cell, at a place of the notebook."""

    def plant(lesson: Lesson) -> None:
        lesson.cells.insert(place, cell | {"id": "planted"})
        renumbered(lesson)

    return plant


def say(text: str) -> Callable[[Lesson], None]:
    """Return a fault: a further paragraph of prose."""
    return put(1, markdown(text))


def run(text: str, *tags: str) -> Callable[[Lesson], None]:
    """Return a fault: a further code cell, as it looks after a run that printed nothing."""
    return put(1, code(text, *tags))


def show(output: dict, *tags: str) -> Callable[[Lesson], None]:
    """Return a fault: a further code cell with a stored output."""
    return put(1, code("show()", *tags) | {"outputs": [output]})


def swap(place: int, old: str, new: str) -> Callable[[Lesson], None]:
    """Return a fault: other words in a cell."""

    def plant(lesson: Lesson) -> None:
        text = source(lesson.cells[place])
        assert old in text
        lesson.cells[place]["source"] = text.replace(old, new)

    return plant


def change(path: str, value) -> Callable[[Lesson], None]:
    """Return a fault: another value at a path such as "cells 3 metadata tags" in the notebook; None deletes it."""
    *way, last = [int(step) if re.fullmatch(r"-?\d+", step) else step for step in path.split()]

    def plant(lesson: Lesson) -> None:
        place = lesson.book
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return plant


def rename(name: str) -> Callable[[Lesson], None]:
    """Return a fault: another file name for the lesson in the middle of the course."""

    def plant(lesson: Lesson) -> None:
        lesson.course[1] = lesson.name = name

    return plant


def printed(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


def displayed(**data: str) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {k.replace("_", "/"): v for k, v in data.items()}}


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": ["ValueError"]}
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
# rule: faults that it must find
PLANTS: dict[str, dict[str, Callable[[Lesson], None]]] = {
    "names_number_the_course": {
        "capitals": rename("01_Ask_Twice.ipynb"),
        "no verb": rename("01.ipynb"),
        "a gap": rename("03_ask_twice.ipynb"),
    },
    "format_is_valid": {
        "an unknown cell": change("cells 1 cell_type", "poem"),
        "no ids": change("nbformat_minor", 4),
        "the same id twice": change("cells 1 id", "cell-2"),
    },
    "kernel_is_python3": {
        "another kernel": change("metadata kernelspec name", "my-env"),
        "none": change("metadata kernelspec", None),
    },
    "metadata_holds_no_widgets": {
        "state": change("metadata widgets", {}),
        "a view": show({"output_type": "display_data", "metadata": {}, "data": WIDGET}),
    },
    "opening_has_its_parts": {
        "no title": swap(0, "# Ask twice", "Ask twice"),
        "another verb": swap(0, "# Ask", "# On asking"),
        "no time": swap(0, "**Time:**", "Time:"),
        "code first": put(0, code("1")),
        "another order": swap(0, "**What you'll do:**", "**Time:**"),
    },
    "goals_are_two_to_four_verbs": {
        "one goal": swap(0, "- count the answers\n", ""),
        "five goals": swap(0, "- count", "- a\n- b\n- c\n- count"),
        "about": swap(0, "- count the", "- learn about the"),
    },
    "opening_says_which_part_it_is": {
        "another part": swap(0, "Part 2", "Part 1"),
        "another number": swap(0, "of 3", "of 4"),
        "no part": swap(0, "Part 2 of 3", ""),
        "no link onward": swap(0, " · [after: end well](02_end_well.ipynb)", ""),
        "the wrong link": swap(0, "[before: start here](00_start_here", "[before: start here](01_ask_twice"),
    },
    "links_lead_somewhere": {
        "a file": say("See [this](nowhere.md)."),
        "HTML": say('<a href="nowhere.md">this</a>'),
        "a reference": say("[this]\n\n[this]: nowhere.md"),
        "a picture": say("![a line](nowhere.png)"),
        "an anchor": say("See [above](#No-such-heading)."),
    },
    "pictures_are_here_and_described": {
        "no alt text": say("![](line.png)"),
        "no alt in HTML": say('<img src="line.png">'),
        "an empty alt": say('<img alt=" " src="line.png">'),
        "from the internet": say("![a badge](https://badges.example/x.svg)"),
        "beside the lesson": say("![a line](line.png)"),
        "an attachment that is missing": say("![a line](attachment:line.png)"),
    },
    "frames_come_with_a_link": {"IPython's": run("from IPython.display import IFrame\n\nIFrame(url, 300, 60)")},
    "stands_alone": {
        "a link out of the folder": say("See the [README](../README.md)."),
        "a link to a file": say("See [this](line.png)."),
        "a file of the repository": run("lines = read_lines('../requirements.txt')"),
        "a file by its name": run("lines = open('updates.csv')"),
        "a path": run("from pathlib import Path\n\nlines = Path('updates.csv').read_text()"),
    },
    "closing_mirrors_the_goals": {
        "no closing": swap(-1, "In this notebook you:", "Well done."),
        "code last": put(99, code("1")),
        "a goal forgotten": swap(-1, "- asked a question\n", ""),
        "no practice": swap(-1, "**In practice**", ""),
        "no way onward": swap(-1, "02_end_well.ipynb", "00_start_here.ipynb"),
    },
    "python_only": {
        "pip": run("%pip install x"),
        "shell": run("!ls"),
        "help": run("print?"),
        "cell magic": run("%%time\n1"),
    },
    "imports_are_honest": {
        "star": run("from wsdemo import *"),
        "path": run("import sys\nsys.path.insert(0, '..')"),
        "path by name": run("from sys import path"),
        "patch": run("import nest_asyncio"),
        "patch by name": run("from nest_asyncio import apply"),
    },
    "await_is_used_as_it_is": {
        "run": run("asyncio.run(ask())"),
        "runner": run("with asyncio.Runner() as runner:\n    pass"),
        "loop": run("loop.run_until_complete(ask())"),
    },
    "tasks_are_kept": {
        "create_task": run("asyncio.create_task(ask())"),
        "ensure_future": run("asyncio.ensure_future(ask())"),
        "in a function": run("def go():\n    asyncio.create_task(ask())"),
    },
    "no_trailing_semicolon": {"at the end": run("plot();"), "before a comment": run("plot();  # quiet\n1")},
    "nothing_from_the_internet": {
        "http": run("get('https://jupyter.org/x')"),
        "ws": run("connect('ws://echo.websocket.org')"),
        "f-string": run("get(f'http://api.github.com/{name}')"),
        "a name that looks like ours": run("get('http://localhost.evil.com')"),
    },
    "no_fixed_port": {
        "keyword": run("serve(handler, port=8000)"),
        "name": run("PORT = 8765"),
        "position": run("serve(handler, 'localhost', 8000)"),
        "pair": run("address = ('', 8000)"),
        "address": run("get('http://127.0.0.1:80/')"),
        "f-string": run("get(f'ws://localhost:80/{name}')"),
        "address by name": run("get(url='http://127.0.0.1:80/')"),
        "address kept": run("url = 'http://[::1]:80/'"),
    },
    "no_seed_is_chosen": {
        "by name": run("poisson(2, seed=10)"),
        "by place": run("poisson(2, 10)"),
        "the default, too": run("updates.poisson(2, seed=1)"),
        "none that is negative": run("poisson(2, seed=-3)"),
        "of Python": run("random.seed(198)"),
        "of a generator": run("rng = np.random.default_rng(198)"),
        "kept": run("SEED = 198\npoisson(2, SEED)"),
        "few in a list": run("runs = [poisson(2, seed) for seed in [198]]"),
        "few in a range": run("for seed in range(198, 200):\n    poisson(2, seed)"),
    },
    "cells_are_short": {
        "21 lines": run("\n".join(["1"] * 21)),
        "five lines each": lambda lesson: [cell.update(source="1\n" * 5) for _, cell in lesson.code] and None,
    },
    "tags_are_known": {
        "misspelt": run("1", "nbval-check-outputs"),
        "on Markdown": put(1, markdown("x") | {"metadata": {"tags": ["note"]}}),
        "a comment": run("# NBVAL_CHECK_OUTPUT\nprint(1)"),
    },
    "run_from_top_to_bottom": {
        "not run": change("cells 2 execution_count", 0),
        "out of order": change("cells 3 execution_count", 9),
        "never run": lambda lesson: lesson.code[0][1].update(execution_count=None),
    },
    "errors_are_wanted": {"an error": show(ERROR), "no error": run("1 / 0", "raises-exception")},
    "nothing_on_stderr": {"a warning": show(printed("DeprecationWarning", "stderr"))},
    "figures_have_alternative_texts": {
        "no HTML": show(displayed(image_png="iVBORw0KGgo=")),
        "no picture in it": show(displayed(image_png="iVBORw0KGgo=", text_html="<p>alt</p>")),
        "an empty alt": show(displayed(image_png="iVBORw0KGgo=", text_html='<img alt="" src="">')),
    },
    "no_path_of_a_machine": {
        "in prose": say("Look into /home/ada/notes."),
        "in code": run("open('/tmp/notes.txt')"),
        "printed": show(printed("File /root/.venv/lib/x.py")),
        "Windows": show(printed(r"C:\Users\ada")),
        "in a traceback": show(ERROR | {"traceback": ["File /work/x.py:1"]}, "raises-exception"),
        "in HTML": show(displayed(text_html="<pre>see /Users/ada/x</pre>")),
    },
    "claims_are_checked": {
        "none": change("cells -3 metadata tags", []),
        "nothing stored": change("cells -3 outputs", []),
        "a figure": change("cells -2 metadata tags", ["nbval-check-output"]),
    },
    "prose_outweighs_code": {"much code": lambda lesson: [run("1\n" * 9)(lesson) for _ in range(3)] and None},
    "prose_keeps_its_voice": {
        "simply": say("Simply run it."),
        "obviously": say("This obviously holds."),
        "a shout": say("Well done!"),
        "a shout in a link": say("[Go!](00_start_here.ipynb)"),
    },
    "exercises_have_solutions": {
        "one exercise": lambda lesson: lesson.cells.__delitem__(slice(4, 7)),
        "no starter": change("cells 2 metadata tags", []),
        "no solution": lambda lesson: lesson.cells.__delitem__(3),
        "in sight": change("cells 3 metadata jupyter", None),
        "hidden code": change("cells -2 metadata jupyter", {"source_hidden": True}),
        "misnumbered": swap(4, "Exercise 2", "Exercise 3"),
        "no heading": swap(4, "### Exercise 2:", "Exercise 2:"),
        "solution first": lambda lesson: lesson.cells.insert(2, lesson.cells.pop(3)),
    },
}


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_a_sound_lesson_keeps_every_rule(check, tmp_path):
    """The control: without it a rule that always complains would seem to find its planted faults."""
    assert list(check(sound_lesson(tmp_path))) == []


@pytest.mark.parametrize(
    ("check", "fault"),
    [(check, fault) for check in RULES for fault in PLANTS.get(check.__name__, ["none is planted"])],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_rule_finds_its_planted_faults(check, fault, tmp_path):
    """A rule that cannot turn red says nothing."""
    lesson = sound_lesson(tmp_path)
    PLANTS[check.__name__][fault](lesson)
    assert list(check(lesson))


@pytest.mark.parametrize(
    "plant",
    [
        say("`Stop!` and $n!$ and a != b and <!-- hm! -->"),
        put(
            1, markdown("![a line](attachment:line.png)") | {"attachments": {"line.png": {"image/png": "iVBORw0KGgo="}}}
        ),
        run("moments = '1.5/3.0'; folder = 'week/day'; path = Path(name)"),
        say("```python\nprint('Obviously!')\n```"),
        say("See [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) and [the exercise](#Exercise-1:-ask)."),
        run("async with TaskGroup() as group:\n    group.create_task(ask())\nawait ask()"),
        run(
            "address = f'ws://localhost:{port}/ws'; get('http://shop.example/', headers={'Origin': 'http://evil.test'})"
        ),
        run("serve(handler, '127.0.0.1', 0)\nport = server.port\nmay = {'http://127.0.0.1:9000': False}"),
        run("poisson(2); runs = [poisson(2, seed).times(3) for seed in range(200)]; wait_s = random.uniform(0, 10)"),
        show(ERROR, "raises-exception"),
        show(printed("GET /updates HTTP/1.1 took 3 ms, 1/home/x, see http://127.0.0.1:8000/tmp/x")),
        show(displayed(text_html='<img alt="a line" src="data:image/png;base64,/tmp/aaaa">')),
    ],
)
def test_what_is_allowed_is_not_found_fault_with(plant, tmp_path):
    """Near misses: what only looks like a fault."""
    lesson = sound_lesson(tmp_path)
    plant(lesson)
    assert [fault for check in RULES for fault in check(lesson)] == []
