"""Outgoing webhooks: signed as the Standard Webhooks specification says, and settings that can't be half right."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from wabus_events import HealthChanged, HealthReason
from wabus_health_projector.worker.alerts import AlertSettings
from wabus_health_projector.worker.standard_webhook import body_of, headers_of, secrets_of

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


def test_the_example_of_the_specification_has_its_signature() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secrets_of(SECRET), at)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_each_of_several_secrets_signs() -> None:
    other = "whsec_" + base64.b64encode(b"2" * 32).decode()
    headers = headers_of("x", b"{}", secrets_of(f"{SECRET}, {other}"), NOW)
    signed = b"x.%d.{}" % int(NOW.timestamp())
    expected = base64.b64encode(hmac.new(b"2" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"].split(" ")[1] == f"v1,{expected}"


def test_the_body_says_what_changed_and_why() -> None:
    body = json.loads(body_of(CHANGE))
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
