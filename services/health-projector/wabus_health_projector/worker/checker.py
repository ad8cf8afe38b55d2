"""Active checks: asks Graph now and then whether it still has each account as we think, and publishes what differs.

Whoever has a partition of accounts.v1 checks the accounts that belong in it, so each account has one checker. They are
spread over the time between two checks; somebody who asks for one is served at once. When an account was checked
last is remembered in a table of its own, which is no part of the read model: that follows from the events alone.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from prometheus_client import Counter
from pydantic import Field, SecretStr
from wabus_events import (
    ACCOUNTS,
    AccountCheckRequested,
    AccountConnected,
    CredentialStored,
    Event,
    UndecodableRecord,
    decode,
)
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.fields import read, read_phone_numbers
from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, partition_of, poll, stop_consumer, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.settings import CredentialSettings, KafkaSettings
from wabus_whatsapp.graph_errors import GraphError, RateLimited

from wabus_health_projector.health.check import (
    CONCLUSIVE_ERRORS,
    OPTIONAL_ACCOUNT_FIELDS,
    OPTIONAL_PHONE_FIELDS,
    Answers,
    answered,
    difference,
    refused,
)
from wabus_health_projector.tables import reading
from wabus_health_projector.tables.store import CHANNEL
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.app_subscriber import AppSubscriber, AppSubscriberSettings

SOURCE = "/wabus/health-projector"
GROUP = "health-checks"
CHECK_EVERY = timedelta(minutes=15)
CHECK_AFTER_CONNECT = timedelta(seconds=20)  # Meta may show a subscription only after a moment
APP_LOOK_EVERY = timedelta(seconds=15)  # for whether it is time to ask what our app is subscribed to
BETWEEN = timedelta(seconds=1)  # from account to account, where all are checked
LOOK_EVERY = timedelta(seconds=5)  # for accounts that were connected or given up
CHECK_TIMEOUT = 60.0  # seconds for one account
VISIBLE_TIMEOUT = 10.0  # seconds until a difference shows in the rows
COMMIT_TIMEOUT = 3.0  # seconds, when checks are stopped
TOKENS_TIMEOUT = 60.0  # seconds until all tokens are read, at the start

CHECKS = Counter("wabus_account_checks_total", "Active checks of accounts.", ["outcome"])

Record = tuple[TopicPartition, int]
"""Where a record is."""

log = structlog.get_logger()


class CheckerSettings(KafkaSettings, AppSubscriberSettings, CredentialSettings):
    health_check_concurrency: int = Field(default=4, ge=1)
    """Accounts that one process checks at the same time."""
    health_check_asked_pause: float = Field(default=30, ge=0)
    """Seconds between two checks of one account that people ask for."""


class Checker(ConsumerRebalanceListener):
    """One run, from joining the consumer group until something fails or it is cancelled."""

    def __init__(
        self, settings: CheckerSettings, pool: asyncpg.Pool, graph: Graph, credentials: CredentialCache
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._graph = graph
        self._credentials = credentials
        self._keyring = Keyring(settings)
        self._asked_pause = timedelta(seconds=settings.health_check_asked_pause)
        self._publisher = Publisher(settings, SOURCE)
        self._due: dict[str, datetime] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, set[Record]] = {}
        """Records that ask for a check which has not begun, by account."""
        self._answering: dict[str, set[Record]] = {}
        """Those whose check is under way."""
        self._read: dict[TopicPartition, int] = {}
        """How far each partition was read."""
        self._committed: dict[TopicPartition, int] = {}
        self._look_at = datetime.min.replace(tzinfo=UTC)
        self._app = AppSubscriber(settings, pool, graph)
        self._app_at = datetime.min.replace(tzinfo=UTC)
        self._looking: asyncio.Task[tuple[str, ...] | None] | None = None
        self._missing: tuple[str, ...] | None = None
        """The webhook fields that the app lacked at the last look."""
        # What asks for a check counts as handled once that has ended: whoever comes after a crash checks again.
        self._consumer = new_consumer(settings, group=GROUP)

    async def run(self, ready: Callable[[], None]) -> None:
        """Check for ever."""
        try:
            await self._publisher.start()
            # A request that is read before the tokens looks like one for an account that nobody has.
            await self._credentials.whole(TOKENS_TIMEOUT)
            await self._consumer.start()
            self._consumer.subscribe([topic_name(self._settings, ACCOUNTS)], listener=self)
            while True:
                fetched = await poll(self._consumer, timeout_ms=500)
                if self._consumer.assignment():
                    ready()
                now = datetime.now(UTC)
                for place, batch in fetched.items():
                    for record in batch:
                        await self._hear(record, now)
                        self._read[place] = record.offset + 1
                if now >= self._look_at:
                    self._look_at = now + LOOK_EVERY
                    await self._plan(now)
                self._look_at_app(now)
                self._start_due(now)
                await self._commit()
        except KafkaError as error:
            raise KafkaUnavailable(type(error).__name__) from error
        finally:
            if self._looking:
                self._looking.cancel()
                await asyncio.wait([self._looking], timeout=5)
            await self._cancel()
            await stop_consumer(self._consumer)
            await self._publisher.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self._cancel()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._look_at = datetime.min.replace(tzinfo=UTC)

    async def _cancel(self) -> None:
        """Stop all checks. What asked for those that had not ended is there for whoever has the partitions next."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=5)
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT):
                await self._commit()
        except TimeoutError:
            log.info("offsets not committed", action="commit_failed", error="TimeoutError")
        for held in (self._running, self._due, self._asked, self._answering, self._read, self._committed):
            held.clear()

    async def _commit(self) -> None:
        """Commit what has been read, up to the first record whose check has not ended."""
        open_at: dict[TopicPartition, int] = {}
        for records in (*self._asked.values(), *self._answering.values()):
            for place, offset in records:
                open_at[place] = min(offset, open_at.get(place, offset))
        offsets = {place: min(read, open_at.get(place, read)) for place, read in self._read.items()}
        new = {place: offset for place, offset in offsets.items() if self._committed.get(place) != offset}
        if not new:
            return
        try:
            await self._consumer.commit(new)
            self._committed.update(new)
        except (KafkaError, IllegalStateError) as error:
            # Whoever has the partition then checks some accounts once more.
            log.info("offsets not committed", action="commit_failed", error=type(error).__name__)

    async def _hear(self, record: Any, now: datetime) -> None:
        if dict(record.headers).get("ce_type") not in HEARD:
            return
        try:
            event: Event = decode(record.headers, record.value)
        except UndecodableRecord:
            return  # the projection sets it aside
        asking = TopicPartition(record.topic, record.partition), record.offset
        match event:
            case AccountCheckRequested():
                last = (await self._checked_at([event.waba_id])).get(event.waba_id)
                if last and last > event.time:
                    return
                self._asked.setdefault(event.waba_id, set()).add(asking)
                self._due[event.waba_id] = max(now, last + self._asked_pause) if last else now
            case AccountConnected():
                self._asked.setdefault(event.waba_id, set()).add(asking)
                self._due[event.waba_id] = now + CHECK_AFTER_CONNECT
            case _:
                pass

    async def _plan(self, now: datetime) -> None:
        """Give every account of ours that has none the time of its next check."""
        partitions = {place.partition for place in self._consumer.assignment()}
        ours = {
            credential.waba_id
            for credential in self._credentials.all()
            if partition_of(credential.waba_id.encode(), ACCOUNTS.partitions) in partitions
        }
        new = sorted(ours - self._due.keys() - self._running.keys())
        last = await self._checked_at(new) if new else {}
        for waba_id in new:
            # At first, and after a pause of ours, spread over the whole time: Graph's limits are shared.
            soonest = max(now, last[waba_id] + CHECK_EVERY) if waba_id in last else now
            self._due[waba_id] = soonest + CHECK_EVERY * random.random() * (0.05 if soonest > now else 1)  # noqa: S311

    def _look_at_app(self, now: datetime) -> None:
        """Now and then see whether it is time to ask what our app is subscribed to; one worker of all does ask."""
        if self._looking and self._looking.done():
            missing, self._looking = self._looking.result(), None
            if missing is not None:
                if self._missing not in (None, missing):
                    self._bring_forward(now)
                self._missing = missing
        if now < self._app_at or self._looking:
            return
        self._app_at = now + APP_LOOK_EVERY * random.uniform(0.8, 1.2)  # noqa: S311
        every = CHECK_EVERY * random.uniform(1, 1.1)  # noqa: S311
        self._looking = asyncio.create_task(self._app.look(every), name="look at the app")

    def _bring_forward(self, now: datetime) -> None:
        """Check all accounts soon, for what is told of each has changed; in turn, as Graph's limits are shared."""
        for position, waba_id in enumerate(self._due):
            self._due[waba_id] = min(self._due[waba_id], now + position * BETWEEN)

    def _start_due(self, now: datetime) -> None:
        due = sorted((at, waba_id) for waba_id, at in self._due.items() if at <= now and waba_id not in self._running)
        for _, waba_id in due[: max(0, self._settings.health_check_concurrency - len(self._running))]:
            del self._due[waba_id]
            self._answering[waba_id] = self._asked.pop(waba_id, set())
            task = asyncio.create_task(self._check(waba_id), name=f"check {waba_id}")
            self._running[waba_id] = task
            task.add_done_callback(lambda task, waba_id=waba_id: self._end_check(waba_id, task))

    def _end_check(self, waba_id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(waba_id, None)
        if not task.cancelled():
            self._answering.pop(waba_id, None)

    async def _check(self, waba_id: str) -> None:
        """Check one account; whatever goes wrong, its next check comes in its time."""
        credential = self._credentials.credential(waba_id)
        again = CHECK_EVERY
        outcome = "same"
        try:
            if credential is None:
                return
            async with asyncio.timeout(CHECK_TIMEOUT):
                if self._answering.get(waba_id):
                    await self._app.look(self._asked_pause)
                outcome = await self._compare(waba_id, credential)
                await self._done(waba_id)
        except RateLimited as limited:
            outcome, again = limited.code, max(again, timedelta(seconds=limited.retry_after))
        except GraphError as error:
            outcome = error.code
        except Exception as error:
            outcome = "failed"
            known = isinstance(error, (CannotOpen, KafkaUnavailable, TimeoutError, *DATABASE_AWAY))
            log.warning(
                "a check failed",
                action="check_failed",
                waba_id=waba_id,
                error=type(error).__name__,
                exc_info=not known,
            )
        CHECKS.labels(outcome).inc()
        log.info("account checked", action="account_checked", waba_id=waba_id, outcome=outcome)
        self._due.setdefault(waba_id, datetime.now(UTC) + again * random.uniform(1, 1.05))  # noqa: S311

    async def _compare(self, waba_id: str, credential: CredentialStored) -> str:
        ours = f"{self._settings.public_url}/webhooks/whatsapp"
        held = await reading.waba(self._pool, waba_id)
        if held is None or held.connection is None or held.owner != credential.org_id:
            return "not_connected_yet"
        try:
            answers = await self._ask(waba_id, self._keyring.open(credential))
        except GraphError as error:
            if error.code not in CONCLUSIVE_ERRORS:
                raise
            answers = error
        # Read again: what has happened while Graph was asked counts.
        held = await reading.waba(self._pool, waba_id) or held
        fields = (
            refused(ours, answers.code, answers.message)
            if isinstance(answers, GraphError)
            else answered(held, answers, our_callback_url=ours, app_id=self._settings.meta_app_id)
        )
        event = difference(held, fields, datetime.now(UTC))
        if event is None:
            return "same"
        [position] = await self._publisher.publish([event])
        reached = {(position.topic, position.partition): position.offset + 1}
        await wait_for(self._pool, projector.NAME, reached, VISIBLE_TIMEOUT)
        return "different"

    async def _ask(self, waba_id: str, token: SecretStr) -> Answers:
        graph = self._graph
        debugged = await graph.debug_token(token)
        subscribed, _ = await graph.call("GET", f"{waba_id}/subscribed_apps", token)
        phones = await read_phone_numbers(graph, waba_id, token, OPTIONAL_PHONE_FIELDS)
        account = await read(graph, waba_id, token, kind="account", needed=("id",), optional=OPTIONAL_ACCOUNT_FIELDS)
        return Answers(debugged, subscribed, phones, account, await self._app.known())

    async def _checked_at(self, waba_ids: list[str]) -> dict[str, datetime]:
        return dict(
            await self._pool.fetch("SELECT waba_id, checked_at FROM account_checks WHERE waba_id = ANY($1)", waba_ids)
        )

    async def _done(self, waba_id: str) -> None:
        """Remember the time, and tell who waits for a check that has found nothing."""
        await self._pool.execute(
            """
            WITH done AS (
                INSERT INTO account_checks (waba_id, checked_at)
                SELECT $1, now() WHERE EXISTS (SELECT FROM waba_health WHERE waba_id = $1)
                ON CONFLICT (waba_id) DO UPDATE SET checked_at = excluded.checked_at
            )
            SELECT pg_notify($2, org_id) FROM waba_health WHERE waba_id = $1 AND org_id IS NOT NULL
            """,
            waba_id,
            CHANNEL,
        )


HEARD = (AccountCheckRequested.type.encode(), AccountConnected.type.encode())
