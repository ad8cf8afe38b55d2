"""A signed webhook's way into Kafka: taken apart in slices, published, with the evidence that its WABA sends webhooks.

Evidence is written once a day for each WABA and whoever has it, after what this process remembers; more of it does no
harm.
"""

import asyncio
import re
import time
from collections import Counter as Counts
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
from wabus_runtime.identity.lines import KnownLines
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.kafka.outcomes import Overloaded, RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.record_sizes import fits
from wabus_runtime.observe import tracing
from wabus_whatsapp.forgetting import respecting

from wabus_gateway.fast_path.single_event import SingleEvent, single_event_of
from wabus_gateway.webhooks.parse import facts_in_slices, whole
from wabus_gateway.worker.connect import SOURCE

MOST_AT_ONCE = 0.002  # seconds of making events before other requests get their turn
ANSWERED_WITHIN = 2.0  # seconds that a webhook may wait for Kafka, or for its turn, then Meta shall deliver it again
PORTION = 500  # records that go to the publisher together
LARGE = 64 * 1024  # bytes of a body that must wait until others of its size are taken apart
PLAINLY_FITS = 1024 * 1024  # bytes of a record's key, and twice its value, that no topic of ours refuses
SEEN_WABAS = 100_000  # WABAs whose evidence of today is remembered

EVENTS_MADE = Counter("wabus_webhook_events_total", "Events made from webhooks.", ["type"])
FORGOTTEN = Counter(
    "wabus_webhook_events_forgotten_total", "Events not made, for whom they are about was forgotten since."
)

_MADE = {model.__name__: EVENTS_MADE.labels(model.__name__) for model in (MessageReceived, MessageStatusChanged)}
_FIELD = re.compile("[a-z_]{1,64}")
_DAY_0 = date(1970, 1, 1).toordinal()

log = structlog.get_logger()

Seen = tuple[date, str | None]
"""The day and the organisation for which there is evidence."""

Done = Callable[[Exception | None], None]
"""Told how a webhook ended: None when Kafka has all of it, else what `WebhookPublisher.publish` would raise."""


