"""Since when a template is in trouble: since it came to be, however often Meta has been asked or has said so again."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from health_projector.unit.test_health_judgement import CONNECTED, GOOD, HOUR, NOW, fact, judge, state
from wabus_events import (
    Event,
    Template,
    TemplateChanged,
    TemplateQualityChanged,
    TemplatesSynced,
    TemplateStatusChanged,
)

PAUSED_AT = CONNECTED + HOUR
MINUTE = timedelta(minutes=1)


def told(number: int, status: str, at: datetime, *fields: str, observed: bool = True, **details: Any) -> Event:
    template = Template(
        template_id="t", name="offer", language="en", category="MARKETING", status=status, **details
    )  # fmt: skip
    about: dict[str, Any] = {
        "added": not fields,
        "changed_fields": list(fields),
        "observed": observed,
        "version_number": number,
    }
    return fact(TemplateChanged, at, template=template, **about)


def listed(at: datetime) -> Event:
    counts: dict[str, Any] = {"total": 1, "approved": 0, "by_status": {}, "added": 0, "changed": 1, "removed": 0}
    return fact(TemplatesSynced, at + MINUTE, sync_id=str(at), reason="reconciliation", started_at=at, **counts)


def webhook(event: str, at: datetime) -> Event:
    return fact(TemplateStatusChanged, at, template_id="t", name="offer", language="en", event=event)


ADDED = told(1, "APPROVED", CONNECTED)
HISTORIES: dict[str, tuple[list[Event], datetime]] = {
    "a pause that a webhook told, and a sync that found another difference": (
        [
            webhook("PAUSED", PAUSED_AT),
            told(2, "PAUSED", PAUSED_AT, "status", observed=False),
            told(3, "PAUSED", PAUSED_AT + 50 * MINUTE, "body"),
            listed(PAUSED_AT + 50 * MINUTE),
        ],
        PAUSED_AT,
    ),
    "a pause that a sync found, and another sync that found another difference": (
        [
            told(2, "PAUSED", PAUSED_AT, "status"),
            listed(PAUSED_AT),
            told(3, "PAUSED", PAUSED_AT + 50 * MINUTE, "body", "quality", quality="RED"),
            listed(PAUSED_AT + 50 * MINUTE),
        ],
        PAUSED_AT,
    ),
    "a pause that ended and began again while no webhook came": (
        [
            webhook("PAUSED", PAUSED_AT),
            told(2, "PAUSED", PAUSED_AT, "status", observed=False),
            told(3, "APPROVED", PAUSED_AT + 10 * MINUTE, "status"),
            listed(PAUSED_AT + 10 * MINUTE),
            told(4, "PAUSED", PAUSED_AT + 20 * MINUTE, "status"),
        ],
        PAUSED_AT + 20 * MINUTE,
    ),
    "a pause that only a webhook has told so far": ([webhook("PAUSED", PAUSED_AT)], PAUSED_AT),
}


@pytest.mark.parametrize("history", HISTORIES)
def test_a_pause_is_as_old_as_it_is_and_not_as_the_last_comparison(history: str) -> None:
    events, since = HISTORIES[history]
    for order in permutations(events):
        paused = [found for found in judge(state(*GOOD, ADDED, *order), NOW).reasons if found.code == "template_paused"]
        assert [found.since for found in paused] == [since]


def test_a_poor_quality_is_as_old_as_it_is_and_not_as_the_last_comparison() -> None:
    disliked = fact(TemplateQualityChanged, PAUSED_AT, template_id="t", name="offer", language="en", new_quality="RED")
    same = told(2, "APPROVED", PAUSED_AT, "quality", quality="RED", observed=False)
    other = told(3, "APPROVED", PAUSED_AT + 50 * MINUTE, "body", quality="RED")
    [found] = judge(state(*GOOD, ADDED, disliked, same, other, listed(PAUSED_AT + 50 * MINUTE)), NOW).reasons
    assert (found.code, found.since) == ("template_quality_red", PAUSED_AT)
