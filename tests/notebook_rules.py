"""What CONTRIBUTING asks of a lesson, each rule as a function. `test_notebooks.py` holds every notebook to every rule.

A rule takes a `Lesson` and yields one sentence for each fault it finds. It looks at the file; nothing is run.
"""

import ast
import io
import itertools
import json
import re
import statistics
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat

TAGS = {"nbval-check-output", "nbval-ignore-output", "raises-exception", "exercise", "solution"}
LEAD_INS = ("What you'll do", "What you'll learn", "What you'll need", "Time")
LONGEST_CELL, LONGEST_MEDIAN, FEWEST_WORDS_PER_LINE = 20, 4, 8


@dataclass
class Lesson:
    """A notebook as the rules see it. course: the file names of all notebooks, in order; folder: where links start."""

    name: str
    book: dict
    course: list[str]
    folder: Path

    @property
    def cells(self) -> list[dict]:
        return self.book["cells"]

    @property
    def code(self) -> list[tuple[int, dict]]:
        """The code cells that have code, each with its place in the notebook."""
        return [(n, cell) for n, cell in enumerate(self.cells) if cell["cell_type"] == "code" and source(cell).strip()]

    @property
    def texts(self) -> list[tuple[int, str]]:
        """The sources of the Markdown cells, each with its place in the notebook."""
        return [(n, source(cell)) for n, cell in enumerate(self.cells) if cell["cell_type"] == "markdown"]

    @property
    def before(self) -> str | None:
        place = self.course.index(self.name)
        return self.course[place - 1] if place else None

    @property
    def after(self) -> str | None:
        return next(iter(self.course[self.course.index(self.name) + 1 :]), None)


