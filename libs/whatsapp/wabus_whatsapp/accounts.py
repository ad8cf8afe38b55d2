"""What Graph says of an account and of a phone number, read into our words. Pure.

Sources: Meta's OpenAPI of business messaging ("WhatsAppBusinessAccount"), "WhatsApp Business Account" and "WhatsApp
Business Phone Number" (Graph API reference), "Onboarding WhatsApp Business app users" (coexistence), "Throughput";
chatwoot#12556 (what a number that is not registered looks like).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wabus_events.webhooks.values import object_of

from wabus_whatsapp.text.stored import storable
from wabus_whatsapp.time_zones import zone_id, zone_name

ACCOUNT_FIELDS = ("timezone_id", "currency", "country", "owner_business_info", "on_behalf_of_business_info")
"""What there is to ask of an account, each of which Graph may refuse without the others being of less use."""
NUMBER_FIELDS = ("status", "throughput", "platform_type", "is_on_biz_app")
"""The same of a phone number."""

CLOUD_API = "CLOUD_API"
NOWHERE = "NOT_APPLICABLE"
"""`platform_type` of a number that no API of Meta's serves."""
_NOT_REGISTERED = frozenset({"PENDING", "UNVERIFIED"})


@dataclass(frozen=True, slots=True)
class AccountDetails:
    """Whose an account is and how it is charged. What Graph leaves out, or says in another form, is None."""

    portfolio_id: str | None = None
    time_zone_id: int | None = None
    time_zone: str | None = None
    currency: str | None = None
    country: str | None = None


def account_details(node: Mapping[str, Any]) -> AccountDetails:
    """The portfolio is the owner's; for an account that is managed on behalf of somebody, where Graph says no owner,
    that of whom it is managed for.
    """
    owners = (object_of(node.get("owner_business_info")), object_of(node.get("on_behalf_of_business_info")))
    number = zone_id(node.get("timezone_id"))
    return AccountDetails(
        portfolio_id=next((found for owner in owners if (found := _id(owner.get("id")))), None),
        time_zone_id=number,
        time_zone=zone_name(number),
        currency=_letters(node.get("currency"), 3),
        country=_letters(node.get("country"), 2),
    )


@dataclass(frozen=True, slots=True)
class NumberDetails:
    """How a phone number is connected. What Graph leaves out is None."""

    status: str | None = None
    """CONNECTED, PENDING, BANNED, …"""
    platform_type: str | None = None
    """CLOUD_API, ON_PREMISE, or NOT_APPLICABLE for a number that is not registered."""
    throughput: str | None = None
    """STANDARD, HIGH or NOT_APPLICABLE."""
    coexistence: bool | None = None
    """Whether the number is in use in the WhatsApp Business app too."""


def number_details(phone: Mapping[str, Any]) -> NumberDetails:
    platform, in_app = _text(phone.get("platform_type")), phone.get("is_on_biz_app")
    return NumberDetails(
        status=_text(phone.get("status")),
        platform_type=platform,
        throughput=_text(object_of(phone.get("throughput")).get("level")),
        # A number of the app alone, which no API serves, is none that shares anything with us.
        coexistence=in_app and platform in (None, CLOUD_API) if isinstance(in_app, bool) else None,
    )


def is_registered(status: str | None, platform_type: str | None) -> bool | None:
    """Whether a number is registered for the Cloud API; None where Graph does not say enough.

    A status that only a number can have which was registered, such as BANNED, says more than the platform, and the
    platform more than PENDING, which may be the display name's review.
    """
    if status is not None and status not in _NOT_REGISTERED:
        return True
    if platform_type in (NOWHERE, CLOUD_API):
        return platform_type == CLOUD_API
    return False if status in _NOT_REGISTERED else None


def _letters(value: object, count: int) -> str | None:
    """A code of so many letters, as ISO 4217 and ISO 3166 have them."""
    return value.upper() if isinstance(value, str) and re.fullmatch(f"[A-Za-z]{{{count}}}", value) else None


def _id(value: object) -> str | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return text if re.fullmatch("[0-9]{1,32}", text) else None


def _text(value: object) -> str | None:
    return storable(value[:200]) if isinstance(value, str) and value else None
