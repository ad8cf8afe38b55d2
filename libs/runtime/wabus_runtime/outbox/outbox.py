"""An outbox: the events of topics become webhooks to others, at least once, and in order for an organisation.

A projection folds the topics into the table `outbox`, where each event waits until its endpoint has taken it. What is
not taken is tried again, later each time, and holds up what comes after it for the same organisation at the same
endpoint, and nothing else. In the end it goes to the dead letters. The receiver knows repetitions by `webhook-id`.
"""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import aiohttp
import asyncpg
import structlog
from prometheus_client import Counter
from wabus_events import Event, Topic, decode, encode
from wabus_events.subscriber.policy import TooManyDeadLetters

from wabus_runtime.kafka.dead_letters import DeadLetterRefused, DeadLetters, TooManyOfOne
from wabus_runtime.outbox.addresses import PrivateAddress, public_connector
from wabus_runtime.outbox.names import Names
from wabus_runtime.outbox.rows import Entry, Waiting, Whose, delivered_until, done, enqueue, erase, put_off, take
from wabus_runtime.outbox.standard_webhook import headers_of, seconds_asked
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.erasing import KnownLines
from wabus_runtime.projection.recorded import Recorded, unprepared
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_runtime.settings import IdentitySettings

DELIVERY_TIMEOUT = 15.0  # seconds for one attempt
LEASE = timedelta(seconds=45)  # for one attempt and what is written of it; then another process may make the next
DELIVERIES = 256  # under way at once in one process: so many receivers may be slow before others wait for them
DELIVERIES_TO_ONE = 12  # the same for one endpoint: where many wait for a slow one, there is room for the others
DELIVERIES_OF_ONE = 24  # the same of one organisation to all of its endpoints: however many it has, others have room
LOOKUPS = 2 * DELIVERIES  # of names at once: those of deliveries that were given up meanwhile go on for a while
NOT_DELIVERED = "NotDelivered"  # why it is a dead letter: it was tried as often as it should be

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks are posted to, and the secrets that sign them: all do, so that they can be rotated."""

    url: str
    secrets: Sequence[bytes]
    public_only: bool = True
    """Whether it must be a public address. False only where an operator of ours has named it."""


class Endpoints(Protocol):
    """Who gets the webhooks of an outbox."""

    async def of(self, connection: Connection, events: Sequence[Event]) -> Sequence[Sequence[str]]:
        """For each event the names of the endpoints that are told of it.

        They never change, unlike what they stand for.
        """
        ...

    async def find(self, name: str) -> Endpoint | None:
        """The endpoint as it is now; None if there is none any more, and nothing of it has to be delivered."""
        ...

    async def attempted(self, attempt: "Attempt") -> None:
        """Take note of an attempt, before what follows from it is written down. May be called twice for one."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver an event, and what came of it."""

    entry: Entry
    event: Event
    number: int
    """Of this attempt, from 1."""
    status: int | None
    """Of the receiver's answer; None without one."""
    error: str | None
    """The name of what happened instead of an answer."""
    seconds: float
    next_in: timedelta | None
    """How long until the next attempt; None where there is none."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class OneEndpoint:
    """Everything goes to the same endpoint."""

    endpoint: Endpoint
    name: str = "operator"

    async def of(self, connection: Connection, events: Sequence[Event]) -> Sequence[Sequence[str]]:
        return [[self.name]] * len(events)

    async def find(self, name: str) -> Endpoint | None:
        return self.endpoint

    async def attempted(self, attempt: Attempt) -> None:
        """The log and the metrics are all that is kept of it."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a webhook is tried, and how long between: three times as long after each attempt, with jitter."""

    attempts: int = 12
    """While the receiver is away or in trouble: some six hours."""
    attempts_refused: int = 7
    """When it refuses this very webhook: six to twelve minutes, for so does a receiver that is just being deployed."""
    first: float = 2.0  # seconds
    longest: float = 2 * 3600.0  # seconds

    def delay(self, attempts: int, status: int | None, share: float, asked: float = 0) -> timedelta | None:
        """How long to wait after so many attempts, the last of which was answered with a status, or not at all.

        None where it was the last one. `share`, from 0 to 1, tells how much of the jitter is used. A receiver may have
        `asked` for so many seconds (RFC 9110, section 10.2.3), and gets them up to the longest wait. Pure.
        """
        refused = status is not None and 400 <= status < 500 and status not in (408, 425, 429)
        if attempts >= (self.attempts_refused if refused else self.attempts):
            return None
        wait = min(self.first * 3.0 ** (attempts - 1), self.longest) * (1 + share) / 2
        return timedelta(seconds=max(wait, min(asked, self.longest)))


