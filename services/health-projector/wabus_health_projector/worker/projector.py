"""Records become rows: WABAs are folded, organisations summed up and messages counted, in the caller's transaction."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import asyncpg
from wabus_events import ACCOUNTS, MESSAGES, SENDS, TEMPLATES, Unrecognised, WabaEvent, WebhookSeen
from wabus_events.webhooks.unrecognised import from_unrecognised
from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.day_partitions import make_days
from wabus_runtime.projection.compare import Lasting, Table
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Apply, Recorded, Write
from wabus_runtime.settings import IdentitySettings

from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.traffic import COUNTS_KEPT, EARLY_MOST, LATE_MOST, counts_kept_from
from wabus_health_projector.tables import store
from wabus_health_projector.tables.counts import Counter
from wabus_health_projector.tables.erasing import erase
from wabus_health_projector.tables.number_errors import errors_in, save_errors

NAME = "health-projector"
FIELDS_WITH_ERRORS = ("account_offboarded", "account_reconnected", "messages")
"""Fields of which an `Unrecognised` of before may hold more than messages: of `messages` the errors of a number."""
TOPICS = (ACCOUNTS, TEMPLATES, MESSAGES, SENDS)
COUNTED = "counted_messages"
"""The table of the ids of counted messages, by day."""
DAYS_AHEAD = timedelta(days=3)  # partitions of it that are there before their day


async def run(settings: IdentitySettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Project for ever."""
    await project(settings, pool, PROJECTION, ready)


def folding() -> Apply:
    """What applies the records of one run, in whatever batches they come."""
    counter = Counter()

    async def apply(records: Sequence[Recorded]) -> Write:
        facts: list[Recorded] = []
        messages: list[Recorded] = []
        sends: list[Recorded] = []
        for record in records:
            match record.topic:
                case MESSAGES.name:
                    messages.append(record)
                case SENDS.name:
                    sends.append(record)
                case _:
                    facts.append(record)
        for record in understood_now(messages):
            (facts if record.event.topic == ACCOUNTS else messages).append(record)
        count = counter.counting(messages)
        arrivals, errors = arrivals_in(records), errors_in([*messages, *sends])
        spoken = {waba_id for record in messages if (waba_id := record.event.subject)} | {place[0] for place in errors}

        async def write(connection: Connection) -> None:
            await fold_wabas(connection, facts)
            if messages:
                await count(connection)
            if errors:
                await save_errors(connection, errors, counts_kept_from(records[-1].logged_at.date()))
            if spoken:
                await store.notify_owners(connection, spoken)
            if arrivals:
                await store.save_arrivals(connection, arrivals)

        return write

    return apply


def understood_now(messages: Sequence[Recorded]) -> list[Recorded]:
    """What was `Unrecognised` when it was published, and says something of a WABA's health.

    Told twice, as with `TELL_UNRECOGNISED_TOO`, it counts once.
    """
    return [
        record._replace(event=event)
        for record in messages
        if isinstance(record.event, Unrecognised) and record.event.field in FIELDS_WITH_ERRORS
        for event in from_unrecognised(record.event)
    ]


def arrivals_in(records: Sequence[Recorded]) -> dict[str, datetime]:
    """When the newest webhook about each WABA was logged, whatever time of its own Meta gives what it tells."""
    newest: dict[str, datetime] = {}
    for record in records:
        event = record.event
        # All that is made of a webhook has Meta's own value.
        if (hasattr(event, "value") or isinstance(event, WebhookSeen)) and (waba_id := event.subject):
            newest[waba_id] = max(record.logged_at, newest.get(waba_id, record.logged_at))
    return newest


async def fold_wabas(connection: Connection, records: Sequence[Recorded]) -> None:
    """Fold records into the WABAs they are about, and sum up every organisation that this concerns."""
    by_waba: dict[str, list[Recorded]] = {}
    for record in records:
        if isinstance(record.event, WabaEvent):
            by_waba.setdefault(record.event.waba_id, []).append(record)
    if not by_waba:
        return
    before = await store.locked_wabas(connection, by_waba)
    after = {
        waba_id: fold_all(before[waba_id], ((record.event, record.logged_at) for record in concerning))
        for waba_id, concerning in by_waba.items()
    }
    changed = [(health, health.updated_at) for waba_id, health in sorted(after.items()) if health != before[waba_id]]
    if not changed:
        return
    await store.save_wabas(connection, changed)
    owners = {each.owner for health, _ in changed for each in (before[health.waba_id], health)}
    await store.refresh_organisations(connection, [owner for owner in owners if owner is not None], changed)


async def _make_all_days(pool: asyncpg.Pool) -> None:
    today = datetime.now(UTC).date()
    await make_days(pool, COUNTED, today - COUNTS_KEPT, today + DAYS_AHEAD)


async def _counts_kept_from(_: Connection, now: datetime) -> datetime:
    return counts_kept_from(now.date())


async def _ids_remembered_from(live: Connection, now: datetime) -> date:
    """What a release before this one has counted is remembered in another table, and without the day that it is of.

    What was counted of somebody who was forgotten since is remembered too, for its id says nothing of whose it is.
    """
    last = await live.fetchval("SELECT max(day) FROM counted_events")
    unclear = last + EARLY_MOST + timedelta(days=1) if last else date.min
    line: datetime | None = await live.fetchval("SELECT max(at) FROM erasures")
    forgotten = line.astimezone(UTC).date() + timedelta(days=1) if line else date.min
    return max(now.date() - LATE_MOST, unclear, forgotten)


_COUNTS = Lasting("hour >= $1", _counts_kept_from)

PROJECTION = Projection(
    NAME,
    TOPICS,
    folding,
    "wabus_health_projector",
    (
        Table("webhook_health", "org_id"),
        Table("waba_health", "waba_id"),
        Table("message_counts", "waba_id, hour, phone_number_id, kind", _COUNTS),
        Table("organisation_counts", "waba_id, hour, phone_number_id, kind, org_id", _COUNTS),
        Table("organisation_failures", "waba_id, hour, phone_number_id, code, org_id", _COUNTS),
        Table("organisation_errors", "waba_id, hour, phone_number_id, code, org_id", _COUNTS),
        Table(COUNTED, "event_id, day", Lasting("day >= $1", _ids_remembered_from)),
    ),
    erase=erase,
    prepare=_make_all_days,
    announce=store.notify_all,
)
"""`wabus rebuild health`.

`webhook_arrivals` only grows, also by webhooks that Kafka no longer holds; `account_checks` is a schedule: both stay as
they are.
"""
