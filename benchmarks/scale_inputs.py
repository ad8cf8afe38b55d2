"""What the scale is worked out from: CPU times and bytes of one webhook, one message, one sync; and measuring them."""

import asyncio
import os
import random
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psutil
from projection import message_history, process, reached_offset, write_history
from stack import environment
from wabus_events import TEMPLATES, Event, fact_id
from wabus_events.models.templates import TemplatesSynced, TemplateSyncRequested
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.postgres.database import migrate, open_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load
from wabus_template_sync.tables.store import PACKAGE, apply

SYNCS = 10_000  # whose bytes are measured


@dataclass(frozen=True)
class Measured:
    """CPU in ms of one core, bytes: what the code costs. See docs/scale.md for where and when."""

    gateway_ms: float = 0.1  # a webhook with one message; docs/benchmarks.md, 128 connections
    projector_ms: float = 0.021  # a message folded, in the worker
    postgres_ms: float = 0.012  # the same, in PostgreSQL, while its indices are in memory
    kafka_ms: float = 0.026  # a record written once and read once, in one broker without replicas
    record_bytes: float = 833.0  # a message in messages.v1, uncompressed
    seen_bytes: float = 107.0  # a row of counted_messages with its index
    index_bytes: float = 54.0  # its index alone
    count_bytes: float = 179.0  # a row of message_counts with its indices
    sync_bytes: float = 896.0  # a sync's rows in template_syncs and template_sync_requests, with their indices
    sync_record_bytes: float = 893.0  # its two records in templates.v1: asked for, and done without a difference
    gateway_mb: float = 82.0  # the same
    thread_ms: float = 0.069  # an event folded into conversations, in the worker; benchmarks/conversations.py
    thread_postgres_ms: float = 0.031  # the same, in PostgreSQL, with the index of texts
    thread_bytes: float = 1017.0  # the same, in tables with their indices


MEASURED = Measured()


async def measure(events: int, port: int) -> Measured:
    """Fold `events` messages and see what the processes burnt and what the bytes came to."""
    with tempfile.TemporaryDirectory(prefix="wabus-scale-", ignore_cleanup_errors=True) as folder:
        kafka = EmbeddedKafka(Path(folder), port, controller_port=port + 1, progress=lambda _: None)
        postgres = EmbeddedPostgres(Path(folder), port + 2, "scale")
        try:
            await asyncio.gather(kafka.start(120), postgres.start())
            os.environ.update(environment(kafka.bootstrap_servers, postgres.url, port + 3, folder))
            os.environ["ALERT_WEBHOOK_URL"] = ""
            settings = load(KafkaSettings)
            await ensure_topics(settings)
            assert kafka.child is not None
            assert postgres.child is not None
            broker, server = psutil.Process(kafka.child.pid), psutil.Process(postgres.child.pid)
            empty, idle = _bytes(Path(folder) / "kafka" / "data"), _burnt(broker)
            await write_history(settings, message_history(events, random.Random(6)))
            record_bytes = (_bytes(Path(folder) / "kafka" / "data") - empty) / events
            database = await asyncpg.connect(os.environ["DATABASE_URL"])
            async with process("wabus_health_projector", "--role", "worker", port=port + 3) as worker:
                while not await reached_offset(database):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                begun, done = (_burnt(worker), _burnt(server)), await reached_offset(database)
                while (reached := await reached_offset(database)) < events:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                folded = reached - done
                spent = _burnt(worker) - begun[0], _burnt(server) - begun[1]
            seen, index, counted = await database.fetchrow(
                """
                SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('counted_messages'))::float
                        / (SELECT count(*) FROM counted_messages),
                    (SELECT sum(pg_indexes_size(relid)) FROM pg_partition_tree('counted_messages'))::float
                        / (SELECT count(*) FROM counted_messages),
                    pg_total_relation_size('message_counts')::float / (SELECT count(*) FROM message_counts)
                """
            ) or (0.0, 0.0, 0.0)
            sync_bytes, sync_record_bytes = await _measure_syncs(settings, database, Path(folder) / "kafka" / "data")
            await database.close()
            return replace(
                MEASURED,
                projector_ms=1000 * spent[0] / folded,
                postgres_ms=1000 * spent[1] / folded,
                kafka_ms=1000 * (_burnt(broker) - idle) / events,
                record_bytes=record_bytes,
                seen_bytes=seen,
                index_bytes=index,
                count_bytes=counted,
                sync_bytes=sync_bytes,
                sync_record_bytes=sync_record_bytes,
            )
        finally:
            await asyncio.gather(kafka.stop(), postgres.stop())


async def _measure_syncs(settings: KafkaSettings, database: asyncpg.Connection, log: Path) -> tuple[float, float]:
    """Bytes that a sync without a difference leaves in PostgreSQL and in one broker."""
    events: list[Event] = []
    for number in range(SYNCS):
        time, waba_id = datetime.now(UTC), f"10234567890{number % 1_000:04d}"
        sync_id = fact_id(TemplateSyncRequested.type, waba_id, "scheduled", str(number))
        about = {"org_id": f"org-{number % 1_000}", "waba_id": waba_id, "sync_id": sync_id, "reason": "reconciliation"}
        asked = {**about, "id": fact_id(TemplateSyncRequested.type, sync_id), "time": time}
        figures = {"total": 30, "approved": 27, "by_status": {"APPROVED": 27, "PAUSED": 1, "REJECTED": 2}}
        done = {**about, **figures, **dict.fromkeys(("added", "changed", "removed"), 0), "started_at": time}
        events.append(TemplateSyncRequested.model_validate(asked))
        events.append(
            TemplatesSynced.model_validate({**done, "id": fact_id(TemplatesSynced.type, sync_id), "time": time})
        )
    before = _bytes(log)
    await write_history(settings, iter(events))
    record_bytes = (_bytes(log) - before) / SYNCS
    tables = load(DatabaseSettings)
    await migrate(tables, PACKAGE)
    async with await open_pool(tables) as pool:
        for first in range(0, len(events), 1_000):
            some = [
                Recorded(event, TEMPLATES.name, 0, first + place, event.time)
                for place, event in enumerate(events[first : first + 1_000])
            ]
            async with pool.acquire() as connection, connection.transaction():
                await apply(connection, some)
    stored = await database.fetchval(
        "SELECT pg_total_relation_size('template_syncs') + pg_total_relation_size('template_sync_requests')"
    )
    return (stored or 0) / SYNCS, record_bytes


def _burnt(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children, those that have ended included where it has waited for them."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def _bytes(folder: Path) -> int:
    """What is allocated: a broker's files are longer than what is in them."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*.log"))
