"""What the simulated Meta knows: app, portfolios, WABAs, numbers, templates, tokens, people; kept in one JSON file."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from simulated_meta.media import Medium

SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging", "business_management", "public_profile")
SAVE_DELAY = 0.2  # seconds in which further changes go into the same write


FieldState = Literal["null", "gone"]
"""What became of a field that Meta retired: it is always null, or asking for it is an error."""
RETIRED: dict[str, FieldState] = {"WhatsAppBusinessPhoneNumber.messaging_limit_tier": "null"}
"""What Meta has retired by today: "Messaging limits"; pywa#221 shows the null."""


# "Webhooks reference", Fields, and the pages of `standby`, `messaging_handovers` and `account_offboarded`.
# `user_id_update` is none of them: "Changelog", Aug 11, 2026.
WEBHOOK_FIELDS = (
    *("account_alerts", "account_offboarded", "account_review_update", "account_settings_update", "account_update"),
    *("automatic_events", "business_capability_update", "business_username_update", "calls", "flows"),
    *("group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update", "history"),
    *("message_template_components_update", "message_template_quality_update", "message_template_status_update"),
    *("messages", "messaging_handovers", "partner_solutions", "payment_configuration_update"),
    *("phone_number_name_update", "phone_number_quality_update", "security", "smb_app_state_sync"),
    *("smb_message_echoes", "standby", "template_category_update", "user_id_update", "user_preferences"),
)


class Business(BaseModel):
    """A business portfolio."""

    id: str
    name: str
    country: str | None = None
    """ISO 3166 alpha-2, where it matters that it is another than that of an account that it owns or shares."""


class Relation(BaseModel):
    """What there is between a person and one business number."""

    wrote_at: float = 0
    """When they last wrote or called, in Unix seconds: "Send messages", customer service windows."""
    entered_at: float = 0
    """When they last wrote by way of an ad or a page's button: "Pricing", Free entry point windows."""
    free_until: float = 0
    """Until when everything to them is free, for they were answered in time: as above."""
    stopped_marketing: bool = False
    """ "user_preferences webhook reference": they want no marketing messages."""
    blocked_by_business: bool = False
    """ "Block users"."""
    blocked_business: bool = False
    """They blocked the business: to it they look as if they could not be reached."""
    owner: Literal["us", "another"] = "us"
    """Who may answer: "Conversation Routing"."""


class Person(BaseModel):
    """Somebody with WhatsApp, as the app's portfolio knows them.

    Source: "Business-scoped user IDs" (BSUID): `user_id` is theirs with this portfolio; the number is left out of
    webhooks once they have a username, unless the business had to do with that number (here: `shows_phone`).
    """

    user_id: str
    phone: str | None = None
    """Without `+`; every person has one, but Meta may never have told it."""
    name: str = "Sheena Nelson"
    username: str | None = None
    parent_user_id: str | None = None
    shows_phone: bool = True
    on_whatsapp: bool = True
    relations: dict[str, Relation] = Field(default_factory=dict[str, Relation])
    """By the business number's id."""

    def relation(self, phone_number_id: str) -> Relation:
        return self.relations.setdefault(phone_number_id, Relation())

    @property
    def shown_phone(self) -> str | None:
        return self.phone if self.shows_phone else None


class Group(BaseModel):
    """A group that a business number made. Source: "Groups API"."""

    id: str
    phone_number_id: str
    subject: str
    participants: list[str] = Field(default_factory=list[str])
    """`user_id` of each."""


class Phone(BaseModel):
    id: str
    waba_id: str
    display_phone_number: str
    verified_name: str
    quality_rating: str = "GREEN"
    status: str = "CONNECTED"
    throughput: str = "STANDARD"
    messaging_limit_tier: str = "TIER_2K"
    name_status: str = "APPROVED"
    code_verification_status: str = "VERIFIED"
    registered: bool = True
    """Whether it was registered for the Cloud API with its PIN; until then no API of Meta's serves it."""
    is_on_biz_app: bool = False
    """Whether it is in use in the WhatsApp Business app too (coexistence)."""
    unusable_until: float = 0
    """Unix seconds until when its throughput is being raised: "Throughput", Higher throughput."""


class SendingHealth(BaseModel):
    """What Meta's own `health_status` says of one entity. Source: "Messaging and Calling Health Status"."""

    can_send_message: Literal["AVAILABLE", "LIMITED", "BLOCKED"] = "AVAILABLE"
    errors: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    additional_info: list[str] = Field(default_factory=list[str])


class Subscription(BaseModel):
    override_callback_uri: str | None = None
    verify_token: str | None = None


class Waba(BaseModel):
    id: str
    name: str
    business_id: str
    shared_with: list[str] = Field(default_factory=list[str])
    """Portfolios that the owner shared it with."""
    account_review_status: str = "APPROVED"
    business_verification_status: str = "verified"
    status: str = "ACTIVE"
    currency: str = "EUR"
    timezone_id: str = "1"
    country: str = "US"
    message_template_namespace: str = ""
    templates: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    phones: dict[str, Phone] = Field(default_factory=dict[str, Phone])
    subscribed_apps: dict[str, Subscription] = Field(default_factory=dict[str, Subscription])
    disable_marketing_messages_on_cloud_api: bool = False
    """Marketing templates go through the Marketing Messages API only (131063)."""
    marketing_messages_onboarding_status: str = "ONBOARDED"
    """ "Onboarding to the Marketing Messages API": with any other status they go through Cloud API, or nowhere."""
    primary_business_location: str | None = None
    """ISO 3166 alpha-2: "Authentication-international rates", Primary business location."""
    auth_international_since: dict[str, float] = Field(default_factory=dict[str, float])
    """Since when it pays those rates, in Unix seconds by country: as above, Start times."""
    insights_since: float = 0
    """Since when template analytics are captured, in Unix seconds; 0 is not at all, and there is no way back to it."""
    shares_credit_line: bool = False
    """Whether a Solution Partner pays: "Analytics": COST is not returned then."""


