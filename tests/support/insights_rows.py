"""Folds events into the tables of insights as the worker does."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import asyncpg
from naive_performance import WABA, ZONE
from wabus_events import AccountConnected, Event
from wabus_events.testing import an
from wabus_insights.performance.counting import COUNTS
from wabus_insights.worker.performance.folding import Performance
from wabus_runtime.directory.connections import Connections
from wabus_runtime.projection.recorded import Recorded

KEY = b"a key of thirty-two bytes or more"
TABLES = (
    "send_requests", "send_facts", "acts", "people", "counted_since", "template_hours", "template_days",
    "template_months", "failure_hours", "read_times", "templates", "meta_template_days",
    "template_insights",
)  # fmt: skip


async def clear(pool: asyncpg.Pool) -> None:
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}")


def folding() -> Performance:
    """One process. It knows the zone of one account; the events of these tests name their organisation."""
    connections = Connections()
    connections.tell(an(AccountConnected, waba_id=WABA, time_zone=ZONE))
    return Performance(KEY, connections)


async def fold(pool: asyncpg.Pool, batches: Sequence[Sequence[Event]], by: Performance | None = None) -> None:
    """Batches one after the other, each in a transaction, as one process; a deadlock is tried again as there."""
    by = by or folding()
    async with pool.acquire() as connection:
        for batch in batches:
            records = [Recorded(event, event.topic.name, 0, place, event.time) for place, event in enumerate(batch)]
            for attempt in range(9):
                try:
                    async with connection.transaction():
                        write = await by.apply(records)
                        await write(connection)
                    break
                except asyncpg.DeadlockDetectedError:
                    assert attempt < 8


async def fold_beside(pool: asyncpg.Pool, *workers: Sequence[Sequence[Event]]) -> None:
    """Several processes at once."""
    await asyncio.gather(*(fold(pool, batches) for batches in workers))


async def counted(pool: asyncpg.Pool) -> dict[str, Counter[tuple[Any, ...]]]:
    """What the tables count, and that days and months are the sums of hours."""
    hours = await pool.fetch("SELECT * FROM template_hours")
    found: Counter[tuple[Any, ...]] = Counter()
    for row in hours:
        cohort = row["template_id"], row["version"], row["phone_number_id"], row["country"], row["hour"], row["day"]
        found.update({(*cohort, name): row[name] for name in COUNTS if row[name]})
    sums = ", ".join(f"sum({name})" for name in COUNTS)
    of_days, of_months, of_hours = [
        set(map(tuple, await pool.fetch(f"SELECT template_id, {column}, {sums} FROM {table} GROUP BY 1, 2")))
        for table, column in (
            ("template_days", "date_trunc('month', day)::date"),
            ("template_months", "month"),
            ("template_hours", "date_trunc('month', day)::date"),
        )
    ]
    assert of_days == of_months == of_hours
    by_day = f"SELECT day, template_id, {sums} FROM {{}} GROUP BY 1, 2"
    assert set(map(tuple, await pool.fetch(by_day.format("template_days")))) == set(
        map(tuple, await pool.fetch(by_day.format("template_hours")))
    )
    failures = await pool.fetch("SELECT * FROM failure_hours WHERE failed <> 0")
    times = await pool.fetch(
        "SELECT template_id, version, day, sum(read)::int AS read FROM read_times GROUP BY 1, 2, 3 "
        "HAVING sum(read) <> 0"
    )
    return {
        "counts": found,
        "failures": Counter(
            {
                (
                    *(row[n] for n in ("template_id", "version", "phone_number_id", "country", "hour", "day", "code")),
                ): row["failed"]
                for row in failures
            }
        ),
        "read_times": Counter({(row["template_id"], row["version"], row["day"]): row["read"] for row in times}),
    }
