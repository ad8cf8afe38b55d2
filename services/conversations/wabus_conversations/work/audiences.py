"""Whom a conversation is for, and who of the agents may see it. Pure.

A conversation is for one audience: a team; the colleagues of an agent, where no team has had it; or everybody. It stays
with its team when somebody takes it, and when it is closed, until another team has it or somebody wants that nobody
has. Agents of an organisation that has chosen `agents_see: teams` see what is for them, and what they have themselves.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

AgentsSee = Literal["all", "teams"]
"""What of an organisation's conversations its agents see."""

SIGHTS_ID: Final = "00000000-0000-0000-0000-000000000000"
"""By which the feed's changes say that agents see something else, and as a part of a conversation that it is for others
than before: no conversation and no message has this id."""

EVERYBODY: Final = ""
"""The audience of what no team and no agent has had."""


def of_team(team_id: str) -> str:
    """The audience of what a team has."""
    return f"team {team_id}"


def of_agent(agent: str) -> str:
    """The audience of what an agent has that no team has had."""
    return f"agent {agent}"


def audience(team: str | None, kept: str | None, agent: str | None) -> str:
    """Whom a conversation is for, by who has it, and whom it was for before. SQL says the same of a row.

    >>> audience("orders", None, "ben"), audience(None, "team orders", "zoe"), audience(None, None, "zoe")
    ('team orders', 'team orders', 'agent zoe')
    """
    if team is not None:
        return of_team(team)
    if kept is not None:
        return kept
    return EVERYBODY if agent is None else of_agent(agent)


def kept_when_taken(before: str) -> str | None:
    """What is kept of an audience when an agent or a bot gets the conversation: a team keeps it.

    >>> kept_when_taken("team orders"), kept_when_taken("agent ben")
    ('team orders', None)
    """
    return before if before.startswith(of_team("")) else None


@dataclass(frozen=True, slots=True)
class Sight:
    """What an agent sees who does not see everything."""

    subject: str
    audiences: frozenset[str]

    def sees(self, agent: str | None, whose: str) -> bool:
        """Whether they see a conversation, by the agent who has it and by its audience."""
        return agent == self.subject or whose in self.audiences

    def saw(self, left: Collection[str]) -> bool:
        """Whether they saw a conversation before it left these audiences."""
        return not self.audiences.isdisjoint(left)


def sight(subject: str, teams: Iterable[Mapping[str, Any]]) -> Sight:
    """What an agent sees, by the teams of the organisation: what is for their teams, their colleagues, or everybody.

    >>> teams = [{"team_id": "orders", "members": [{"sub": "anna"}, {"sub": "ben"}]}]
    >>> sorted(sight("anna", teams).audiences), sorted(sight("zoe", teams).audiences)
    (['', 'agent anna', 'agent ben', 'team orders'], ['', 'agent zoe'])
    """
    seen = {EVERYBODY, of_agent(subject)}
    for team in teams:
        members = {member["sub"] for member in team["members"]}
        if subject in members:
            seen |= {of_team(team["team_id"]), *map(of_agent, members)}
    return Sight(subject, frozenset(seen))


class Sights:
    """What each agent of an organisation sees."""

    def __init__(self, teams: Iterable[Mapping[str, Any]] | None) -> None:
        """`teams` are its teams, or None where agents see everything."""
        self._teams = None if teams is None else list(teams)
        self._known: dict[str, Sight] = {}

    def of(self, role: str, subject: str | None) -> Sight | None:
        """What somebody sees; None for everything. Only people who answer customers are of teams."""
        if self._teams is None or role != "agent" or subject is None:
            return None
        if subject not in self._known:
            self._known[subject] = sight(subject, self._teams)
        return self._known[subject]


SEE_EVERYTHING = Sights(None)
