"""Messages are deleted after nine days and counted no more, counts after 400; a rebuild recounts what the log holds."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from insights_rows import counted, fold
from naive_performance import WABA, ZONE
from wabus_events import AccountConnected, Event, MessageReceived, MessageReported, MessageStatusChanged
from wabus_events.testing import an
from wabus_insights.settings import InsightsFoldSettings
from wabus_insights.tables.performance import keeping
from wabus_insights.worker import projector
from wabus_insights.worker.performance import upkeep
from wabus_insights.worker.performance.recounting import midnight_after
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.replay_over import replay_over
from wabus_runtime.settings import KafkaSettings, load

NOW = datetime.now(UTC)


def sent(name: str, days: float) -> list[Event]:
    """A template that was sent some days ago, read and answered."""
    time = NOW - timedelta(days=days)
    about: dict[str, Any] = {"org_id": "acme", "waba_id": "100", "phone_number_id": "9"}
    return [
        an(MessageReported, wamid=name, wa_id="4915100000001", kind="template", template_name="hello",
           template_language="en", template_id="t1", time=time, **about),
        an(MessageStatusChanged, wamid=name, contact="4915100000001", status="read", value={},
           time=time + timedelta(minutes=1), **about),
        an(MessageReceived, wamid=f"in {name}", contact="4915100000001", message_type="text", value={},
           time=time + timedelta(minutes=2), **about),
    ]  # fmt: skip


async def test_what_was_deleted_is_counted_once_however_often_it_is_told_again(insights_tables: asyncpg.Pool) -> None:
    history = [*sent("old", 20), *sent("new", 1)]
    await fold(insights_tables, [history])
    before = await counted(insights_tables)
    since = NOW - timedelta(days=9)
    await keeping.count_from(insights_tables, since)
    assert await keeping.delete_messages(insights_tables, since, 100) > 0
    assert await insights_tables.fetchval("SELECT count(*) FROM send_facts") == 1
    await fold(insights_tables, [history, history])
    assert await counted(insights_tables) == before
    assert await insights_tables.fetchval("SELECT count(*) FROM send_facts") == 1


async def test_days_past_400_go_and_their_month_has_what_is_left(insights_tables: asyncpg.Pool) -> None:
    before = date(2026, 6, 15)
    times = [datetime(2026, 5, 20, tzinfo=UTC), datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 20, tzinfo=UTC)]
    for place, time in enumerate(times):
        await fold(insights_tables, [sent(str(place), (NOW - time) / timedelta(days=1))])
    while await keeping.delete_counts(insights_tables, before, 1):
        pass
    left = await counted(insights_tables)  # where days, months and hours agree
    assert {key[4].date() for key in left["counts"]} == {times[2].date()}
    assert await insights_tables.fetchval("SELECT count(*) FROM template_months") == 1


async def test_a_rebuild_counts_anew_what_the_log_has_and_keeps_what_is_older(
    topics: KafkaSettings, publisher: Publisher, insights_tables: asyncpg.Pool
) -> None:
    older = sent("older", 100)
    history = [*sent("one", 0.2), *sent("two", 0.1)]
    await publisher.publish([an(AccountConnected, org_id="acme", waba_id=WABA, time_zone=ZONE), *history])
    await fold(insights_tables, [older, history])
    await insights_tables.execute("DELETE FROM send_facts WHERE at < $1", NOW - timedelta(days=9))
    before = await counted(insights_tables)

    # What the log has is lost and miscounted, but for one message; nothing of the log is older than today.
    kept = midnight_after(NOW - timedelta(days=1, hours=12))
    async with insights_tables.acquire() as connection, connection.transaction():
        await keeping.empty_from(connection, kept)
    assert await counted(insights_tables) == before, "messages that are there are counted anew"
    await insights_tables.execute("DELETE FROM send_facts")
    await insights_tables.execute("UPDATE template_hours SET read = 7 WHERE hour >= $1", kept)
    async with insights_tables.acquire() as connection, connection.transaction():
        await keeping.empty_from(connection, kept)
    assert (await counted(insights_tables))["counts"].total() < before["counts"].total()

    said: list[str] = []
    async with migrated_pool(load(InsightsFoldSettings), "wabus_insights") as pool:
        await pool.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, next_offset, owner) "
            "VALUES ($1, 'sends.v1', 99, 1, gen_random_uuid())",
            projector.REBUILDING,
        )  # a run that was stopped after it had emptied
    await replay_over(projector.TABLES, said.append)
    assert await counted(insights_tables) == before
    assert await insights_tables.fetchval("SELECT count(*) FROM projection_offsets") == 0


async def test_nothing_is_deleted_while_the_tables_are_behind_the_log_or_it_is_folded_again(
    topics: KafkaSettings, publisher: Publisher, insights_tables: asyncpg.Pool
) -> None:
    await publisher.publish(sent("old", 20))
    await fold(insights_tables, [sent("old", 20)])

    async def left(now: datetime) -> int:
        await upkeep.look(topics, insights_tables, projector.NAME, projector.REBUILDING, now, lambda: None)
        return await insights_tables.fetchval("SELECT count(*) FROM send_facts")

    later = NOW + timedelta(hours=2)
    assert await left(later) == 1, "the live projection has folded nothing yet"
    place = "INSERT INTO projection_offsets SELECT $1, topic, number, 100, gen_random_uuid() "
    places = "FROM unnest(ARRAY['sends.v1', 'messages.v1']) AS topic, generate_series(0, 11) AS number"
    await insights_tables.execute(place + places, projector.NAME)
    await insights_tables.execute(place + places, projector.REBUILDING)
    assert await left(later) == 1, "the log is being folded again"
    await insights_tables.execute("DELETE FROM projection_offsets WHERE projection = $1", projector.REBUILDING)
    assert await left(later) == 0
