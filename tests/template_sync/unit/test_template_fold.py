"""What accounts, templates and syncs add up to, whatever the order of the facts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    Event,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    fact_id,
)
from wabus_template_sync.templates.facts import connect_sync_id
from wabus_template_sync.templates.fold import TemplateRow, drop_overruled, fold_template
from wabus_template_sync.templates.sync_fold import AccountRow, SyncRow, fold_account, fold_sync
from wabus_whatsapp.templates.parse import parse_template

START = datetime(2025, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def listed(
    seconds: float, status: str = "APPROVED", quality: str | None = None, previous: str | None = None
) -> TemplateChanged:
    raw = {"id": "t", "name": "n", "language": "en", "category": "UTILITY", "status": status}
    template = parse_template({**raw, "quality_score": {"score": quality}} if quality else raw)
    before = template.model_copy(update={"status": previous}) if previous else None
    identifier = fact_id("listed", str(seconds), status, previous or "")
    return TemplateChanged(
        id=identifier, time=at(seconds), waba_id="w", template=template, added=before is None, previous=before
    )


def about(seconds: float, *parts: str) -> dict[str, Any]:
    identifier = fact_id("webhook", str(seconds), *parts)
    return {"id": identifier, "time": at(seconds), "waba_id": "w", "template_id": "t", "name": "n", "language": "en"}


def told(seconds: float, event: str, reason: str | None = None, **value: Any) -> TemplateStatusChanged:
    return TemplateStatusChanged(**about(seconds, event), event=event, reason=reason, value=value)


def unlisted(seconds: float) -> TemplateRemoved:
    return TemplateRemoved(**about(seconds))


def row_of(events: Sequence[Event], confirmed: float | None = None) -> TemplateRow:
    row = TemplateRow("w", "t")
    for event in events:
        row = fold_template(row, event)
    return drop_overruled(row, None if confirmed is None else at(confirmed))


def status_of(row: TemplateRow) -> str | None:
    return row.template.status if row.template else None


def test_a_webhook_newer_than_the_listing_changes_the_status_at_once() -> None:
    row = row_of([listed(0), told(5, "PAUSED")])

    assert status_of(row) == "PAUSED"
    assert row.updated_at == at(5)


def test_a_webhook_older_than_the_listing_changes_nothing() -> None:
    assert status_of(row_of([listed(10), told(5, "PAUSED")])) == "APPROVED"


def test_a_listing_newer_than_the_webhook_has_the_last_word() -> None:
    assert status_of(row_of([listed(0), told(5, "PAUSED"), listed(10, "APPROVED")])) == "APPROVED"


def test_a_listing_that_began_before_the_webhook_does_not_undo_it() -> None:
    assert status_of(row_of([listed(0), told(7, "PAUSED"), listed(5, "APPROVED")])) == "PAUSED"


def test_a_webhook_of_the_second_in_which_the_listing_began_is_newer() -> None:
    assert status_of(row_of([listed(5.7), told(5, "PAUSED")])) == "PAUSED"


def test_a_webhook_that_comes_after_a_sync_confirmed_what_it_contradicts_changes_nothing() -> None:
    assert status_of(row_of([listed(0), told(5, "PAUSED")], confirmed=10)) == "APPROVED"


def test_a_webhook_about_a_template_not_listed_yet_is_remembered_until_it_is() -> None:
    before = row_of([told(5, "PAUSED")])
    after = row_of([told(5, "PAUSED"), listed(3)])

    assert before.template is None
    assert status_of(after) == "PAUSED"


def test_a_webhook_about_a_template_that_a_later_listing_does_not_have_is_forgotten() -> None:
    assert row_of([told(5, "PAUSED")], confirmed=10).is_empty


def test_of_two_webhooks_in_the_wrong_order_the_newer_stands() -> None:
    assert status_of(row_of([listed(0), told(9, "APPROVED"), told(5, "PAUSED")])) == "APPROVED"


def test_a_reinstated_template_is_approved_and_a_flagged_one_stays_what_it_was() -> None:
    assert status_of(row_of([listed(0, "DISABLED"), told(5, "REINSTATED"), told(6, "FLAGGED")])) == "APPROVED"


def test_a_rejection_brings_its_reason_and_an_approval_takes_it_away() -> None:
    rejected = row_of([listed(0, "PENDING"), told(5, "REJECTED", "SCAM")])
    approved = row_of([listed(0, "PENDING"), told(5, "REJECTED", "SCAM"), told(6, "APPROVED", "NONE")])

    assert rejected.template is not None
    assert rejected.template.rejected_reason == "SCAM"
    assert approved.template is not None
    assert approved.template.rejected_reason is None


def test_a_deleted_template_is_removed_before_the_next_sync_says_so() -> None:
    assert row_of([listed(0), told(5, "DELETED")]).removed_at == at(5)


def test_a_template_listed_again_is_back() -> None:
    assert row_of([listed(0), unlisted(5), listed(9)]).removed_at is None


def test_quality_and_category_follow_their_webhooks() -> None:
    quality = TemplateQualityChanged(**about(5, "q"), new_quality="RED", value={})
    category = TemplateCategoryChanged(**about(6, "c"), new_category="MARKETING", value={})
    announced = TemplateCategoryChanged(**about(7, "c"), correct_category="AUTHENTICATION", value={})

    row = row_of([listed(0, quality="GREEN"), quality, category, announced])

    assert row.template is not None
    assert (row.template.quality, row.template.category) == ("RED", "MARKETING")


FIRST_PAUSE = {"title": "FIRST_PAUSE", "description": "It is paused for 3 hours."}


def test_the_end_of_a_pause_is_known_after_a_sync_too() -> None:
    row = row_of([listed(0), told(5, "PAUSED", other_info=FIRST_PAUSE), listed(60, "PAUSED")], confirmed=60)

    assert row.told == {}
    assert row.explanation is not None
    assert row.explanation.ends_at == at(5) + timedelta(hours=3)


def test_what_meta_said_of_a_rejection_is_not_said_of_the_next_one() -> None:
    why = {"reason": "Side by side.", "recommendation": "Put words between them."}
    rejected = [listed(0), told(5, "REJECTED", "INVALID_FORMAT", rejection_info=why)]
    found_again = [listed(20, "APPROVED", previous="REJECTED"), listed(40, "REJECTED", previous="APPROVED")]

    assert row_of(rejected).explanation is not None
    assert row_of([*rejected, listed(20, "APPROVED", previous="REJECTED")]).explanation is None
    assert row_of([*rejected, *found_again]).explanation is None
    assert row_of([*rejected, told(30, "APPROVED")]).explanation is None


def test_what_meta_said_of_a_template_that_is_not_listed_yet_is_known_once_it_is() -> None:
    why = {"reason": "Side by side.", "recommendation": "Put words between them."}
    row = row_of([told(5, "REJECTED", "INVALID_FORMAT", rejection_info=why), listed(6, "REJECTED")], confirmed=9)

    assert row.explanation is not None
    assert row.explanation.recommendation == "Put words between them."


FACTS = st.one_of(
    st.builds(listed, st.integers(0, 9), st.sampled_from(["APPROVED", "PENDING"])),
    st.builds(listed, st.integers(0, 9), st.just("APPROVED"), st.none(), st.sampled_from(["PAUSED", "REJECTED"])),
    st.builds(told, st.integers(0, 9), st.sampled_from(["APPROVED", "PAUSED", "REJECTED", "DELETED", "FLAGGED"])),
    st.builds(told, st.integers(0, 9), st.just("PAUSED"), st.none(), other_info=st.just(FIRST_PAUSE)),
    st.builds(told, st.integers(0, 9), st.just("REJECTED"), st.none(), rejection_info=st.just({"reason": "It is."})),
    st.builds(unlisted, st.integers(0, 9)),
)
CONFIRMED = st.none() | st.integers(0, 9)


@given(st.lists(FACTS, max_size=8), st.lists(FACTS, max_size=3), st.randoms(), CONFIRMED)
@settings(max_examples=examples(300))
def test_the_order_and_number_of_facts_make_no_difference(
    facts: list[Event], again: list[Event], random: Any, confirmed: int | None
) -> None:
    everything = facts + again
    shuffled = random.sample(everything, len(everything)) + again

    assert row_of(everything, confirmed) == row_of(shuffled, confirmed)


@given(st.lists(FACTS, max_size=8), st.lists(st.integers(0, 9), min_size=9, max_size=9))
@settings(max_examples=examples(300))
def test_settling_after_every_fact_ends_where_settling_at_the_end_does(
    facts: list[Event], confirmed: list[int]
) -> None:
    row, latest = TemplateRow("w", "t"), 0
    for fact, at_most in zip(facts, confirmed, strict=False):
        latest = max(latest, at_most)
        row = drop_overruled(fold_template(row, fact), at(latest))

    assert row == row_of(facts, latest if facts else None)


def connected(seconds: float, org: str = "org") -> AccountConnected:
    return AccountConnected(id=fact_id("connected", str(seconds), org), time=at(seconds), waba_id="w", org_id=org)


def disconnected(seconds: float) -> AccountDisconnected:
    return AccountDisconnected(id=fact_id("gone", str(seconds)), time=at(seconds), waba_id="w", reason="asked")


def account_of(events: Sequence[Event]) -> AccountRow:
    row = AccountRow("w")
    for event in events:
        row = fold_account(row, event)
    return row


def test_an_account_belongs_to_whoever_connected_it_last() -> None:
    last = connected(5, "second")

    row = account_of([connected(0, "first"), last])

    assert (row.org_id, row.is_connected, row.sync_id) == ("second", True, connect_sync_id(last))


def test_a_connect_delivered_again_does_not_undo_the_disconnect() -> None:
    assert not account_of([connected(0), disconnected(5), connected(0)]).is_connected


@given(
    st.lists(
        st.builds(connected, st.integers(0, 5), st.sampled_from("ab")) | st.builds(disconnected, st.integers(0, 5)),
        max_size=6,
    ),
    st.randoms(),
)
def test_the_order_of_connects_and_disconnects_makes_no_difference(facts: list[Event], random: Any) -> None:
    assert account_of(facts) == account_of(random.sample(facts, len(facts)) + facts[:2])


SYNC: dict[str, Any] = {"waba_id": "w", "org_id": "org", "sync_id": "s", "reason": "manual"}
REQUESTED = TemplateSyncRequested(id="r", time=at(0), requested_by="hmac:me", **SYNC)
FIRST_START = TemplateSyncStarted(id="b1", time=at(1), **SYNC)
SECOND_START = TemplateSyncStarted(id="b2", time=at(4), **SYNC)
NUMBERS: dict[str, Any] = {"total": 3, "approved": 2, "by_status": {"APPROVED": 2, "PENDING": 1}}
SYNCED = TemplatesSynced(id="e", time=at(6), started_at=at(4), added=3, changed=0, removed=0, **NUMBERS, **SYNC)
FAILED = TemplateSyncFailed(
    id="f", time=at(5), started_at=at(4), code="token_expired", message="…", retryable=False, **SYNC
)


def sync_of(events: Sequence[Event]) -> SyncRow:
    row = SyncRow("s", "w")
    for event in events:
        row = fold_sync(row, event)
    return row


def test_a_sync_is_requested_then_syncing_then_synced() -> None:
    events = [REQUESTED, FIRST_START, SYNCED]

    assert [sync_of(events[:count]).status for count in (1, 2, 3)] == ["requested", "syncing", "synced"]


def test_a_sync_started_again_after_a_crash_began_when_it_last_did() -> None:
    row = sync_of([REQUESTED, FIRST_START, SECOND_START])

    assert (row.status, row.began) == ("syncing", at(4))


def test_a_failed_sync_tells_why() -> None:
    row = sync_of([REQUESTED, FIRST_START, FAILED])

    assert row.status == "failed"
    assert row.error == {"code": "token_expired", "message": "…", "retryable": False}


@given(st.lists(st.sampled_from([REQUESTED, FIRST_START, SECOND_START, SYNCED, FAILED]), max_size=8), st.randoms())
def test_the_order_of_a_sync_s_events_makes_no_difference(facts: list[Event], random: Any) -> None:
    assert sync_of(facts) == sync_of(random.sample(facts, len(facts)))
