"""What differs between two versions of a template, field by field and for people to read. Pure."""

import difflib
import re
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from pydantic import BaseModel
from wabus_events import Button, Template
from wabus_whatsapp.templates.parse import changed_fields

TOKENS_MAX = 3_000  # words; comparing takes the square of that at worst

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that both versions have, or only one."""

    op: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: what it was and is. `readable` marks words as `[-removed-]` and `{+added+}`, or lines with - and +."""

    field: str
    before: Any
    after: Any
    readable: str
    words: list[Piece] | None = None


def differences(before: Template | None, after: Template | None) -> list[Difference]:
    """What differs, in the order of the fields' names; nothing for the first version and for a removal."""
    if before is None or after is None:
        return []
    return [_difference(field, before, after) for field in sorted(changed_fields(before, after))]


def word_diff(before: str, after: str) -> list[Piece]:
    """The pieces that make one text into the other, word by word.

    >>> [(piece.op, piece.text) for piece in word_diff("Hi Ana", "Hi Eva")]
    [('same', 'Hi '), ('removed', 'Ana'), ('added', 'Eva')]
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if len(old) + len(new) > TOKENS_MAX:
        old, new = before.splitlines(keepends=True)[:TOKENS_MAX], after.splitlines(keepends=True)[:TOKENS_MAX]
    pieces: list[Piece] = []
    for op, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if op == "equal":
            pieces.append(Piece("same", "".join(old[i:j])))
            continue
        if j > i:
            pieces.append(Piece("removed", "".join(old[i:j])))
        if m > k:
            pieces.append(Piece("added", "".join(new[k:m])))
    return pieces


def _difference(field: str, before: Template, after: Template) -> Difference:
    was, now = getattr(before, field), getattr(after, field)
    match field:
        case "header" | "body" | "footer":
            old, new = (part.text or "" if part else "" for part in (was, now))
            if old != new:
                pieces = word_diff(old, new)
                return Difference(field, old or None, new or None, _marked(pieces), pieces)
            return Difference(field, _plain(was), _plain(now), _lines(_json(was), _json(now)))
        case "buttons":
            return Difference(
                field, _plain(was), _plain(now), _lines([_button(one) for one in was], [_button(one) for one in now])
            )
        case "raw" | "other_components":
            return Difference(field, was, now, _lines(_json(was), _json(now)))
        case _:
            return Difference(field, was, now, f"{was or 'none'} → {now or 'none'}")


def _marked(pieces: list[Piece]) -> str:
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(marks[piece.op].format(piece.text) for piece in pieces)


def _lines(before: list[str], after: list[str]) -> str:
    """The lines that differ, with - and +."""
    changed = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:2] not in ("--", "++")]
    return "\n".join(line for line in changed if not line.startswith("@@"))


def _button(button: Button) -> str:
    return " ".join(filter(None, (button.type, button.text, button.url or button.phone_number or button.flow_id)))


def _json(value: Any) -> list[str]:
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
    return orjson.dumps(_plain(value), option=options).decode().splitlines()


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return value.model_dump()["raw"]
        case list():
            return [_plain(one) for one in value]
        case _:
            return value
