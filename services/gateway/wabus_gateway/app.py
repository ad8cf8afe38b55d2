"""The gateway over HTTP: Meta's webhooks in, events to Kafka, and an answer only when Kafka has them.

Stateless but for a replica of who owns which WABA; any number of gateways may run side by side.
"""

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import lru_cache

import structlog
from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram
from pydantic import Field
from wabus_events import (
    CallbackVerified,
    Event,
    MessageReceived,
    MessageStatusChanged,
    Record,
    Unrecognised,
    WebhookSeen,
    encode,
    fact_id,
)
from wabus_events.topics import MAX_RECORD_BYTES
from wabus_runtime import tracing
from wabus_runtime.http import CHECKS, Problem
from wabus_runtime.kafka import KafkaUnavailable
from wabus_runtime.publisher import Publisher
from wabus_runtime.replica import CredentialReplica
from wabus_runtime.service import DRAIN_TIMEOUT, DRAINS, FRONT, MAX_BODY, Role, Service, background, build_app
from wabus_runtime.settings import HttpSettings

from wabus_gateway.bad_signatures import BadSignatures, source_of
from wabus_gateway.connect import SOURCE
from wabus_gateway.connect_api import ConnectApi, ConnectApiSettings
from wabus_gateway.front import Answered, Front
from wabus_gateway.ingest import facts_in, whole
from wabus_gateway.lone import lone_fact
from wabus_gateway.signature import is_handshake, is_signed, verify_token_of
from wabus_gateway.ui import UiSettings, install_ui

READ_TIMEOUT = 10.0  # seconds for a body to arrive
RETRY_AFTER = "5"  # seconds; Meta has its own growing delays and goes on for up to 7 days
MOST_AT_ONCE = 0.005  # seconds of making events before other requests get their turn
MOST_IN_A_RECORD = MAX_RECORD_BYTES - 64 * 1024  # bytes of a value; Kafka counts the batch around it too
LARGE = 64 * 1024  # bytes of a body that must wait until others of its size are taken apart
SEEN_WABAS = 100_000  # WABAs whose evidence of today is remembered

