"""The gateway over HTTP: Meta's webhooks in, events to Kafka, and an answer only when Kafka has them.

Stateless but for a replica of who owns which WABA; any number of gateways may run side by side.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from prometheus_client import Counter, Gauge
from pydantic import Field
from wabus_events import CallbackVerified, fact_id
from wabus_events.subscriber import TooManyDeadLetters
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.http.answers import CHECKS, Problem
from wabus_runtime.http.rates import Rates, source_of
from wabus_runtime.identity.lines import KnownLines
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.dead_letters import DeadLetterRefused, DeadLetters
from wabus_runtime.kafka.publisher import Patience, Publisher
from wabus_runtime.observe import tracing
from wabus_runtime.observe.timings import Timings
from wabus_runtime.service.process import DRAIN_TIMEOUT, DRAINS, FRONT, MAX_BODY, Role, Service, background, build_app
from wabus_runtime.settings import HttpSettings

from wabus_gateway.api.connecting import ConnectApi, ConnectApiSettings
from wabus_gateway.api.status_page import UiSettings, install_ui
from wabus_gateway.api.unverified import Body, Unverified
from wabus_gateway.fast_path.http import Answered, FastPath
from wabus_gateway.webhooks.signature import is_handshake, is_signed, may_be_webhook, verify_token_of
from wabus_gateway.worker.connect import SOURCE
from wabus_gateway.worker.publish import ANSWERED_WITHIN, LARGE, Done, WebhookPublisher

if TYPE_CHECKING:
    from opentelemetry.trace import Span

READ_TIMEOUT = 10.0  # seconds for a body to arrive
PATIENCE = Patience(publish=ANSWERED_WITHIN)
RETRY_AFTER = "5"  # seconds; Meta has its own growing delays and goes on for up to 7 days

HANDSHAKES = Counter("wabus_handshakes_total", "Handshakes by what became of them.", ["outcome"])
IN_FLIGHT = Gauge("wabus_webhooks_in_flight", "Webhooks being handled now.")
WEBHOOKS = Counter("wabus_webhooks_total", "Webhooks by what became of them.", ["outcome"])
WEBHOOK_SECONDS = Timings(
    "wabus_webhook_seconds",
    "From the head of a webhook to its answer, whatever it is; those refused while busy are not timed.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)

_PUBLISHED = WEBHOOKS.labels("published")
_REFUSED_BUSY = WEBHOOKS.labels("refused_busy")
_REFUSED_NOT_DURABLE = WEBHOOKS.labels("refused_not_durable")
_REFUSED_BY_KAFKA = WEBHOOKS.labels("refused_by_kafka")

log = structlog.get_logger()


class GatewaySettings(HttpSettings, ConnectApiSettings, UiSettings):
    gateway_max_in_flight: int = Field(default=2_000, ge=1)
    """Webhooks being handled at once; beyond that the answer is 503 and Meta delivers again."""
    gateway_max_bytes_in_flight: int = Field(default=64 * 1024 * 1024, ge=MAX_BODY)
    """The same for the bytes of their bodies. In memory a webhook takes some three times its body.

    Bodies that are not known to be Meta's yet have as much of both for themselves: who sends none keeps nobody out.
    """
    gateway_fast_path: bool = True
    """Whether plain webhooks with a single fact take the short cut. The long way does the same, at more CPU."""
    tell_unrecognised_too: bool = False
    """Whether what has a model only since this release is told as `Unrecognised` too, as before. For one release."""
    gateway_bad_signatures_a_minute: int = Field(default=60, ge=1)
    """So many are answered 403 to each source, with forged signed requests, states and handshakes of a wrong token, the
    rest 429; Meta's never count."""
    gateway_source_header: str | None = None
    """Where our own proxy writes who called, such as X-Forwarded-For; its last address counts. None: who connected."""


