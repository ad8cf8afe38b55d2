"""Teams, and the rules by which conversations are given to them: whole, and by administrators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import available_timezones

from aiohttp import web
from pydantic import BaseModel
from wabus_events import RoutingChanged, TeamsChanged
from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import tagged_response
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.read_replica import Reads
from wabus_whatsapp.prices.calling_codes import NAMES

from wabus_conversations.api.work.acting import published
from wabus_conversations.api.work.models import RoutingModel, RuleModel, TeamsModel
from wabus_conversations.routing.languages import KNOWN
from wabus_conversations.tables.work import settings

SETTINGS_BYTES = 512 * 1024


@dataclass(frozen=True)
class SettingsApi:
    """What the handlers need; they are its methods."""

    reads: Callable[[], Reads]
    publisher: Publisher
    announcements: Announcements

    async def teams(self, request: web.Request) -> web.Response:
        """GET /teams"""
        caller = await authorise(request)
        told = await self.reads().ask(lambda pool: settings.read(pool, caller.org_id))
        return tagged_response(request, _teams(told))

    async def routing(self, request: web.Request) -> web.Response:
        """GET /routing"""
        caller = await authorise(request)
        told = await self.reads().ask(lambda pool: settings.read(pool, caller.org_id))
        return tagged_response(request, RoutingModel.model_validate({"rules": told["rules"] if told else []}))

    async def set_teams(self, request: web.Request) -> web.Response:
        """PUT /teams"""
        caller = await authorise(request)
        asked = await json_body(request, TeamsModel, SETTINGS_BYTES)
        if len({team.team_id for team in asked.teams}) < len(asked.teams):
            raise _invalid("Two teams have the same id.", "teams")
        for team in asked.teams:
            if len({member.sub for member in team.members}) < len(team.members):
                raise _invalid("Somebody is in a team twice.", "teams")
        told = await settings.read(self.reads().primary, caller.org_id)
        wanted = {team.team_id for team in asked.teams}
        if missing := [rule["name"] for rule in (told["rules"] if told else ()) if rule["team"] not in {None, *wanted}]:
            detail = "A rule gives conversations to a team that would not be there any more."
            raise Problem(409, "team_has_rules", "A rule names the team", detail, rules=missing)
        event = TeamsChanged(
            id=str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            by=caller.subject,
            teams=asked.model_dump()["teams"],
            agents_see=asked.agents_see,
        )
        seen = asked.agents_see or _teams(told).agents_see
        return await self._set(event, asked.model_copy(update={"agents_see": seen}))

    async def set_routing(self, request: web.Request) -> web.Response:
        """PUT /routing"""
        caller = await authorise(request)
        asked = await json_body(request, RoutingModel, SETTINGS_BYTES)
        told = await settings.read(self.reads().primary, caller.org_id)
        _check(asked.rules, {team["team_id"] for team in (told["teams"] if told else ())})
        event = RoutingChanged(
            id=str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            by=caller.subject,
            rules=asked.model_dump()["rules"],
        )
        return await self._set(event, asked)

    async def _set(self, event: TeamsChanged | RoutingChanged, asked: BaseModel) -> web.Response:
        outcome = await published(event, self.publisher, self.announcements, self.reads())
        return json_response(asked, 200 if outcome else 202)


def _teams(told: Mapping[str, Any] | None) -> TeamsModel:
    return TeamsModel.model_validate(
        {"teams": told["teams"] if told else [], "agents_see": (told and told["agents_see"]) or "all"}
    )


def _check(rules: list[RuleModel], teams: set[str]) -> None:
    """Raises a problem where a rule can't be followed."""
    if len({rule.name for rule in rules}) < len(rules):
        raise _invalid("Two rules have the same name.", "rules")
    zones = available_timezones()
    for number, rule in enumerate(rules):
        where = f"rules.{number}"
        if len([each for each in (rule.team, rule.agent, rule.bot) if each]) != 1:
            raise _invalid("A rule gives conversations to a team, an agent or a bot: to one of them.", where)
        if rule.team and rule.team not in teams:
            raise _invalid("There is no team of yours with this id.", f"{where}.team")
        if not rule.team and rule.strategy != "none":
            raise _invalid("A strategy chooses among the members of a team.", f"{where}.strategy")
        if wrong := sorted({*rule.when.languages} - KNOWN):
            raise _invalid(f"No language is told by this code: {wrong[0]}.", f"{where}.when.languages")
        if wrong := sorted({each for each in rule.when.countries if each.isalpha()} - NAMES.keys()):
            raise _invalid(f"No country has this code: {wrong[0]}.", f"{where}.when.countries")
        if rule.when.hours and rule.when.hours.zone not in zones:
            raise _invalid("This is none of the zones of the IANA time zone database.", f"{where}.when.hours.zone")


def _invalid(detail: str, *fields: str) -> Problem:
    return Problem(422, "invalid_request", "The request is invalid", detail, fields=list(fields))
