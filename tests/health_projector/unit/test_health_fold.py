"""The fold of health: the same state whatever the order, the repetition and the batching of events."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

from health_events import KINDS, LISTING, START, details_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from profiles import examples
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AccountReviewed,
    AccountUpdated,
    CallbackVerified,
    Event,
    PhoneNumberQualityChanged,
    TemplateChanged,
    TemplateConfirmed,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    WebhookSeen,
    fact_id,
)
from wabus_health_projector.health.fold import SYNCS_KEPT, after, fold, without_organisation
from wabus_health_projector.health.state import WabaHealth, facts, order

Log = list[tuple[Event, datetime]]


def folded(log: Sequence[tuple[Event, datetime]]) -> WabaHealth:
    return reduce(lambda health, entry: fold(health, *entry), log, WabaHealth(waba_id="1"))


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(KINDS))
    details = draw(details_of(kind))
    time = START + timedelta(seconds=draw(st.integers(0, 6)), milliseconds=300 if kind in LISTING else 0)
    return kind.model_validate(
        {"waba_id": "1", "id": fact_id(kind.type, str(details), time.isoformat()), "time": time, **details}
    )


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """A log in the order of its writing, with events that were delivered again."""
    written = draw(st.lists(events(), max_size=40))
    again = draw(st.lists(st.sampled_from(written), max_size=10)) if written else []
    return [(event, START + timedelta(minutes=minute)) for minute, event in enumerate([*written, *again])]


@given(logs(), st.randoms())
def test_the_order_of_events_does_not_matter(log: Log, random: Any) -> None:
    shuffled = list(log)
    random.shuffle(shuffled)
    assert folded(shuffled) == folded(log)


@given(logs())
def test_events_delivered_again_do_not_matter(log: Log) -> None:
    first_times = list({event.id: (event, at) for event, at in reversed(log)}.values())
    assert folded(first_times) == folded(log)
    assert folded([*log, *log]) == folded(log)


@given(logs(), st.integers(0, 50))
def test_a_state_that_went_through_json_folds_on_like_one_that_did_not(log: Log, cut: int) -> None:
    stored = WabaHealth.model_validate_json(folded(log[:cut]).model_dump_json(exclude_defaults=True))
    assert reduce(lambda health, entry: fold(health, *entry), log[cut:], stored) == folded(log)


def split(log: Log, line: datetime) -> tuple[Log, Log]:
    return [entry for entry in log if entry[0].time <= line], [entry for entry in log if entry[0].time > line]


@given(logs(), st.integers(0, 6))
def test_of_a_forgotten_account_nothing_is_left_and_who_comes_again_is_new(log: Log, second: int) -> None:
    line = START + timedelta(seconds=second)
    before, since = split(log, line)
    forgotten = after(folded(before), line)
    assert forgotten == WabaHealth(waba_id="1")
    assert reduce(lambda health, entry: fold(health, *entry), since, forgotten) == folded(since)


@given(logs(), st.integers(0, 6))
def test_what_came_before_the_line_was_known_leaves_only_what_is_newer(log: Log, second: int) -> None:
    line = START + timedelta(seconds=second)
    left = after(folded(log), line)
    assert all(fact.at > line for fact in facts(left))
    assert after(left, line) == left
    assert (left == WabaHealth(waba_id="1")) or split(log, line)[1]
    assert left.connection is None or left.connection == folded(log).connection


@given(logs(), st.integers(0, 6))
def test_of_a_forgotten_organisation_an_account_that_moved_on_knows_nothing(log: Log, second: int) -> None:
    line = START + timedelta(seconds=second)
    left = without_organisation(folded(log), "org-a", line)
    of_it = [held["org-a"] for held in (left.connections, left.disconnections) if "org-a" in held]
    assert all(fact.at > line for fact in of_it)
    assert left.connections.get("org-b") == folded(log).connections.get("org-b")


def naive(log: Log) -> dict[str, Any]:
    """The same facts the plain way: drop repetitions, sort by time and id, let each event overwrite."""
    seen: dict[str, Any] = {
        "owner": None,
        "connected": None,
        "done": None,
        "templates": {},
        "flags": {},
        "review": None,
        "subscribed": None,
        "ended": [],
        "days": set(),
        "limits": {},
    }
    whole: dict[str, tuple[tuple[int, datetime], str]] = {}
    asked: dict[str, datetime] = {}
    asked_for_all = datetime.min.replace(tzinfo=UTC)
    told: dict[str, tuple[datetime, str]] = {}
    for event in sorted({event.id: event for event, _ in log}.values(), key=lambda event: (event.time, event.id)):
        match event:
            case AccountConnected():
                seen["owner"], seen["connected"] = event.org_id, True
            case AccountDisconnected() if event.org_id in (seen["owner"], None) and seen["owner"]:
                seen["connected"] = False
            case AccountChecked(error_code=None):
                seen["subscribed"] = event.subscribed
            case WebhookSeen():
                seen["days"].add(event.day)
            case TemplateSyncFailed():
                seen["ended"] = [event.sync_id, *seen["ended"]][:SYNCS_KEPT]
            case TemplatesSynced():
                seen["ended"] = [event.sync_id, *seen["ended"]][:SYNCS_KEPT]
                seen["done"] = event.sync_id, event.total, event.approved
                asked_for_all = max(asked_for_all, event.started_at)
            case TemplateChanged() | TemplateRemoved():
                is_change = isinstance(event, TemplateChanged)
                template_id = event.template.template_id if is_change else event.template_id
                if event.observed:
                    asked[template_id] = event.time
                if not event.observed and event.version_number is None:
                    continue
                place = event.version_number or 0, event.time
                if template_id not in whole or place >= whole[template_id][0]:
                    whole[template_id] = place, event.template.status if is_change else "DELETED"
            case TemplateConfirmed():
                asked[event.template_id] = event.time
            case TemplateStatusChanged(event="APPROVED" | "REINSTATED"):
                told[event.template_id] = event.time, "APPROVED"
            case TemplateStatusChanged(event="PAUSED" | "DISABLED"):
                told[event.template_id] = event.time, event.event
            case PhoneNumberQualityChanged(event="FLAGGED" | "UNFLAGGED"):
                seen["flags"][event.display_phone_number] = event.event == "FLAGGED"
            case PhoneNumberQualityChanged():
                seen["limits"][event.display_phone_number] = event.current_limit
            case AccountReviewed():
                seen["review"] = event.decision
            case _:
                pass
    seen["templates"] = {template_id: status for template_id, (_, status) in whole.items()}
    for template_id, (time, status) in told.items():
        since = max(asked_for_all, asked.get(template_id, asked_for_all)).replace(microsecond=0)
        if time >= since and seen["templates"].get(template_id) != "DELETED":
            seen["templates"][template_id] = status
    seen["templates"] = {key: status for key, status in seen["templates"].items() if status != "DELETED"}
    return seen


def summary(health: WabaHealth) -> dict[str, Any]:
    """What `naive` finds out, from the state of the fold."""
    done = health.sync_done
    return {
        "owner": health.owner,
        "connected": health.connection is not None if health.owner else None,
        "done": (done.sync_id, done.total, done.approved) if done else None,
        "templates": {each.template_id: each.status for each in health.shown_templates if each.status},
        "flags": {key: each.flag.flagged for key, each in health.numbers.items() if each.flag},
        "review": health.review.decision if health.review else None,
        "subscribed": health.checked.subscribed if health.checked else None,
        "ended": [step.sync_id for step in health.ended_syncs],
        "days": set(health.days_seen),
        "limits": {key: each.limits[0].tier for key, each in health.numbers.items() if each.limits},
    }


@settings(max_examples=examples(300))
@given(logs(), st.randoms())
def test_the_fold_agrees_with_a_naive_one_over_sorted_events(log: Log, random: Any) -> None:
    shuffled = list(log)
    random.shuffle(shuffled)
    assert naive(log) == summary(folded(shuffled))


class Projecting(RuleBasedStateMachine):
    """Topics written, read in any batches and interleaving, crashes between fold and commit, repetitions by the sender.

    What is committed is a row as JSON and the offsets that belong to it, as in the database.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written: Log = []
        self.topics: dict[str, Log] = {"accounts.v1": [], "templates.v1": []}
        self.offsets = dict.fromkeys(self.topics, 0)
        self.row = "{}"

    @rule(event=events())
    def publish(self, event: Event) -> None:
        entry = event, START + timedelta(minutes=len(self.written))
        self.written.append(entry)
        self.topics[event.topic.name].append(entry)

    @precondition(lambda self: bool(self.written))
    @rule(data=st.data())
    def publish_again(self, data: st.DataObject) -> None:
        event, _ = data.draw(st.sampled_from(self.written))
        self.publish(event)

    @rule(topic=st.sampled_from(["accounts.v1", "templates.v1"]), size=st.integers(1, 9), crash=st.booleans())
    def project(self, topic: str, size: int, crash: bool) -> None:
        batch = self.topics[topic][self.offsets[topic] : self.offsets[topic] + size]
        row = self.after(batch)
        if not crash:
            self.row = row.model_dump_json(exclude={"waba_id"}, exclude_defaults=True)
            self.offsets[topic] += len(batch)

    @rule(topic=st.sampled_from(["accounts.v1", "templates.v1"]))
    def rebuild(self, topic: str) -> None:
        self.row, self.offsets = "{}", dict.fromkeys(self.topics, 0)
        self.project(topic, 5, False)

    @invariant()
    def once_caught_up_the_row_is_what_a_naive_fold_makes_of_the_log(self) -> None:
        rest = [entry for topic, log in self.topics.items() for entry in log[self.offsets[topic] :]]
        health = self.after(rest)
        assert summary(health) == naive(self.written)
        assert health == folded(self.written)

    def after(self, batch: Log) -> WabaHealth:
        stored = WabaHealth.model_validate({"waba_id": "1", **json.loads(self.row)})
        return reduce(lambda health, entry: fold(health, *entry), batch, stored)