class Gateway:
    """The handlers and what they share: the publisher, the replica, and how much is under way."""

    def __init__(self, settings: GatewaySettings, patience: Patience) -> None:
        self._settings = settings
        self._answered_within = patience.publish or ANSWERED_WITHIN
        self._secrets = [secret.get_secret_value().encode() for secret in settings.meta_app_secrets]
        self._publisher = Publisher(settings, SOURCE, patience)
        self._replica = CredentialCache(settings)
        self._forgotten = KnownLines(settings)
        self._dead_letters = DeadLetters(settings, "gateway")
        self._intake = WebhookPublisher(
            self._publisher,
            self._dead_letters,
            self._replica,
            self._forgotten,
            settings.meta_app_id,
            self._answered_within,
            unrecognised_too=settings.tell_unrecognised_too,
        )
        self._refusals = Rates(settings.gateway_bad_signatures_a_minute)
        self._in_flight = 0
        self._bytes = 0
        self._unverified = Unverified(settings.gateway_max_in_flight, settings.gateway_max_bytes_in_flight)
        self._drained: asyncio.Event | None = None
        self._fast_path: FastPath | None = None
        self._slower: set[asyncio.Task[None]] = set()
        IN_FLIGHT.set_function(lambda: len(self._unverified) + self._in_flight)

    def install(self, app: web.Application) -> None:
        for path in ("/webhooks/whatsapp", "/webhooks/whatsapp/{waba_id}"):
            app.router.add_get(path, self.handshake, allow_head=False)
            app.router.add_post(path, self.receive)
        background(app, "account-owners", self._replica.run)  # reads while the publisher connects
        background(app, "erasures", self._forgotten.run)
        app.cleanup_ctx.append(self._publishing)
        if self._settings.gateway_fast_path:
            problems = {408: _too_slow(), 500: _not_storable(), 503: _try_again()}
            answers = {200: _received(), **{status: each.response() for status, each in problems.items()}}
            self._fast_path = FastPath(self, answers)
            app[FRONT] = self._fast_path.before
        app[DRAINS].append(self._drain)
        app[CHECKS].append(lambda: None if self._publisher.available else "kafka")
        pseudonyms = Pseudonyms(self._settings, self._publisher)
        background(app, "names", pseudonyms.run)
        ConnectApi(self._settings, self._replica, pseudonyms, self._too_often).install(app)
        install_ui(app, self._settings)

    async def handshake(self, request: web.Request) -> web.Response:
        """Meta asks whether a callback URL is ours. For a WABA's own URL the answer is evidence, so it is kept."""
        waba_id = request.match_info.get("waba_id")
        token = self._settings.meta_verify_token.get_secret_value()
        expected = token if waba_id is None else verify_token_of(waba_id, token)
        if not is_handshake(request.query.get("hub.mode"), request.query.get("hub.verify_token"), expected):
            HANDSHAKES.labels("refused").inc()
            raise self._too_often(request) or Problem(
                403, "forbidden", "Forbidden", "This is not a verification request for this callback."
            )
        if waba_id is not None:
            now = datetime.now(UTC)
            url = f"{self._settings.public_url}/webhooks/whatsapp/{waba_id}"
            await self._replica.whole(self._answered_within)
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
        """Verify, publish, and only then answer 200. 403 not Meta's, 413 too large, 503 not durable: deliver again.

        500 where Kafka refuses for good to keep it anywhere.
        """
        size = request.content_length or 0
        if size > MAX_BODY:
            raise _too_large()
        if not self._has_room(size):
            raise _busy()
        with WEBHOOK_SECONDS.time():
            try:
                body = await self._verified(request)
                if not self._admits(len(body)):
                    raise _try_again()
            finally:
                self._look_whether_drained()
            try:
                await self._intake.publish(body)
            except (KafkaUnavailable, DeadLetterRefused, TooManyDeadLetters) as error:
                raise (_try_again() if _status_after(error) == 503 else _not_storable()) from None
            finally:
                self._release(len(body))
            _PUBLISHED.inc()
            return _received()

    async def _verified(self, request: web.Request) -> bytes:
        """The body once it is here and Meta's. Until then what has come counts, not what was announced."""
        body = bytearray()
        under_way: Body | None = None
        try:
            async with asyncio.timeout(READ_TIMEOUT) as timeout:
                under_way = self._unverified.begin(timeout)
                if under_way is None:
                    raise _busy()
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise _too_large()
                    if not self._unverified.add(under_way, len(chunk)):
                        raise _busy()
            self._unverified.is_here(under_way)
            whole = bytes(body)
            if not await self._is_genuine(whole, request.headers.get("X-Hub-Signature-256")):
                raise self._not_signed(request)
            if not may_be_webhook(whole):
                raise self._no_webhook(request)
            return whole
        except TimeoutError:
            self.note_slow()
            raise _too_slow() from None
        finally:
            if under_way is not None:
                self._unverified.end(under_way)

    async def _is_genuine(self, body: bytes, signature: str | None) -> bool:
        if len(body) <= LARGE:
            return is_signed(body, signature, self._secrets)
        # Several ms for each secret, in which the hash gives up the interpreter.
        return await asyncio.to_thread(is_signed, body, signature, self._secrets)

    def _not_signed(self, request: web.Request) -> Problem:
        if limited := self._too_often(request):
            WEBHOOKS.labels("refused_rate").inc()
            return limited
        WEBHOOKS.labels("refused_signature").inc()
        return Problem(403, "forbidden", "Forbidden", "The request is not signed as it must be.")

    def _no_webhook(self, request: web.Request) -> Problem:
        if limited := self._too_often(request, "no_webhook"):
            WEBHOOKS.labels("refused_rate").inc()
            return limited
        WEBHOOKS.labels("refused_no_webhook").inc()
        return Problem(403, "no_webhook", "Forbidden", "What is signed is no webhook: those are JSON objects.")

    def _too_often(
        self, request: web.Request, action: str = "not_from_meta", reason: str | None = None
    ) -> Problem | None:
        """The answer to a source that has sent too much that is to be refused; None, and a log line, until then."""
        named = self._settings.gateway_source_header
        forwarded = request.headers.getall(named, [""])[-1] if named else None
        source = source_of(request.remote, forwarded)
        wait = self._refusals.note(source, time.monotonic())
        if wait is None:
            about = {} if reason is None else {"reason": reason}
            log.warning("a request was refused", action=action, method=request.method, source=source, **about)
            return None
        return Problem(
            429,
            "too_many_bad_signatures",
            "Too many requests",
            "Too many requests from there are not signed as they must be.",
            headers={"Retry-After": str(math.ceil(wait)), "Connection": "close"},
        )

    def is_genuine(self, body: bytes, signature: str) -> bool:
        """Whether a body is signed, and a webhook."""
        return is_signed(body, signature, self._secrets) and may_be_webhook(body)

    def note_slow(self) -> None:
        """A webhook's body did not come in its time."""
        WEBHOOKS.labels("refused_slow").inc()

    def take(self, body: bytes, route: str, answered: Answered) -> None:
        """`receive` for a small body that is here and signed; where it holds just one fact, without a task.

        What is recorded in a trace takes the long way, for that has the steps to record.
        """
        size, started = len(body), time.perf_counter()
        if not self._admits(size):
            answered(503)
            return

        def done(error: Exception | None) -> None:
            self._release(size)
            WEBHOOK_SECONDS.observe(time.perf_counter() - started)
            if error is None:
                _PUBLISHED.inc()
                answered(200)
            else:
                answered(_status_after(error))

        span = tracing.begin_request("POST", route)
        if span or not self._intake.submit_single_event(body, done):
            task = asyncio.create_task(self._take_slower(body, span, route, done))
            self._slower.add(task)
            task.add_done_callback(self._slower.discard)

    async def _take_slower(self, body: bytes, span: "Span | None", route: str, done: Done) -> None:
        outcome: Exception | None = KafkaUnavailable("not published")
        try:
            with tracing.handling(span):
                await self._intake.publish(body)
            outcome = None
        except (KafkaUnavailable, DeadLetterRefused, TooManyDeadLetters) as error:
            outcome = error
        except Exception:
            log.exception("a webhook failed", action="webhook_failed", path=route)
        finally:
            done(outcome)

    def _admits(self, size: int) -> bool:
        """Whether there is room for a webhook with a body of so many bytes; if so, it has it until released."""
        if not self._has_room(size):
            _REFUSED_BUSY.inc()
            return False
        self._in_flight += 1
        self._bytes += size
        return True

    def _has_room(self, size: int) -> bool:
        return (
            self._in_flight < self._settings.gateway_max_in_flight
            and self._bytes + size <= self._settings.gateway_max_bytes_in_flight
            and self._publisher.connected
        )

    def _release(self, size: int) -> None:
        self._in_flight -= 1
        self._bytes -= size
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        if self._drained and not self._in_flight and not self._unverified:
            self._drained.set()

    async def _drain(self) -> None:
        """Answer what has begun to arrive. aiohttp alone would read no more of it."""
        if self._fast_path:
            await self._fast_path.drain()
            await asyncio.sleep(0)  # what the front has just handed over begins
        if self._in_flight or self._unverified:
            self._drained = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await self._drained.wait()

    async def _publishing(self, _app: web.Application) -> AsyncIterator[None]:
        await self._publisher.start()
        yield
        await self._publisher.stop()
        await self._dead_letters.close()


