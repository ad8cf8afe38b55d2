"""What of a webhook's value may be kept for ever: the members that Meta documents and that name no person. Pure.

Topics of accounts and templates are kept for ever. Whatever else Meta sends in such a value, today by mistake or one
day on purpose, may be about somebody: it goes where everything is gone after 30 days.
"""

from collections.abc import Mapping
from typing import Any, cast

from wabus_events.models.accounts import (
    AccountAlerted,
    AccountReviewed,
    AccountSettingsChanged,
    AccountUpdated,
    CapabilityChanged,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
)
from wabus_events.models.event import Event
from wabus_events.models.templates import (
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
)

Members = Mapping[str, "Members | None"]
"""The members of an object, or of each object in a list; None for one that is a text, a number or a list of these."""


def _plain(*names: str) -> dict[str, Members | None]:
    return dict.fromkeys(names)


_ALERT = _plain("alert_type", "alert_severity", "alert_status", "alert_description")
_LEFT = _plain("waba_id", "phone_number_id", "reason", "initiated_by", "timestamp")
_TEMPLATE = _plain("message_template_id", "message_template_name", "message_template_language")

LASTING: Mapping[type[Event], Members] = {
    # "account_update webhook reference"; `phone_number`, `lock_info` and `partner_app_id` in older versions of it.
    AccountUpdated: {
        **_plain("event", "country", "phone_number", "partner_app_id", "business_verification_status"),
        "waba_info": _plain(
            *("waba_id", "owner_business_id", "ad_account_linked", "partner_app_id", "solution_id"),
            "solution_partner_business_ids",
        ),
        "ban_info": _plain("waba_ban_state", "waba_ban_date"),
        "lock_info": _plain("expiration"),
        "restriction_info": _plain("restriction_type", "expiration", "remediation"),
        "violation_info": _plain("violation_type"),
        "disconnection_info": _plain("reason", "initiated_by"),
        "partner_client_certification_info": _plain("client_business_id", "status", "rejection_reasons"),
        "auth_international_rate_eligibility": {
            **_plain("start_time"),
            "exception_countries": _plain("country_code", "start_time"),
        },
        "volume_tier_info": _plain("tier_update_time", "pricing_category", "tier", "effective_month", "region"),
        # The fields `account_offboarded` and `account_reconnected`, as SDKs describe them.
        **_LEFT,
        "account_offboarded": _LEFT,
        "account_reconnected": _LEFT,
    },
    # "account_review_update webhook reference"
    AccountReviewed: _plain("decision"),
    # "account_alerts webhook reference"; what is in `alert_info` stood beside it in older versions.
    AccountAlerted: {**_plain("entity_type", "entity_id"), **_ALERT, "alert_info": _ALERT},
    # "Calling: Configure call settings", account_settings_update. Not the parameters and passwords of SIP.
    AccountSettingsChanged: {
        **_plain("messaging_product", "timestamp", "type"),
        "phone_number_settings": {
            **_plain("phone_number_id"),
            "calling": {
                **_plain("status", "call_icon_visibility", "callback_permission_status"),
                "call_icons": _plain("restrict_to_user_countries"),
                "call_hours": {
                    **_plain("status", "timezone_id"),
                    "weekly_operating_hours": _plain("day_of_week", "open_time", "close_time"),
                    "holiday_schedule": _plain("date", "start_time", "end_time"),
                },
                "sip": {**_plain("status"), "servers": _plain("hostname", "port")},
            },
        },
    },
    # "business_capability_update webhook reference"
    CapabilityChanged: _plain(
        *("max_daily_conversation_per_phone", "max_daily_conversations_per_business"),
        *("max_phone_numbers_per_business", "max_phone_numbers_per_waba"),
    ),
    # "phone_number_quality_update webhook reference"
    PhoneNumberQualityChanged: _plain(
        *("display_phone_number", "event", "old_limit", "current_limit", "max_daily_conversations_per_business")
    ),
    # "phone_number_name_update webhook reference"
    PhoneNumberNameReviewed: _plain(
        *("display_phone_number", "decision", "requested_verified_name", "rejection_reason")
    ),
    # "security webhook reference". Its `requester` is a person: the Meta Business Suite user who asked.
    SecurityChanged: _plain("display_phone_number", "event"),
    # "message_template_status_update webhook reference"
    TemplateStatusChanged: {
        **_TEMPLATE,
        **_plain("event", "reason", "message_template_category"),
        "disable_info": _plain("disable_date"),
        "other_info": _plain("title", "description"),
        "rejection_info": _plain("reason", "recommendation"),
    },
    # "message_template_quality_update webhook reference"
    TemplateQualityChanged: {**_TEMPLATE, **_plain("previous_quality_score", "new_quality_score")},
    # "template_category_update webhook reference"
    TemplateCategoryChanged: {
        **_TEMPLATE,
        **_plain("previous_category", "new_category", "correct_category", "category_update_timestamp"),
    },
    # "message_template_components_update webhook reference"
    TemplateComponentsChanged: {
        **_TEMPLATE,
        **_plain("message_template_element", "message_template_title", "message_template_footer"),
        "message_template_buttons": _plain(
            *("message_template_button_type", "message_template_button_text", "message_template_button_url"),
            "message_template_button_phone_number",
        ),
    },
}
"""By the event that is made of a webhook's field; the sources are Meta's pages."""


def lasting_value(kind: type[Event], value: Mapping[str, Any]) -> dict[str, Any]:
    """What of a value may be kept for ever in an event of this kind; all of it where the kind is none of `LASTING`.

    >>> lasting_value(AccountReviewed, {"decision": "APPROVED", "reviewer": "Ann"})
    {'decision': 'APPROVED'}
    """
    members = LASTING.get(kind)
    return dict(value) if members is None else _lasting(value, members)


def _lasting(value: Mapping[str, Any], members: Members) -> dict[str, Any]:
    return {
        name: _part(part, members[name])
        for name, part in value.items()
        if name in members and _is_as_documented(part, members[name])
    }


def _part(part: Any, members: Members | None) -> Any:
    if members is None or part is None:
        return part
    if isinstance(part, list):
        return [_lasting(each, members) for each in cast(list[dict[str, Any]], part)]
    return _lasting(part, members)


def _is_as_documented(part: Any, members: Members | None) -> bool:
    """Whether it is of the documented kind. Constants also come as a list of one, and lists of one as what is in it."""
    parts = cast(list[Any], part) if isinstance(part, list) else [part]
    if part is None:
        return True
    if members is None:
        return not any(isinstance(each, dict | list) for each in parts)
    return all(isinstance(each, dict) for each in parts)
