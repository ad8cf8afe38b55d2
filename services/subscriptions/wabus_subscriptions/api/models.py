"""What the API is asked and answers, as models: they check the questions, and `/openapi.json` is made from them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
EventId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[!-~]+$")]
Types = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(min_length=1, max_length=100)]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
State = Literal["delivered", "failing", "given_up"]
Place = tuple[AwareDatetime, EventId]
"""Of a delivery in the list."""


class SubscriptionPath(BaseModel):
    subscription_id: Id


class DeliveryPath(SubscriptionPath):
    event_id: EventId


class NewSubscription(BaseModel):
    """The body of POST /subscriptions."""

    model_config = ConfigDict(extra="forbid")

    url: Url = Field(description="Where the webhooks are posted to: an https address that is public.")
    types: Types | None = Field(default=None, description="Names of events as in the catalogue; all without.")
    description: Description = Field(default="", description="For people; it is not read.")
    since: AwareDatetime | None = Field(
        default=None, description="Tell what was logged from then on too, as far as Kafka has it. Not in the future."
    )


class SubscriptionChange(BaseModel):
    """The body of PATCH /subscriptions/{subscription_id}: what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = Field(default=None, description="Null is all events.")
    description: Description | None = None
    status: Literal["active", "paused"] | None = Field(
        default=None, description="`active` after a pause tells what was missed, in its order."
    )


class Replay(BaseModel):
    """The body of POST /subscriptions/{subscription_id}/replay."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime = Field(description="Tell once more what was logged from then on, as far as Kafka has it.")


class Paused(BaseModel):
    reason: Literal["asked", "gone", "private_address", "failing", "too_far_behind"]
    detail: str
    since: datetime


class SubscriptionView(BaseModel):
    subscription_id: str
    url: str
    types: list[str] | None
    description: str
    status: Literal["active", "catching_up", "paused"]
    paused: Paused | None
    failing_since: datetime | None = Field(description="No attempt has succeeded since then.")
    waiting: int = Field(description="Events that wait to be delivered; 1000 stands for more too.")
    created_at: datetime


class CreatedSubscription(SubscriptionView):
    secret: str = Field(description="By which webhooks are signed (Standard Webhooks).")


class SubscriptionsView(BaseModel):
    subscriptions: list[SubscriptionView]


class Secrets(BaseModel):
    secrets: list[str] = Field(description="The newest first; each webhook is signed by all.")


class DeliveriesQuery(BaseModel):
    """The parameters of GET /subscriptions/{subscription_id}/deliveries."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = None
    limit: Annotated[int, Field(ge=1, le=200), DIGITS] = 50
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class DeliveryView(BaseModel):
    event_id: str = Field(description="The `webhook-id`.")
    type: str
    state: State
    attempts: int
    status: int | None = Field(description="Of the last answer; null where there was none.")
    error: str | None = Field(description="What happened instead of an answer.")
    seconds: float = Field(description="How long the last attempt took.")
    at: datetime = Field(description="When it ended.")
    next_at: datetime | None = Field(description="When the next attempt is due.")
    again: bool = Field(description="Whether it was asked for once more, and does not wait yet.")


class Deliveries(BaseModel):
    deliveries: list[DeliveryView]
    next: str | None


class Again(BaseModel):
    event_id: str
    status: Literal["asked"]