@dataclass(frozen=True, slots=True)
class Outbox:
    """What is told to whom."""

    name: str
    """Of its projection and consumer group. It never changes."""
    topics: Sequence[Topic]
    body_of: Callable[[Event], bytes | None]
    """The payload of an event, the same bytes at every attempt; None for one that is told to nobody. Pure."""
    endpoints: Endpoints
    attempts: Counter
    """Counts the attempts, by `outcome`: delivered, refused or unanswered."""
    retries: Retries = field(default_factory=Retries)
    held: timedelta = timedelta(minutes=5)
    """How long one that should be given up waits where as much of many organisations should: it is not the events."""
    oldest: timedelta | None = None
    """What was logged longer ago is told to nobody, for it is no news any more; None where nobody may miss anything."""

    @property
    def projection(self) -> Projection:
        """What lets events wait. It begins with what comes from now on where nothing was ever delivered."""
        return Projection(
            self.name,
            tuple(self.topics),
            lambda: unprepared(self._enqueue),
            "wabus_runtime",
            erase=partial(erase, outbox=self.name),
            handled=partial(delivered_until, outbox=self.name),
        )

    async def _enqueue(self, connection: Connection, records: Sequence[Recorded]) -> None:
        since = None if self.oldest is None else datetime.now(UTC) - self.oldest
        recent = [record for record in records if since is None or record.logged_at >= since]
        if recent:
            names = await self.endpoints.of(connection, [record.event for record in recent])
            told = zip(recent, names, strict=True)
            # A body is made only of what somebody is told.
            told = ((record, to) for record, to in told if to and self.body_of(record.event) is not None)
            await enqueue(connection, self.name, entries_of(told))


def entries_of(told: Iterable[tuple[Recorded, Sequence[str]]]) -> list[Entry]:
    """What waits when these endpoints are told of these events. Pure."""
    found: list[Entry] = []
    for (event, _, partition, offset, _), names in told:
        record = encode(event, event.source)
        found += [Entry(name, event.org_id or "", record, partition, offset) for name in names]
    return found


async def deliver(settings: IdentitySettings, pool: asyncpg.Pool, outbox: Outbox, ready: Callable[[], None]) -> None:
    """Deliver what waits for ever, as one of any number of processes; returns only by an exception or cancellation.

    What waits of somebody who was forgotten is told to nobody, whether it was deleted already or not.
    """
    letters = DeadLetters(settings, outbox.name, limited_as=f"{outbox.name} deliveries")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(letters.close)
        names = Names(LOOKUPS)
        stack.push_async_callback(names.close)
        sessions = {public: await stack.enter_async_context(_session(public, names)) for public in (True, False)}
        run = _Deliveries(pool, outbox, sessions, letters, KnownLines(settings.identity_bytes))
        await run_due(DueWork(f"outbox {outbox.name}", run.take, _whose, run.deliver, DELIVERIES), ready)


def _whose(waiting: Waiting) -> Whose:
    return waiting.entry.endpoint, waiting.entry.lane


def _session(public_only: bool, names: Names) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=public_connector(names, DELIVERIES)
        if public_only
        else aiohttp.TCPConnector(limit=DELIVERIES, resolver=names),
        timeout=aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Nothing of an answer is read but its status: nothing is to be unpacked, however it is packed.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )


