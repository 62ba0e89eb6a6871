"""A fault in words, `delay=50ms,cut=3s`: how it is read, how it is said, and what each word means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from wsdemo.line.fault import PROXY_IDLE_S, WAYS, Fault

Kind = Literal["time", "size", "rate", "time or size", "way", "end", "number", "share"]
TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
SIZES = {"B": 1, "KB": 1000, "MB": 1_000_000, "KiB": 1024, "MiB": 1024 * 1024}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)([A-Za-z]*)")
_EXAMPLES = {"time": "50ms or 3s", "size": "64KB", "rate": "64KB", "time or size": "3s or 64KB"}


@dataclass(frozen=True)
class Word:
    """One word of a line. key: as it is written; kind: of its value; field: of `Fault`; help: what it means."""

    key: str
    kind: Kind
    field: str
    help: str


WORDS = {
    word.key: word
    for word in (
        Word("delay", "time", "delay_s", "how long each byte is on its way, in each direction"),
        Word("jitter", "time", "jitter_s", "up to so much longer, in order all the same"),
        Word("bandwidth", "rate", "bandwidth_bytes_per_s", "bytes a second, each connection and direction"),
        Word(
            "cut", "time or size", "cut_after_s", "cut each connection so long after it opened, or after so many bytes"
        ),
        Word("cut-every", "time", "cut_every_s", "cut all connections at once, again and again"),
        Word("end", "end", "rst", "how a cut is told: fin (default) or rst"),
        Word("vanish", "way", "vanish", "half-open: nothing gets through up, down or both, and nobody is told"),
        Word("idle", "time", "idle_s", f"cut who is silent for so long; proxies: {PROXY_IDLE_S:g}s"),
        Word("hold", "size", "hold_bytes", "hold answers back until they end or have so many bytes"),
        Word("upgrade", "number", "upgrade_status", "refuse Upgrade with this status: 400 or 426"),
        Word("status", "number", "unavailable_status", "answer requests of new connections with 502 or 503"),
        Word("retry-after", "time", "retry_after_s", "what such an answer asks for"),
        Word("one-in", "number", "one_in", "only every k-th connection has these faults"),
        Word("chance", "share", "chance", "each connection has them with this chance, from 0 to 1"),
        Word("seed", "number", "seed", "other luck"),
        Word("from", "time", "from_s", "when they begin"),
        Word("for", "time", "for_s", "how long they last"),
    )
}
"""Delay, jitter and bandwidth hold for all connections; `one-in`, `chance`, `from` and `for` are for the others."""


def parse_line(text: str) -> Fault:
    """Return the fault that words such as "delay=50ms,cut=3s" describe. An empty text is a line in order.

    Raises ValueError, with the words that there are, for an unknown or repeated one, and for a value that is none.
    """
    given: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in WORDS:
            raise ValueError(f"a line has no {key!r}: choose from {', '.join(WORDS)}, as in delay=50ms,cut=3s")
        if key in given:
            raise ValueError(f"{key} can be said once: {text!r} says it twice")
        given[key] = value
    return fault_of(given)


def fault_of(given: Mapping[str, str]) -> Fault:
    """Return the fault of words and their values. Raises ValueError as `parse_line` does."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        word = WORDS[key]
        field = "cut_after_bytes" if word.kind == "time or size" and _unit(value) in SIZES else word.field
        values[field] = _value(word, value)
    try:
        return Fault(**values)
    except ValueError as error:
        raise ValueError(_in_words(str(error))) from None


def words_of(fault: Fault) -> str:
    """Return a fault in words, as `parse_line` reads them; empty for a line in order."""
    plain, said = Fault(), []
    for word in WORDS.values():
        for field in dict.fromkeys((word.field, "cut_after_bytes" if word.key == "cut" else word.field)):
            value = getattr(fault, field)
            if value != getattr(plain, field):
                said.append(f"{word.key}={_said(value, field)}")
    return ",".join(said)


def _said(value: Any, field: str) -> str:
    if field == "rst":
        return "rst"
    if field.endswith("_s") and field != "bandwidth_bytes_per_s":
        return f"{_digits(value * 1000)}ms" if value < 1 else f"{_digits(value)}s"
    if "bytes" in field:
        return f"{_digits(value)}B"
    return str(value)


def _digits(value: float) -> str:
    return f"{value:.12g}" if value < 1e12 else f"{value:.0f}"


def _unit(value: str) -> str:
    match = _AMOUNT.fullmatch(value)
    return match[2] if match else ""


def _value(word: Word, text: str) -> Any:
    if word.kind in ("way", "end"):
        choices = WAYS if word.kind == "way" else ("fin", "rst")
        if text not in choices:
            raise ValueError(f"{word.key} must be one of {', '.join(choices)}, not {text!r}")
        return text if word.kind == "way" else text == "rst"
    if word.kind == "number":
        if not (text.isascii() and text.isdecimal()):
            raise ValueError(f"{word.key} must be a whole number, not {text!r}")
        return int(text)
    if word.kind == "share":
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{word.key} must be a number from 0 to 1, not {text!r}") from None
    return _amount(word, text.removesuffix("/s") if word.kind == "rate" else text)


def _amount(word: Word, text: str) -> float | int:
    units: dict[str, float] = {}
    units |= TIMES if "time" in word.kind else {}
    units |= SIZES if word.kind != "time" else {}
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in units:
        known = f"({', '.join(units)}), such as {_EXAMPLES[word.kind]}"
        raise ValueError(f"{word.key} must be a number with a unit {known}, not {text!r}")
    amount = float(match[1]) * units[match[2]]
    return round(amount) if match[2] in SIZES and word.kind != "rate" else amount


def _in_words(sentence: str) -> str:
    """Return a sentence about fields with the words in their place."""
    for word in WORDS.values():
        sentence = re.sub(rf"\b{word.field}\b", word.key, sentence)
    return sentence.replace("cut_after_bytes", "cut")
