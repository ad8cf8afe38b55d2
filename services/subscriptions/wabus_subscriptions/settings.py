"""What subscriptions can be told, but for what every service is."""

from typing import Annotated, ClassVar

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode
from wabus_runtime.outbox.standard_webhook import secrets_of
from wabus_runtime.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    IdentitySettings,
    LogSettings,
    PublicSettings,
    http_url,
)

from wabus_subscriptions.telling.types import unknown


class SubscriptionsDatabaseSettings(DatabaseSettings):
    """A schema of its own, in the database of the other services."""

    database_schema: ClassVar[str | None] = "subscriptions"


class AddressSettings(LogSettings):
    """Which addresses may be told; who takes them and who tells them must be told the same."""

    subscriptions_private_addresses: bool = False
    """Whether receivers may be in our own network, and be called by http: for a machine of one's own."""


class SubscriptionsWorkerSettings(AddressSettings, SubscriptionsDatabaseSettings, IdentitySettings, HttpSettings):
    """What telling takes."""

    subscriptions_url: str | None = None
    """A receiver that the operator names: it is told of all organisations."""
    subscriptions_secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; several, comma separated, all sign."""
    subscriptions_types: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Names of events, comma separated, that this receiver is told of; all without."""

    @field_validator("subscriptions_url")
    @classmethod
    def _url_is_http(cls, url: str | None) -> str | None:
        return None if url is None else http_url(url)

    @field_validator("subscriptions_secret")
    @classmethod
    def _secrets_are_good(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret:
            secrets_of(secret.get_secret_value())
        return secret

    @field_validator("subscriptions_types", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("subscriptions_types")
    @classmethod
    def _are_types(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if wrong := unknown(names or ()):
            raise ValueError(f"no event is called {wrong[0][:100]!r}")
        return names or None

    @model_validator(mode="after")
    def _signed_or_not_at_all(self) -> "SubscriptionsWorkerSettings":
        if self.subscriptions_url and not self.subscriptions_secret:
            raise ValueError("SUBSCRIPTIONS_URL needs SUBSCRIPTIONS_SECRET")
        return self


class SubscriptionsApiSettings(
    AddressSettings,
    SubscriptionsDatabaseSettings,
    IdentitySettings,
    PublicSettings,
    HttpSettings,
    AuthSettings,
):
    """What answering takes."""

    subscriptions_per_org: int = Field(default=20, ge=1, le=1_000)
    """Subscriptions that an organisation can have."""


class SubscriptionsSettings(SubscriptionsApiSettings, SubscriptionsWorkerSettings):
    """Everything that subscriptions can be told."""
