"""A signed webhook's way into Kafka: taken apart in slices, published, with the evidence that its WABA sends webhooks.

Evidence is written once a day for each WABA, after what this process remembers; more of it does no harm.
"""

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import lru_cache

import structlog
from prometheus_client import Counter
from wabus_events import (
    Event,
    MessageReceived,
    MessageStatusChanged,
    Record,
    Unrecognised,
    WebhookSeen,
    encode,
    fact_id,
)
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.kafka.partition_buffer import fits
from wabus_runtime.kafka.publisher import Overloaded, Publisher, RecordRefused
from wabus_runtime.observe import tracing

from wabus_gateway.fast_path.single_event import single_event_of
from wabus_gateway.webhooks.parse import facts_in_slices, whole
from wabus_gateway.worker.connect import SOURCE

MOST_AT_ONCE = 0.002  # seconds of making events before other requests get their turn
ANSWERED_WITHIN = 2.0  # seconds that a webhook may wait for Kafka, or for its turn, then Meta shall deliver it again
PORTION = 500  # records that go to the publisher together
LARGE = 64 * 1024  # bytes of a body that must wait until others of its size are taken apart
SEEN_WABAS = 100_000  # WABAs whose evidence of today is remembered

EVENTS_MADE = Counter("wabus_webhook_events_total", "Events made from webhooks.", ["type"])

_MADE = {model.__name__: EVENTS_MADE.labels(model.__name__) for model in (MessageReceived, MessageStatusChanged)}
_FIELD = re.compile("[a-z_]{1,64}")
_DAY_0 = date(1970, 1, 1).toordinal()

log = structlog.get_logger()

Done = Callable[[Exception | None], None]
"""Told how a webhook ended: None when Kafka has all of it, else what `WebhookPublisher.publish` would raise."""


