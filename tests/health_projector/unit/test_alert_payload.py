"""Alerts: what the platform is told of a change of health, and settings that can't be half right."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from wabus_events import HealthChanged, HealthReason
from wabus_health_projector.worker.alerts import AlertSettings, body_of

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CHANGE = HealthChanged(
    id="b7a2",
    time=NOW,
    org_id="demo",
    from_status="healthy",
    to_status="failing",
    since=NOW,
    reasons=[HealthReason(code="token_expired", severity="failing", message="It is over.", remedy="Connect again.")],
)


def test_the_body_says_what_changed_and_why() -> None:
    body = json.loads(body_of(CHANGE) or b"")
    assert (body["type"], body["timestamp"]) == ("health.changed", "2026-03-01T12:00:00.500000Z")
    assert {name: body["data"][name] for name in ("org_id", "from", "to")} == {
        "org_id": "demo",
        "from": "healthy",
        "to": "failing",
    }
    assert body["data"]["reasons"][0]["code"] == "token_expired"


@pytest.mark.parametrize(
    "values",
    [
        {"alert_webhook_url": "https://platform.example"},
        {"alert_webhook_url": "platform.example", "alert_webhook_secret": SECRET},
        {"alert_webhook_url": "https://platform.example", "alert_webhook_secret": "whsec_c2hvcnQ="},
        {"alert_webhook_url": "https://platform.example", "alert_webhook_secret": "no-prefix"},
    ],
)
def test_settings_that_would_send_unsigned_or_nowhere_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AlertSettings.model_validate({"kafka_bootstrap_servers": "localhost:1", **values})
