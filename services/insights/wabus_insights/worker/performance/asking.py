"""Asks Meta each day what it has counted of templates, and to begin counting where somebody has confirmed that.

Where Meta counts nothing it is not asked. An account that can't be read is tried again later, and stops no other's.
"""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import asyncpg
import structlog
from pydantic import SecretStr
from wabus_events import TemplateInsightsRead, TemplateInsightsSettled, fact_id
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.directory.directory import Directory
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.pages import next_cursor
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_whatsapp.graph_errors import GraphError, MalformedAnswer

from wabus_insights.costs.pricing_analytics import zone_of
from wabus_insights.performance import template_analytics as analytics
from wabus_insights.tables.performance import insights
from wabus_insights.tables.performance.insights import Turn
from wabus_insights.worker.turns import Scheduled, delay_after

NAME = "insights of templates"
LEASE = timedelta(minutes=20)
READ_TIMEOUT = 900.0  # seconds for one account
READ_AT_ONCE = 4
LOOK_EVERY = 5.0  # seconds between two looks for accounts that are due
CREDENTIALS_TIMEOUT = 60.0  # seconds for the credentials to be read at the start
EVERY = timedelta(hours=24)
NOT_COUNTED_AGAIN = timedelta(days=7)
"""Until it is looked once more whether Meta counts somewhere."""
PAGES_MAX = 200  # of one answer: ten templates in 90 days are nine

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Asking:
    """Reads accounts that are due, as one of any number of workers. The clock is an argument."""

    pool: asyncpg.Pool
    graph: Graph
    graph_url: str
    credentials: CredentialCache
    keyring: Keyring
    publisher: Publisher
    directory: Directory
    now: Callable[[], datetime] = _now
    scheduled: Scheduled = field(default_factory=Scheduled)

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        await self.credentials.whole(CREDENTIALS_TIMEOUT)
        await run_due(DueWork(NAME, self.take, lambda turn: turn.waba_id, self.ask, READ_AT_ONCE, LOOK_EVERY), ready)

    async def take(self, room: int, busy: Multiset[str]) -> list[Turn]:
        """Take accounts that are due, as far as there is room. Who is connected since has a turn too."""
        now = self.now()
        await self.scheduled.keep_up(self.credentials, lambda new: insights.schedule(self.pool, new, now))
        return await insights.take(self.pool, room, list(busy), LEASE, now)

    async def ask(self, turn: Turn) -> None:
        """Read one account, or write down why not and when again."""
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                await self._ask(turn, self.now())
        except DATABASE_AWAY:
            raise
        except GraphError as error:
            await self._later(turn, error.code, error.wait)
        except (CannotOpen, KafkaUnavailable, RecordRefused, TimeoutError) as error:
            await self._later(turn, type(error).__name__, None)
        except Exception:  # whatever it is, it is about this account, and shall not stop the others
            log.exception("an account's templates can't be read", action="insights_broke", waba_id=turn.waba_id)
            await self._later(turn, "internal_error", None)

    async def _ask(self, turn: Turn, now: datetime) -> None:
        credential = self.credentials.credential(turn.waba_id)
        if credential is None or credential.org_id != turn.org_id:
            await insights.end(self.pool, turn)
            self.scheduled.forget(turn.waba_id)
            return
        token = self.keyring.open(credential)
        account = self.directory.account(turn.waba_id)
        if account and account.country in analytics.WITHOUT:
            await self._settle_if_wanted(turn, now, "unavailable", None)
            await insights.done(self.pool, turn, now + NOT_COUNTED_AGAIN, "unavailable", None)
            return
        path = quote(turn.waba_id, safe="")
        try:
            if turn.wanted:
                query = {"is_enabled_for_insights": "true"}
                await self.graph.call("POST", path, token, query, account=turn.waba_id)
                await self._settle_if_wanted(turn, now, "on", None)
            await self._read(turn, token, path, now)
        except GraphError as error:
            state = {analytics.NOT_ENABLED: "off", analytics.UNAVAILABLE: "unavailable"}.get(error.graph_subcode or 0)
            if state is None and (error.retryable or not turn.wanted):
                raise
            if state != "off":
                await self._settle_if_wanted(turn, now, "unavailable" if state else "refused", error.code)
            wait = EVERY if state == "off" else NOT_COUNTED_AGAIN
            await insights.done(self.pool, turn, now + wait, state or "refused", None)
            return
        await insights.done(self.pool, turn, now + EVERY * random.uniform(0.9, 1), "on", now)  # noqa: S311

    async def _read(self, turn: Turn, token: SecretStr, path: str, now: datetime) -> None:
        account = self.directory.account(turn.waba_id)
        zone = zone_of(account.time_zone if account else None)
        today = now.astimezone(zone).date()
        first = max(today - (analytics.AGAIN if turn.read_before else analytics.LONGEST), self._since(turn))
        ids = await insights.sent_since(self.pool, turn.org_id, turn.waba_id, first)
        for place in range(0, len(ids), analytics.TEMPLATES_AT_ONCE):
            some = ids[place : place + analytics.TEMPLATES_AT_ONCE]
            known = await insights.known(self.pool, turn.org_id, turn.waba_id, some, first)
            query = analytics.query(some, first, today, in_zone=zone is not UTC)
            async for answer in self._pages(turn, token, f"{path}/template_analytics", query):
                if days := analytics.news(analytics.days_in(answer, zone), known):
                    await self.publisher.publish([_read_event(turn, days, now)])
        log.info("templates read", action="insights_read", waba_id=turn.waba_id, org_id=turn.org_id, templates=len(ids))

    async def _pages(
        self, turn: Turn, token: SecretStr, path: str, query: Mapping[str, str]
    ) -> AsyncGenerator[Mapping[str, Any]]:
        after: str | None = None
        for _ in range(PAGES_MAX):
            asked = {**query, **({"after": after} if after else {})}
            answer, _used = await self.graph.call("GET", path, token, asked, account=turn.waba_id)
            yield answer
            after = next_cursor(answer, self.graph_url, full=False)
            if after is None:
                return
        raise MalformedAnswer

    def _since(self, turn: Turn) -> date:
        """From when on an organisation may be told: nothing of a time when the account was somebody else's."""
        account = self.directory.account(turn.waba_id)
        others = [one for one in account.connections if one.org_id not in (None, turn.org_id)] if account else []
        if account is None or not others:
            return date.min
        return account.connections[-1].since.date() + timedelta(days=1)

    async def _settle_if_wanted(
        self, turn: Turn, now: datetime, outcome: Literal["on", "unavailable", "refused"], code: str | None
    ) -> None:
        if turn.wanted:
            settled = TemplateInsightsSettled(
                id=fact_id(TemplateInsightsSettled.type, turn.waba_id, outcome, now.isoformat()),
                time=now,
                org_id=turn.org_id,
                waba_id=turn.waba_id,
                outcome=outcome,
                code=code,
            )
            await self.publisher.publish([settled])

    async def _later(self, turn: Turn, code: str, wait: float | None) -> None:
        await insights.failed(self.pool, turn, self.now() + delay_after(turn.failures, wait), code)
        log.info("templates not read", action="insights_failed", waba_id=turn.waba_id, code=code)


def _read_event(turn: Turn, days: list[Any], now: datetime) -> TemplateInsightsRead:
    what = ";".join(f"{day.template_id} {day.day} {day.sent} {day.delivered} {day.read} {day.clicked}" for day in days)
    return TemplateInsightsRead(
        id=fact_id(TemplateInsightsRead.type, turn.waba_id, what),
        time=now,
        org_id=turn.org_id,
        waba_id=turn.waba_id,
        days=days,
    )
