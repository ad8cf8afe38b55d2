"""Webhooks as Meta sends them, for tests: payloads, and the signature over their bytes."""

import hashlib
import hmac
import json
from typing import Any

SECRET = "an-app-secret-for-tests"
WABA = "102290129340398"
PHONE = "106540352242922"


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The headers of a webhook with this body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}


def webhook(*changes: dict[str, Any], waba_id: str = WABA, time: int = 1_700_000_000) -> dict[str, Any]:
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": waba_id, "time": time, "changes": list(changes)}],
    }


def encoded(payload: Any) -> bytes:
    """JSON as Meta writes it: non-ASCII escaped."""
    return json.dumps(payload).encode()


def conversation(
    *, messages: list[Any] | None = None, statuses: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A change of the field `messages`."""
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE},
        **more,
    }
    if messages is not None:
        value["messages"] = messages
    if statuses is not None:
        value["statuses"] = statuses
    return {"field": "messages", "value": value}


def text(wamid: str, sender: str = "16505551234", body: str = "Hello") -> dict[str, Any]:
    return {"from": sender, "id": wamid, "timestamp": "1700000001", "type": "text", "text": {"body": body}}


def status(wamid: str, name: str = "delivered", recipient: str = "16505551234", **more: Any) -> dict[str, Any]:
    return {"id": wamid, "status": name, "timestamp": "1700000002", "recipient_id": recipient, **more}


def template_status(
    event: str = "APPROVED", template_id: int = 594425479261596, reason: str = "NONE"
) -> dict[str, Any]:
    return {
        "field": "message_template_status_update",
        "value": {
            "event": event,
            "message_template_id": template_id,
            "message_template_name": "seasonal_promotion",
            "message_template_language": "en_US",
            "message_template_category": "MARKETING",
            "reason": reason,
        },
    }


def history(messages: int) -> bytes:
    """Threads of 50 messages each, as somebody shares them who used the WhatsApp Business app for years."""
    body = "Here's the info you requested! https://www.meta.com/quest/quest-3/"
    threads: list[dict[str, Any]] = []
    for start in range(0, messages, 50):
        person = f"1650{start}"
        told = [text(f"wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFR{start + n}", person, body) for n in range(50)]
        read = {"history_context": {"status": "READ"}}
        threads.append({"id": person, "messages": [message | read for message in told]})
    value = conversation(history=[{"metadata": {"phase": 1, "chunk_order": 1, "progress": 55}, "threads": threads}])
    return encoded(webhook({**value, "field": "history"}))