class Token(BaseModel):
    value: str
    waba_ids: list[str]
    scopes: list[str] = Field(default_factory=lambda: list(SCOPES))
    type: str = "SYSTEM_USER"
    user_id: str = "10222270944537964"
    issued_at: int
    expires_at: int = 0
    """Unix seconds; 0 never."""
    revoked: bool = False
    app_id: str | None = None
    """Of another app than the world's; None is the world's."""
    names_targets: bool = True
    """Whether `debug_token` lists the WABAs; a token for all of a person's WABAs names none."""
    unlisted_scopes: list[str] = Field(default_factory=list[str])
    """What it may do although `debug_token` does not say so (chatwoot#14690)."""


class Code(BaseModel):
    """An authorisation code of the OAuth dialog. `redirect_uri` is empty for Embedded Signup."""

    value: str
    waba_ids: list[str]
    scopes: list[str]
    redirect_uri: str
    expires_at: int
    used: bool = False


class World(BaseModel):
    app_id: str
    app_name: str = "Demo App"
    app_secrets: list[str]
    business_id: str
    business_name: str = "Demo GmbH"
    callback_url: str | None = None
    verify_token: str | None = None
    callback_verified: bool = False
    app_fields: list[str] = Field(default_factory=lambda: list(WEBHOOK_FIELDS))
    """The webhook fields that the app is subscribed to, in the App Dashboard or by `/{app}/subscriptions`."""
    offered_fields: list[str] = Field(default_factory=lambda: list(WEBHOOK_FIELDS))
    """The webhook fields that there are: another version of Graph, or an app without a product, has fewer."""
    redirect_uris: list[str] = Field(default_factory=list[str])
    wabas: dict[str, Waba] = Field(default_factory=dict[str, Waba])
    tokens: dict[str, Token] = Field(default_factory=dict[str, Token])
    codes: dict[str, Code] = Field(default_factory=dict[str, Code])
    businesses: dict[str, Business] = Field(default_factory=dict[str, Business])
    """Portfolios beside `business_id`."""
    persons: dict[str, Person] = Field(default_factory=dict[str, Person])
    """By `user_id`."""
    groups: dict[str, Group] = Field(default_factory=dict[str, Group])
    media: dict[str, Medium] = Field(default_factory=dict[str, Medium])
    """By id."""
    graph_version: str = "v26.0"
    """The newest version that Graph knows, and that of the webhooks."""
    retired: dict[str, FieldState] = Field(default_factory=RETIRED.copy)
    """By node type and name, as in `WhatsAppBusinessPhoneNumber.messaging_limit_tier`."""
    has_parent_user_ids: bool = False
    """Whether the portfolio has parent BSUIDs."""
    next_id: int = 1000000000000001
    clock_offset: float = 0
    """By how many seconds the time that is played is ahead of the real one."""

    answering: list[str] = Field(default_factory=list[str])
    """Who of the story answers when they are written to, by `user_id`."""
    health: dict[str, SendingHealth] = Field(default_factory=dict[str, SendingHealth])
    """What is not all right with sending, by the id of a number, account, portfolio or app."""

    @property
    def has_messages_callback(self) -> bool:
        return "messages" in self.app_fields

    @property
    def app_secret(self) -> str:
        """The secret that signs: with several, the first is the newest."""
        return self.app_secrets[0]

    def now(self) -> float:
        """The time that is played, in Unix seconds: of messages, windows, prices and analytics.

        Tokens, addresses of media, limits and the delivery of webhooks go by the real one.
        """
        return time.time() + self.clock_offset

    def new_id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def phone(self, phone_id: str) -> Phone | None:
        return next((waba.phones[phone_id] for waba in self.wabas.values() if phone_id in waba.phones), None)

    def business(self, business_id: str) -> Business | None:
        if business_id == self.business_id:
            return Business(id=business_id, name=self.business_name)
        return self.businesses.get(business_id)

    def waba_of_template(self, template_id: str) -> Waba | None:
        return next((waba for waba in self.wabas.values() if template_id in waba.templates), None)


class Store:
    """Keeps a `World` in a file, replaced atomically. Without a path it keeps nothing."""

    def __init__(self, world: World, path: Path | None = None) -> None:
        self.world = world
        self._path = path
        self._changed = asyncio.Event()

    @staticmethod
    def read(path: Path) -> World | None:
        return World.model_validate_json(path.read_bytes()) if path.exists() else None

    def changed(self) -> None:
        """Have the world written within `SAVE_DELAY`."""
        self._changed.set()

    async def save_when_changed(self) -> None:
        """Run until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(SAVE_DELAY)
            self.save()

    def save(self) -> None:
        self._changed.clear()
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self.world.model_dump_json())
        unfinished.replace(self._path)
