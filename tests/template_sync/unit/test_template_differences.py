"""Differences between two versions of a template, for people to read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import Template
from wabus_template_sync.templates.differences import differences, word_diff
from wabus_whatsapp.templates.parse import parse_template


def template(text: str = "Hello Ana", status: str = "APPROVED", **more: Any) -> Template:
    body = {"type": "BODY", "text": text}
    return parse_template(
        {"id": "1", "name": "t", "language": "en", "status": status, "components": [body, *more.get("parts", [])]}
    )


def test_an_edited_text_is_shown_word_by_word() -> None:
    [found] = differences(template("Hello Ana, welcome!"), template("Hello dear Ana, bye!"))

    assert (found.field, found.before, found.after) == ("body", "Hello Ana, welcome!", "Hello dear Ana, bye!")
    assert found.readable == "Hello{+ dear+} Ana, [-welcome-]{+bye+}!"
    assert found.words is not None


def test_a_status_is_shown_with_what_it_was() -> None:
    [found] = differences(template(), template(status="PAUSED"))

    assert (found.field, found.readable) == ("status", "APPROVED → PAUSED")


def test_buttons_are_shown_line_by_line() -> None:
    def buttons(*texts: str) -> dict[str, Any]:
        return {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": text} for text in texts]}

    [found] = differences(template(parts=[buttons("Yes", "No")]), template(parts=[buttons("Yes", "Maybe")]))

    assert found.readable == "-QUICK_REPLY No\n+QUICK_REPLY Maybe"


def test_a_first_version_has_no_differences() -> None:
    assert differences(None, template()) == differences(template(), None) == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_give_both_texts_again(before: str, after: str) -> None:
    pieces = word_diff(before, after)

    assert "".join(piece.text for piece in pieces if piece.op != "added") == before
    assert "".join(piece.text for piece in pieces if piece.op != "removed") == after


@pytest.mark.timeout(5)
def test_hostile_texts_are_compared_in_reasonable_time() -> None:
    word_diff("a b " * 50_000, "b a " * 50_000)
