"""What Meta says beside a template's status, as its webhook's reference has it, and as nobody should send it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wabus_whatsapp.templates.explanation import LONGEST, Explanation, explanation_of

AT = datetime(2026, 12, 1, 14, 5, tzinfo=UTC)


def of(event: str, **value: Any) -> Explanation | None:
    return explanation_of(event, value, AT, "1")


def test_a_rejection_says_why_and_what_to_do() -> None:
    said = {"reason": "Two parameters stand side by side.", "recommendation": "Put words between them."}
    assert of("REJECTED", reason="INVALID_FORMAT", rejection_info=said) == Explanation(
        "REJECTED", AT, "1", reason=said["reason"], recommendation=said["recommendation"]
    )


@pytest.mark.parametrize(("title", "hours"), [("FIRST_PAUSE", 3), ("SECOND_PAUSE", 6), ("RATE_LIMITING_PAUSE", None)])
def test_a_pause_says_when_it_ends_where_that_is_known(title: str, hours: int | None) -> None:
    paused = of("PAUSED", other_info={"title": title, "description": "It is paused."})
    assert paused
    assert (paused.pause, paused.ends_at) == (title, AT + timedelta(hours=hours) if hours else None)


def test_what_leaves_the_status_as_it_is_explains_nothing() -> None:
    assert of("FLAGGED", other_info={"title": "FIRST_PAUSE"}) is None


@pytest.mark.parametrize("said", [None, [], "x", {"reason": 7, "recommendation": ["a"]}, {"reason": ""}])
def test_what_is_not_as_meta_documents_it_explains_nothing(said: Any) -> None:
    assert of("REJECTED", rejection_info=said) is None
    assert of("PAUSED", other_info=said) is None


def test_a_text_is_kept_as_every_store_can_hold_it_and_no_longer_than_it_may_be() -> None:
    rejected = of("REJECTED", rejection_info={"reason": "a\0b", "recommendation": "x" * 5_000})
    assert rejected
    assert rejected.reason == "a\ufffdb"
    assert len(rejected.recommendation or "") == LONGEST
