"""Works out from time to time what each organisation is advised to do. Nothing acts by itself."""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import get_args

import asyncpg
import structlog
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import column_of

from wabus_insights.advice.evidence import Allowance, Evidence, Price, Prices, Unreachable
from wabus_insights.advice.rules import MONTH, Kind, advise
from wabus_insights.costs.budget import Month, local_day
from wabus_insights.tables.costs.prices import load
from wabus_insights.tables.costs.recounts import under_way
from wabus_insights.tables.planning import accounts, advice, advice_days, evidence
from wabus_insights.tables.planning.accounts import Account
from wabus_insights.worker.planning.counting import days_of

NAME = "insights advice"
WORKED_OUT_EVERY = timedelta(hours=6)
AFTER_FAILURE = timedelta(minutes=15)
AFTER_RECOUNT = timedelta(minutes=2)
A_DAY = timedelta(days=1)
LEASE = timedelta(minutes=5)
TIMEOUT = 120.0  # seconds for one organisation
AT_ONCE = 2
LOOK_EVERY = 2.0  # seconds between two looks for organisations that are due
STATEMENT_LIMIT = 20.0  # seconds for a statement over messages
CATEGORIES = ("marketing", "utility", "authentication", "authentication_international", "service")

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Advising:
    """Works advice out for organisations that are due, as one of any number of workers. The clock is an argument."""

    pool: asyncpg.Pool
    every: timedelta = WORKED_OUT_EVERY
    now: Callable[[], datetime] = _now
    limit: float = STATEMENT_LIMIT

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        await run_due(DueWork(NAME, self.take, _whose, self.work_out, AT_ONCE, LOOK_EVERY), ready)

    async def take(self, room: int, busy: Multiset[str]) -> list[str]:
        """Take organisations that are due, as far as there is room."""
        return await advice.take(self.pool, room, list(busy), LEASE, self.now())

    async def work_out(self, org_id: str) -> None:
        """Work it out for one organisation; what is wrong with its rows stops nobody else's."""
        try:
            async with asyncio.timeout(TIMEOUT):
                recounting = await self._recounting(org_id)
                found, counted_to, unfinished = await self._evidence(org_id)
                if recounting or await self._recounting(org_id):  # it would stand for hours
                    await advice.put_off(self.pool, org_id, self.now() + AFTER_RECOUNT, get_args(Kind))
                    return
                given = advise(org_id, found)
                due_at = self.now() + self.every * random.uniform(0.8, 1.2)  # noqa: S311
                await advice.replace(self.pool, org_id, given, self.now(), due_at, counted_to, unfinished)
        except TimeoutError:  # it is an `OSError` too, as if the database were away
            log.warning("advice takes too long", action="advice_too_long", org_id=org_id)
            await advice.put_off(self.pool, org_id, self.now() + AFTER_FAILURE, get_args(Kind))
        except DATABASE_AWAY:
            raise
        except Exception:  # whatever it is, it is about this organisation, and shall not stop the others
            log.exception("advice can't be worked out", action="advice_broke", org_id=org_id)
            await advice.put_off(self.pool, org_id, self.now() + AFTER_FAILURE, get_args(Kind))

    async def _recounting(self, org_id: str) -> bool:
        today = self.now().date()
        return await under_way(self.pool, org_id, today - timedelta(days=MONTH), today + A_DAY, placing=False)

    async def _evidence(self, org_id: str) -> tuple[Evidence, date | None, Sequence[Kind]]:
        """What advice rests on, the last day of messages that is in it, and which kinds it could not be found for."""
        pool, now = self.pool, self.now()
        days = days_of(now)
        first = now.date() - timedelta(days=MONTH - 1)  # with today so many days
        own = await accounts.of_organisation(pool, org_id)
        observed = await advice_days.observed(pool, org_id, days[-1])
        counted = [day for day in days if day in observed.counted]
        unfinished: list[Kind] = [] if len(counted) == len(days) else ["join_messages", "repeated_template"]
        bursts = await advice_days.repetitions(pool, org_id, "join_messages", days[-1], observed.days)
        repeats = await advice_days.repetitions(pool, org_id, "repeated_template", days[-1], observed.days)
        lost: Sequence[Unreachable] = ()
        begin, end = (datetime.combine(day, time(), UTC) for day in (days[-1], days[0] + timedelta(days=1)))
        try:
            lost = await evidence.unreachable(pool, org_id, begin, end, now, self.limit)
        except TimeoutError:
            log.warning("who can't be reached takes too long", action="advice_too_long", org_id=org_id)
            unfinished.append("unreachable_people")
        templates = await evidence.template_uses(pool, org_id, first, MONTH)
        foreign = await evidence.foreign_authentication(pool, org_id, first, MONTH)
        countries = {country for one in (*bursts, *repeats) for country in one.extra}
        countries |= {country for use in templates for country in use.charged} | {one.country for one in foreign}
        book = await load(pool)
        prices = await self._prices(org_id, own, countries, book, now)
        allowances = await self._allowances(org_id, own, book, now)
        found = Evidence(prices, templates, bursts, repeats, lost, foreign, allowances)
        return found, max(counted, default=None), unfinished

    async def _prices(
        self, org_id: str, own: Iterable[Account], countries: Iterable[str], book: PriceBook, now: datetime
    ) -> Prices:
        """By the rate card that holds today; where there is none, what messages cost on average."""
        average = await evidence.average_prices(self.pool, org_id, now.date() - timedelta(days=MONTH))
        found: dict[tuple[str, str, str], Price] = dict(average)
        for account in own:
            today = local_day(now, account.time_zone)
            for country in sorted(countries):
                market = book.market(country, account.currency, today)
                for category in CATEGORIES:
                    column = column_of(category)
                    rate = book.rate(account.currency, market, column, today) if column else None
                    if rate is not None and account.currency:
                        found[account.waba_id, country, category] = Price(rate, account.currency)
        return Prices(found)

    async def _allowances(self, org_id: str, own: Iterable[Account], book: PriceBook, now: datetime) -> list[Allowance]:
        found: list[Allowance] = []
        for account in own:
            today = local_day(now, account.time_zone)
            free = book.rules_on(today).service_free_monthly
            if free:
                month = Month.of(today)
                found += await evidence.allowances(self.pool, org_id, account.waba_id, month.first, month.last, free)
        return found


def _whose(org_id: str) -> str:
    return org_id