class WebhookPublisher:
    """Publishes what webhooks tell, and remembers whose evidence of today Kafka has."""

    def __init__(
        self, publisher: Publisher, dead_letters: DeadLetters, replica: CredentialCache, app_id: str | None = None
    ) -> None:
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._setting_aside: set[asyncio.Task[None]] = set()
        self._replica = replica
        self._owner = replica.owner
        self._app_id = app_id
        self._seen: OrderedDict[str, date] = OrderedDict()
        self._one_large_body = asyncio.Lock()

    def submit_single_event(self, body: bytes, done: Done) -> bool:
        """Publish a body that holds just one fact of a WABA that has its evidence, without a task.

        False where it is any other body: then nothing has happened, and it is one for `publish`.
        """
        try:
            lone = single_event_of(body, owner=self._owner, source=SOURCE)
        except Exception:
            log.exception("the short cut failed on a webhook", action="short_cut_failed")
            return False
        if lone is None or self._seen.get(lone.waba_id) != _today():
            return False
        record = lone.record
        record.headers.append(("ce_traceparent", tracing.fresh().encode()))

        def published(error: Exception | None) -> None:
            if isinstance(error, RecordRefused):
                task = asyncio.create_task(self._set_aside_then(done, [record], error))
                self._setting_aside.add(task)
                task.add_done_callback(self._setting_aside.discard)
            else:
                done(error)

        try:
            self._publisher.submit([record], published)
        except KafkaUnavailable as error:
            done(error)
        else:
            _MADE[lone.kind].inc()
        return True

    async def publish(self, body: bytes) -> None:
        """Return once Kafka has all that a body tells, if need be as dead letters.

        Raises `KafkaUnavailable`, `DeadLetterRefused`, `TooManyDeadLetters`; Kafka may have a part of it then.
        What comes before this process has read who owns which WABA waits for that: without its organisation,
        those who subscribe to one organisation's events would never see it.
        """
        await self._replica.whole(ANSWERED_WITHIN)
        now = datetime.now(UTC)
        noticed: dict[str, date] = {}
        if len(body) <= LARGE:
            begun, rest = await self._taken_apart(body, now, noticed)
        else:
            # Taken apart, a body is ten times its bytes: one of the large ones at a time.
            try:
                async with asyncio.timeout(ANSWERED_WITHIN):
                    await self._one_large_body.acquire()
            except TimeoutError:
                raise Overloaded("too many large webhooks are waiting") from None
            try:
                begun, rest = await self._taken_apart(body, now, noticed)
            finally:
                self._one_large_body.release()
        await asyncio.gather(*begun)
        await self._publish(rest)
        self._remember(noticed)

    async def _publish(self, records: list[Record]) -> None:
        try:
            await self._publisher.publish_records(records)
        except RecordRefused as refused:
            await self._set_aside(records, refused)

    async def _set_aside(self, records: list[Record], refused: RecordRefused) -> None:
        """Keep what its topic will never take: Meta would deliver it for 7 days, each time in vain."""
        for index, reason in refused.reasons.items():
            await self._dead_letters.put_refused(records[index], reason)

    async def _set_aside_then(self, done: Done, records: list[Record], refused: RecordRefused) -> None:
        outcome: Exception | None = KafkaUnavailable("not published")
        try:
            await self._set_aside(records, refused)
            outcome = None
        except Exception as error:
            outcome = error
        finally:
            done(outcome)

    async def _taken_apart(
        self, body: bytes, now: datetime, noticed: dict[str, date]
    ) -> tuple[list[asyncio.Task[None]], list[Record]]:
        """What is being published already, and the records that are left; `noticed` gets the WABAs with new evidence.

        In portions, because to hand over or to give up tens of thousands of records takes long too.
        """
        begun: list[asyncio.Task[None]] = []
        records: list[Record] = []
        slice_began = time.perf_counter()
        try:
            for event in facts_in_slices(body, received_at=now, owner=self._owner, app_id=self._app_id):
                if event is not None:
                    records += self._records(event, now, noticed)
                if len(records) >= PORTION:
                    begun.append(asyncio.create_task(self._publish(records)))
                    records = []
                if time.perf_counter() - slice_began > MOST_AT_ONCE:
                    await asyncio.sleep(0)
                    slice_began = time.perf_counter()
        except Exception as error:
            # Whatever a signed body holds, it is Meta's word: keep it rather than refuse it for 7 days.
            log.error("a webhook could not be taken apart", action="webhook_kept_whole", error=type(error).__name__)
            kept = whole(body, received_at=now, reason=f"it could not be taken apart: {type(error).__name__}")
            records = [encode(kept, SOURCE)]
            noticed.clear()  # some of that evidence was among the records that are given up
        return begun, records

    def _records(self, event: Event, now: datetime, noticed: dict[str, date]) -> list[Record]:
        """The record of an event, and of the evidence that it is, where it is the first of its WABA today."""
        record = encode(event, SOURCE)
        if not fits(record.key, record.value, record.headers):
            raise ValueError("escaped, a part of it is too large for a record")
        EVENTS_MADE.labels(type(event).__name__).inc()
        if isinstance(event, Unrecognised):
            # Whatever is not made like a name of Meta's may be anything, also somebody's number.
            field = event.field if _FIELD.fullmatch(event.field or "") else None
            log.info("no model for a change", action="unrecognised", field=field)
        waba_id, today = event.subject, now.date()
        if waba_id is None or waba_id in noticed or self._seen.get(waba_id) == today:
            return [record]
        noticed[waba_id] = today
        evidence = WebhookSeen(
            id=fact_id(WebhookSeen.type, waba_id, today.isoformat()),
            time=now,
            org_id=event.org_id,
            waba_id=waba_id,
            day=today,
            field=str(getattr(event, "field", None) or type(event).__name__),
        )
        return [record, encode(evidence, SOURCE)]

    def _remember(self, noticed: dict[str, date]) -> None:
        for waba_id, day in noticed.items():
            self._seen[waba_id] = day
            self._seen.move_to_end(waba_id)
        while len(self._seen) > SEEN_WABAS:
            self._seen.popitem(last=False)


@lru_cache(maxsize=1)
def _day(number: int) -> date:
    return date.fromordinal(_DAY_0 + number)


def _today() -> date:
    """Of UTC."""
    return _day(int(time.time()) // 86_400)
