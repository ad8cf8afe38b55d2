"""Webhooks before, during and after a full sync, twice and out of order: the tables end where Meta is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import asyncpg
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    TemplateCategoryChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
    WabaEvent,
    fact_id,
)
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from wabus_template_sync.app import TemplateSyncSettings
from wabus_template_sync.tables.queries import listed_before, template_rows
from wabus_template_sync.tables.store import PACKAGE, apply
from wabus_template_sync.templates.comparison import changes as changes_of
from wabus_template_sync.templates.facts import Sync, synced
from wabus_template_sync.templates.listing import Listing

START = datetime(2025, 1, 1, tzinfo=UTC)
TEMPLATES = ("t1", "t2")
FIRST = {"status": "APPROVED", "quality": "UNKNOWN", "category": "UTILITY"}
VALUES = {
    "status": ["APPROVED", "PAUSED", "REJECTED", "DISABLED", "DELETED"],
    "quality": ["GREEN", "YELLOW", "RED"],
    "category": ["MARKETING", "UTILITY"],
}

Phase = Literal["before", "during", "after"]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Change:
    """What happened to a template at Meta. Webhooks have whole seconds."""

    second: int
    fraction: float
    template_id: str
    aspect: str
    value: str

    @property
    def when(self) -> float:
        return self.second + self.fraction

    def webhook(self) -> WabaEvent:
        identity = fact_id("webhook", str(self))
        about: dict[str, Any] = {"id": identity, "time": at(self.second), "waba_id": "w", "org_id": "org", "value": {}}
        about |= {"template_id": self.template_id, "name": self.template_id, "language": "en"}
        match self.aspect:
            case "status":
                return TemplateStatusChanged(event=self.value, **about)
            case "quality":
                return TemplateQualityChanged(new_quality=self.value, **about)
            case _:
                return TemplateCategoryChanged(new_category=self.value, **about)


@dataclass(frozen=True)
class Story:
    changes: list[Change]
    synced_first: bool
    """Whether there was a sync before all of this."""
    observed_at: float
    """When the sync began to list; its page is from a little later, and later still it compares."""
    page_at: float
    delivered: dict[Phase, list[Change]]


def meta_at(changes: Sequence[Change], moment: float) -> dict[str, dict[str, str]]:
    """What Meta has at a moment."""
    state = {template_id: dict(FIRST) for template_id in TEMPLATES}
    for change in sorted(changes, key=lambda change: change.when):
        if change.when <= moment and change.template_id in state:
            state[change.template_id][change.aspect] = change.value
            if change.value == "DELETED":
                del state[change.template_id]
    return state


@st.composite
def stories(draw: st.DrawFn) -> Story:
    seconds = draw(st.lists(st.integers(1, 20), unique=True, max_size=6))
    changes: list[Change] = []
    for second in sorted(seconds):
        aspect = draw(st.sampled_from(sorted(VALUES)))
        template_id = draw(st.sampled_from(sorted(meta_at(changes, 99)) or ["none"]))
        if template_id != "none":
            value = draw(st.sampled_from(VALUES[aspect]))
            changes.append(Change(second, draw(st.floats(0, 0.99)), template_id, aspect, value))
    observed_at = draw(st.floats(0.5, 21))
    page_at = observed_at + draw(st.floats(0, 3))
    delivered: dict[Phase, list[Change]] = {"before": [], "during": [], "after": []}
    for change in [*changes, *draw(st.lists(st.sampled_from(changes), max_size=3) if changes else st.just([]))]:
        # Nothing is told before it has happened.
        possible: list[Phase] = ["after"]
        if change.when <= page_at:
            possible.append("during")
        if change.when <= observed_at:
            possible.append("before")
        delivered[draw(st.sampled_from(possible))].append(change)
    shuffled: dict[Phase, list[Change]] = {phase: draw(st.permutations(told)) for phase, told in delivered.items()}
    return Story(changes, draw(st.booleans()), observed_at, page_at, shuffled)


class Log:
    """A partition's events as they are written to the tables."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._offset = 0

    async def append(self, events: Sequence[WabaEvent]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            records = [
                Recorded(one, one.topic.name, 0, self._offset + number, one.time) for number, one in enumerate(events)
            ]
            await apply(connection, records)
        self._offset += len(events)

    async def tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            await self.append([change.webhook()])

    async def sync(self, sync_id: str, changes: Sequence[Change], times: tuple[float, float], during: Sequence[Change]):
        """A full sync: it lists what Meta has, and compares it with the tables once `during` has been told."""
        observed_at, page_at = times
        listing = Listing("w", await listed_before(self._pool, "w", "org"))
        found = meta_at(changes, page_at)
        listing.take(
            {
                **{"id": template_id, "name": template_id, "language": "en", "components": []},
                **{"status": has["status"], "category": has["category"], "quality_score": {"score": has["quality"]}},
            }
            for template_id, has in found.items()
        )
        await self.tell(during)
        now = await listed_before(self._pool, "w", "org")
        wanted = listing.to_compare(now, at(observed_at))
        rows = await template_rows(self._pool, "w", wanted, "org")
        differences = listing.differences(wanted, rows, at(observed_at))
        counts = listing.counts(now, at(observed_at))
        sync = Sync(sync_id, "w", "org", "manual", at(observed_at))
        ended = {"observed_at": at(observed_at), "finished_at": at(page_at + 1)}
        about = {**sync.about, "sync_id": sync_id}
        differing = changes_of(differences, rows, at(observed_at), about, sync_id)
        await self.append([*differing, synced(sync, differences.numbers, counts, **ended)])


async def shown_after(pool: asyncpg.Pool, story: Story) -> dict[str, dict[str, str]]:
    await pool.execute("TRUNCATE templates, template_versions, template_staged, template_syncs, template_schedules")
    log = Log(pool)
    if story.synced_first:
        await log.sync("first", story.changes, (0, 0), [])
    await log.tell(story.delivered["before"])
    times = (story.observed_at, story.page_at)
    await log.sync("second", story.changes, times, story.delivered["during"])
    await log.tell(story.delivered["after"])
    rows = await pool.fetch(
        "SELECT template_id, status, quality, category FROM templates WHERE template IS NOT NULL AND removed_at IS NULL"
    )
    return {row["template_id"]: {aspect: row[aspect] for aspect in FIRST} for row in rows}


def test_webhooks_before_during_and_after_a_sync_twice_and_out_of_order_end_where_meta_is(
    environment: dict[str, str],
) -> None:
    with asyncio.Runner() as runner:
        opened = migrated_pool(load(TemplateSyncSettings), PACKAGE)
        pool = runner.run(opened.__aenter__())

        @given(stories())
        @settings(max_examples=examples(120), suppress_health_check=[HealthCheck.too_slow])
        def ends_where_meta_is(story: Story) -> None:
            for phase, told in story.delivered.items():
                event(f"told {phase}: {bool(told)}")
            assert runner.run(shown_after(pool, story)) == meta_at(story.changes, 99)

        try:
            ends_where_meta_is()
        finally:
            runner.run(opened.__aexit__(None, None, None))
