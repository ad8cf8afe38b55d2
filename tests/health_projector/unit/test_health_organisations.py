"""The rows of organisations, against a plain reference: accounts that move between them, leave, and come back."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    CallbackVerified,
    Event,
    TemplatesSynced,
    TemplateSyncFailed,
    WebhookSeen,
    fact_id,
)
from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.summary import summarise

START = datetime(2026, 3, 1, tzinfo=UTC)
WABAS, ORGANISATIONS = ("1", "2", "3"), ("a", "b")
Log = list[tuple[Event, datetime]]


@st.composite
def events(draw: st.DrawFn) -> Event:
    sync: dict[str, Any] = {"sync_id": draw(st.sampled_from("xyz")), "reason": "manual", "started_at": START}
    total = draw(st.integers(0, 5))
    counts: dict[str, Any] = {"total": total, "approved": total // 2, "by_status": {}}
    kind, details = draw(
        st.sampled_from(
            [
                (AccountConnected, {"org_id": draw(st.sampled_from(ORGANISATIONS))}),
                (AccountDisconnected, {"org_id": draw(st.sampled_from([*ORGANISATIONS, None])), "reason": "asked"}),
                (CallbackVerified, {"callback_url": "https://us.example"}),
                (WebhookSeen, {"day": START.date(), "field": "messages"}),
                (TemplatesSynced, {**sync, **counts, "added": 0, "changed": 0, "removed": 0}),
                (TemplateSyncFailed, {**sync, "code": "c", "message": f"{total}", "retryable": True}),
            ]
        )
    )
    about: dict[str, Any] = {
        "waba_id": draw(st.sampled_from(WABAS)),
        "time": START + timedelta(seconds=draw(st.integers(0, 20))),
        **details,
    }
    return kind.model_validate({"id": fact_id(kind.type, str(sorted(about.items(), key=str))), **about})


@dataclass
class Account:
    """One WABA, as a list of what happened to it in the order of its times."""

    owner: str | None = None
    connected: bool = False
    connected_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    ended_at: dict[str | None, datetime] = field(default_factory=dict[str | None, datetime])
    """When each organisation, or nobody that is named, gave it up last since the owner had it."""
    own_since: datetime = START
    """Since when it is no other organisation's: then that one gave it up, or lost it."""
    proofs: list[datetime] = field(default_factory=list[datetime])
    syncs: list[TemplatesSynced] = field(default_factory=list[TemplatesSynced])
    errors: list[tuple[datetime, str, str]] = field(default_factory=list[tuple[datetime, str, str]])

    def connect(self, org_id: str, time: datetime) -> None:
        """Another organisation's words of before are none of the new owner's."""
        if self.owner not in (None, org_id):
            given_up = [end for ended, end in self.ended_at.items() if ended in (self.owner, None)]
            self.own_since = min(given_up, default=time)
            self.proofs = [each for each in self.proofs if each >= self.own_since]
            self.syncs = [each for each in self.syncs if each.time >= self.own_since]
            self.errors = [each for each in self.errors if each[0] >= self.own_since]
        self.owner, self.connected = org_id, True
        self.connected_at[org_id] = time
        self.ended_at = {}


def naive(log: Log) -> dict[str, dict[str, Any]]:
    """Each organisation's row the plain way: sort the different events once, and let each overwrite what was."""
    accounts = {waba_id: Account() for waba_id in WABAS}
    for event in sorted({event.id: event for event, _ in log}.values(), key=lambda event: (event.time, event.id)):
        account = accounts[event.subject or ""]
        match event:
            case AccountConnected(org_id=str(org_id)):
                account.connect(org_id, event.time)
            case AccountDisconnected():
                account.ended_at[event.org_id] = event.time
                account.connected = account.connected and event.org_id not in (account.owner, None)
            case CallbackVerified() | WebhookSeen():
                account.proofs.append(event.time)
            case TemplatesSynced():
                account.syncs.append(event)
            case TemplateSyncFailed():
                account.errors.append((event.time, event.id, event.message))
            case _:
                pass
    found: dict[str, dict[str, Any]] = {}
    for org_id in ORGANISATIONS:
        owned = {key: each for key, each in accounts.items() if each.owner == org_id}
        if not owned:
            continue
        live = [each for each in owned.values() if each.connected]
        synced = [each.syncs[-1] for each in live if each.syncs]
        errors = [each.errors[-1] for each in live if each.errors]
        newest = {key: each for key, each in owned.items() if each.connected} or owned
        found[org_id] = {
            "waba_id": max(newest, key=lambda key: (newest[key].connected_at[org_id], key)),
            "webhook_verified": bool(live) and all(each.proofs for each in live),
            "last_sync_at": max((each.time for each in synced), default=None),
            "template_total": sum(each.total for each in synced),
            "template_approved": sum(each.approved for each in synced),
            "last_error": max(errors)[2] if errors else None,
        }
    return found


def projected(log: Sequence[tuple[Event, datetime]], dice: random.Random) -> dict[str, dict[str, Any]]:
    """The rows that the projection makes of it, read in batches of any size, as JSON in between."""
    stored = {waba_id: WabaHealth(waba_id=waba_id) for waba_id in WABAS}
    left = list(log)
    while left:
        size = dice.randint(1, len(left))
        batch, left = left[:size], left[size:]
        for waba_id, health in stored.items():
            before = health.model_dump_json()
            after = fold_all(health, [entry for entry in batch if entry[0].subject == waba_id])
            assert health.model_dump_json() == before
            stored[waba_id] = WabaHealth.model_validate_json(after.model_dump_json(exclude_defaults=True))
    return {
        org_id: summarise(org_id, owned).model_dump(include=set(NAIVE_FIELDS))
        for org_id in ORGANISATIONS
        if (owned := [(each, each.updated_at or START) for each in stored.values() if each.owner == org_id])
    }


NAIVE_FIELDS = (
    "waba_id", "webhook_verified", "last_sync_at", "template_total", "template_approved", "last_error",
)  # fmt: skip


@settings(max_examples=examples(300))
@given(st.lists(events(), max_size=40), st.randoms(use_true_random=False))
def test_rows_are_those_of_a_plain_reference_whatever_order_and_batches(written: list[Event], dice: Any) -> None:
    again = dice.choices(written, k=min(10, len(written))) if written else []
    log = [(event, START + timedelta(minutes=minute)) for minute, event in enumerate([*written, *again])]
    shuffled = list(log)
    dice.shuffle(shuffled)
    assert projected(shuffled, dice) == naive(log)
