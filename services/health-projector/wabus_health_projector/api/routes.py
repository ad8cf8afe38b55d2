"""The health endpoints as `/openapi.json` describes them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.headers import PREFER_WAIT
from wabus_runtime.http.openapi import Header, Operation

from wabus_health_projector.api.models import DetailedHealth, Health
from wabus_health_projector.health.reasons.reason import Reason

TAG = "health"


class HealthQuery(BaseModel):
    """The parameters of GET /webhook/health."""

    sync_id: list[Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]] = Field(
        default=[], max_length=20, description="Syncs whose outcome shall be in the answer; see `Prefer`."
    )


class HistoryQuery(BaseModel):
    """The parameters of GET /webhook/health/history."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500), DIGITS] = 50
    before: Annotated[int, Field(ge=0, le=2**63 - 1), DIGITS] | None = Field(
        default=None, description="`next` of the page before."
    )


class ChangeView(BaseModel):
    """A change of health."""

    id: UUID
    log_offset: int
    from_: str | None = Field(alias="from")
    to: str
    reasons: list[Reason]
    since: datetime
    at: datetime
    until: datetime | None = Field(description="When the next change was judged; null for what still is.")


class History(BaseModel):
    """The newest first."""

    changes: list[ChangeView]
    next: int | None = Field(description="`before` of the next page; null on the last.")


class Checked(BaseModel):
    check_id: str
    waba_ids: list[str]
    status: Literal["checked", "checking"]


OPERATIONS = (
    Operation(
        "GET", "/webhook/health", "Whether the connection is healthy, and if not, why and what to do", TAG,
        {200: Health}, (422,), query=HealthQuery, repeatable=("sync_id",), headers={"Prefer": PREFER_WAIT},
    ),
    Operation(
        "GET", "/webhook/health/detailed", "The same for each account, with evidence and counts", TAG,
        {200: DetailedHealth},
    ),
    Operation(
        "GET", "/webhook/health/history", "When health changed, and why", TAG, {200: History}, (422,),
        query=HistoryQuery,
    ),
    Operation(
        "GET", "/webhook/health/stream", "The detailed answer, live (server-sent events)", TAG,
        {200: DetailedHealth}, (429,), headers={"Last-Event-ID": Header("The `id` of the last event seen.")},
        media="text/event-stream",
    ),
    Operation(
        "POST", "/webhook/health/check", "Compare with Meta now (administrators only)", TAG,
        {200: Checked, 202: Checked}, (403, 404, 429), headers={"Prefer": PREFER_WAIT},
    ),
)  # fmt: skip
