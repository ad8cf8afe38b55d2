"""Which webhook fields our app should be subscribed to at Meta, what is missing without each, and what is so now. Pure.

Sources: Meta, "Webhooks reference", "Onboarding WhatsApp Business app users" (coexistence), "Business-scoped user IDs",
"Webhook overrides" (which fields go to an account's own callback), "Subscriptions edge" (Graph API).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

OBJECT = "whatsapp_business_account"


class Use(NamedTuple):
    """What some of the fields are for."""

    severity: Literal["failing", "degraded", "notice"]
    """How bad it is to lack them."""
    without: str
    """What happens then, as a sentence."""
    coexistence: bool = False
    """Whether they are about numbers alone that are in use in the WhatsApp Business app too."""


MESSAGES = Use("failing", "No message and no delivery status reaches us.")
HEALTH = Use("degraded", "What Meta decides about your account and its numbers shows here late, or not at all.")
TEMPLATES = Use("degraded", "Changes of your templates show only when they are compared with Meta next.")
PHONE = Use(
    "notice",
    "What is sent, kept and received on your phone, in the WhatsApp Business app, will be missing.",
    coexistence=True,
)
CONVERSATIONS = Use(
    "notice", "Calls, customers' preferences and new identities, and who else answers them, will be missing."
)
USES = (MESSAGES, HEALTH, TEMPLATES, PHONE, CONVERSATIONS)

FIELDS: Mapping[str, Use] = {
    "messages": MESSAGES,
    "message_template_status_update": TEMPLATES,
    "message_template_quality_update": TEMPLATES,
    "template_category_update": TEMPLATES,
    "message_template_components_update": TEMPLATES,
    "account_update": HEALTH,
    "account_review_update": HEALTH,
    "account_alerts": HEALTH,
    "account_settings_update": HEALTH,
    "account_offboarded": HEALTH,
    "business_capability_update": HEALTH,
    "phone_number_quality_update": HEALTH,
    "phone_number_name_update": HEALTH,
    "security": HEALTH,
    "smb_message_echoes": PHONE,
    "history": PHONE,
    "smb_app_state_sync": PHONE,
    "user_id_update": CONVERSATIONS,
    "user_preferences": CONVERSATIONS,
    "messaging_handovers": CONVERSATIONS,
    "standby": CONVERSATIONS,
    "calls": CONVERSATIONS,
}
"""All that the app should be subscribed to; the first is the one that nothing works without."""

TO_THE_ACCOUNT = frozenset(
    {
        *("messages", "calls", "messaging_handovers", "smb_message_echoes", "smb_app_state_sync", "history"),
        "account_settings_update",
    }
)
"""Those of them that Meta sends to an account's own callback; all others go to the app's."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What our app is subscribed to at Meta, and where that goes."""

    callback_url: str | None = None
    """None where the app has no callback at all."""
    fields: tuple[str, ...] = ()

    def missing(self, our_callback_url: str) -> tuple[str, ...]:
        """The fields that don't reach us, in the order of `FIELDS`.

        A field that the app is subscribed to is missing all the same where the app's callback is somebody else's,
        unless Meta sends it to the callback that each account has of its own.
        """
        elsewhere = self.is_elsewhere(our_callback_url)
        return tuple(name for name in FIELDS if name not in self.fields or (elsewhere and name not in TO_THE_ACCOUNT))

    def is_elsewhere(self, our_callback_url: str) -> bool:
        """Whether the app's callback is somebody else's. One below ours, as accounts have, reaches us too."""
        url = self.callback_url
        return url is not None and url != our_callback_url and not url.startswith(our_callback_url + "/")

    def may_be_changed(self, our_callback_url: str) -> bool:
        """Whether subscribing with our callback would take nothing away from anybody."""
        return self.callback_url is None or self.callback_url.rstrip("/") == our_callback_url


def subscription_in(answer: Mapping[str, Any]) -> Subscription:
    """What `GET /{app}/subscriptions` says of WhatsApp. What is not active brings nothing."""
    listed = answer.get("data")
    for each in cast(list[Any], listed) if isinstance(listed, list) else []:
        if not isinstance(each, dict):
            continue
        entry = cast(dict[str, Any], each)
        if entry.get("object") == OBJECT:
            url = entry.get("callback_url")
            names = sorted(set(_names(entry.get("fields")))) if entry.get("active") is not False else []
            return Subscription(url if isinstance(url, str) and url else None, tuple(names))
    return Subscription()


def _names(listed: object) -> Iterable[str]:
    """Each field is an object with a name and a version, in older answers a bare name."""
    for each in cast(list[Any], listed) if isinstance(listed, list) else []:
        name = cast(dict[str, Any], each).get("name") if isinstance(each, dict) else each
        if isinstance(name, str):
            yield name
