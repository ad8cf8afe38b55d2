"""Who gets a conversation that nobody has, and why; or why nobody does yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

from wabus_events import RoutingRule, RuleCondition, Team
from wabus_whatsapp.prices.calling_codes import country_of_number, country_of_user_id

from wabus_conversations.routing.hours import is_open
from wabus_conversations.routing.languages import one_of
from wabus_conversations.work.state import MessagePlace

_NEVER = datetime.min.replace(tzinfo=UTC)

Why = Literal["no_rule", "nobody_there", "all_full", "team_chooses", "another_responder", "left_alone"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation that nobody has, as rules see it."""

    conversation_id: str
    phone_number_id: str
    heard: MessagePlace
    """The last that the person wrote."""
    identifiers: Sequence[str] = ()
    """Numbers and user ids of the person."""
    text: str | None = None
    """How their first message begins that nobody has answered for yet."""
    ad: str | None = None
    template: str | None = None
    """The name of the template that they answer."""
    language: str | None = None
    """In which they write, in ISO 639-1, as far as that shows."""
    team: str | None = None
    """The team that it is with already."""
    rule: str | None = None
    """The rule that gave it to the team."""
    last_agent: str | None = None
    last_closed_at: datetime | None = None
    is_ours: bool = True
    """Whether no other responder has the thread."""
    left_alone: bool = False
    """Whether somebody wants nobody to have it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Who is there, and what each has to do."""

    available: frozenset[str] = frozenset()
    loads: Mapping[str, int] = field(default_factory=dict[str, int])
    """Open conversations of agents."""
    turns: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    """When each was given one last."""

    def after(self, given: "Given", now: datetime) -> "Desk":
        """The same once an agent has one more."""
        if given.agent is None:
            return self
        loads = {**self.loads, given.agent: self.loads.get(given.agent, 0) + 1}
        return replace(self, loads=loads, turns={**self.turns, given.agent: now})


class Given(NamedTuple):
    """Who gets it: an agent or a bot, or a team that has nobody for it yet."""

    rule: str
    agent: str | None = None
    bot: str | None = None
    team: str | None = None


class Waits(NamedTuple):
    """Nobody gets it yet."""

    why: Why


def route(
    waiting: Waiting,
    rules: Sequence[RoutingRule],
    teams: Sequence[Team],
    desk: Desk,
    now: datetime,
    zones: Mapping[str, tzinfo],
) -> Given | Waits:
    """Who gets a conversation by the first rule that fits, or by that of the team that it is with."""
    if not waiting.is_ours:
        return Waits("another_responder")
    if waiting.left_alone:
        return Waits("left_alone")
    by_id = {team.team_id: team for team in teams}
    rule = _rule_of_team(waiting, rules) if waiting.team else _first(waiting, rules, by_id, now, zones)
    if rule is None:
        return Waits("team_chooses" if waiting.team else "no_rule")
    if rule.agent or rule.bot:
        return Given(rule.name, agent=rule.agent, bot=rule.bot)
    team_id = waiting.team or rule.team or ""
    team = by_id.get(team_id)
    chosen = _chosen(waiting, rule, team, desk, now) if team else "nobody_there"
    if isinstance(chosen, Given):
        return chosen
    return Waits(chosen) if waiting.team else Given(rule.name, team=team_id)


def fits(when: RuleCondition, waiting: Waiting, now: datetime, zones: Mapping[str, tzinfo]) -> bool:
    """Whether all that a rule asks for is so."""
    text = (waiting.text or "").strip().casefold()
    return (
        (not when.phone_number_ids or waiting.phone_number_id in when.phone_number_ids)
        and (not when.ads or waiting.ad in when.ads)
        and (not when.templates or waiting.template in when.templates)
        and (not when.keywords or any(_begins_with(text, word.strip().casefold()) for word in when.keywords))
        and (not when.languages or one_of(when.languages, waiting.language))
        and (not when.countries or any(_is_from(each, when.countries) for each in waiting.identifiers))
        and (when.hours is None or is_open(when.hours, now, zones))
    )


def _is_from(identifier: str, countries: Sequence[str]) -> bool:
    """Whether a number or user id is of one of these: two letters, or the first digits of numbers."""
    digits = identifier.removeprefix("+")
    if digits.isdigit():
        return country_of_number(digits) in countries or digits.startswith(tuple(filter(str.isdigit, countries)))
    return country_of_user_id(identifier) in countries


def _begins_with(text: str, words: str) -> bool:
    """Whether a text begins with whole words."""
    return text.startswith(words) and not text[len(words) : len(words) + 1].isalnum()


def _first(
    waiting: Waiting,
    rules: Sequence[RoutingRule],
    teams: Mapping[str, Team],
    now: datetime,
    zones: Mapping[str, tzinfo],
) -> RoutingRule | None:
    for rule in rules:
        if (not rule.team or rule.team in teams) and fits(rule.when, waiting, now, zones):
            return rule
    return None


def _rule_of_team(waiting: Waiting, rules: Sequence[RoutingRule]) -> RoutingRule | None:
    """The rule by which it came to its team; where a person gave it to the team, the team's first."""
    of_team = [rule for rule in rules if rule.team == waiting.team]
    return next((rule for rule in of_team if rule.name == waiting.rule), of_team[0] if of_team else None)


def _chosen(waiting: Waiting, rule: RoutingRule, team: Team, desk: Desk, now: datetime) -> Given | Why:
    there = [member for member in team.members if member.sub in desk.available]
    free: list[str] = []
    for member in there:
        capacity = member.capacity if member.capacity is not None else team.capacity
        if capacity is None or desk.loads.get(member.sub, 0) < capacity:
            free.append(member.sub)
    if waiting.last_agent in free and _is_sticky(waiting, rule, now):
        return Given(rule.name, agent=waiting.last_agent, team=team.team_id)
    if rule.strategy == "none":
        return "team_chooses"
    if not free:
        return "all_full" if there else "nobody_there"

    def turn(sub: str) -> tuple[datetime, str]:
        return desk.turns.get(sub, _NEVER), sub

    def fewest(sub: str) -> tuple[int, datetime, str]:
        return desk.loads.get(sub, 0), *turn(sub)

    agent = min(free, key=turn) if rule.strategy == "round_robin" else min(free, key=fewest)
    return Given(rule.name, agent=agent, team=team.team_id)


def _is_sticky(waiting: Waiting, rule: RoutingRule, now: datetime) -> bool:
    if rule.sticky_days is None or waiting.last_closed_at is None:
        return False
    return now - waiting.last_closed_at <= timedelta(days=rule.sticky_days)
