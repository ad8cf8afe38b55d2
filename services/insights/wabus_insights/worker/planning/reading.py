"""Asks Meta each day what each account's messages cost, and publishes what it says that it did not say before.

An account has its turn in a place of its own after its midnight; one that can't be read is tried again later and later,
and stops no other's.
"""

import asyncio
from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import quote

import asyncpg
import structlog
from prometheus_client import Counter
from pydantic import SecretStr
from wabus_events import PricingRead, fact_id
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_whatsapp.graph_errors import BadRequest, GraphError, PermissionLost

from wabus_insights.costs.pricing_analytics import (
    Span,
    amounts_told,
    digest,
    fields,
    is_news,
    spans,
    volumes_in,
    zone_of,
)
from wabus_insights.tables.planning import accounts, pricing
from wabus_insights.tables.planning.accounts import Account
from wabus_insights.tables.planning.pricing import Turn
from wabus_insights.worker.turns import Scheduled, delay_after

NAME = "insights pricing"
LEASE = timedelta(minutes=20)
READ_TIMEOUT = 900.0  # seconds for one account
READ_AT_ONCE = 4
LOOK_EVERY = 5.0  # seconds between two looks for accounts that are due
CREDENTIALS_TIMEOUT = 60.0  # seconds for the credentials to be read at the start
TURN_AT = timedelta(hours=4)
"""After an account's midnight: Meta's numbers of the day before are there by then."""
TURNS_WITHIN = timedelta(hours=3)
"""The turns of all accounts of a zone are spread over so long."""
NO_ACCESS = timedelta(hours=24)
"""Until an account is tried again whose token does not let us: a new one is noticed by itself."""
AMOUNTS_AGAIN = timedelta(days=30)
"""Where Meta tells no amounts it is asked for them again after that: an account may leave a credit line."""

