"""Facts about how an organisation gives conversations to its people: its teams and its rules, each told whole."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import Event
from wabus_events.models.topics import CONVERSATIONS


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class TeamMember(_Part):
    """Somebody who answers for a team."""

    sub: str
    """The `sub` of their token."""
    capacity: int | None = None
    """How many open conversations they may have before rules give them no more; None for the team's."""


class Team(_Part):
    """People among whom conversations are shared out."""

    team_id: str
    """The word by which rules and conversations name it."""
    name: str
    """What people call it."""
    capacity: int | None = None
    """The capacity of members who have none of their own; None for no limit."""
    members: list[TeamMember] = []
    """Its people."""


class OpenHours(_Part):
    """From when until when, on some days of the week."""

    days: list[str]
    """mon, tue, wed, thu, fri, sat, sun."""
    begin: str
    """`HH:MM`."""
    end: str
    """`HH:MM`, or `24:00`; where it is not after `begin` it is on the next day."""


class BusinessHours(_Part):
    """When a rule holds, by the clocks of a place."""

    zone: str
    """A name of the IANA time zone database."""
    open: list[OpenHours]
    """When it is open."""


class RuleCondition(_Part):
    """What must be so: each of what is given, and of a list one."""

    phone_number_ids: list[str] = []
    """The business number."""
    ads: list[str] = []
    """Meta's ids of the ads, or posts, by which the person came."""
    templates: list[str] = []
    """The names of the templates that are answered."""
    keywords: list[str] = []
    """With which words the message begins, whatever the case."""
    languages: list[str] = []
    """In which they write, in ISO 639-1; where their words do not show it, that of the template that they answer."""
    countries: list[str] = []
    """Where the person is from: two letters of ISO 3166-1, or the digits with which their number begins."""
    hours: BusinessHours | None = None
    """When it is; None for always."""


class RoutingRule(_Part):
    """Where conversations go for which the condition holds, and that no rule before it has taken."""

    name: str
    """What people call it."""
    when: RuleCondition = RuleCondition()
    """For which conversations it holds."""
    team: str | None = None
    """The id of a team; exactly one of team, agent and bot is there."""
    agent: str | None = None
    """The `sub` of a person."""
    bot: str | None = None
    """The name of a program."""
    strategy: Literal["none", "round_robin", "least_open"] = "none"
    """Who of a team gets it: nobody by itself, whoever has waited longest, or whoever has the fewest open."""
    sticky_days: int | None = None
    """For so many days after it was closed it goes to who had it, if they are there; None for no days."""


class TeamsChanged(Event, topic=CONVERSATIONS):
    """An organisation's teams are these, and no others."""

    teams: list[Team]
    """All of them."""
    agents_see: Literal["all", "teams"] | None = None
    """What agents see of conversations: all, or those of their teams; None where that stays as it was."""
    by: str | None = None
    """The `sub` of who wanted it."""

    @property
    def key(self) -> str:
        return self.org_id or ""


class RoutingChanged(Event, topic=CONVERSATIONS):
    """An organisation's rules are these, in this order, and no others."""

    rules: list[RoutingRule]
    """All of them; the first that fits counts."""
    by: str | None = None
    """The `sub` of who wanted it."""

    @property
    def key(self) -> str:
        return self.org_id or ""
