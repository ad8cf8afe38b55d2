"""Records become rows: WABAs are folded, organisations summed up and messages counted, in the caller's transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg
from wabus_events import ACCOUNTS, MESSAGES, TEMPLATES, WabaEvent, WebhookSeen
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Apply, Recorded, Write
from wabus_runtime.settings import KafkaSettings

from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.traffic import counts_kept_from
from wabus_health_projector.tables import store
from wabus_health_projector.tables.counts import Counter
from wabus_health_projector.tables.number_errors import errors_in, save_errors

NAME = "health-projector"
TOPICS = (ACCOUNTS, TEMPLATES, MESSAGES)


async def run(settings: KafkaSettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Project for ever."""
    await project(settings, pool, name=NAME, topics=TOPICS, apply=folding(), ready=ready)


def folding() -> Apply:
    """What applies the records of one run, in whatever batches they come."""
    counter = Counter()

    def apply(records: Sequence[Recorded]) -> Write:
        facts: list[Recorded] = []
        messages: list[Recorded] = []
        for record in records:
            (messages if record.topic == MESSAGES.name else facts).append(record)
        count = counter.counting(messages)
        arrivals, errors = arrivals_in(records), errors_in(messages)
        spoken = {waba_id for record in messages if (waba_id := record.event.subject)}

        async def write(connection: Connection) -> None:
            await fold_wabas(connection, facts)
            if messages:
                await count(connection)
                await store.notify_owners(connection, spoken)
            if errors:
                await save_errors(connection, errors, counts_kept_from(messages[-1].logged_at.date()))
            if arrivals:
                await store.save_arrivals(connection, arrivals)

        return write

    return apply


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
