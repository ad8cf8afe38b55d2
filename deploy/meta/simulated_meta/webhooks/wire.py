"""How a webhook looks on the wire: its envelope, its bytes, its signature. Pure.

Sources: "Webhooks" of the WhatsApp Business Platform, Payloads; "Create a webhook endpoint", Validating payloads.
"""

import hashlib
import hmac
import json
from typing import Any

from simulated_meta.state import Phone

Json = dict[str, Any]

# "Webhook overrides": every other field goes to the app's own callback.
OVERRIDABLE_FIELDS = frozenset(
    (
        *("messages", "message_echoes", "calls", "consumer_profile", "messaging_handovers"),
        *("group_lifecycle_update", "group_participants_update", "group_settings_update", "group_status_update"),
        *("smb_message_echoes", "smb_app_state_sync", "history", "account_settings_update"),
    )
)


def encode(payload: Json) -> bytes:
    """As Meta writes it: non-ASCII escaped with lower-case hex, slashes escaped. The signature is over these bytes.

    "Webhooks from Meta" (Graph API), Validating payloads.
    """
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def sign(body: bytes, secret: str) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def envelope(entry_id: str, field: str, value: Json, time: int) -> Json:
    """One change of one account; `entry_id` is its WABA, or the portfolio of the partner who is told of it."""
    change: Json = {"value": value, "field": field}
    entry: Json = {"id": entry_id, "time": time, "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def about(phone: Phone) -> Json:
    """The beginning of every value that is about one business number."""
    metadata = {"display_phone_number": digits(phone.display_phone_number), "phone_number_id": phone.id}
    return {"messaging_product": "whatsapp", "metadata": metadata}


def digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))