Rule = Callable[[Lesson], Iterator[str]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule: a function that yields one sentence for each fault it finds."""
    RULES.append(function)
    return function


# --- reading a notebook -----------------------------------------------------------------------------------------------


def text_of(value: str | list[str]) -> str:
    """Join what the format stores either as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def source(cell: dict) -> str:
    return text_of(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def prose(text: str) -> str:
    """Return what is read as sentences: Markdown without code, formulas, HTML, and the addresses of links."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->|</?[a-zA-Z][^>]*>", " ", text, flags=re.DOTALL)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)


def lines(cell: dict) -> list[str]:
    return source(cell).strip().splitlines()


class Links(HTMLParser):
    """Collects the addresses in the HTML of a Markdown cell, and its pictures."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.pictures: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.addresses += [found[name] for name in ("href", "src") if name in found]
        if tag == "img":
            self.pictures.append(found)


def without_code(text: str) -> str:
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", " ", text, flags=re.DOTALL)


def links(text: str) -> list[str]:
    """Return every address that a Markdown cell links to or shows."""
    text = without_code(text)
    inline, references = re.findall(r"\]\(\s*<?([^)\s>]+)", text), re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, re.M)
    return inline + references + Links(text).addresses


def output_texts(cell: dict) -> Iterator[str]:
    """Yield everything that a cell's stored outputs say in text, without the pictures inside it."""
    for output in cell["outputs"]:
        parts = [output.get("text", ""), output.get("evalue", ""), "\n".join(output.get("traceback", []))]
        data = output.get("data", {})
        parts += [value for kind, value in data.items() if not kind.startswith("image/") or kind == "image/svg+xml"]
        for part in parts:
            part = text_of(part) if isinstance(part, str | list) else json.dumps(part)
            yield re.sub(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+", "", part)


def tree(cell: dict) -> ast.Module:
    """Parse a cell; `await` outside a function parses, and only compiling would refuse it."""
    return ast.parse(source(cell))


def dotted(node: ast.AST) -> str:
    """Return the dotted name that an expression is, such as "asyncio.run", or an empty string."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def nodes(lesson: Lesson, *kinds: type) -> Iterator[tuple[int, ast.AST]]:
    """Yield the nodes of some kinds in all code cells, each with the place of its cell."""
    for n, cell in lesson.code:
        try:
            module = tree(cell)
        except SyntaxError:
            continue  # python_only reports it
        yield from ((n, node) for node in ast.walk(module) if isinstance(node, kinds))


# --- rules: the file and its place in the course ----------------------------------------------------------------------


@rule
def names_number_the_course(lesson: Lesson) -> Iterator[str]:
    """File names are NN_verb_object, numbered from 00 without a gap."""
    if not re.fullmatch(r"\d\d(_[a-z0-9]+)+\.ipynb", lesson.name):
        yield f"{lesson.name} is not named NN_verb_object.ipynb"
    if lesson.name[:2] != f"{lesson.course.index(lesson.name):02}":
        yield f"{lesson.name} is number {lesson.course.index(lesson.name)} of the course, counted from 0"


@rule
def format_is_valid(lesson: Lesson) -> Iterator[str]:
    """The file is a valid notebook, with cell ids (nbformat 4.5), so that a diff shows cells and not positions."""
    ids = [cell.get("id") for cell in lesson.cells]
    if (lesson.book["nbformat"], lesson.book["nbformat_minor"]) < (4, 5) or None in ids:
        yield "cells have no ids: save the notebook in format 4.5"
    elif len(set(ids)) < len(ids):
        yield "two cells have the same id"
    else:
        try:
            nbformat.validate(nbformat.from_dict(lesson.book), relax_add_props=True)
        except nbformat.ValidationError as error:
            yield f"not a valid notebook: {error.message}"


@rule
def kernel_is_python3(lesson: Lesson) -> Iterator[str]:
    """The kernel is named python3, which every installation has."""
    if (name := lesson.book["metadata"].get("kernelspec", {}).get("name")) != "python3":
        yield f"the kernel is {name!r}, not 'python3'"


@rule
def metadata_holds_no_widgets(lesson: Lesson) -> Iterator[str]:
    """No widget state is stored: a reader without the kernel would see "model not found"."""
    if "widgets" in lesson.book["metadata"]:
        yield "the notebook stores the state of widgets"
    for n, cell in lesson.code:
        if any("widget-view" in kind for output in cell["outputs"] for kind in output.get("data", {})):
            yield f"cell {n} shows a widget"


# --- rules: opening, links and closing --------------------------------------------------------------------------------


@rule
def opening_has_its_parts(lesson: Lesson) -> Iterator[str]:
    """The first cell: a title with the file's verb, then what you'll do, learn and need, and how long it takes."""
    opening = source(lesson.cells[0]).replace("\u2019", "'")
    if lesson.cells[0]["cell_type"] != "markdown":
        yield "the first cell is not Markdown"
    title = re.match(r"# (\w+)", opening)
    verb = lesson.name.split("_")[1].removesuffix(".ipynb")
    if title is None or title[1].lower() != verb:
        yield f"the first line is not a title that begins with {verb.capitalize()!r}: {opening.splitlines()[:1]}"
    places = [opening.find(f"**{lead_in}") for lead_in in LEAD_INS]
    if -1 in places or places != sorted(places):
        yield f"the opening lacks a bold lead-in, or has them in another order than {', '.join(LEAD_INS)}"


@rule
def goals_are_two_to_four_verbs(lesson: Lesson) -> Iterator[str]:
    """What you'll learn is a list of two to four things one can do afterwards; nobody can do an "about"."""
    goals = goals_of(lesson)
    if not 2 <= len(goals) <= 4:
        yield f"{len(goals)} goals, not two to four"
    for goal in goals:
        if re.search(r"\babout\b", goal):
            yield f"a goal says 'about': {goal!r}"


def goals_of(lesson: Lesson) -> list[str]:
    opening = source(lesson.cells[0]).replace("\u2019", "'")
    part = re.search(r"\*\*What you'll learn(.*?)(?=\*\*What you'll need|\Z)", opening, re.DOTALL)
    return bullets(part[1]) if part else []


def bullets(text: str) -> list[str]:
    return re.findall(r"^\s*[-*] (.+)", text, re.MULTILINE)


@rule
def opening_says_which_part_it_is(lesson: Lesson) -> Iterator[str]:
    """The line "Part n of m" counts right and links to the lesson before and the one after, and to no other."""
    line = re.search(r"Part (\d+) of (\d+).*", source(lesson.cells[0]))
    if line is None:
        yield "the opening does not say 'Part n of m'"
        return
    part = (lesson.course.index(lesson.name) + 1, len(lesson.course))
    if (int(line[1]), int(line[2])) != part:
        yield f"it says part {line[1]} of {line[2]}, and is part {part[0]} of {part[1]}"
    linked = [link for link in links(line[0]) if link.endswith(".ipynb")]
    if linked != [name for name in (lesson.before, lesson.after) if name]:
        yield f"the line links to {linked}, not to {lesson.before} and {lesson.after}"


@rule
def links_lead_somewhere(lesson: Lesson) -> Iterator[str]:
    """Every relative link names a file that is there; every anchor a heading that is there."""
    for n, text in lesson.texts:
        for link in links(text):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z][a-z0-9+.-]*:", path):
                continue  # another site's matter
            target = lesson.folder / path
            if path and path not in lesson.course and not target.is_file() and not target.is_dir():
                yield f"cell {n} links to {link}, which is not there"
            if anchor and not path and anchor not in anchors(lesson):
                yield f"cell {n} links to #{anchor}, and no heading has that name"


def anchors(lesson: Lesson) -> set[str]:
    """Return the anchors of all headings, as JupyterLab makes them."""
    headings = [found for _, text in lesson.texts for found in re.findall(r"^#+ (.+)$", without_code(text), re.M)]
    return {re.sub(r"[*_`]", "", heading).strip().replace(" ", "-") for heading in headings}


@rule
def pictures_are_here_and_described(lesson: Lesson) -> Iterator[str]:
    """A picture in the prose is attached to its cell, so that it is wherever the lesson is, and has an alt text."""
    for n, text in lesson.texts:
        attached = {f"attachment:{name}" for name, data in lesson.cells[n].get("attachments", {}).items() if any(data)}
        shown = re.findall(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)", without_code(text))
        shown += [(picture.get("alt", ""), picture.get("src", "")) for picture in Links(without_code(text)).pictures]
        for alt, address in shown:
            if not alt.strip():
                yield f"cell {n} shows {address[:60]} without an alternative text"
            if re.match(r"(https?:)?//", address):
                yield f"cell {n} shows a picture from the internet: {address}"
            elif address not in attached:
                yield f"cell {n} shows {address[:60]}, which is not attached to it"


@rule
def stands_alone(lesson: Lesson) -> Iterator[str]:
    """A lesson needs no file but other lessons: it may be run in any folder, beside an installed package."""
    for n, text in lesson.texts:
        for link in links(text):
            path = link.partition("#")[0]
            if path and path not in lesson.course and not re.match(r"[a-z][a-z0-9+.-]*:", path):
                yield f"cell {n} leads to {link}, which may not be there"
    for n, node in nodes(lesson, ast.Constant):
        if re.match(r"\.\.?[/\\]", str(node.value)):
            yield f"cell {n} names a file by its place: {node.value!r}"
    for n, node in nodes(lesson, ast.Call):
        opened = node.args[0] if node.args and dotted(node.func).split(".")[-1] in ("open", "Path") else None
        if isinstance(opened, ast.Constant):
            yield f"cell {n} opens a file beside the lesson: {opened.value!r}"


@rule
def frames_come_with_a_link(lesson: Lesson) -> Iterator[str]:
    """A page is shown with `jupyter.Frame`: where a notebook shows no frames, the link below is all there is."""
    for n, node in nodes(lesson, ast.Name, ast.Attribute):
        if dotted(node).split(".")[-1] == "IFrame":
            yield f"cell {n} shows a frame without a link"


@rule
def closing_mirrors_the_goals(lesson: Lesson) -> Iterator[str]:
    """The last cell says "In this notebook you:", with as many points as goals, "In practice", and the way onward."""
    closing = source(lesson.cells[-1])
    if lesson.cells[-1]["cell_type"] != "markdown" or "In this notebook you:" not in closing:
        yield "the last cell does not say 'In this notebook you:'"
        return
    done, _, practice = closing.partition("In this notebook you:")[2].partition("**In practice")
    if len(bullets(done)) < len(goals_of(lesson)):
        yield f"the closing has {len(bullets(done))} points for {len(goals_of(lesson))} goals"
    if not practice:
        yield "the closing has no **In practice**"
    if lesson.after and lesson.after not in links(closing):
        yield f"the closing does not link onward to {lesson.after}"


# --- rules: code ------------------------------------------------------------------------------------------------------


@rule
def python_only(lesson: Lesson) -> Iterator[str]:
    """Code cells are plain Python: no magics, no shell, nothing installed."""
    for n, cell in lesson.code:
        try:
            tree(cell)
        except SyntaxError as error:
            yield f"cell {n} is not Python: {error}"


@rule
def imports_are_honest(lesson: Lesson) -> Iterator[str]:
    """No star imports, no change of the search path, no patch of the event loop."""
    for n, node in nodes(lesson, ast.ImportFrom, ast.Import, ast.Attribute):
        names = [alias.name for alias in getattr(node, "names", [])]
        module = getattr(node, "module", "")
        if "*" in names:
            yield f"cell {n} imports * from {module}"
        if "nest_asyncio" in [*names, module]:
            yield f"cell {n} uses nest_asyncio"
        if dotted(node) == "sys.path" or (module == "sys" and "path" in names):
            yield f"cell {n} touches sys.path"


@rule
def await_is_used_as_it_is(lesson: Lesson) -> Iterator[str]:
    """The kernel's loop runs already: no asyncio.run, no loop of one's own."""
    own = {"asyncio.run", "asyncio.Runner", "asyncio.new_event_loop", "asyncio.get_event_loop"}
    for n, node in nodes(lesson, ast.Call):
        name = dotted(node.func)
        if name in own or name.endswith((".run_until_complete", ".run_forever")):
            yield f"cell {n} calls {name}"


@rule
def tasks_are_kept(lesson: Lesson) -> Iterator[str]:
    """A task has a name or an owner: asyncio forgets one that nobody holds."""
    for n, node in nodes(lesson, ast.Expr):
        call = node.value
        if isinstance(call, ast.Call) and dotted(call.func) in ("asyncio.create_task", "asyncio.ensure_future"):
            yield f"cell {n} starts a task and does not keep it"


@rule
def no_trailing_semicolon(lesson: Lesson) -> Iterator[str]:
    """A semicolon at the end of a line hides an output; here each cell shows what it gives."""
    for n, cell in lesson.code:
        try:
            tokens = list(tokenize.generate_tokens(io.StringIO(source(cell)).readline))
        except (tokenize.TokenError, SyntaxError):
            continue  # python_only reports it
        ends = (tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER)
        if any(one.string == ";" and two.type in ends for one, two in itertools.pairwise(tokens)):
            yield f"cell {n} has a line that ends in a semicolon"


@rule
def nothing_from_the_internet(lesson: Lesson) -> Iterator[str]:
    """Addresses in code are this machine's, or of the names that RFC 2606 keeps from ever existing."""
    here = r"(127\.0\.0\.1|localhost|\[::1\]|[\w.-]*\.?(example|invalid|test)|example\.(com|org|net))"
    for n, node in nodes(lesson, ast.Constant):
        if isinstance(node.value, str):
            for host in re.findall(r"\b(?:https?|wss?|ftp)://([^/\s:?#\"']*)", node.value):
                if host and not re.fullmatch(here, host, re.IGNORECASE):
                    yield f"cell {n} has the address of {host}"


@rule
def no_fixed_port(lesson: Lesson) -> Iterator[str]:
    """A port that is written down is taken on somebody's machine: the system gives a free one for 0."""
    for n, node in nodes(lesson, ast.keyword, ast.Assign, ast.Call, ast.Tuple):
        for port in ports_in(node):
            yield f"cell {n} has the fixed port {port}"


def ports_in(node: ast.AST) -> Iterator[int | str]:
    """Yield the ports that a piece of code names: as `port=`, beside a host, and in an address that is used.

    An address that is only data, such as an Origin in a table, opens no port.
    """
    named, used, pairs = [], [], []
    if isinstance(node, ast.keyword):
        named, used = [node.value] if (node.arg or "").endswith("port") else [], [node.value]
    elif isinstance(node, ast.Assign):
        named = [node.value] if any(dotted(target).lower().endswith("port") for target in node.targets) else []
        used = [node.value]
    elif isinstance(node, ast.Call):
        used, pairs = node.args, itertools.pairwise(node.args)
    elif isinstance(node, ast.Tuple):
        pairs = itertools.pairwise(node.elts)
    hosts = ("127.0.0.1", "localhost", "::1", "", "0.0.0.0")
    named += [port for host, port in pairs if isinstance(host, ast.Constant) and host.value in hosts]
    for value in named:
        if isinstance(value, ast.Constant) and type(value.value) is int and value.value != 0:
            yield value.value
    for value in used:
        for part in value.values if isinstance(value, ast.JoinedStr) else [value]:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield from re.findall(r"//(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)", part.value)


SEEDED = {"poisson": 1, "bursts": 3, "seed": 0, "with_seed": 0, "Random": 0, "RandomState": 0, "default_rng": 0}
"""What takes a seed, and at which place among its arguments."""
FEWEST_SEEDS = 10


@rule
def no_seed_is_chosen(lesson: Lesson) -> Iterator[str]:
    """Chance is the package's default, or many seeds and their spread: one that is written down may be a lucky one."""
    for n, node in nodes(lesson, ast.Call):
        place = SEEDED.get(dotted(node.func).split(".")[-1])
        seeds = [keyword.value for keyword in node.keywords if keyword.arg == "seed"]
        seeds += [] if place is None else node.args[place : place + 1]
        yield from (f"cell {n} chooses the seed {ast.unparse(seed)}" for seed in seeds if written_down(seed))
    for n, node in nodes(lesson, ast.Assign):
        if any("seed" in dotted(target).lower() for target in node.targets) and written_down(node.value):
            yield f"cell {n} keeps the seed {ast.unparse(node.value)}"
    for n, node in nodes(lesson, ast.For, ast.comprehension):
        if "seed" in dotted(node.target).lower() and (few := few_in(node.iter)):
            yield f"cell {n} goes through {ast.unparse(few)} alone"


def written_down(node: ast.AST) -> bool:
    """Whether an expression is a number as it stands."""
    try:
        return isinstance(ast.literal_eval(node), int)
    except (ValueError, TypeError):
        return False


def few_in(node: ast.AST) -> ast.AST | None:
    """Return what is looped over, if it is written down and holds fewer than `FEWEST_SEEDS`."""
    try:
        if isinstance(node, ast.Call) and dotted(node.func) == "range":
            many = len(range(*map(ast.literal_eval, node.args)))
        else:
            many = len(ast.literal_eval(node))
    except (ValueError, TypeError):
        return None
    return node if many < FEWEST_SEEDS else None


@rule
def cells_are_short(lesson: Lesson) -> Iterator[str]:
    """One idea a cell: the median cell has at most four lines, the longest twenty."""
    lengths = {n: len(lines(cell)) for n, cell in lesson.code}
    for n, length in lengths.items():
        if length > LONGEST_CELL:
            yield f"cell {n} has {length} lines"
    if (median := statistics.median(lengths.values() or [0])) > LONGEST_MEDIAN:
        yield f"the median cell has {median:g} lines"


@rule
def tags_are_known(lesson: Lesson) -> Iterator[str]:
    """Tags come from a list: nbval passes over one that is misspelt. Comments that mean the same are not used."""
    for n, cell in enumerate(lesson.cells):
        if unknown := set(tags(cell)) - TAGS:
            yield f"cell {n} has unknown tags {sorted(unknown)}"
        if re.search(r"^\s*#\s*NBVAL_|^\s*#\s*PYTEST_VALIDATE", source(cell), re.MULTILINE):
            yield f"cell {n} has a comment where a tag belongs"


# --- rules: outputs ---------------------------------------------------------------------------------------------------


@rule
def run_from_top_to_bottom(lesson: Lesson) -> Iterator[str]:
    """The stored outputs are those of one Restart & Run All: cells numbered 1, 2, 3 … in order."""
    counts = [cell["execution_count"] for _, cell in lesson.code]
    if counts != [*range(1, len(counts) + 1)]:
        yield f"the cells were run as {counts}"


@rule
def errors_are_wanted(lesson: Lesson) -> Iterator[str]:
    """A stored error only where the tag says that it belongs there, and there always."""
    for n, cell in lesson.code:
        failed = any(output["output_type"] == "error" for output in cell["outputs"])
        if failed and "raises-exception" not in tags(cell):
            yield f"cell {n} stores an error"
        if not failed and "raises-exception" in tags(cell):
            yield f"cell {n} should raise an exception, and stores none"


@rule
def nothing_on_stderr(lesson: Lesson) -> Iterator[str]:
    """No warnings and no logs are stored."""
    for n, cell in lesson.code:
        if any(output.get("name") == "stderr" for output in cell["outputs"]):
            yield f"cell {n} stores what went to stderr"


@rule
def figures_have_alternative_texts(lesson: Lesson) -> Iterator[str]:
    """A figure comes with HTML whose <img> has an alt text: JupyterLab drops that of a plain PNG."""
    for n, cell in lesson.code:
        for output in cell["outputs"]:
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                pictures = Links(text_of(data.get("text/html", ""))).pictures
                if not any(picture.get("alt", "").strip() for picture in pictures):
                    yield f"cell {n} shows a figure without an alternative text"


@rule
def no_path_of_a_machine(lesson: Lesson) -> Iterator[str]:
    """Neither sources nor outputs say where somebody keeps their files."""
    path = r"(?<![\w./:>\])])/(?:root|home|work|tmp|Users|usr|opt|var|private|mnt|builds?)/[\w.-]+|\b[A-Z]:\\\w+"
    for n, cell in enumerate(lesson.cells):
        texts = [source(cell), *(output_texts(cell) if cell["cell_type"] == "code" else [])]
        for found in re.findall(path, "\n".join(texts)):
            yield f"cell {n} names the path {found}"


@rule
def claims_are_checked(lesson: Lesson) -> Iterator[str]:
    """At least one cell is compared on every run. It stores text, and no figure: nbval never compares one."""
    checked = [(n, cell) for n, cell in lesson.code if "nbval-check-output" in tags(cell)]
    if not checked:
        yield "no cell is tagged nbval-check-output"
    for n, cell in checked:
        if not any(text.strip() for text in output_texts(cell)):
            yield f"cell {n} is to be compared and stores no output"
        if any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {})):
            yield f"cell {n} is to be compared and shows a figure"


