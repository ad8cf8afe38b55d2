"""What Meta tells of accounts and their numbers. Pure.

Sources: "account_update", "business_capability_update", "phone_number_quality_update" webhook references.
"""

from typing import Any

from simulated_meta.billing.biller import TierReached
from simulated_meta.state import Phone, Waba
from simulated_meta.webhooks.wire import digits

Json = dict[str, Any]

# Events that a partner is told of, in an entry of the partner's portfolio, with `waba_info`.
TO_THE_PORTFOLIO = frozenset(
    (
        *("AD_ACCOUNT_LINKED", "MM_LITE_TERMS_SIGNED", "PARTNER_ADDED", "PARTNER_APP_INSTALLED"),
        *("PARTNER_APP_UNINSTALLED", "PARTNER_REMOVED"),
    )
)
WITH_APP = frozenset(("PARTNER_APP_INSTALLED", "PARTNER_APP_UNINSTALLED"))
UNLIMITED = -1


def account_update(waba: Waba, event: str, app_id: str, details: Json) -> Json:
    """Value of `account_update`. `details` are members of its own, such as `ban_info`."""
    value: Json = {"event": event}
    if event in TO_THE_PORTFOLIO:
        info: Json = {"waba_id": waba.id, "owner_business_id": waba.business_id}
        if event in WITH_APP:
            info["partner_app_id"] = app_id
        value["waba_info"] = info
    return value | details


def tier_reached(reached: TierReached) -> Json:
    """ "Pricing", Tiering webhooks."""
    info = {
        "tier_update_time": int(reached.at),
        "pricing_category": reached.category.upper().replace("-", "_"),
        "tier": reached.tier,
        "effective_month": reached.month,
        "region": reached.market,
    }
    return {"volume_tier_info": info, "event": "VOLUME_BASED_PRICING_TIER_UPDATE"}


def offboarding(waba: Waba, phone: Phone, time: int) -> Json:
    """Value of `account_offboarded` and `account_reconnected`, as types of public SDKs have it (wappa, softlivery).

    Meta's own page, "Reconnect offboarded coexistence clients", has both as events of `account_update`.
    """
    return {"waba_id": waba.id, "phone_number_id": phone.id, "reason": "USER_INITIATED", "timestamp": time}


def capability(max_daily_conversations: int | str, max_phone_numbers: int) -> Json:
    """Value of `business_capability_update` since February 2026. -1 is unlimited; the page also has `TIER_…` texts.

    Up to 250 a day it counts the numbers of the portfolio, above those of the WABA.
    """
    counted = "business" if max_daily_conversations in (250, "TIER_250") else "waba"
    return {
        "max_daily_conversations_per_business": max_daily_conversations,
        f"max_phone_numbers_per_{counted}": max_phone_numbers,
    }


def phone_quality(phone: Phone, event: str, old_limit: str | None = None) -> Json:
    """Value of `phone_number_quality_update`.

    The page has `current_limit` and `old_limit` until February 2026, and examples with them since.
    """
    return {
        "display_phone_number": digits(phone.display_phone_number),
        "event": event,
        **({"old_limit": old_limit} if old_limit else {}),
        "current_limit": phone.messaging_limit_tier,
        "max_daily_conversations_per_business": phone.messaging_limit_tier,
    }
