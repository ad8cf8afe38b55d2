"""Gives conversations that nobody has to people, as rules say, and brings back what was put off.

What rules say is published as what people do is, and counts if nobody was faster. One worker at a time gives away an
organisation's conversations, and until its events are folded, so that capacities and turns are exact.
"""

from collections import Counter as Multiset
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import structlog
from prometheus_client import Counter
from wabus_events import ConversationAssigned, ConversationReopened, RoutingRule, Team, fact_id
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.scheduler.due import DueWork, run_due

from wabus_conversations.routing.languages import Detect, spoken_by
from wabus_conversations.routing.route import Desk, Given, Waiting, Waits, Why, route
from wabus_conversations.tables.work import presence, settings, waiting
from wabus_conversations.work.state import MessagePlace
from wabus_conversations.worker.work import projector
from wabus_conversations.worker.work.languages import Languages, no_language

ORGANISATIONS_AT_ONCE = 4
GIVEN_AT_ONCE = 100  # conversations of an organisation
SNOOZES_AT_ONCE = 50
PAUSE = timedelta(seconds=0.5)  # between two looks at one organisation
LEASE = timedelta(seconds=60)
FOLDED_WITHIN = 15.0  # seconds for events to be folded, else it is looked at again without them

LATER: Mapping[Why, timedelta] = {
    "no_rule": timedelta(minutes=1),
    "nobody_there": timedelta(seconds=2),
    "all_full": timedelta(seconds=2),
    "team_chooses": timedelta(minutes=1),
    "another_responder": timedelta(minutes=1),
    "left_alone": timedelta(hours=1),
}
"""When it is looked at again, unless something is done with it, or the person writes."""

ROUTED = Counter("wabus_conversations_routed_total", "What rules said of conversations.", ["outcome"])

Row = asyncpg.Record

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Routing:
    """As one of any number of workers. The clock is an argument."""

    pool: asyncpg.Pool
    publisher: Publisher
    now: Callable[[], datetime] = _now
    languages: Languages = field(default_factory=Languages)

    async def run(self, ready: Callable[[], None]) -> None:
        """Give conversations away for ever."""
        work = DueWork("conversations routing", self._take, _itself, self.give, ORGANISATIONS_AT_ONCE)
        await run_due(work, ready)

    async def wake(self, ready: Callable[[], None]) -> None:
        """Bring back for ever what was put off."""
        work = DueWork("conversations put off", self._take_snoozes, _whose, self._reopen, SNOOZES_AT_ONCE)
        await run_due(work, ready)

    async def _take(self, room: int, busy: Multiset[str]) -> list[str]:
        return await waiting.take_organisations(self.pool, list(busy), room, self.now(), LEASE, PAUSE)

    async def give(self, org_id: str) -> None:
        """Give away what waits of an organisation, and return once that is folded."""
        now = self.now()
        told = await settings.read(self.pool, org_id)
        if told is not None:
            decided = await self._decided(org_id, told, now)
            made = [event for event in decided if isinstance(event, ConversationAssigned)]
            await waiting.put_off(self.pool, dict(each for each in decided if isinstance(each, tuple)))
            if made:
                positions = await self.publisher.publish(made)
                wanted: dict[tuple[str, int], int] = {}
                for each in positions:
                    place = each.topic, each.partition
                    wanted[place] = max(each.offset + 1, wanted.get(place, 0))
                if not await wait_for(self.pool, projector.NAME, wanted, FOLDED_WITHIN):
                    log.warning("what was routed is not folded in time", action="routed_unfolded", count=len(made))
        await waiting.give_back(self.pool, org_id, self.now())

    async def _decided(
        self, org_id: str, told: Mapping[str, Any], now: datetime
    ) -> Sequence[ConversationAssigned | tuple[str, datetime]]:
        """What becomes of each conversation that waits: somebody gets it, or it is put off."""
        rules = [RoutingRule.model_validate(each) for each in told["rules"]]
        teams = [Team.model_validate(each) for each in told["teams"]]
        agents = sorted({member.sub for team in teams for member in team.members})
        loads, turns = await waiting.desk(self.pool, org_id, agents)
        desk = Desk(await presence.there(self.pool, org_id), loads, turns)
        zones = _zones(rules)
        detect = await self.languages.detector() if any(rule.when.languages for rule in rules) else no_language
        found: list[ConversationAssigned | tuple[str, datetime]] = []
        for row in await waiting.conversations(self.pool, org_id, now, GIVEN_AT_ONCE):
            match route(_waiting(row, detect), rules, teams, desk, now, zones):
                case Given() as given:
                    # Of two at once in one pass the later has its turn later.
                    desk = desk.after(given, now + timedelta(microseconds=len(found)))
                    ROUTED.labels("agent" if given.agent else "bot" if given.bot else "team").inc()
                    found.append(_assigned(org_id, row, given, now))
                case Waits(why):
                    ROUTED.labels("nobody").inc()
                    found.append((row["conversation_id"], now + LATER[why]))
        return found

    async def _take_snoozes(self, room: int, busy: Multiset[str]) -> Sequence[Row]:
        return await waiting.take_snoozes(self.pool, room, self.now(), LEASE)

    async def _reopen(self, row: Row) -> None:
        event = ConversationReopened(
            id=fact_id(ConversationReopened.type, row["org_id"], row["put_id"]),
            time=self.now(),
            snooze=row["put_id"],
            **_about(row["org_id"], row),
        )
        await self.publisher.publish([event])


def _itself(org_id: str) -> str:
    return org_id


def _whose(row: Row) -> str:
    return row["org_id"]


def _waiting(row: Row, detect: Detect) -> Waiting:
    return Waiting(
        conversation_id=row["conversation_id"],
        phone_number_id=row["phone_number_id"],
        heard=MessagePlace(row["heard_at"], row["heard_tie"]),
        identifiers=row["identifiers"] or (),
        text=row["text"],
        ad=row["ad"],
        template=row["template"],
        language=spoken_by(row["text"], row["template_language"], detect),
        team=row["team"],
        rule=row["rule"],
        last_agent=row["last_agent"],
        last_closed_at=row["last_closed_at"],
        is_ours=row["ours"] is not False,
        left_alone=row["left_alone"],
    )


def _assigned(org_id: str, row: Row, given: Given, now: datetime) -> ConversationAssigned:
    return ConversationAssigned(
        id=str(uuid4()),
        time=now,
        agent=given.agent,
        bot=given.bot,
        team=given.team,
        reason="routed",
        rule=given.rule,
        up_to_at=row["heard_at"],
        up_to_tie=row["heard_tie"],
        **_about(org_id, row),
    )


def _about(org_id: str, row: Row) -> dict[str, Any]:
    return {
        "org_id": org_id,
        "waba_id": row["waba_id"],
        "phone_number_id": row["phone_number_id"],
        "conversation_id": row["conversation_id"],
        "contacts": row["identifiers"] or [],
    }


def _zones(rules: Sequence[RoutingRule]) -> dict[str, tzinfo]:
    """The time zones that rules name, as far as they are known here."""
    found: dict[str, tzinfo] = {}
    for rule in rules:
        if rule.when.hours is not None:
            try:
                found[rule.when.hours.zone] = ZoneInfo(rule.when.hours.zone)
            except (ZoneInfoNotFoundError, ValueError):
                log.warning("a rule's time zone is not known here", action="unknown_zone", rule=rule.name)
    return found