READS = Counter("wabus_pricing_reads_total", "Accounts that Meta was asked about what they cost.", ["outcome"])
for _outcome in ("read", "no_access", "failed"):
    READS.labels(_outcome)

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads accounts that are due, as one of any number of workers. The clock is an argument."""

    pool: asyncpg.Pool
    graph: Graph
    credentials: CredentialCache
    keyring: Keyring
    publisher: Publisher
    now: Callable[[], datetime] = _now
    scheduled: Scheduled = field(default_factory=Scheduled)

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        await self.credentials.whole(CREDENTIALS_TIMEOUT)
        await run_due(DueWork(NAME, self.take, _whose, self.read, READ_AT_ONCE, LOOK_EVERY), ready)

    async def take(self, room: int, busy: Multiset[str]) -> list[Turn]:
        """Take accounts that are due, as far as there is room. Who is connected since has a turn too."""
        now = self.now()
        await self.scheduled.keep_up(self.credentials, lambda new: pricing.schedule(self.pool, new, now))
        return await pricing.take(self.pool, room, list(busy), LEASE, now)

    async def read(self, turn: Turn) -> None:
        """Read one account, or write down why not and when again."""
        now = self.now()
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                await self._read(turn, now)
        except DATABASE_AWAY:
            raise
        except GraphError as error:
            await self._later(turn, error.code, error.wait, retryable=error.retryable)
        except CannotOpen:
            await self._later(turn, "credential_unreadable", None, retryable=False)
        except (KafkaUnavailable, RecordRefused, TimeoutError) as error:
            await self._later(turn, type(error).__name__, None, retryable=True)
        except Exception:  # whatever it is, it is about this account, and shall not stop the others
            log.exception("an account's pricing can't be read", action="pricing_broke", waba_id=turn.waba_id)
            await self._later(turn, "internal_error", None, retryable=True)
        else:
            READS.labels("read").inc()

    async def _read(self, turn: Turn, now: datetime) -> None:
        credential = self.credentials.credential(turn.waba_id)
        if credential is None or credential.org_id != turn.org_id:
            await pricing.end(self.pool, turn)
            self.scheduled.forget(turn.waba_id)
            return
        token = self.keyring.open(credential)
        account = await accounts.one(self.pool, turn.waba_id)
        if account is None or account.org_id != turn.org_id:
            # The fold of accounts is behind; the clocks and the currency follow from it.
            await pricing.failed(self.pool, turn, now + timedelta(seconds=5), "not_known_yet")
            return
        zone = zone_of(account.time_zone)
        today = now.astimezone(zone).date()
        first = _first_day(account, zone)
        untold_at = turn.amounts_untold_at
        if untold_at and now - untold_at > AMOUNTS_AGAIN:
            untold_at = None
        complete_from = today
        for span in spans(today, turn.complete_from):
            if span.last < first:
                break
            asked = Span(max(span.first, first), span.last)
            untold_at = await self._read_span(turn, account, token, asked, zone, today, untold_at)
            complete_from = asked.first
        if turn.complete_from:
            complete_from = min(complete_from, turn.complete_from)
        await pricing.done(self.pool, turn, now, _next_turn(turn.waba_id, today, zone), complete_from, untold_at)
        log.info("pricing read", action="pricing_read", waba_id=turn.waba_id, org_id=turn.org_id)

    async def _read_span(
        self,
        turn: Turn,
        account: Account,
        token: SecretStr,
        span: Span,
        zone: tzinfo,
        today: date,
        untold_at: datetime | None,
    ) -> datetime | None:
        """Read some days. Returns when Meta last told no amounts."""
        path, at = quote(turn.waba_id, safe=""), self.now()
        try:
            asked = fields(span, zone, amounts=untold_at is None)
            answer, _ = await self.graph.call("GET", path, token, {"fields": asked}, account=turn.waba_id)
        except (BadRequest, PermissionLost):
            if untold_at is not None:
                raise
            # It may be the amounts that it refuses; if it is anything else, it refuses this too.
            asked = fields(span, zone, amounts=False)
            answer, _ = await self.graph.call("GET", path, token, {"fields": asked}, account=turn.waba_id)
            untold_at = at
        days = volumes_in(answer, span, zone)
        if untold_at is None and not all(amounts_told(volumes) for volumes in days.values()):
            untold_at = at
        known = await pricing.known(self.pool, turn.waba_id, span.first, span.last)
        events: list[PricingRead] = []
        for day, volumes in days.items():
            told = digest(volumes, account.currency)
            if is_news(day, volumes, known.get(day), told, today):
                events.append(
                    PricingRead(
                        id=fact_id(PricingRead.type, turn.waba_id, day.isoformat(), told, at.date().isoformat()),
                        time=at,
                        org_id=turn.org_id,
                        waba_id=turn.waba_id,
                        priced_on=day,
                        time_zone=account.time_zone,
                        currency=account.currency,
                        amounts_told=amounts_told(volumes),
                        volumes=volumes,
                    )
                )
        await self.publisher.publish(events)
        return untold_at

    async def _later(self, turn: Turn, code: str, wait: float | None, *, retryable: bool) -> None:
        delay = delay_after(turn.failures, wait, None if retryable else NO_ACCESS)
        await pricing.failed(self.pool, turn, self.now() + delay, code)
        READS.labels("failed" if retryable else "no_access").inc()
        log.info(
            "pricing not read", action="pricing_failed", waba_id=turn.waba_id, code=code, failures=turn.failures + 1
        )


def _first_day(account: Account, zone: tzinfo) -> date:
    """From when on an organisation may be told: nothing of a time when the account was somebody else's."""
    if account.had_another_owner and account.since is not None:
        return account.since.astimezone(zone).date() + timedelta(days=1)
    return date.min


def _next_turn(waba_id: str, today: date, zone: tzinfo) -> datetime:
    """After the account's next midnight, in a place that is always its own."""
    midnight = datetime.combine(today + timedelta(days=1), time(), zone).astimezone(UTC)
    share = int(fact_id("wabus.PricingTurn", waba_id)[:8], 16) / 2**32
    return midnight + TURN_AT + TURNS_WITHIN * share


def _whose(turn: Turn) -> str:
    return turn.waba_id
