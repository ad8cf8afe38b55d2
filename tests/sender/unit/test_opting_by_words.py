"""A word by itself says that somebody wants no more marketing, or wants it again; in a sentence it says nothing."""

from typing import Any

import pytest
from sending_world import copied, received
from wabus_sender.sending.people.opting import DEFAULT, LONGEST, choice_in, plain, words_of, written_in
from wabus_sender.sending.reading import Copied, Seen, ShortText, facts_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STOP", True),
        (" Stop! ", True),
        ("«stop»…", True),
        ("Unsubscribe", True),
        ("start", False),
        ("UNSTOP.", False),
        ("Please stop sending me the wrong size", None),
        ("stop it", None),
        ("Bus stop", None),
        ("", None),
        ("👍", None),
    ],
)
def test_what_a_word_says(text: str, expected: bool | None) -> None:
    assert choice_in(text, DEFAULT) is expected


def test_an_organisation_has_its_own_words_and_what_is_both_stops() -> None:
    words = words_of(["Keine Werbung", "ABMELDEN"], ["Anmelden", "abmelden"])
    assert choice_in("keine  werbung!", words) is True
    assert choice_in("Abmelden", words) is True
    assert choice_in("anmelden", words) is False
    assert choice_in("STOP", words) is None
    assert plain("Straße") == plain("STRASSE")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "text", "text": {"body": "Stop"}}, "Stop"),
        ({"type": "button", "button": {"text": "Stop promotions"}}, "Stop promotions"),
        ({"type": "interactive", "interactive": {"button_reply": {"title": "Stop"}}}, "Stop"),
        ({"type": "text", "text": {"body": "x" * (LONGEST + 1)}}, None),
        ({"type": "text", "text": {"body": 7}}, None),
        ({"type": "image", "image": {"caption": "Stop"}}, None),
    ],
)
def test_where_a_word_may_stand(item: dict[str, Any], text: str | None) -> None:
    event = received("4915123456789").model_copy(update={"value": {"messages": [item]}})
    assert written_in(event) == text
    assert [type(fact) for fact in facts_of(event)] == ([Seen, ShortText] if text else [Seen])
    elsewhere = copied("4915123456789").model_copy(update={"value": {"standby": {"messages": [item]}}})
    assert written_in(elsewhere) == text
    assert [type(fact) for fact in facts_of(elsewhere)] == ([Seen, Copied, ShortText] if text else [Seen, Copied])
