"""A strict reader of GIFT, Moodle's text format for quizzes: the part of it that the course's quiz uses, and no more.

Blocks are parted by blank lines; lines that begin with // say nothing. A block is `$CATEGORY: a/b`, or a question:
`::title:: text {answers}`. Answers are of four kinds, and each wrong one says why it is wrong:

    {=right #why ~wrong #why ~wrong #why}          one of several
    {TRUE #why wrong #why right}                   or FALSE
    {#=number:tolerance #why right ~#why wrong}    a number
    {=text #why right =%0%* #why wrong}            a short text; more than one may be right

A special character (~ = # { } :) that means itself has a backslash before it. Moodle reads more than this, and takes
some mistakes for text: an `=` without its backslash would be one more right answer. Here each is an error.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

SPECIAL = "~=#{}:"
_STAND_INS = {char: chr(0xE000 + n) for n, char in enumerate(SPECIAL)}
_PLAIN = f"[^{SPECIAL}]+"
_NUMBER = r"-?\d+(?:\.\d+)?"
_A_NUMBER = re.compile(rf"#\s*=\s*({_NUMBER})\s*:\s*({_NUMBER})\s*#({_PLAIN})~\s*#({_PLAIN})")
_TRUE_OR_FALSE = re.compile(rf"(TRUE|FALSE)\s*#({_PLAIN})#({_PLAIN})")
_ANSWER = re.compile(rf"([~=])({_PLAIN})#({_PLAIN})")
_CATCH_ALL = "%0%*"


class Broken(ValueError):
    """What is wrong, with the first line of the block in which it is."""


@dataclass(frozen=True)
class Question:
    """One question. kind: of `_READERS`; right: what earns the mark; wrong: the other answers that are named.

    why_wrong: what a wrong answer is told, one for each wrong choice, else one; tolerance: of a number.
    """

    category: str
    title: str
    text: str
    kind: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    why_wrong: tuple[str, ...]
    tolerance: float = 0.0

    @property
    def number(self) -> float:
        return float(self.right[0])


def parse(text: str) -> list[Question]:
    """Return the questions of a quiz, in order. Raises `Broken` for anything that is not as described above."""
    questions: list[Question] = []
    category = ""
    for block in _blocks(text):
        try:
            if block.startswith("$"):
                category = _category(block)
            else:
                questions.append(_question(block, category))
        except Broken as error:
            raise Broken(f"{error}: {block.splitlines()[0]}") from None
    titles = [question.title for question in questions]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        raise Broken(f"a title stands twice: {', '.join(twice)}")
    return questions


def _blocks(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("//")]
    return [block.strip() for block in re.split(r"\n\n+", "\n".join(lines)) if block.strip()]


def _category(block: str) -> str:
    name = re.fullmatch(rf"\$CATEGORY: ({_PLAIN})", block)
    if name is None or "\n" in block:
        raise Broken("a block that begins with $ is one line, $CATEGORY: and its name")
    return name[1]


def _question(block: str, category: str) -> Question:
    if not category:
        raise Broken("a question stands before the first category")
    parts = re.fullmatch(rf"::({_PLAIN})::({_PLAIN})\{{([^{{}}]*)\}}", _with_stand_ins(block))
    if parts is None:
        raise Broken(
            "a question is ::title:: text {answers}, and a special character that means itself has a backslash"
        )
    title, text, answers = (part.strip() for part in parts.groups())
    if not title or not text:
        raise Broken("a title or a text is empty")
    kind = _kind(answers)
    return _READERS[kind](answers, category=category, title=_plain(title), text=_plain(text), kind=kind)


def _kind(answers: str) -> str:
    if answers.startswith("#"):
        return "number"
    if answers.startswith(("TRUE", "FALSE")):
        return "true or false"
    return "choice" if "~" in answers else "short text"


def _read_number(answers: str, **common: str) -> Question:
    number, tolerance, _, why_wrong = _whole(_A_NUMBER, answers)
    if float(tolerance) < 0:
        raise Broken("a tolerance is 0 or more")
    return Question(**common, right=(number,), wrong=(), why_wrong=(why_wrong,), tolerance=float(tolerance))


def _read_true_or_false(answers: str, **common: str) -> Question:
    right, why_wrong, _ = _whole(_TRUE_OR_FALSE, answers)
    return Question(**common, right=(right,), wrong=(), why_wrong=(why_wrong,))


def _read_choice(answers: str, **common: str) -> Question:
    found = _found(answers)
    right, wrong, why_wrong = (
        [one[n] for one in found if one[0] == mark] for mark, n in (("=", 1), ("~", 1), ("~", 2))
    )
    if len(right) != 1:
        raise Broken(f"{len(right)} answers are right, and it should be one")
    if len(wrong) < 2:
        raise Broken("a choice has two wrong answers or more")
    if len({*right, *wrong}) < len(found):
        raise Broken("an answer stands twice")
    if any(answer.startswith("%") for answer in wrong):
        raise Broken("no answer is right in part")
    return Question(**common, right=tuple(right), wrong=tuple(wrong), why_wrong=tuple(why_wrong))


def _read_short_text(answers: str, **common: str) -> Question:
    *right, (_, last, why_wrong) = _found(answers)
    if last != _CATCH_ALL or any(answer.startswith("%") for _, answer, _ in right):
        raise Broken(f"the last answer of a short text, and no other, is ={_CATCH_ALL}, for whatever is wrong")
    if not right:
        raise Broken("no answer is right")
    return Question(**common, right=tuple(answer for _, answer, _ in right), wrong=(), why_wrong=(why_wrong,))


_READERS = {
    "number": _read_number,
    "true or false": _read_true_or_false,
    "choice": _read_choice,
    "short text": _read_short_text,
}


def _whole(pattern: re.Pattern[str], answers: str) -> list[str]:
    if (found := pattern.fullmatch(answers)) is None:
        raise Broken("these answers are of no kind that is known, or one has no feedback")
    return _all_plain(found.groups())


def _found(answers: str) -> list[list[str]]:
    if _ANSWER.sub("", answers).strip():
        raise Broken("these answers are of no kind that is known, or one has no feedback")
    return [_all_plain(found) for found in _ANSWER.findall(answers)]


def _with_stand_ins(block: str) -> str:
    """Return a block in which what has a backslash before it is no special character any more."""

    def stand_in(escape: re.Match[str]) -> str:
        if escape[1] not in _STAND_INS:
            raise Broken(f"{escape[0]!r} is no escape")
        return _STAND_INS[escape[1]]

    return re.sub(r"\\(.?)", stand_in, block, flags=re.DOTALL)


def _plain(text: str) -> str:
    for char, stand_in in _STAND_INS.items():
        text = text.replace(stand_in, char)
    return " ".join(text.split())


def _all_plain(texts: Iterable[str]) -> list[str]:
    plain = [_plain(text) for text in texts]
    if not all(plain):
        raise Broken("an answer or its feedback is empty")
    return plain
