"""An account that moves to another organisation is, for that one, as if it had never been anybody else's."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from health_events import KINDS, LISTING, START, details_of
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    CallbackVerified,
    Event,
    TemplateChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateSyncFailed,
    WebhookSeen,
    fact_id,
)
from wabus_health_projector.health.fold import fold, without_organisation
from wabus_health_projector.health.judgement import judge
from wabus_health_projector.health.state import WabaHealth, facts
from wabus_health_projector.health.summary import summarise

EARLIER, OWNER = "earlier", "owner"
MOVED = START + timedelta(days=30)
TAKEN = MOVED + timedelta(minutes=10)
NOW = TAKEN + timedelta(days=1)
OTHERS = tuple(kind for kind in KINDS if kind not in (AccountConnected, AccountDisconnected))
Log = list[tuple[Event, datetime]]


def event(kind: type[Event], at: datetime, org_id: str | None, **details: Any) -> Event:
    identity = fact_id(kind.type, str(details), at.isoformat(), org_id or "")
    return kind.model_validate({"waba_id": "1", "id": identity, "time": at, **details, "org_id": org_id})


@st.composite
def told(draw: st.DrawFn, org_id: str, begin: datetime, *, numbers_from: int) -> Event:
    """Anything but a connection, for this organisation or for none, within a day of a moment."""
    kind = draw(st.sampled_from(OTHERS))
    details = draw(details_of(kind))
    at = begin + timedelta(seconds=draw(st.integers(0, 6)), milliseconds=300 if kind in LISTING else 0)
    if kind in (TemplateChanged, TemplateRemoved):
        details["version_number"] = numbers_from + draw(st.integers(0, 3))
    if kind is WebhookSeen:
        details["day"] = at.date()
    if kind in (TemplatesSynced, TemplateSyncFailed):
        details["started_at"] = begin
    own = {*LISTING, TemplatesSynced, TemplateSyncFailed}
    return event(kind, at, org_id if kind in own else draw(st.sampled_from([org_id, None])), **details)


def folded(log: Sequence[tuple[Event, datetime]]) -> WabaHealth:
    return reduce(lambda health, entry: fold(health, *entry), log, WabaHealth(waba_id="1"))


def logged(events: Sequence[Event], first: datetime) -> Log:
    return [(each, first + timedelta(seconds=number)) for number, each in enumerate(events)]


before = st.lists(told(EARLIER, START + timedelta(hours=1), numbers_from=1), max_size=25)
after = st.lists(told(OWNER, TAKEN, numbers_from=10), max_size=25)
late = st.lists(
    st.sampled_from(
        [
            event(
                TemplateSyncFailed, MOVED + timedelta(minutes=1), EARLIER, sync_id="x", reason="manual",
                started_at=START, code="disconnected", message="It was disconnected.", retryable=False,
            ),
            event(WebhookSeen, MOVED + timedelta(minutes=2), EARLIER, day=MOVED.date(), field="messages"),
        ]
    ),
    max_size=2,
    unique_by=lambda each: each.id,
)  # fmt: skip
"""What comes for the earlier organisation when it has given the account up already."""


@settings(max_examples=examples(400))
@given(before, late, after, st.booleans(), st.randoms())
def test_an_account_that_moved_is_to_its_owner_as_if_it_had_never_been_anybody_elses(
    earlier: list[Event], too_late: list[Event], own: list[Event], handshake: bool, shuffle: random.Random
) -> None:
    taken = [event(AccountConnected, TAKEN, OWNER, callback_url="https://us.example/1")]
    if handshake:  # Meta asks while the account is being connected, when it is nobody's
        taken.insert(0, event(CallbackVerified, TAKEN - timedelta(seconds=1), None, callback_url="https://us.example"))
    mine = logged([*taken, *own], TAKEN)
    theirs = logged(
        [
            event(AccountConnected, START, EARLIER),
            *earlier,
            event(AccountDisconnected, MOVED, EARLIER, reason="asked"),
            *too_late,
        ],
        START,
    )
    twin = folded(mine)
    everything = [*theirs, *mine]
    for log in (everything, shuffle.sample(everything, len(everything))):
        moved = folded(log)
        assert moved.moved_at == MOVED
        assert shown(moved.of_owner) == shown(twin)
        assert judge(moved.of_owner, NOW) == judge(twin, NOW)
        summed = summarise(OWNER, [(moved, NOW)]), summarise(OWNER, [(twin, NOW)])
        assert summed[0] == summed[1]


def shown(health: WabaHealth) -> dict[str, Any]:
    """All that is known, but where evidence is kept until it is asked for."""
    return health.model_dump(exclude={"first_logged_at", "handshakes", "webhooks", "configurations"})


def test_an_account_that_was_taken_over_without_being_given_up_moves_when_it_is_connected() -> None:
    health = folded(logged([event(AccountConnected, START, EARLIER), event(AccountConnected, TAKEN, OWNER)], START))
    assert health.moved_at == TAKEN


def test_an_account_that_comes_back_shows_nothing_of_the_time_between() -> None:
    back = TAKEN + timedelta(days=2)
    log = [
        event(AccountConnected, START, OWNER),
        event(AccountDisconnected, MOVED, OWNER, reason="asked"),
        event(AccountConnected, TAKEN, EARLIER),
        event(WebhookSeen, TAKEN + timedelta(hours=1), EARLIER, day=TAKEN.date(), field="messages"),
        event(AccountDisconnected, back - timedelta(hours=1), EARLIER, reason="asked"),
        event(AccountConnected, back, OWNER),
    ]
    health = folded(logged(log, START)).of_owner
    assert (health.verified_at, health.webhook_last, health.days_seen) == (None, None, ())
    assert health.connection is not None


def test_an_account_that_was_always_one_organisations_loses_nothing_when_it_connects_again() -> None:
    again = [
        event(AccountConnected, START, OWNER),
        event(WebhookSeen, START + timedelta(hours=1), None, day=START.date(), field="messages"),
        event(AccountDisconnected, MOVED, OWNER, reason="asked"),
        event(AccountConnected, TAKEN, OWNER),
    ]
    health = folded(logged(again, START))
    assert health.of_owner is health


@given(before, after)
def test_of_the_earlier_organisation_that_is_forgotten_no_fact_is_left_and_the_owner_keeps_its_own(
    earlier: list[Event], own: list[Event]
) -> None:
    theirs = [event(AccountConnected, START, EARLIER), *earlier, event(AccountDisconnected, MOVED, EARLIER, reason="x")]
    health = folded(logged([*theirs, event(AccountConnected, TAKEN, OWNER), *own], START))
    left = without_organisation(health, EARLIER, MOVED)
    assert {fact.org_id for fact in facts(left)} <= {OWNER, None}
    assert EARLIER not in left.model_dump_json()
    assert left.connection == health.connection
    kept = {fact.id for fact in facts(left)}
    assert {fact.id for fact in facts(health) if fact.org_id == OWNER} <= kept
