"""What connecting over HTTP is asked and answers, and the gateway's endpoints as `/openapi.json` describes them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel
from wabus_events import AccountConnected, PhoneNumber
from wabus_runtime.http.openapi import Header, Operation

from wabus_gateway.worker.connect import WABA_ID

CONNECTING = "connecting"
META = "from Meta"
PATTERN = f"^{WABA_ID.pattern}$"


class Begun(BaseModel):
    """Where the browser that asked goes on. A cookie ties the sign-up to it."""

    authorization_url: str = Field(description="Meta's dialog.")
    expires_at: datetime


class Signup(BaseModel):
    """What Embedded Signup gives to the page that opened it."""

    code: str = Field(min_length=1, max_length=4096)
    waba_id: str = Field(pattern=PATTERN)
    phone_number_id: str | None = Field(
        default=None, pattern=PATTERN, description="Absent when the person ended the sign-up without adding a number."
    )


class Connected(BaseModel):
    """An account that was connected just now."""

    org_id: str
    waba_id: str
    phone_numbers: list[PhoneNumber]
    connected_at: datetime
    token_expires_at: datetime | None

    @classmethod
    def of(cls, org_id: str, account: AccountConnected) -> "Connected":
        return cls(
            org_id=org_id,
            waba_id=account.waba_id,
            phone_numbers=account.phone_numbers,
            connected_at=account.time,
            token_expires_at=account.token_expires_at,
        )


class Step(BaseModel):
    """A sign-up that goes on: what the way back from Meta, or the step before, has given."""

    setup: str = Field(min_length=1, max_length=48 * 1024)


class SetUpPath(BaseModel):
    waba_id: str = Field(pattern=PATTERN)


class Granted(BaseModel):
    """An account that a person gave access to."""

    waba_id: str
    name: str
    connected: bool = Field(description="Whether the organisation has it connected already.")


class SetUp(BaseModel):
    """What can be connected now, for this organisation, in the next ten minutes."""

    setup: str = Field(description="For POST /whatsapp/setup/{waba_id}; only the browser that began can use it.")
    org_id: str
    accounts: list[Granted]


class Connection(BaseModel):
    """A connected account; never its token."""

    waba_id: str
    connected_at: datetime
    token_expires_at: datetime | None
    scopes: list[str]


class Connections(BaseModel):
    org_id: str
    connections: list[Connection]


class EndQuery(BaseModel):
    """The parameters of DELETE /whatsapp/connection: without any all accounts end, so one mistyped is refused."""

    model_config = ConfigDict(extra="forbid")

    waba_id: str | None = Field(default=None, pattern=PATTERN, description="Only this one of the accounts.")


class Disconnected(BaseModel):
    disconnected: list[str] = Field(description="The ids of the accounts that are not connected any more.")


class Webhook(BaseModel):
    """Meta: "Webhooks: Getting started". Whatever else is in it is kept too."""

    object: str
    entry: list[dict[str, Any]]


class Handshake(RootModel[str]):
    """The challenge, as plain text."""


class HandshakeQuery(BaseModel):
    """Meta: "Webhooks: Getting started", verification requests."""

    mode: str = Field(alias="hub.mode", description="`subscribe`")
    verify_token: str = Field(alias="hub.verify_token")
    challenge: str = Field(alias="hub.challenge")


SIGNATURE = Header("`sha256=` and the HMAC-SHA256 of the body with the app secret, in hex.")

OPERATIONS = (
    Operation(
        "GET", "/whatsapp/connect", "Begin to connect an account, in Meta's dialog", CONNECTING, {200: Begun}, (429,),
    ),
    Operation(
        "POST", "/whatsapp/connect", "Connect the account that Embedded Signup has named", CONNECTING,
        {201: Connected}, (400, 404, 408, 409, 413, 415, 422, 429, 502), body=Signup,
    ),
    Operation(
        "POST", "/whatsapp/setup", "Which accounts the sign-up gives access to, after Meta's dialog", CONNECTING,
        {200: SetUp}, (400, 403, 408, 410, 413, 415, 422, 429, 502), body=Step, secured=False,
    ),
    Operation(
        "POST", "/whatsapp/setup/{waba_id}", "Connect one of them", CONNECTING,
        {201: Connected}, (400, 403, 408, 409, 410, 413, 415, 422, 429, 502), body=Step, secured=False,
    ),
    Operation("GET", "/whatsapp/connection", "The connected accounts", CONNECTING, {200: Connections}),
    Operation(
        "DELETE", "/whatsapp/connection", "Disconnect one account, or all (administrators only)", CONNECTING,
        {200: Disconnected}, (403, 404, 409, 422, 502), query=EndQuery,
    ),
    Operation(
        "GET", "/webhooks/whatsapp", "Meta's verification of the callback URL", META,
        {200: Handshake}, (400, 403, 429), query=HandshakeQuery, secured=False, media="text/plain",
    ),
    Operation(
        "POST", "/webhooks/whatsapp", "A signed webhook; 200 means that it is stored", META,
        {200: None}, (400, 403, 408, 411, 413, 415, 429), body=Webhook,
        headers={"X-Hub-Signature-256": SIGNATURE}, secured=False,
    ),
)  # fmt: skip
