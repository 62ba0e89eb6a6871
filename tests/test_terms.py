"""A word of the trade is explained where the course first uses it, in the same cell."""

import json
import re

import pytest
from notebook_rules import prose, source
from repository import ROOT

TERMS = {
    r"kernel": r"kernel\* is the Python process",
    r"event loop": r"event loop\*?, the part of Python that",
    r"sockets?": r"\*socket\* is a program's end of a connection",
    r"median": r"\*median\*: half of the news was heard sooner",
    r"percentiles?": r"95 % at most as late as the 95th percentile",
    r"cumulative": r"cumulative curve \| shows for each latency the share of deliveries",
    r"ports?": r"\*port\* is a number that tells the programs of one machine apart",
    r"loopback": r"loopback address, so nobody outside this machine can connect",
    r"RFC": r"\*RFC\* is one of the numbered documents",
    r"cookies?": r"\*cookie\* is a short text that a server leaves with a browser",
    r"proxy|proxies": r"passed on from there.*\*proxy\*",
    r"head-of-line": r"could not leave. This is \*head-of-line blocking\*",
    r"nonce": r"\*nonce\* is a value used once",
    r"same-origin": r"may not read the answers. That is the \*\*same-origin policy",
    r"CORS": r"a header in its answer that names the page's origin \(\*\*CORS",
    r"back-pressure": r"back-pressure\*\*, and between two it is right: do not talk faster than the other can listen",
    r"jitter": r"[Rr]andomness on purpose is called \*\*jitter|by chance \(\*\*jitter",
    r"conflation": r"at most once in T seconds. That is \*\*conflation",
}
"""Each term as a pattern, and a pattern of its explanation. Both are looked for in the prose of a cell."""


def cells_of_the_course() -> list[tuple[str, str]]:
    """Return every text cell in the order of the lessons: where it stands, and its prose on one line."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                found.append((f"{path.stem}, {cell['id']}", " ".join(prose(source(cell)).split())))
    return found


def fault(cells: list[tuple[str, str]], term: str, explanation: str) -> str | None:
    """Return what is wrong with the first cell that uses a term, or that none does."""
    using = [(place, text) for place, text in cells if re.search(rf"\b(?:{term})\b", text)]
    if not using:
        return f"no lesson says {term}"
    place, text = using[0]
    return None if re.search(explanation, text) else f"{place} is the first to use {term!r} and does not explain it"


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_explained_where_it_first_stands(term):
    """And it does stand somewhere: a term that the course no longer uses leaves the table."""
    assert (found := fault(cells_of_the_course(), term, TERMS[term])) is None, found


def test_control_a_term_that_is_explained_too_late_is_found():
    """Explained in a later cell, nowhere, or never used."""
    cells = [("a, 1", "Open a port."), ("b, 1", "A *port* is a number. So is a porter's.")]
    explained = r"\*port\* is a number"
    assert fault(cells, "ports?", explained) == "a, 1 is the first to use 'ports?' and does not explain it"
    assert fault(cells[1:], "ports?", explained) is None
    assert fault([("c, 1", "A porter.")], "ports?", explained) == "no lesson says ports?"