# --- rules: prose and exercises ---------------------------------------------------------------------------------------


@rule
def prose_outweighs_code(lesson: Lesson) -> Iterator[str]:
    """At least eight words of prose for a line of code; ten to twenty is the aim."""
    if (ratio := words_per_line(lesson)) < FEWEST_WORDS_PER_LINE:
        yield f"{ratio:.1f} words of prose for a line of code"


def words_per_line(lesson: Lesson) -> float:
    words = sum(len(re.findall(r"\w[\w'\u2019-]*", prose(text))) for _, text in lesson.texts)
    return words / max(1, sum(bool(line.strip()) for _, cell in lesson.code for line in lines(cell)))


@rule
def prose_keeps_its_voice(lesson: Lesson) -> Iterator[str]:
    """What is simple or obvious to the writer need not be so to the reader; and nobody has to be shouted at."""
    for n, text in lesson.texts:
        for word in re.findall(r"\b(?:simply|obviously)\b", prose(text), re.IGNORECASE):
            yield f"cell {n} says {word!r}"
        if "!" in prose(text).replace("!=", ""):
            yield f"cell {n} has an exclamation mark"


@rule
def exercises_have_solutions(lesson: Lesson) -> Iterator[str]:
    """At least two exercises, numbered from 1; each has a starter cell, then a solution that is hidden at first."""
    marks: list[str] = []
    for n, cell in enumerate(lesson.cells):
        if cell["cell_type"] == "markdown":
            marks += [f"exercise {k}" for k in re.findall(r"^### Exercise (\d+):", source(cell), re.MULTILINE)]
            continue
        marks += [tag for tag in ("exercise", "solution") if tag in tags(cell)]
        hidden = bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))
        if hidden != ("solution" in tags(cell)):
            yield f"cell {n} {'hides its source and is no solution' if hidden else 'is a solution in plain sight'}"
    numbers = [mark for mark in marks if mark not in ("exercise", "solution")]
    if len(numbers) < 2:
        yield f"{len(numbers)} exercises, not two"
    if marks != [part for k in range(1, len(numbers) + 1) for part in (f"exercise {k}", "exercise", "solution")]:
        yield f"exercises are not heading, starter, solution each: {marks}"
