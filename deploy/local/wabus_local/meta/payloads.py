"""The bodies of Meta's webhooks and their signature. Pure.

Source: "Webhooks reference" of the WhatsApp Business Platform, one page for each field.
"""

import hashlib
import hmac
import json
from typing import Any, Literal, get_args

from wabus_local.meta.state import Phone

Json = dict[str, Any]

# "Webhook overrides": every other field goes to the app's own callback.
OVERRIDABLE_FIELDS = frozenset(
    (
        *("messages", "message_echoes", "calls", "consumer_profile", "messaging_handovers"),
        *("group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update"),
        *("smb_message_echoes", "smb_app_state_sync", "history", "account_settings_update"),
    )
)

Action = Literal[
    "approve", "reject", "pause", "unpause", "disable", "reinstate", "flag", "review", "appeal", "archive", "remove"
]
ACTIONS: tuple[str, ...] = get_args(Action)
STATUS_AFTER: dict[str, str] = {
    **{"approve": "APPROVED", "unpause": "APPROVED", "reinstate": "APPROVED", "flag": "APPROVED"},
    **{"reject": "REJECTED", "pause": "PAUSED", "disable": "DISABLED", "review": "PENDING"},
    **{"appeal": "IN_APPEAL", "archive": "ARCHIVED", "remove": "PENDING_DELETION"},
}
EVENT_OF: dict[str, str] = STATUS_AFTER | {"flag": "FLAGGED", "reinstate": "REINSTATED"}


def encode(payload: Json) -> bytes:
    """As Meta writes it: non-ASCII escaped with lower-case hex, slashes escaped. The signature is over these bytes."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def sign(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def envelope(waba_id: str, field: str, value: Json, time: int) -> Json:
    change: Json = {"value": value, "field": field}
    entry: Json = {"id": waba_id, "time": time, "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def template_status(template: Json, action: str, time: int, reason: str | None = None) -> Json:
    """Value of `message_template_status_update`."""
    value: Json = {
        "event": EVENT_OF[action],
        "message_template_id": int(template["id"]),
        "message_template_name": template["name"],
        "message_template_language": template["language"],
        "reason": None if action == "remove" else "NONE",
        "message_template_category": template["category"],
    }
    match action:
        case "reject":
            value["reason"] = reason or "INVALID_FORMAT"
            if value["reason"] == "INVALID_FORMAT":
                value["rejection_info"] = {
                    "reason": "Parameters are placed next to each other without text between them.",
                    "recommendation": "Put words between the parameters, then send the template for review again.",
                }
        case "pause":
            value["other_info"] = {
                "title": reason or "FIRST_PAUSE",
                "description": "Your WhatsApp message template has been paused for 3 hours because it had issues.",
            }
        case "unpause":
            value["other_info"] = {"title": "UNPAUSE", "description": "Your WhatsApp message template was unpaused."}
        case "disable":
            value["disable_info"] = {"disable_date": time}
            value["other_info"] = {"title": "DISABLED", "description": "Your WhatsApp message template was disabled."}
        case _:
            pass
    return value


def template_named(template: Json) -> Json:
    return {
        "message_template_id": int(template["id"]),
        "message_template_name": template["name"],
        "message_template_language": template["language"],
    }


def template_quality(template: Json, previous: str, new: str) -> Json:
    """Value of `message_template_quality_update`."""
    return {"previous_quality_score": previous, "new_quality_score": new, **template_named(template)}


def template_category(template: Json, previous: str, new: str) -> Json:
    """Value of `template_category_update`."""
    return {**template_named(template), "previous_category": previous, "new_category": new}


def template_components(template: Json) -> Json:
    """Value of `message_template_components_update`."""
    parts = {part.get("type"): part for part in template["components"]}
    value: Json = template_named(template)
    if header := parts.get("HEADER", {}).get("text"):
        value["message_template_title"] = header
    if body := parts.get("BODY", {}).get("text"):
        value["message_template_element"] = body
    if footer := parts.get("FOOTER", {}).get("text"):
        value["message_template_footer"] = footer
    if buttons := parts.get("BUTTONS", {}).get("buttons"):
        value["message_template_buttons"] = [
            {
                "message_template_button_type": button["type"],
                "message_template_button_text": button.get("text", ""),
                **({"message_template_button_url": button["url"]} if "url" in button else {}),
            }
            for button in buttons
        ]
    return value


def phone_quality(phone: Phone, event: str, old_limit: str | None = None) -> Json:
    """Value of `phone_number_quality_update`."""
    return {
        "display_phone_number": _digits(phone.display_phone_number),
        "event": event,
        **({"old_limit": old_limit} if old_limit else {}),
        "current_limit": phone.messaging_limit_tier,
        "max_daily_conversations_per_business": phone.messaging_limit_tier,
    }


def text_message(phone: Phone, sender: str, name: str, text: str, wamid: str, time: int) -> Json:
    """Value of `messages` for one text that a person sent."""
    return {
        **_metadata(phone),
        "contacts": [{"profile": {"name": name}, "wa_id": sender}],
        "messages": [
            {"from": sender, "id": wamid, "timestamp": str(time), "text": {"body": text}, "type": "text"},
        ],
    }


def message_status(phone: Phone, recipient: str, status: str, wamid: str, time: int) -> Json:
    """Value of `messages` for one status of a message that the business sent."""
    entry: Json = {"id": wamid, "status": status, "timestamp": str(time), "recipient_id": recipient}
    if status == "failed":
        details = {"details": "Message failed to send because the recipient can't be reached."}
        entry["errors"] = [
            {
                "code": 131026,
                "title": "Message undeliverable",
                "message": "Message undeliverable",
                "error_data": details,
            }
        ]
    elif status in ("sent", "delivered"):
        entry["pricing"] = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
    return {**_metadata(phone), "statuses": [entry]}


def _metadata(phone: Phone) -> Json:
    metadata = {"display_phone_number": _digits(phone.display_phone_number), "phone_number_id": phone.id}
    return {"messaging_product": "whatsapp", "metadata": metadata}


def _digits(number: str) -> str:
    return "".join(char for char in number if char.isdigit())
