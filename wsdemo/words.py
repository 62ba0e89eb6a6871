"""Numbers and lists as people read them: one way for the table, the captions and the command line.

No sentence stands here; those of the figures are in `plots.captions`. Another language is another `words` beside
another `captions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

UNKNOWN = "–"
"""What stands in place of a number that cannot be known."""


PLAIN = str.maketrans(
    {"…": "...", UNKNOWN: "-", "—": "-", "−": "-", "µ": "u", "×": "x", "·": "-", "λ": "lambda", "’": "'"}
)


def plain(text: str) -> str:
    """Return a text with what old encodings have no character for spelt in ASCII."""
    return text.translate(PLAIN)


def number(value: float) -> str:
    """Return a number with three figures and no exponent: 12,300 is "12,300", 0.01234 is "0.0123"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(value: float) -> str:
    """Return how many, as a whole number: "1,707"; `UNKNOWN` where there is none to count."""
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


def share(value: float, places: int = 1) -> str:
    """Return a share of 1 in per cent: "84.4%"; none and all are said without decimals; `UNKNOWN` where it is none."""
    if math.isnan(value):
        return UNKNOWN
    return f"{value:.0%}" if value in (0, 1) else f"{value:.{places}%}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it: "4.3 s", "250 ms", "0.12 ms"; `UNKNOWN` where there is none."""
    if math.isnan(seconds):
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    if abs(seconds) >= 0.9995:
        return f"{number(seconds)} s"
    if abs(seconds) >= 0.9995e-5:
        return f"{number(seconds * 1e3)} ms"
    return f"{number(seconds * 1e6)} µs"


def mebibytes(size_bytes: float) -> str:
    """Return an amount of memory: "29.3 MiB"."""
    return f"{size_bytes / 2**20:.1f} MiB"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def capital(sentence: str) -> str:
    """Return a sentence that begins with a capital letter."""
    return sentence[:1].upper() + sentence[1:]