TestProjecting = Projecting.TestCase
TestProjecting.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)


@given(logs())
def test_times_of_the_row_come_from_the_log(log: Log) -> None:
    health = folded(log)
    assert health.first_logged_at == min((at for _, at in log), default=None)
    assert health.updated_at is None or health.updated_at in {at for _, at in log}


def at(second: int, kind: type[Event], **details: Any) -> tuple[Event, datetime]:
    time = START + timedelta(seconds=second)
    event_id = fact_id(kind.type, str(details), time.isoformat())
    return kind.model_validate({"waba_id": "1", "id": event_id, "time": time, **details}), time


def test_a_waba_belongs_to_the_organisation_that_connected_it_last() -> None:
    log = [at(1, AccountConnected, org_id="a"), at(3, AccountConnected, org_id="b")]
    late = at(5, AccountDisconnected, org_id="a", reason="moved")
    assert folded([*log, late]).owner == "b"
    assert folded([*log, late]).connection is not None
    assert folded([*log, at(5, AccountDisconnected, org_id="b", reason="asked")]).connection is None


def test_evidence_from_before_the_connection_counts() -> None:
    health = folded([at(1, CallbackVerified, callback_url="https://a.example"), at(2, AccountConnected, org_id="a")])
    assert health.verified_at == START + timedelta(seconds=1)


