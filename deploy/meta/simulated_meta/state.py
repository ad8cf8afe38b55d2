"""What the simulated Meta knows: app, portfolios, WABAs, numbers, templates, tokens, people; kept in one JSON file."""

import asyncio
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging", "business_management", "public_profile")
SAVE_DELAY = 0.2  # seconds in which further changes go into the same write


FieldState = Literal["null", "gone"]
"""What became of a field that Meta retired: it is always null, or asking for it is an error."""
RETIRED: dict[str, FieldState] = {"WhatsAppBusinessPhoneNumber.messaging_limit_tier": "null"}
"""What Meta has retired by today: "Messaging limits"; pywa#221 shows the null."""


class Business(BaseModel):
    """A business portfolio."""

    id: str
    name: str


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
    message_template_namespace: str = ""
    templates: dict[str, dict[str, Any]] = Field(default_factory=dict[str, dict[str, Any]])
    phones: dict[str, Phone] = Field(default_factory=dict[str, Phone])
    subscribed_apps: dict[str, Subscription] = Field(default_factory=dict[str, Subscription])


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
    has_messages_callback: bool = True
    """Whether the app is subscribed to the field `messages` in the App Dashboard."""
    redirect_uris: list[str] = Field(default_factory=list[str])
    wabas: dict[str, Waba] = Field(default_factory=dict[str, Waba])
    tokens: dict[str, Token] = Field(default_factory=dict[str, Token])
    codes: dict[str, Code] = Field(default_factory=dict[str, Code])
    businesses: dict[str, Business] = Field(default_factory=dict[str, Business])
    """Portfolios beside `business_id`."""
    persons: dict[str, Person] = Field(default_factory=dict[str, Person])
    """By `user_id`."""
    groups: dict[str, Group] = Field(default_factory=dict[str, Group])
    graph_version: str = "v26.0"
    """The newest version that Graph knows, and that of the webhooks."""
    retired: dict[str, FieldState] = Field(default_factory=RETIRED.copy)
    """By node type and name, as in `WhatsAppBusinessPhoneNumber.messaging_limit_tier`."""
    has_parent_user_ids: bool = False
    """Whether the portfolio has parent BSUIDs."""
    next_id: int = 1000000000000001

    @property
    def app_secret(self) -> str:
        """The secret that signs: with several, the first is the newest."""
        return self.app_secrets[0]

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
