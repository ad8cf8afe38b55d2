"""What the API of work is asked and answers, as models; without those that hold a whole conversation."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor

from wabus_conversations.work.audiences import AgentsSee
from wabus_conversations.work.state import TAGS_MOST

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
"""The `sub` of a token."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]
TeamId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")]
NoteText = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Field(ge=1, le=200), DIGITS]
NotePlace = tuple[AwareDatetime, Id]

_UP_TO = "The last of its messages that whoever asks has seen; without, the last that is there now."


class WorkView(BaseModel):
    """What people of the organisation do with it."""

    state: Literal["open", "snoozed", "closed"]
    agent: str | None = Field(description="The `sub` of who has it.")
    bot: str | None = Field(description="The name of the program that has it.")
    team: str | None = Field(description="The id of the team that it is with.")
    assigned_at: datetime | None
    reason: Literal["asked", "routed"] | None = Field(description="Whether somebody wanted that, or a rule did.")
    rule: str | None = Field(description="The name of the rule.")
    put_by: str | None = Field(description="The `sub` of who closed it, or put it off.")
    put_at: datetime | None
    snoozed_until: datetime | None
    last_agent: str | None = Field(description="Who had it when it was closed last.")
    tags: list[str]
    notes: int = Field(description="How many notes it has.")


class AssignRequest(BaseModel):
    """The body of POST /conversations/{conversation_id}/assign; empty, nobody has it from then on."""

    model_config = ConfigDict(extra="forbid")

    agent: Subject | None = Field(default=None, description="The `sub` of who shall have it; `me` is the caller.")
    bot: Name | None = Field(default=None, description="The name of a program that shall have it.")
    team: TeamId | None = Field(default=None, description="The team that it shall be with.")
    instead_of: Subject | None = Field(
        default=None,
        description="Who has it, as far as is known: if it is somebody else by now, they keep it, and 409 says who. "
        "Without, nobody, or the caller.",
    )


class UpToRequest(BaseModel):
    """The body of what holds up to a message: closing, reading."""

    model_config = ConfigDict(extra="forbid")

    message_id: Id | None = Field(default=None, description=_UP_TO)


class SnoozeRequest(UpToRequest):
    """The body of POST /conversations/{conversation_id}/snooze."""

    until: AwareDatetime = Field(description="When it comes back by itself, within a year.")


class TagsRequest(BaseModel):
    """The body of POST /conversations/{conversation_id}/tags."""

    model_config = ConfigDict(extra="forbid")

    add: list[Tag] = Field(default_factory=list[Tag], max_length=TAGS_MOST)
    remove: list[Tag] = Field(default_factory=list[Tag], max_length=TAGS_MOST)


class NoteRequest(BaseModel):
    """The body of POST /conversations/{conversation_id}/notes."""

    model_config = ConfigDict(extra="forbid")

    text: NoteText = Field(description="What colleagues shall know; the person is told nothing of it.")


class NotePath(BaseModel):
    conversation_id: Id
    note_id: Id


class NotesQuery(BaseModel):
    """The parameters of GET /conversations/{conversation_id}/notes."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = 50
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class NoteView(BaseModel):
    note_id: Id
    at: datetime
    author: str | None = Field(description="The `sub` of who wrote it.")
    text: str


class Notes(BaseModel):
    """The newest first."""

    notes: list[NoteView]
    next: Cursor | None = Field(description="`after` of the next page; null on the last.")


class Pending(BaseModel):
    """It is in the log, and not yet in what is read."""

    status: Literal["pending"]


class MemberModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sub: Subject
    capacity: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None, description="How many open conversations rules fill them up to; without, as the team has it."
    )


class TeamModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    team_id: TeamId
    name: Name
    capacity: Annotated[int, Field(ge=0, le=10_000)] | None = Field(
        default=None, description="Of members who have none of their own; without, there is no limit."
    )
    members: list[MemberModel] = Field(default_factory=list[MemberModel], max_length=500)


class TeamsModel(BaseModel):
    """The body of PUT /teams, and the answer of GET: all teams."""

    model_config = ConfigDict(extra="forbid")

    teams: list[TeamModel] = Field(max_length=200)
    agents_see: AgentsSee | None = Field(
        default=None,
        description="What agents see of conversations: `all`, or with `teams` those of their teams, those that they "
        "have, and those that are nobody's. Without it stays as it was, and is `all` at first.",
    )


class HoursOfDays(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(min_length=1, max_length=7)
    begin: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    end: Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")] = Field(
        description="Where it is not after `begin`, it is on the next day."
    )


class HoursModel(BaseModel):
    model_config = ConfigDict(extra="forbid")

    zone: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = Field(
        description="A name of the IANA time zone database, such as `Europe/Berlin`."
    )
    open: list[HoursOfDays] = Field(min_length=1, max_length=28)


_Few = Field(default_factory=list[str], max_length=100)
_Short = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


class ConditionModel(BaseModel):
    """All that is given has to be so; of a list, one. Without anything a rule holds for every conversation."""

    model_config = ConfigDict(extra="forbid")

    phone_number_ids: list[Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]] = _Few
    ads: list[Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_.:-]{1,128}$")]] = _Few
    templates: list[_Short] = _Few
    keywords: list[Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*\S[^\x00]*$")]] = (
        _Few
    )
    languages: list[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]] = Field(
        default_factory=list[str],
        max_length=100,
        description="In which they write (`pt`, as in ISO 639-1). A word or two may not show it: then that of the "
        "template counts that they answer, if they do.",
    )
    countries: list[Annotated[str, StringConstraints(pattern=r"^([A-Z]{2}|[1-9][0-9]{0,6})$")]] = Field(
        default_factory=list[str],
        max_length=250,
        description="Where the person is from, by their number or user id: the two letters of a country (`DE`), or the "
        "first digits of numbers (`49`), which hold for numbers alone.",
    )
    hours: HoursModel | None = None


class RuleModel(BaseModel):
    """Exactly one of `team`, `agent` and `bot` is given."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    when: ConditionModel = Field(default_factory=ConditionModel)
    team: TeamId | None = None
    agent: Subject | None = None
    bot: Name | None = None
    strategy: Literal["none", "round_robin", "least_open"] = Field(
        default="none", description="Who of the team gets it: nobody by itself, each in turn, or who has the fewest."
    )
    sticky_days: Annotated[int, Field(ge=1, le=365)] | None = Field(
        default=None, description="For so many days after it was closed it goes to who had it, if they are there."
    )


class RoutingModel(BaseModel):
    """The body of PUT /routing, and the answer of GET: all rules. The first that fits counts."""

    model_config = ConfigDict(extra="forbid")

    rules: list[RuleModel] = Field(max_length=100)
