"""The webhook fields that have a model of their own: which field becomes which event. A new one is added here.

Source: Meta, "Webhooks reference: WhatsApp Business Account", one section a field.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from wabus_events import (
    AccountAlerted,
    AccountReviewed,
    AccountSettingsChanged,
    AccountUpdated,
    CapabilityChanged,
    Event,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
    fact_id,
)
from wabus_events.models.messaging_limit import people_a_day


class _Common(TypedDict):
    """What all of these events have."""

    id: str
    time: datetime
    org_id: str | None
    waba_id: str
    value: dict[str, Any]


def change_event(
    field: str,
    value: dict[str, Any],
    *,
    id_parts: Sequence[str],
    waba_id: str,
    portfolio_id: str | None,
    time: datetime,
    org_id: str | None,
    app_id: str | None = None,
) -> Event | None:
    """The event of one change, or None if there is no model for its field. `app_id` is our own app's.

    Raises KeyError or pydantic's ValidationError where the value lacks what the model needs.
    """

    def common(event_type: type[Event]) -> _Common:
        identity = fact_id(event_type.type, *id_parts)
        return {"id": identity, "time": time, "org_id": org_id, "waba_id": waba_id, "value": value}

    match field:
        case "message_template_status_update":
            return TemplateStatusChanged(
                **common(TemplateStatusChanged), **_template(value), event=value["event"], reason=_text(value, "reason")
            )
        case "message_template_quality_update":
            return TemplateQualityChanged(
                **common(TemplateQualityChanged),
                **_template(value),
                previous_quality=_text(value, "previous_quality_score"),
                new_quality=value["new_quality_score"],
            )
        case "template_category_update":
            return TemplateCategoryChanged(
                **common(TemplateCategoryChanged),
                **_template(value),
                previous_category=_text(value, "previous_category"),
                new_category=_text(value, "new_category"),
                correct_category=_text(value, "correct_category"),
            )
        case "message_template_components_update":
            return TemplateComponentsChanged(**common(TemplateComponentsChanged), **_template(value))
        case "account_update":
            # Some versions of the field have the app's id beside, newer ones in `waba_info`.
            app = _text(value.get("waba_info"), "partner_app_id") or _text(value, "partner_app_id")
            return AccountUpdated(
                **common(AccountUpdated),
                portfolio_id=portfolio_id,
                of_our_app=app == app_id if app and app_id else None,
                event=value["event"],
            )
        case "account_review_update":
            return AccountReviewed(**common(AccountReviewed), decision=value["decision"])
        case "account_alerts":
            # Older versions of the field have the alert's parts beside, newer ones in `alert_info`.
            alert = value.get("alert_info") or value
            return AccountAlerted(
                **common(AccountAlerted),
                alert_type=_text(alert, "alert_type"),
                severity=_text(alert, "alert_severity"),
            )
        case "account_settings_update":
            return AccountSettingsChanged(**common(AccountSettingsChanged))
        case "business_capability_update":
            return CapabilityChanged(
                **common(CapabilityChanged),
                max_daily_conversation_per_phone=people_a_day(value.get("max_daily_conversation_per_phone")),
                max_daily_conversations_per_business=people_a_day(value.get("max_daily_conversations_per_business")),
                max_phone_numbers_per_business=value.get("max_phone_numbers_per_business"),
                max_phone_numbers_per_waba=value.get("max_phone_numbers_per_waba"),
            )
        case "phone_number_quality_update":
            return PhoneNumberQualityChanged(
                **common(PhoneNumberQualityChanged),
                display_phone_number=value["display_phone_number"],
                event=value["event"],
                current_limit=_text(value, "current_limit") or _text(value, "max_daily_conversations_per_business"),
            )
        case "phone_number_name_update":
            return PhoneNumberNameReviewed(
                **common(PhoneNumberNameReviewed),
                display_phone_number=value["display_phone_number"],
                decision=value["decision"],
                requested_verified_name=_text(value, "requested_verified_name"),
                rejection_reason=_text(value, "rejection_reason"),
            )
        case "security":
            return SecurityChanged(
                **common(SecurityChanged),
                display_phone_number=_text(value, "display_phone_number"),
                event=value["event"],
            )
        case _:
            return None


class _Template(TypedDict):
    template_id: str
    name: str
    language: str


def _template(value: dict[str, Any]) -> _Template:
    return {
        "template_id": str(value["message_template_id"]),
        "name": value["message_template_name"],
        "language": value["message_template_language"],
    }


def _text(value: Any, name: str) -> str | None:
    found = value.get(name) if isinstance(value, dict) else None
    return None if found is None else str(found)
