"""Looks at experiments that have begun: counts people, stops arms, decides; each experiment by one process at a time.

What follows is published before the transaction ends, under ids that do not depend on who looks or how often: a
process that dies in between publishes it again, and the first that the log has stands.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import (
    MESSAGES,
    SENDS,
    Event,
    ExperimentDayCounted,
    ExperimentDecided,
    ExperimentStarted,
    ExperimentStopped,
    fact_id,
)
from wabus_events.models.insights.experiments import ArmDay, ArmResult, DrawnSlice
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.kafka.clients import KafkaUnavailable, topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.offsets import Offsets, has_reached, offsets
from wabus_runtime.settings import KafkaSettings
from wabus_whatsapp.assignment import Slice, reweighted, weights_of

from wabus_insights.experiments.decision import Decision, Finding, Standing, arms_to_stop, decided, findings
from wabus_insights.experiments.plan import HARM_LATE, HARM_WINDOW, LATE, TemplateNow, arms_changed, without
from wabus_insights.tables.experiments import counting, definitions
from wabus_insights.tables.experiments.definitions import Experiment
from wabus_insights.tables.experiments.standing import standing

LOOK_EVERY = 10.0  # seconds
COUNTED_AT_ONCE = 2_000  # people, in one transaction
COUNTED_TIMES = 5  # transactions, at one look
LOOK_KEPT_EVERY = timedelta(minutes=10)
SIGNS_KEPT = timedelta(days=10)
"""Longer than any outcome window, and than Meta tells of a message."""
DELETED_AT_ONCE = 5_000
PROJECTION = "insights"
"""The name of the projection that folds what people do."""

log = structlog.get_logger()


async def run(
    settings: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, ready: Callable[[], None]
) -> None:  # fmt: skip
    """For ever, as one of any number of workers."""
    clock = _Clock(settings, pool)
    with watched("experiments") as beat:
        try:
            await clock.start()
            ready()
            while True:
                beat()
                await clock.look()
                if clock.known_until:
                    await look_at_all(pool, publisher, clock.known_until, beat)
                await counting.delete_signs(pool, datetime.now(UTC) - SIGNS_KEPT, DELETED_AT_ONCE)
                await counting.delete_links(pool)
                await counting.delete_keys(pool, datetime.now(UTC) - PERSONAL_RETENTION, DELETED_AT_ONCE)
                await asyncio.sleep(LOOK_EVERY * random.uniform(0.8, 1))  # noqa: S311
        finally:
            await clock.stop()


async def look_at_all(
    pool: asyncpg.Pool, publisher: Publisher, known_until: datetime, beat: Callable[[], None]
) -> None:
    """Look at every experiment that goes on. What is wrong with one does not keep the others from being looked at."""
    for experiment_id in await definitions.open_ids(pool):
        beat()
        try:
            await look(pool, publisher, experiment_id, datetime.now(UTC), known_until)
        except Exception:
            log.exception(
                "an experiment can't be looked at", action="experiment_fails", experiment_id=str(experiment_id)
            )


async def look(
    pool: asyncpg.Pool, publisher: Publisher, experiment_id: UUID, now: datetime, known_until: datetime
) -> None:
    """Look at one experiment now: what was told until `known_until` is in the tables, and later is not counted yet."""
    try:
        for turn in range(COUNTED_TIMES):
            async with pool.acquire() as connection, connection.transaction():
                experiment = await definitions.locked(connection, experiment_id)
                if experiment is None or experiment.started_at is None:
                    return
                if await _count(connection, experiment, known_until, now) and turn < COUNTED_TIMES - 1:
                    continue
                events, told = await _follows(connection, experiment, now)
                await publisher.publish(events)
                await connection.execute(
                    "UPDATE experiments SET looked_at = $2, told = told || $3 WHERE experiment_id = $1",
                    experiment_id, now, told,
                )  # fmt: skip
                return
    except KafkaUnavailable as error:
        log.warning("an experiment is not told of yet", action="experiment_waits", error=type(error).__name__)


async def _count(connection: Connection, experiment: Experiment, known_until: datetime, now: datetime) -> bool:
    """Count those whose time is over, some at once; whether there may be more."""
    plan, found = experiment.plan, experiment.experiment_id
    outcome = timedelta(hours=plan.outcome_hours)
    until = known_until - LATE - outcome
    done = await counting.count(connection, found, plan.metric, outcome, until, now, COUNTED_AT_ONCE)
    harm_until = known_until - HARM_LATE - HARM_WINDOW
    of_harm = await counting.count_harm(connection, found, HARM_WINDOW, harm_until, now, COUNTED_AT_ONCE)
    return COUNTED_AT_ONCE in (done, of_harm)


async def _follows(
    connection: Connection, experiment: Experiment, now: datetime
) -> tuple[list[Event], dict[str, Any]]:  # fmt: skip
    """What is told now, and what is remembered of having been told."""
    plan, told = experiment.plan, dict[str, Any]()
    known = await standing(connection, experiment, now)
    finding = findings(plan, known)
    await _keep_look(connection, experiment, known, finding, now)
    ids = [arm.template_id for arm in plan.arms if arm.template_id]
    templates = await definitions.templates_by_id(connection, experiment.waba_id, ids)
    changed = arms_changed(
        plan,
        {key: TemplateNow(each.status, each.quality, each.template, each.category) for key, each in templates.items()},
    )
    stopping: dict[str, str] = {**arms_to_stop(plan, known), **changed}
    events = [] if experiment.stopped_at else _stops(experiment, stopping, now, told)
    decision = None if events else decided(plan, known, finding, now)
    if decision and "decided" not in experiment.told:
        told["decided"] = now.isoformat()
        events.append(_decided(experiment, decision, known, finding, now))
    today = now.date().isoformat()
    if experiment.told.get("day") != today or "decided" in told:
        told["day"] = today
        events += await _days(connection, experiment, now)
    return events, told


def _stops(experiment: Experiment, stopping: Mapping[str, str], now: datetime, told: dict[str, Any]) -> list[Event]:
    """The arms that are stopped now, and the weights without them."""
    events: list[Event] = []

    def stop(arm: str | None, reason: str) -> None:
        name = f"stop {arm or 'all'}"
        if name not in experiment.told:
            told[name] = now.isoformat()
            found = fact_id(ExperimentStopped.type, str(experiment.experiment_id), arm or "", reason)
            events.append(ExperimentStopped(id=found, arm=arm, reason=reason, **_about(experiment, now)))

    if experiment.flagged_at:
        stop(None, "number_quality")
        return events
    for arm, reason in sorted(stopping.items()):
        if arm not in experiment.stops:
            stop(arm, reason)
    slices = [Slice(**each) for each in experiment.slices or ()]
    weights, gone = weights_of(slices), {*stopping, *experiment.stops}
    if gone & weights.keys():
        left, epoch = without(weights, gone), experiment.epoch + 1
        if left is None:
            stop(None, next(stopping[arm] if arm in stopping else experiment.stops[arm] for arm in sorted(gone)))
        elif f"epoch {epoch}" not in experiment.told:
            told[f"epoch {epoch}"] = now.isoformat()
            events.append(started(experiment, epoch, reweighted(slices, left), now))
    return events


def started(
    experiment: Experiment, epoch: int, slices: Sequence[Slice], now: datetime, requested_by: str | None = None
) -> ExperimentStarted:
    """That people are drawn by these slices from now on; of each epoch the first that the log has stands."""
    return ExperimentStarted(
        id=fact_id(ExperimentStarted.type, str(experiment.experiment_id), epoch),
        epoch=epoch,
        slices=[DrawnSlice(begin=begin, end=end, arm=arm) for begin, end, arm in slices],
        plan_hash=experiment.plan_hash,
        ends_at=experiment.ends_at or now + timedelta(days=experiment.plan.days),
        requested_by=requested_by,
        **_about(experiment, now),
    )


def _decided(
    experiment: Experiment, decision: Decision, known: Standing, finding: Finding, now: datetime
) -> ExperimentDecided:
    return ExperimentDecided(
        id=fact_id(ExperimentDecided.type, str(experiment.experiment_id)),
        outcome=decision.outcome,
        winner=decision.winner,
        better=list(decision.better),
        worse=list(decision.worse),
        reason=decision.reason,
        arms=[] if decision.outcome == "sample_ratio" else results(experiment, known, finding),
        **_about(experiment, now),
    )


def results(experiment: Experiment, known: Standing, finding: Finding) -> list[ArmResult]:
    """What is known of each arm, as it is told."""
    found: list[ArmResult] = []
    for arm in experiment.plan.arms:
        counts = [each.counts[arm.arm] for each in known.counted if arm.arm in each.counts]
        against = finding.arms.get(arm.arm)
        found.append(
            ArmResult(
                arm=arm.arm,
                people=sum(count.people for count in counts),
                successes=sum(count.successes for count in counts),
                log_evidence=against and against.log_evidence,
                low=against and against.interval.low,
                high=against and against.interval.high,
            )
        )
    return found


async def _keep_look(
    connection: Connection, experiment: Experiment, known: Standing, finding: Finding, now: datetime
) -> None:
    """Keep what is seen now, unless it is what was seen last, or that was a moment ago."""
    last = await counting.last_looks(connection, experiment.experiment_id)
    people = {result.arm: result.people for result in results(experiment, known, finding)}
    control = people[experiment.plan.control]
    rows = [
        (each.arm, people[each.arm] + control, each.log_evidence, each.interval.low, each.interval.high)
        for each in finding.arms.values()
    ]
    changed = any(row[0] not in last or last[row[0]]["people"] != row[1] for row in rows)
    recent = any(now - each["at"] < LOOK_KEPT_EVERY for each in last.values())
    if changed and not recent and any(people.values()) and not finding.is_imbalanced:
        await counting.write_look(connection, experiment.experiment_id, now, rows)


async def _days(connection: Connection, experiment: Experiment, now: datetime) -> list[Event]:
    """What became of those of each day of whom something may have changed since it was told last."""
    since = now - timedelta(hours=experiment.plan.outcome_hours) - LATE - timedelta(days=2)
    days: dict[str, list[ArmDay]] = {}
    for row in await counting.days(connection, experiment.experiment_id, since):
        counts = {name: value for name, value in row.items() if name != "day"}
        days.setdefault(row["day"].isoformat(), []).append(ArmDay(**counts))
    told = now.date().isoformat()
    return [
        ExperimentDayCounted(
            id=fact_id(
                ExperimentDayCounted.type, str(experiment.experiment_id), day, told, sum(a.counted for a in arms)
            ),
            day=day,
            arms=arms,
            **_about(experiment, now),
        )
        for day, arms in days.items()
    ]


def _about(experiment: Experiment, now: datetime) -> dict[str, Any]:
    return {"time": now, "org_id": experiment.org_id, "experiment_id": str(experiment.experiment_id)}


class _Clock:
    """Up to which moment all that the log has of messages and sends is in the tables."""

    def __init__(self, settings: KafkaSettings, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._ends = Ends(settings)
        self._places = {
            TopicPartition(topic_name(settings, topic), number): (topic.name, number)
            for topic in (MESSAGES, SENDS)
            for number in range(topic.partitions)
        }
        self._asked: tuple[datetime, Offsets] | None = None
        self.known_until: datetime | None = None

    async def start(self) -> None:
        """Connect. Raises `KafkaError`."""
        await self._ends.start()

    async def look(self) -> None:
        """Compare where the log ended, when it was asked last, with how far it is folded."""
        if self._asked and has_reached(await offsets(self._pool, PROJECTION), self._asked[1]):
            self.known_until, self._asked = self._asked[0], None
        if self._asked is None:
            now = datetime.now(UTC)
            try:
                found = await self._ends.of(list(self._places))
            except KafkaError as error:
                log.warning("where the log ends is not known", action="experiments_wait", error=type(error).__name__)
                return
            self._asked = now, {self._places[place]: end for place, end in found.items() if end}

    async def stop(self) -> None:
        await self._ends.stop()