def _received() -> web.Response:
    return web.Response(text="EVENT_RECEIVED")


def _too_large() -> Problem:
    WEBHOOKS.labels("refused_too_large").inc()
    return Problem(
        413, "too_large", "Payload too large", "A webhook has at most 3 MB.", headers={"Connection": "close"}
    )


def _busy() -> Problem:
    _REFUSED_BUSY.inc()
    return _try_again()


def _too_slow() -> Problem:
    return Problem(
        408,
        "request_timeout",
        "Request timeout",
        "The body did not arrive in time.",
        headers={"Connection": "close"},
    )


def _status_after(error: Exception) -> int:
    """What Meta is told of a webhook that ended so, which is counted; it delivers again in any case."""
    if isinstance(error, KafkaUnavailable):
        _REFUSED_NOT_DURABLE.inc()
        return 503
    _REFUSED_BY_KAFKA.inc()
    log.error("a webhook can't be kept", action="webhook_refused_by_kafka", error=type(error).__name__, why=str(error))
    return 500


def _not_storable() -> Problem:
    return Problem(500, "not_storable", "Not storable", "The event bus does not accept what the webhook tells.")


def _try_again() -> Problem:
    return Problem(
        503,
        "not_stored",
        "Not stored",
        "The webhook could not be stored durably; deliver it again.",
        headers={"Retry-After": RETRY_AFTER},
    )


def install(app: web.Application, settings: GatewaySettings, role: Role, patience: Patience = PATIENCE) -> None:
    """The gateway has no background work: in the worker role it adds nothing."""
    if role != "worker":
        Gateway(settings, patience).install(app)


service = Service("gateway", {"api": GatewaySettings, "worker": HttpSettings, "all": GatewaySettings}, install)


def create_app(settings: GatewaySettings, role: Role = "all", patience: Patience = PATIENCE) -> web.Application:
    """The gateway alone."""
    return build_app([(replace(service, install=partial(install, patience=patience)), settings)], role)
