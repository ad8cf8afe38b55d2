"""Changes of health as signed webhooks to the platform, if ALERT_WEBHOOK_URL is set."""

from datetime import UTC, timedelta

import orjson
from prometheus_client import Counter
from pydantic import SecretStr, field_validator, model_validator
from wabus_events import HEALTH, Event, HealthChanged
from wabus_runtime.outbox.outbox import Endpoint, OneEndpoint, Outbox, Retries
from wabus_runtime.outbox.standard_webhook import secrets_of
from wabus_runtime.settings import IdentitySettings, http_url

NAME = "health-alerts"
OLDEST = timedelta(days=7)  # what changed before is no alert any more

ALERTS = Counter("wabus_alert_webhooks_total", "Attempts to deliver a change of health.", ["outcome"])


class AlertSettings(IdentitySettings):
    alert_webhook_url: str | None = None
    """Where changes of health are sent; nowhere if it is not set."""
    alert_webhook_secret: SecretStr | None = None
    """`whsec_` and 24 to 64 bytes in base64; several, comma separated, all sign."""

    @field_validator("alert_webhook_url")
    @classmethod
    def _alert_url_is_http(cls, url: str | None) -> str | None:
        return None if url is None else http_url(url)

    @field_validator("alert_webhook_secret")
    @classmethod
    def _alert_secrets_are_good(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret:
            secrets_of(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _signed_or_not_at_all(self) -> "AlertSettings":
        if self.alert_webhook_url and not self.alert_webhook_secret:
            raise ValueError("ALERT_WEBHOOK_URL needs ALERT_WEBHOOK_SECRET")
        return self


def alerts(settings: AlertSettings, retries: Retries | None = None) -> Outbox | None:
    """What is told to the platform of health; None where it has not said where to."""
    if not settings.alert_webhook_url or not settings.alert_webhook_secret:
        return None
    # Operators may well name an address of their own network.
    secrets = secrets_of(settings.alert_webhook_secret.get_secret_value())
    endpoint = Endpoint(settings.alert_webhook_url, secrets, public_only=False)
    return Outbox(NAME, (HEALTH,), body_of, OneEndpoint(endpoint), ALERTS, retries or Retries(), oldest=OLDEST)


def body_of(event: Event) -> bytes | None:
    """The payload of a change of health."""
    if not isinstance(event, HealthChanged):
        return None
    data = {
        "org_id": event.org_id,
        "from": event.from_status,
        "to": event.to_status,
        "since": event.since.astimezone(UTC),
        "reasons": [reason.model_dump() for reason in event.reasons],
    }
    payload = {"type": "health.changed", "timestamp": event.time.astimezone(UTC), "data": data}
    return orjson.dumps(payload, option=orjson.OPT_UTC_Z)