class WebhookPublisher:
    """Publishes what webhooks tell, and remembers whose evidence of today Kafka has."""

    def __init__(
        self,
        publisher: Publisher,
        dead_letters: DeadLetters,
        replica: CredentialCache,
        forgotten: KnownLines,
        app_id: str | None = None,
        answered_within: float = ANSWERED_WITHIN,
        *,
        unrecognised_too: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._publisher = publisher
        self._clock = clock
        self._dead_letters = dead_letters
        self._setting_aside: set[asyncio.Task[None]] = set()
        self._replica = replica
        self._owner = replica.owner
        self._forgotten = forgotten
        self._lines = forgotten.lines
        self._app_id = app_id
        self._unrecognised_too = unrecognised_too
        self._answered_within = answered_within
        self._seen: OrderedDict[str, Seen] = OrderedDict()
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
        if lone is None or self._seen.get(lone.waba_id) != (_today(), lone.org_id) or self._may_be_forgotten(lone):
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

    def _may_be_forgotten(self, lone: SingleEvent) -> bool:
        """Whether it tells of a moment of before somebody was forgotten: hardly ever, for webhooks come at once."""
        newest = self._lines.newest
        return newest is not None and lone.time <= newest

    async def publish(self, body: bytes) -> None:
        """Return once Kafka has all that a body tells, if need be as dead letters.

        Raises `KafkaUnavailable`, `DeadLetterRefused`, `TooManyDeadLetters`; Kafka may have a part of it then.
        What comes before this process has read who owns which WABA waits for that: without its organisation,
        those who subscribe to one organisation's events would never see it. And until it is known who was forgotten.
        """
        await self._replica.whole(self._answered_within)
        await self._forgotten.whole(self._answered_within)
        now = datetime.now(UTC)
        noticed: dict[str, Seen] = {}
        if len(body) <= LARGE:
            begun, rest = await self.taken_apart(body, now, noticed)
        else:
            # Taken apart, a body is ten times its bytes: one of the large ones at a time.
            try:
                async with asyncio.timeout(self._answered_within):
                    await self._one_large_body.acquire()
            except TimeoutError:
                raise Overloaded("too many large webhooks are waiting") from None
            try:
                begun, rest = await self.taken_apart(body, now, noticed)
            finally:
                self._one_large_body.release()
        await asyncio.gather(*begun)
        await self._publish(rest)
        self._remember(noticed)

    async def _publish(self, records: list[Record]) -> None:
        try:
            await self._publisher.store(records)
        except RecordRefused as refused:
            await self._set_aside(records, refused)

    async def _set_aside(self, records: list[Record], refused: RecordRefused) -> None:
        """Keep what its topic will never take: Meta would deliver it for 7 days, each time in vain."""
        for index, reason in refused.reasons.items():
            await self._dead_letters.keep(records[index], reason)

    async def _set_aside_then(self, done: Done, records: list[Record], refused: RecordRefused) -> None:
        outcome: Exception | None = KafkaUnavailable("not published")
        try:
            await self._set_aside(records, refused)
            outcome = None
        except Exception as error:
            outcome = error
        finally:
            done(outcome)

    async def taken_apart(
        self, body: bytes, now: datetime, noticed: dict[str, Seen]
    ) -> tuple[list[asyncio.Task[None]], list[Record]]:
        """What is being published already, and the records that are left; `noticed` gets the WABAs with new evidence.

        In portions, because to hand over or to give up tens of thousands of records takes long too.
        """
        begun: list[asyncio.Task[None]] = []
        records: list[Record] = []
        made: Counts[type[Event]] = Counts()
        looked_at, today = set[str](), now.date()
        lines, clock = self._lines, self._clock
        slice_began = clock()
        told_too = self._unrecognised_too
        facts = facts_in_slices(
            body, received_at=now, owner=self._owner, app_id=self._app_id, unrecognised_too=told_too
        )
        try:
            for event in facts:
                if event is None:
                    pass
                elif (left := event if lines.newest is None else respecting(event, lines)) is None:
                    FORGOTTEN.inc()
                else:
                    records.append(_record(left))
                    made[type(left)] += 1
                    waba_id = left.subject
                    if waba_id is not None and waba_id not in looked_at:
                        looked_at.add(waba_id)
                        seen, held = (today, left.org_id), self._seen.get(waba_id)
                        if held != seen:
                            noticed[waba_id] = seen
                            records.append(_evidence(left, waba_id, now, held))
                if len(records) >= PORTION:
                    begun.append(asyncio.create_task(self._publish(records)))
                    records = []
                if clock() - slice_began > MOST_AT_ONCE:
                    await asyncio.sleep(0)
                    slice_began = clock()
        except Exception as error:
            # Whatever a signed body holds, it is Meta's word: keep it rather than refuse it for 7 days.
            log.error("a webhook could not be taken apart", action="webhook_kept_whole", error=type(error).__name__)
            kept = whole(body, received_at=now, reason=f"it could not be taken apart: {type(error).__name__}")
            records = [encode(kept, SOURCE)]
            noticed.clear()  # some of that evidence was among the records that are given up
        for model, count in made.items():
            EVENTS_MADE.labels(model.__name__).inc(count)
        return begun, records

    def _remember(self, noticed: dict[str, Seen]) -> None:
        for waba_id, seen in noticed.items():
            self._seen[waba_id] = seen
            self._seen.move_to_end(waba_id)
        while len(self._seen) > SEEN_WABAS:
            self._seen.popitem(last=False)


def _record(event: Event) -> Record:
    """The record of an event. Raises ValueError where Kafka would not take it."""
    record = encode(event, SOURCE)
    # The only header without a bound of ours is the subject, and that is in the value too.
    if len(record.key) + 2 * len(record.value or b"") > PLAINLY_FITS and not fits(
        record.key, record.value, record.headers
    ):
        raise ValueError("escaped, a part of it is too large for a record")
    if event.__class__ is Unrecognised:
        log.info("no model for a change", action="unrecognised", field=_field(event))
    return record


def _field(event: Event) -> str | None:
    """The field of an event; whatever is not made like a name of Meta's may be anything, also somebody's number."""
    told = getattr(event, "field", None)
    return told if isinstance(told, str) and _FIELD.fullmatch(told) else None


def _evidence(event: Event, waba_id: str, now: datetime, held: Seen | None) -> Record:
    """The record that its WABA sends webhooks, of the first event of a day for whoever has it; `held` is the last."""
    today = now.date()
    # Of an account that moves today it is another fact, for another organisation.
    also = (event.org_id or "",) if held and held[0] == today else ()
    evidence = WebhookSeen(
        id=fact_id(WebhookSeen.type, waba_id, today.isoformat(), *also),
        time=now,
        org_id=event.org_id,
        waba_id=waba_id,
        day=today,
        field=_field(event) or type(event).__name__,
    )
    return encode(evidence, SOURCE)


@lru_cache(maxsize=1)
def _day(number: int) -> date:
    return date.fromordinal(_DAY_0 + number)


def _today() -> date:
    """The day in UTC."""
    return _day(int(time.time()) // 86_400)
