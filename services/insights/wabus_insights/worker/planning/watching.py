"""Looks at budgets and tells when a threshold is reached, or is expected to be: once for each, whoever looks.

An alert's id follows from what it says, and a row keeps it once it is published: whoever looks again, after a crash or
with tables made anew, publishes the same or nothing. Nothing is said while the log is still being caught up with.
"""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Counter
from wabus_events import BudgetAlerted, Topic
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_runtime.settings import KafkaSettings

from wabus_insights.costs.budget import (
    Alerted,
    Budget,
    Spending,
    alert_id,
    current_months,
    due_alerts,
    in_force,
    was_one_in,
)
from wabus_insights.tables.costs.reading import one_moment
from wabus_insights.tables.costs.recounts import under_way
from wabus_insights.tables.planning import accounts, budgets
from wabus_insights.worker.planning.outlook import Outlook, outlook

NAME = "insights budgets"
LOOK_AGAIN = timedelta(minutes=1)
AFTER_FAILURE = timedelta(minutes=5)
LEASE = timedelta(minutes=2)
LOOK_TIMEOUT = 60.0  # seconds for the budgets of one organisation
LOOKED_AT_ONCE = 4
CAUGHT_UP_WITHIN = 10.0  # seconds of one wait for the log

ALERTS = Counter("wabus_budget_alerts_total", "Alerts of budgets that were published.", ["kind"])

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Watching:
    """Looks at budgets that are due, as one of any number of workers. The clock is an argument."""

    settings: KafkaSettings
    pool: asyncpg.Pool
    publisher: Publisher
    projection: str
    """The name of the fold whose rows are looked at."""
    topics: Sequence[Topic]
    """What it folds."""
    now: Callable[[], datetime] = _now

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever, once all is folded that was in the log at the start."""
        ready()
        await self._catch_up()
        await run_due(DueWork(NAME, self.take, _whose, self.look, LOOKED_AT_ONCE), ready)

    async def take(self, room: int, busy: Multiset[str]) -> list[str]:
        """Take organisations that are due, as far as there is room."""
        return await budgets.take(self.pool, room, list(busy), LEASE, self.now())

    async def look(self, org_id: str) -> None:
        """Look at the budgets of one organisation; what is wrong with these stops nobody else's."""
        wait = LOOK_AGAIN
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                await self._look(org_id)
        except DATABASE_AWAY:
            raise
        except (KafkaUnavailable, RecordRefused, TimeoutError) as error:
            log.info("budgets not looked at", action="budgets_later", org_id=org_id, error=type(error).__name__)
        except Exception:  # whatever it is, it is about this organisation, and shall not stop the others
            log.exception("budgets can't be looked at", action="budgets_broke", org_id=org_id)
            wait = AFTER_FAILURE
        await budgets.looked_at(self.pool, org_id, self.now() + wait * random.uniform(0.8, 1.2))  # noqa: S311

    async def _look(self, org_id: str) -> None:
        all_of_them = await budgets.of_organisation(self.pool, org_id)
        zones = {one.waba_id: one.time_zone for one in await accounts.of_organisation(self.pool, org_id)}
        now = self.now()
        for month in current_months(now, set(zones.values())):
            told = await budgets.alerted_before(self.pool, org_id, str(month))
            in_month = [one for one in in_force(all_of_them, month) if was_one_in(one, month, zones)]
            seen: dict[tuple[str | None, str], Outlook] = {}
            async with one_moment(self.pool) as rows:
                # What is told can't be taken back; where amounts move from one count to another nothing is told.
                if await under_way(rows, org_id, month.first, month.last, placing=False):
                    continue
                for whose, currency in {(one.waba_id, one.currency) for one in in_month}:
                    seen[whose, currency] = await outlook(rows, org_id, whose, currency, month, now)
            for budget in in_month:
                state = seen[budget.waba_id, budget.currency]
                projected = None if state.is_over else state.forecast.expected
                spent = Spending(month, state.forecast.spent, projected, state.forecast.known_days)
                for alerted in due_alerts(budget, spent, told):
                    await self._tell(org_id, budget, alerted, state)

    async def _tell(self, org_id: str, budget: Budget, alerted: Alerted, state: Outlook) -> None:
        event = BudgetAlerted(
            id=alert_id(org_id, alerted),
            time=self.now(),
            org_id=org_id,
            budget_id=alerted.budget_id,
            waba_id=budget.waba_id,
            month=alerted.month,
            alert=alerted.kind,
            threshold=alerted.threshold,
            currency=budget.currency,
            amount=budget.amount,
            spent=state.forecast.spent,
            projected=None if state.is_over or not state.forecast.known_days else state.forecast.expected,
            unpriced=state.unpriced,
        )
        await self.publisher.publish([event])
        # Our own fold may come after the next look: what is published is known from now on.
        async with self.pool.acquire() as connection:
            await budgets.take_in(connection, event)
        ALERTS.labels(alerted.kind).inc()
        log.info(
            "told of a budget",
            action="budget_alerted",
            org_id=org_id,
            month=alerted.month,
            alert=alerted.kind,
            threshold=alerted.threshold,
        )

    async def _catch_up(self) -> None:
        wanted: dict[tuple[str, int], int] = {}
        with watched(NAME) as beat:
            for topic in self.topics:
                beat()
                wanted |= await end_positions(self.settings, topic)
            while not await wait_for(self.pool, self.projection, wanted, CAUGHT_UP_WITHIN):
                beat()


def _whose(org_id: str) -> str:
    return org_id
