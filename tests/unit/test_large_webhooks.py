"""However much a webhook holds, others get their turn while it is taken apart; twice as much takes twice as long."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from wabus_events import encode
from wabus_gateway import app
from wabus_gateway.app import Gateway, GatewaySettings
from wabus_gateway.ingest import whole
from wabus_runtime.service import MAX_BODY
from webhooks import conversation, encoded, text, webhook

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def gateway() -> Any:
    return Gateway(
        GatewaySettings.model_validate(
            {
                "kafka_bootstrap_servers": "127.0.0.1:9",
                "meta_app_id": "1",
                "meta_app_secrets": "a-secret",
                "meta_verify_token": "v",
                "public_url": "http://127.0.0.1",
                "credential_keys": "k1:" + base64.b64encode(b"1" * 32).decode(),
                "jwt_secret": "x" * 32,
            }
        )
    )


async def turns(gateway: Any, changes: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The records made of a webhook, and how often another task had its turn, where each event takes 1 ms."""
    moment = 0.0

    def clock() -> float:
        nonlocal moment
        moment += 0.001
        return moment

    body = encoded(webhook(*(conversation(messages=[text(f"wamid.{number}")]) for number in range(changes))))
    monkeypatch.setattr("wabus_gateway.app.time.perf_counter", clock)
    had, done = 0, False

    async def another() -> None:
        nonlocal had
        while not done:
            had += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(another())
    records, _ = await gateway._records(body, NOW)
    done = True
    monkeypatch.undo()
    await other
    return len(records), had


async def test_a_webhook_of_1000_changes_lets_others_have_their_turn_every_few_milliseconds(
    gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, had = await turns(gateway, 1000, monkeypatch)
    assert records == 1001
    assert had >= 1000 / (1000 * app.MOST_AT_ONCE + 2)


async def test_twice_the_changes_are_twice_the_turns(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, once = await turns(gateway, 500, monkeypatch)
    _, twice = await turns(gateway, 1000, monkeypatch)
    assert once * 2 - 10 <= twice <= once * 2 + 10


async def test_what_would_be_too_large_for_kafka_once_it_is_escaped_is_kept_as_it_came(gateway: Any) -> None:
    cut = "\\ud83d"
    change = conversation(messages=[text("wamid.A", body="CUT" + "é" * 1_550_000)])
    body = json.dumps(webhook(change), ensure_ascii=False).encode().replace(b"CUT", cut.encode())
    assert len(body) < MAX_BODY
    with pytest.raises(ValueError, match="too large"):
        await gateway._records(body, NOW)
    kept = encode(whole(body, received_at=NOW, reason="why"), "/wabus/gateway")
    assert len(kept.value or b"") < app.MOST_IN_A_RECORD
