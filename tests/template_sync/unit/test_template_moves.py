"""Templates of an account that moved: told anew for its organisation, and from nothing that another one was told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import Event, Template, TemplateChanged, TemplateRemoved, TemplateStatusChanged, fact_id
from wabus_template_sync.templates.comparison import changes, compared, told_of, untold
from wabus_template_sync.templates.fold import Superseded, TemplateRow, step
from wabus_whatsapp.templates.parse import parse_template

START = datetime(2026, 3, 1, tzinfo=UTC)
MOVED = START + timedelta(days=30)
EARLIER, OWNER = "earlier", "owner"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def template(status: str, text: str = "Hello") -> Template:
    return parse_template(
        {
            **{"id": "t", "name": "n", "language": "en", "category": "UTILITY", "status": status},
            "components": [{"type": "BODY", "text": text}],
        }
    )


def told(org_id: str, when: datetime, number: int, status: str, text: str = "Hello") -> TemplateChanged:
    identity = fact_id("told", org_id, when.isoformat(), str(number))
    about: dict[str, Any] = {"id": identity, "time": when, "org_id": org_id, "waba_id": "w", "version_number": number}
    return TemplateChanged(**about, template=template(status, text), added=number == 1)


def removed(org_id: str, when: datetime, number: int) -> TemplateRemoved:
    about: dict[str, Any] = {"id": fact_id("removed", org_id, str(number)), "time": when, "org_id": org_id}
    return TemplateRemoved(**about, waba_id="w", version_number=number, template_id="t", name="n", language="en")


def webhook(org_id: str | None, when: datetime, event: str) -> TemplateStatusChanged:
    about: dict[str, Any] = {"id": fact_id("webhook", when.isoformat(), event), "time": when, "org_id": org_id}
    return TemplateStatusChanged(**about, waba_id="w", template_id="t", name="n", language="en", event=event, value={})


def folded(events: Sequence[Event]) -> tuple[TemplateRow, list[Superseded]]:
    row, ended = TemplateRow("w", "t"), list[Superseded]()
    for event in events:
        row, superseded = step(row, event, None)
        ended += [superseded] if superseded else []
    return row, ended


def for_owner(events: Sequence[Event]) -> tuple[Any, ...]:
    """All that the owner can be shown, with numbers that begin at the owner's first."""
    row, ended = folded(events)
    own = [one for one in ended if one.org_id == OWNER]
    first = own[0].version.number if own else row.version.number if row.version else 0
    versions = [one.version for one in own] + [row.version] * bool(row.version)
    return (
        row.shown,
        row.first_listed_at,
        row.updated_at,
        [replace(version, number=version.number - first) for version in versions if version],
        [one.template for one in own],
    )


steps = st.lists(st.sampled_from(["APPROVED", "PAUSED", "REJECTED", "gone", "Other words"]), max_size=6)


def listings(org_id: str, begin: datetime, numbers_from: int, drawn: Sequence[str]) -> list[Event]:
    """What syncs of an organisation told, one after the other; what is gone before it was there is not told."""
    events: list[Event] = []
    present = False
    for number, what in enumerate(drawn, numbers_from):
        when = begin + timedelta(minutes=number)
        if what == "gone" and present:
            events.append(removed(org_id, when, number))
        elif what != "gone":
            text = what if what == "Other words" else "Hello"
            events.append(told(org_id, when, number, "APPROVED" if what == "Other words" else what, text))
        present = what != "gone"
    return events


@settings(max_examples=examples(300))
@given(steps, steps.filter(bool), st.booleans())
def test_the_owner_sees_what_they_would_see_had_the_account_never_been_anybody_elses(
    theirs: list[str], mine: list[str], paused_before: bool
) -> None:
    own = listings(OWNER, MOVED, 20, mine)
    if not own or not isinstance(own[0], TemplateChanged):
        return
    before = listings(EARLIER, START, 1, theirs)
    if paused_before:
        before.append(webhook(EARLIER, MOVED - timedelta(minutes=1), "PAUSED"))
    assert for_owner([*before, *own]) == for_owner(own)


def test_the_first_comparison_for_the_owner_tells_a_template_whole_and_of_no_earlier_one() -> None:
    row, _ = folded([told(EARLIER, at(0), 1, "PAUSED", "Their words"), told(EARLIER, at(60), 2, "APPROVED", "Theirs")])
    known = [row.known_to(OWNER)]
    listed = template("APPROVED", "Hello")
    about = {"org_id": OWNER, "waba_id": "w"}
    (event,) = changes(compared(known, [listed], MOVED), known, MOVED, about, "sync")
    assert isinstance(event, TemplateChanged)
    assert (event.added, event.previous, event.changed_fields, event.version_number) == (True, None, [], 3)
    assert "Their" not in event.model_dump_json()
    assert told_of(known, listed, MOVED, about, "sync") == [event]


def test_what_another_organisation_had_is_not_told_as_gone_or_after_a_webhook() -> None:
    row, _ = folded([told(EARLIER, at(0), 1, "APPROVED"), webhook(OWNER, MOVED, "PAUSED")])
    about = {"org_id": OWNER, "waba_id": "w"}
    assert changes(compared([row.known_to(OWNER)], [], MOVED), [row.known_to(OWNER)], MOVED, about, "sync") == []
    assert untold(row.known_to(OWNER), about) == []
    assert untold(row, about) != []
