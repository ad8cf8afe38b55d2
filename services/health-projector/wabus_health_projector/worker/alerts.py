"""Changes of health as signed webhooks to the platform, if ALERT_WEBHOOK_URL is set: at least once, in order.

The changes of an organisation are delivered one after the other. One that is not taken holds up its partition while
it is tried again, later each time, and goes to the dead letters in the end. The receiver knows repetitions by
`webhook-id`.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter
from pydantic import SecretStr, field_validator, model_validator
from wabus_events import HEALTH, HealthChanged, UndecodableRecord, decode
from wabus_runtime.kafka.clients import new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.settings import KafkaSettings, http_url

from wabus_health_projector.worker.standard_webhook import body_of, headers_of, secrets_of

GROUP = "health-alerts"
DELIVERY_TIMEOUT = 15.0  # seconds for one attempt
ATTEMPTS = 12  # while the receiver is away or in trouble: some six hours
ATTEMPTS_REFUSED = 3  # when it refuses this very webhook
BACK_OFF_FIRST, BACK_OFF_MOST = 2.0, 2 * 3600.0  # seconds
POLL_RECORDS = 10  # so that one poll never takes longer than the group waits for us
POLL_INTERVAL_MAX_MS = 300_000

ALERTS = Counter("wabus_alert_webhooks_total", "Attempts to deliver a change of health.", ["outcome"])

log = structlog.get_logger()


class AlertSettings(KafkaSettings):
    alert_webhook_url: str | None = None
    """Where changes of health are sent; nowhere if it is not set."""
    alert_webhook_secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; several, comma separated, all sign."""

    @field_validator("alert_webhook_url")
    @classmethod
    def _alert_url_is_http(cls, url: str | None) -> str | None:
        return None if url is None else http_url(url)

    @field_validator("alert_webhook_secret")
    @classmethod
    def _alert_secrets_are_good(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret:
            secrets_of(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _signed_or_not_at_all(self) -> "AlertSettings":
        if self.alert_webhook_url and not self.alert_webhook_secret:
            raise ValueError("ALERT_WEBHOOK_URL needs ALERT_WEBHOOK_SECRET")
        return self


class NotDelivered(Exception):
    """The receiver did not take a webhook as often as it was tried."""


@dataclass(slots=True)
class Waiting:
    """A partition whose first undelivered change waits for its next attempt."""

    attempts: int
    again_at: float  # the loop's clock


class Alerts(ConsumerRebalanceListener):
    """One run, from joining the consumer group until something fails or it is cancelled."""

    def __init__(self, settings: AlertSettings, url: str, secret: SecretStr) -> None:
        self._url = url
        self._secrets = secrets_of(secret.get_secret_value())
        self._topic = topic_name(settings, HEALTH)
        self._ready: Callable[[], None] = lambda: None
        self._waiting: dict[TopicPartition, Waiting] = {}
        self._broken: KafkaError | None = None
        self._dead_letters = DeadLetters(settings, GROUP)
        self._consumer = new_consumer(settings, group=GROUP, max_poll_interval_ms=POLL_INTERVAL_MAX_MS)

    async def run(self, ready: Callable[[], None]) -> None:
        """Deliver for ever."""
        self._ready = ready
        timeout = aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT)
        try:
            async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
                await self._consumer.start()
                self._consumer.subscribe([self._topic], listener=self)
                while True:
                    if self._broken:
                        raise self._broken
                    self._resume()
                    fetched = await poll(self._consumer, timeout_ms=500, max_records=POLL_RECORDS)
                    await self._deliver_all(session, fetched)
        finally:
            await stop_consumer(self._consumer)
            await self._dead_letters.close()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._waiting.clear()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whoever switches alerts on wants to hear of what happens from now on."""
        try:
            new = [partition for partition in assigned if await self._consumer.committed(partition) is None]
            if new:
                ends = await self._consumer.end_offsets(new)
                await self._consumer.commit(ends)
                # The client may be asking for the latest offsets itself by now: what comes meanwhile would be lost.
                for partition, end in ends.items():
                    self._consumer.seek(partition, end)
        except KafkaError as error:
            self._broken = error  # the client would swallow it, and what comes before a first commit could be missed
        else:
            # Just after the topic was made there may be nothing to assign yet: what comes until then is no concern.
            if assigned or self._consumer.partitions_for_topic(self._topic):
                self._ready()

    def _resume(self) -> None:
        now = asyncio.get_running_loop().time()
        assigned = self._consumer.assignment()
        due = [place for place, wait in self._waiting.items() if wait.again_at <= now and place in assigned]
        if due:
            self._consumer.resume(*due)

    async def _deliver_all(
        self,
        session: aiohttp.ClientSession,
        fetched: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]],
    ) -> None:
        """The partitions side by side, each in order; what was delivered is committed."""
        done = await asyncio.gather(*(self._deliver(session, *entry) for entry in fetched.items()))
        reached = {place: offset for place, offset in zip(fetched, done, strict=True) if offset is not None}
        reached = {place: offset for place, offset in reached.items() if place in self._consumer.assignment()}
        if reached:
            await self._consumer.commit(reached)

    async def _deliver(
        self, session: aiohttp.ClientSession, place: TopicPartition, records: Sequence[ConsumerRecord[Any, Any]]
    ) -> int | None:
        """The offset after the last change that is dealt with, or None if none is."""
        reached: int | None = None
        for record in records:
            try:
                change = decode(record.headers, record.value)
            except UndecodableRecord:
                change = None  # the history sets it aside
            if isinstance(change, HealthChanged):
                attempts = (self._waiting[place].attempts if place in self._waiting else 0) + 1
                status = await self._attempt(session, change)
                limit = (
                    ATTEMPTS_REFUSED if status and 400 <= status < 500 and status not in (408, 425, 429) else ATTEMPTS
                )
                if not (status and status < 300) and attempts < limit:
                    self._wait(place, record.offset, attempts)
                    return reached
                if not (status and status < 300):
                    error = NotDelivered(f"{attempts} attempts, the last one answered {status or 'not at all'}")
                    await self._dead_letters.put(record, HEALTH.name, error)
                else:
                    self._dead_letters.handled(1)
            self._waiting.pop(place, None)
            reached = record.offset + 1
        return reached

    async def _attempt(self, session: aiohttp.ClientSession, change: HealthChanged) -> int | None:
        """The status of the receiver's answer, or None without one."""
        body = body_of(change)
        headers = headers_of(change.id, body, self._secrets, datetime.now(UTC))
        status: int | None = None
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("an alert got no answer", action="alert_failed", error=type(error).__name__, webhook_id=change.id)
        outcome = "unanswered" if status is None else "delivered" if status < 300 else "refused"
        ALERTS.labels(outcome).inc()
        log.info("alert", action="alert_" + outcome, status=status, webhook_id=change.id, org_id=change.org_id)
        return status

    def _wait(self, place: TopicPartition, offset: int, attempts: int) -> None:
        delay = min(BACK_OFF_FIRST * 3 ** (attempts - 1), BACK_OFF_MOST) * random.uniform(0.5, 1)  # noqa: S311
        self._waiting[place] = Waiting(attempts, asyncio.get_running_loop().time() + delay)
        if place in self._consumer.assignment():
            self._consumer.seek(place, offset)
            self._consumer.pause(place)