class _Deliveries:
    """What delivering takes."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        outbox: Outbox,
        sessions: dict[bool, aiohttp.ClientSession],
        letters: DeadLetters,
        forgotten: KnownLines,
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._sessions = sessions
        self._letters = letters
        self._forgotten = forgotten

    async def take(self, room: int, busy: Multiset[Whose]) -> list[Waiting]:
        """Take what is due, as far as there is room, and look who was forgotten until then."""
        taken = await take(
            self._pool,
            self._outbox.name,
            most=room,
            most_to_one=DELIVERIES_TO_ONE,
            most_of_one=DELIVERIES_OF_ONE,
            busy=busy,
            lease=LEASE,
        )
        if taken:
            await self._forgotten.look(self._pool)
        return taken

    async def deliver(self, waiting: Waiting) -> None:
        """Deliver one, or let it wait for its next attempt, or give it up."""
        outbox, name = self._outbox, waiting.entry.endpoint
        record = self._forgotten.left_of(waiting.entry.record)
        if record is None:
            await done(self._pool, waiting)
            return
        waiting = waiting._replace(entry=waiting.entry._replace(record=record))
        endpoint = await outbox.endpoints.find(name)
        try:
            event = decode(record.headers, record.value)
            body = outbox.body_of(event)
        except Exception as error:  # whatever it is, it is about this event, and would come again for ever
            await self._give_up(waiting, type(error).__name__)
            return
        if endpoint is not None and body is not None:
            attempt = await self._attempt(endpoint, waiting, event, body)
            await outbox.endpoints.attempted(attempt)
            if not attempt.delivered:
                if attempt.next_in is not None:
                    await put_off(self._pool, waiting, attempt.next_in)
                elif await outbox.endpoints.find(name) is not None:
                    await self._give_up(waiting, NOT_DELIVERED)
                return
            self._letters.handled([event.org_id])
        await done(self._pool, waiting)

    async def _give_up(self, waiting: Waiting, reason: str) -> None:
        entry = waiting.entry
        try:
            await self._letters.keep(entry.record, reason, partition=entry.partition, offset=entry.log_offset)
        except DeadLetterRefused as refused:
            log.error("a webhook is lost", action="webhook_lost", outbox=self._outbox.name, error=str(refused))
        except TooManyOfOne as enough:
            # One receiver that takes nothing stops nobody else's webhooks; the event itself stays in its topic.
            log.error("a webhook is given up", action="webhook_given_up", outbox=self._outbox.name, error=str(enough))
        except TooManyDeadLetters as many:
            # Of so many organisations that it is not their webhooks: a network, a host of many receivers, a release
            # of ours. Each goes on waiting, and holds up its own lane.
            log.error("a webhook is held", action="webhook_held", outbox=self._outbox.name, error=str(many))
            await put_off(self._pool, waiting, self._outbox.held)
            return
        await done(self._pool, waiting)

    async def _attempt(self, endpoint: Endpoint, waiting: Waiting, event: Event, body: bytes) -> Attempt:
        outbox, clock = self._outbox, asyncio.get_running_loop().time
        headers = headers_of(event.id, body, endpoint.secrets, datetime.now(UTC))
        session = self._sessions[endpoint.public_only]
        about = {"outbox": outbox.name, "webhook_id": event.id, "org_id": event.org_id}
        status, error, asked, begun = None, None, 0.0, clock()
        try:
            async with session.post(endpoint.url, data=body, headers=headers, allow_redirects=False) as response:
                status, asked = response.status, seconds_asked(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as raised:  # a host's name may be no name
            cause = getattr(raised, "os_error", None)
            error = type(cause if isinstance(cause, PrivateAddress) else raised).__name__
            log.info("a webhook got no answer", action="webhook_failed", error=error, **about)
        outcome = "unanswered" if status is None else "delivered" if 200 <= status < 300 else "refused"
        outbox.attempts.labels(outcome).inc()
        log.info("webhook", action="webhook_" + outcome, status=status, **about)
        delay = None
        if outcome != "delivered":
            delay = outbox.retries.delay(waiting.attempts, status, random.random(), asked)  # noqa: S311
        return Attempt(waiting.entry, event, waiting.attempts, status, error, clock() - begun, delay)