HANDSHAKES = Counter("wabus_handshakes_total", "Handshakes by what became of them.", ["outcome"])
IN_FLIGHT = Gauge("wabus_webhooks_in_flight", "Webhooks being handled now.")
WEBHOOKS = Counter("wabus_webhooks_total", "Webhooks by what became of them.", ["outcome"])
EVENTS_MADE = Counter("wabus_webhook_events_total", "Events made from webhooks.", ["type"])
WEBHOOK_SECONDS = Histogram(
    "wabus_webhook_seconds",
    "From the head of a webhook to its answer, whatever it is; those refused while busy are not timed.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

_PUBLISHED = WEBHOOKS.labels("published")
_REFUSED_BUSY = WEBHOOKS.labels("refused_busy")
_REFUSED_NOT_DURABLE = WEBHOOKS.labels("refused_not_durable")
_MADE = {model.__name__: EVENTS_MADE.labels(model.__name__) for model in (MessageReceived, MessageStatusChanged)}
_FIELD = re.compile("[a-z_]{1,64}")
_DAY_0 = date(1970, 1, 1).toordinal()

log = structlog.get_logger()


class GatewaySettings(HttpSettings, ConnectApiSettings, UiSettings):
    gateway_max_in_flight: int = Field(default=2_000, ge=1)
    """Webhooks being handled at once; beyond that the answer is 503 and Meta delivers again."""
    gateway_max_bytes_in_flight: int = Field(default=64 * 1024 * 1024, ge=MAX_BODY)
    """The same for the bytes of their bodies. In memory a webhook takes some three times its body."""
    gateway_bad_signatures_a_minute: int = Field(default=60, ge=1)
    """So many are answered 403 to each source, the rest 429; a webhook that is signed is never counted."""
    gateway_source_header: str | None = None
    """Where our own proxy writes who called, such as X-Forwarded-For; its last address counts. None: who connected."""


class Gateway:
    """The handlers and what they share: the publisher, the replica, and whose evidence was written today."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._secrets = [secret.get_secret_value().encode() for secret in settings.meta_app_secrets]
        self._publisher = Publisher(settings, SOURCE)
        self._replica = CredentialReplica(settings)
        self._bad_signatures = BadSignatures(settings.gateway_bad_signatures_a_minute)
        self._in_flight = 0
        self._bytes = 0
        self._drained: asyncio.Event | None = None
        self._seen: OrderedDict[str, date] = OrderedDict()
        self._one_large_body = asyncio.Lock()
        self._slower: set[asyncio.Task[None]] = set()
        IN_FLIGHT.set_function(lambda: self._in_flight)

    def install(self, app: web.Application) -> None:
        for path in ("/webhooks/whatsapp", "/webhooks/whatsapp/{waba_id}"):
            app.router.add_get(path, self.handshake, allow_head=False)
            app.router.add_post(path, self.receive)
        app.cleanup_ctx.append(self._publishing)
        self._front = Front(self, {200: _received(), 503: _try_again().response()})
        app[FRONT] = self._front.before
        app[DRAINS].append(self._drain)
        app[CHECKS].append(lambda: None if self._publisher.available else "kafka")
        background(app, "account-owners", self._replica.run)
        ConnectApi(self._settings, self._replica).install(app)
        install_ui(app, self._settings)

    async def handshake(self, request: web.Request) -> web.Response:
        """Meta asks whether a callback URL is ours. For a WABA's own URL the answer is evidence, so it is kept."""
        waba_id = request.match_info.get("waba_id")
        token = self._settings.meta_verify_token.get_secret_value()
        expected = token if waba_id is None else verify_token_of(waba_id, token)
        if not is_handshake(request.query.get("hub.mode"), request.query.get("hub.verify_token"), expected):
            HANDSHAKES.labels("refused").inc()
            log.warning("handshake refused", action="handshake_refused")
            raise Problem(403, "forbidden", "Forbidden", "This is not a verification request for this callback.")
        if waba_id is not None:
            now = datetime.now(UTC)
            url = f"{self._settings.public_url}/webhooks/whatsapp/{waba_id}"
            await self._publisher.publish(
                [
                    CallbackVerified(
                        id=fact_id(CallbackVerified.type, waba_id, now.isoformat()),
                        time=now,
                        org_id=self._replica.owner(waba_id),
                        waba_id=waba_id,
                        callback_url=url,
                    )
                ]
            )
        HANDSHAKES.labels("answered").inc()
        log.info("handshake answered", action="handshake_answered", waba_id=waba_id)
        return web.Response(text=request.query.get("hub.challenge", ""), content_type="text/plain")

    async def receive(self, request: web.Request) -> web.Response:
        """Verify, publish, and only then answer 200. 403 not Meta's, 413 too large, 503 not durable: deliver again."""
        size = MAX_BODY if request.content_length is None else request.content_length
        if size > MAX_BODY:
            WEBHOOKS.labels("refused_too_large").inc()
            raise _too_large()
        if not self._admits(size):
            raise _try_again()
        try:
            with WEBHOOK_SECONDS.time():
                body = await _read(request)
                if not is_signed(body, request.headers.get("X-Hub-Signature-256"), self._secrets):
                    raise self._not_signed(request)
                if not await self._published(body):
                    raise _try_again()
                return _received()
        finally:
            self._release(size)

    def _not_signed(self, request: web.Request) -> Problem:
        named = self._settings.gateway_source_header
        forwarded = request.headers.getall(named, [""])[-1] if named else None
        wait = self._bad_signatures.note(source_of(request.remote, forwarded), time.monotonic())
        if wait is None:
            WEBHOOKS.labels("refused_signature").inc()
            return Problem(403, "forbidden", "Forbidden", "The request is not signed as it must be.")
        WEBHOOKS.labels("refused_rate").inc()
        return Problem(
            429,
            "too_many_bad_signatures",
            "Too many requests",
            "Too many requests from there are not signed as they must be.",
            headers={"Retry-After": str(math.ceil(wait)), "Connection": "close"},
        )

    def is_genuine(self, body: bytes, signature: str) -> bool:
        """Whether a body is signed."""
        return is_signed(body, signature, self._secrets)

    def take(self, body: bytes, route: str, answered: Answered) -> None:
        """`receive` for a small body that is here and signed; where it holds just one fact, without a task."""
        size = len(body)
        if not self._admits(size):
            answered(503)
            return
        started = time.perf_counter()

        def done(error: KafkaUnavailable | None) -> None:
            self._release(size)
            WEBHOOK_SECONDS.observe(time.perf_counter() - started)
            (_REFUSED_NOT_DURABLE if error else _PUBLISHED).inc()
            answered(503 if error else 200)

        lone = lone_fact(body, owner=self._replica.owner, source=SOURCE)
        if lone is None or self._seen.get(lone.waba_id) != _today():
            task = asyncio.create_task(self._take_slower(body, route, answered))
            self._slower.add(task)
            task.add_done_callback(self._slower.discard)
            return
        lone.record.headers.append(("ce_traceparent", tracing.fresh().encode()))
        try:
            self._publisher.submit([lone.record], done)
        except KafkaUnavailable as error:
            done(error)
        else:
            _MADE[lone.kind].inc()

    async def _take_slower(self, body: bytes, route: str, answered: Answered) -> None:
        published = False
        try:
            with WEBHOOK_SECONDS.time(), tracing.request("POST", route, None):
                published = await self._published(body)
        finally:
            self._release(len(body))
            answered(200 if published else 503)

    def _admits(self, size: int) -> bool:
        """Whether there is room for a webhook with a body of so many bytes; if so, it has it until released."""
        if (
            self._in_flight >= self._settings.gateway_max_in_flight
            or self._bytes + size > self._settings.gateway_max_bytes_in_flight
            or not self._publisher.available
        ):
            _REFUSED_BUSY.inc()
            return False
        self._in_flight += 1
        self._bytes += size
        return True

    def _release(self, size: int) -> None:
        self._in_flight -= 1
        self._bytes -= size
        if self._drained and not self._in_flight:
            self._drained.set()

    async def _drain(self) -> None:
        """Answer what has begun to arrive. aiohttp alone would read no more of it."""
        await self._front.drain()
        await asyncio.sleep(0)  # what the front has just handed over begins
        if self._in_flight:
            self._drained = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await self._drained.wait()

    async def _published(self, body: bytes) -> bool:
        """Put all that a signed body tells into Kafka; False where Kafka did not take it."""
        now = datetime.now(UTC)
        try:
            if len(body) <= LARGE:
                records, noticed = await self._records(body, now)
            else:
                # Taken apart, a body is ten times its bytes: one of the large ones at a time.
                async with self._one_large_body:
                    await asyncio.sleep(0)
                    records, noticed = await self._records(body, now)
        except Exception as error:
            # Whatever a signed body holds, it is Meta's word: keep it rather than refuse it for 7 days.
            log.error("a webhook could not be taken apart", action="webhook_kept_whole", error=type(error).__name__)
            kept = whole(body, received_at=now, reason=f"it could not be taken apart: {type(error).__name__}")
            records, noticed = [encode(kept, SOURCE)], {}
        try:
            await self._publisher.publish_records(records)
        except KafkaUnavailable:
            _REFUSED_NOT_DURABLE.inc()
            return False
        self._remember(noticed)
        _PUBLISHED.inc()
        return True

    async def _records(self, body: bytes, now: datetime) -> tuple[list[Record], dict[str, date]]:
        """The records of a webhook, and the WABAs it is the first evidence of today for."""
        records: list[Record] = []
        noticed: dict[str, date] = {}
        began = time.perf_counter()
        for event in facts_in(body, received_at=now, owner=self._replica.owner):
            records.append(encode(event, SOURCE))
            EVENTS_MADE.labels(type(event).__name__).inc()
            if isinstance(event, Unrecognised):
                # Whatever is not made like a name of Meta's may be anything, also somebody's number.
                field = event.field if _FIELD.fullmatch(event.field or "") else None
                log.info("no model for a change", action="unrecognised", field=field)
            evidence = self._evidence(event, now)
            if evidence is not None and evidence.waba_id not in noticed:
                noticed[evidence.waba_id] = evidence.day
                records.append(encode(evidence, SOURCE))
            if time.perf_counter() - began > MOST_AT_ONCE:
                await asyncio.sleep(0)
                began = time.perf_counter()
        if any(len(record.value or b"") > MOST_IN_A_RECORD for record in records):
            raise ValueError("escaped, a part of it is too large for a record")
        return records, noticed

    def _evidence(self, event: Event, now: datetime) -> WebhookSeen | None:
        waba_id = event.subject
        if waba_id is None or self._seen.get(waba_id) == now.date():
            return None
        return WebhookSeen(
            id=fact_id(WebhookSeen.type, waba_id, now.date().isoformat()),
            time=now,
            org_id=event.org_id,
            waba_id=waba_id,
            day=now.date(),
            field=str(getattr(event, "field", None) or type(event).__name__),
        )

    def _remember(self, noticed: dict[str, date]) -> None:
        for waba_id, day in noticed.items():
            self._seen[waba_id] = day
            self._seen.move_to_end(waba_id)
        while len(self._seen) > SEEN_WABAS:
            self._seen.popitem(last=False)

    async def _publishing(self, _app: web.Application) -> AsyncIterator[None]:
        await self._publisher.start()
        yield
        await self._publisher.stop()


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        WEBHOOKS.labels("refused_too_large").inc()
        raise _too_large() from None
    except TimeoutError:
        WEBHOOKS.labels("refused_slow").inc()
        raise Problem(408, "request_timeout", "Request timeout", "The body did not arrive in time.") from None


@lru_cache(maxsize=1)
def _day(number: int) -> date:
    return date.fromordinal(_DAY_0 + number)


def _today() -> date:
    """Of UTC."""
    return _day(int(time.time()) // 86_400)


def _received() -> web.Response:
    return web.Response(text="EVENT_RECEIVED")


def _too_large() -> Problem:
    return Problem(
        413, "too_large", "Payload too large", "A webhook has at most 3 MB.", headers={"Connection": "close"}
    )


def _try_again() -> Problem:
    return Problem(
        503,
        "not_stored",
        "Not stored",
        "The webhook could not be stored durably; deliver it again.",
        headers={"Retry-After": RETRY_AFTER},
    )


def install(app: web.Application, settings: GatewaySettings, role: Role) -> None:
    """The gateway has no background work: in the worker role it adds nothing."""
    if role != "worker":
        Gateway(settings).install(app)


service = Service("gateway", GatewaySettings, install)


def create_app(settings: GatewaySettings, role: Role = "all") -> web.Application:
    """The gateway alone."""
    return build_app([(service, settings)], role)