def test_a_sync_that_has_ended_stays_ended_though_a_clock_says_it_began_later() -> None:
    started = at(9, TemplateSyncStarted, sync_id="x", reason="manual")
    ended = at(
        5, TemplateSyncFailed, sync_id="x", reason="manual", code="c", message="m", retryable=True, started_at=START
    )
    assert folded([started]).sync_status == "syncing"
    assert folded([ended, started]).sync_status == "failed"
    assert folded([ended, at(10, TemplateSyncRequested, sync_id="y", reason="manual")]).sync_status == "requested"


def test_a_sync_for_which_graph_refused_our_app_is_over_and_says_nothing_of_the_account() -> None:
    about: dict[str, Any] = {"reason": "reconciliation", "started_at": START}
    failure: dict[str, Any] = {"message": "m", "retryable": True, **about}
    known = at(1, TemplateSyncFailed, sync_id="w", code="permission_lost", **failure)
    started = at(8, TemplateSyncStarted, sync_id="x", reason="reconciliation")
    refused = at(9, TemplateSyncFailed, sync_id="x", code="app_refused", **failure)
    health = folded([known, started, refused])
    assert (health.sync_status, health.last_failure and health.last_failure.code) == ("failed", "permission_lost")
    assert [step.sync_id for step in health.ended_syncs] == ["x", "w"]
    assert folded([started, refused]).sync_status == "never"


def test_only_the_newest_sixty_days_with_a_webhook_are_kept() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(100)]
    health = folded([at(number, WebhookSeen, day=day, field="messages") for number, day in enumerate(days)])
    assert health.days_seen == tuple(sorted(days[-60:], reverse=True))


def test_graph_and_webhooks_write_the_same_number_differently() -> None:
    health = folded(
        [
            at(1, PhoneNumberQualityChanged, display_phone_number="+1 555-0001", event="FLAGGED", value={}),
            at(2, PhoneNumberQualityChanged, display_phone_number="15550001", event="UNFLAGGED", value={}),
        ]
    )
    assert [number.flag and number.flag.flagged for number in health.numbers.values()] == [False]


def test_a_value_that_is_not_as_meta_documents_it_is_no_error() -> None:
    strange = [
        {"ban_info": [], "restriction_info": "x", "violation_info": None},
        {"restriction_info": [1, {"restriction_type": "X", "expiration": "soon"}, {"restriction_type": "Y"}]},
        {"restriction_info": {"restriction_type": "Z", "expiration": 1e30}},
    ]
    health = folded(
        [at(number, AccountUpdated, event=str(number), value=value) for number, value in enumerate(strange)]
    )
    assert [len(event.restrictions) for event in health.account_events.values()] == [0, 2, 1]
    assert max(health.account_events.values(), key=order).restrictions[0].expires_at is None
