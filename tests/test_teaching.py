"""The guide for teachers speaks of the lessons as they are: their sections, their cells, and the votes add up."""

import re

import nbformat
import pytest
from repository import ROOT, read

LESSONS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
GUIDE = "docs/teaching.md"
PAGES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs/teaching").glob("[0-9]*.md"))]


def cells(number: str, kind: str) -> list[str]:
    lesson = nbformat.read(LESSONS[number], as_version=4)
    return [cell.source for cell in lesson.cells if cell.cell_type == kind]


def headings(number: str) -> set[str]:
    return set(re.findall(r"^#{2,4} (.+)$", "\n".join(cells(number, "markdown")), re.MULTILINE))


def bold(text: str) -> set[str]:
    return {" ".join(name.split()) for name in re.findall(r"\*\*(.+?)\*\*", text, re.DOTALL)}


def asked(page: str) -> list[str]:
    """Return the first column of the table of questions: the piece of a cell by which the cell is known."""
    rows = page.partition("## Ask before you run")[2].partition("\n## ")[0].splitlines()
    return re.findall(r"^\| `([^`]+)` \|", "\n".join(rows), re.MULTILINE)


def test_every_lesson_has_a_page_to_which_the_guide_leads():
    """One each, by its number."""
    assert [name[-5:-3] for name in PAGES] == list(LESSONS)
    assert [f"docs/{link}" for link in re.findall(r"\((teaching/\d\d\.md)\)", read(GUIDE))][: len(PAGES)] == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_sections_that_a_page_names_are_in_its_lesson(name):
    """What is bold is a heading, spelled as the lesson spells it."""
    assert bold(read(name))
    assert bold(read(name)) - headings(name[-5:-3]) == set()


def test_sections_that_the_guide_names_are_in_some_lesson():
    """In its tables the lesson is named before them; here it is enough that one has them."""
    known = set().union(*map(headings, LESSONS))
    assert bold(read(GUIDE))
    assert bold(read(GUIDE)) - known == set()


@pytest.mark.parametrize("name", [GUIDE, *PAGES])
def test_cells_that_the_prose_names_are_in_a_lesson(name):
    """On a lesson's page in that lesson, in the guide in some."""
    lessons = LESSONS if name == GUIDE else [name[-5:-3]]
    code = [source for number in lessons for source in cells(number, "code")]
    prose = " ".join(read(name).split())
    pieces = re.findall(
        r"\b(?:cell|handler|server|cell that prints|cell that begins with|cells after) `([^`]+)`", prose
    )
    assert [piece for piece in pieces if not any(piece in source for source in code)] == []


@pytest.mark.parametrize("name", PAGES)
def test_cells_before_which_to_ask_are_in_the_lesson(name):
    """Each is known by a piece of its code."""
    pieces = asked(read(name))
    code = cells(name[-5:-3], "code")
    assert len(pieces) >= 5
    assert [piece for piece in pieces if not any(piece in source for source in code)] == []


@pytest.mark.parametrize("name", PAGES)
def test_votes_have_four_answers_one_of_them_right(name):
    """Two votes a page, whose expected split adds up, and which is said to be an estimate."""
    page = read(name)
    answers = re.findall(r"^\| ([ABCD])(, right)? \| .+ \| (\d+) % \|$", page, re.MULTILINE)
    assert [letter for letter, _, _ in answers] == list("ABCD") * 2
    for vote in (answers[:4], answers[4:]):
        assert sum(bool(right) for _, right, _ in vote) == 1
        assert sum(int(share) for *_, share in vote) == 100
    assert "The splits are estimates. They have not been measured in a class." in page
