"""The webhook fields that have a model of their own: which field becomes which event. A new one is added here.

Source: Meta, "Webhooks reference: WhatsApp Business Account", one section a field.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypedDict

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
from wabus_events.models.event import Event, fact_id
from wabus_events.models.messaging_limit import people_a_day
from wabus_events.models.templates import (
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
)
from wabus_events.webhooks.about import About, present, unrecognised
from wabus_events.webhooks.coexistence import facts_in_address_book, facts_in_echoes, facts_in_history
from wabus_events.webhooks.items import UNFIT, lacking
from wabus_events.webhooks.lasting_values import lasting_value
from wabus_events.webhooks.messages import facts_in_messages
from wabus_events.webhooks.threads import (
    facts_in_calls,
    facts_in_handovers,
    facts_in_preferences,
    facts_in_standby,
    facts_in_user_id_update,
)
from wabus_events.webhooks.values import Json, digest, moment

FieldFacts = Callable[[Json, About], Iterator[Event | None]]
"""The events of a field's value, None for a pause: no step takes more than some ms."""

MANY: dict[str, FieldFacts] = {
    "messages": facts_in_messages,
    "smb_message_echoes": facts_in_echoes,
    "history": facts_in_history,
    "smb_app_state_sync": facts_in_address_book,
    "user_id_update": facts_in_user_id_update,
    "user_preferences": facts_in_preferences,
    "messaging_handovers": facts_in_handovers,
    "standby": facts_in_standby,
    "calls": facts_in_calls,
}
"""Fields whose value holds many things, or is about one conversation."""
SINCE_0_3 = frozenset({*MANY, "account_offboarded", "account_reconnected"} - {"messages"})
"""Fields that the release before had no model for: what it published of them is `Unrecognised`."""


def facts_in_field(field: str, value: Json, about: About) -> Iterator[Event | None]:
    """The events of one change of a webhook, None for a pause. Linear in its size; never raises for its content.

    What has no model, or does not fit the one it has, is kept whole as `Unrecognised`.
    """
    if field in SINCE_0_3 and about.unrecognised_too:
        yield from unrecognised(value, about, field, NO_MODEL)
    if many := MANY.get(field):
        yield from many(value, about)
        return
    yield
    try:
        event = change_event(field, value, about)
    except UNFIT:
        yield from unrecognised(value, about, field, lacking(field))
        return
    if event is None:
        yield from unrecognised(value, about, field, NO_MODEL)
        return
    kept = lasting_value(type(event), value)
    yield event if kept == value else event.model_copy(update={"value": kept})
    if kept != value:
        yield from unrecognised(value, about, field, f"a {field} with more than is kept for ever")


NO_MODEL = "no model for this field"


class _Common(TypedDict):
    """What all of these events have."""

    id: str
    time: datetime
    org_id: str | None
    waba_id: str
    value: dict[str, Any]


def change_event(field: str, value: Json, about: About) -> Event | None:
    """The event of a change that tells one thing of an account or a template; None if there is no model for its field.

    Raises one of `UNFIT` where the value lacks what the model needs.
    """

    def common(event_type: type[Event], told_at: datetime | None = None) -> _Common:
        # When it happened is in its entry; what it says is all that tells it from another.
        time = about.entry_time.isoformat() if about.entry_time else ""
        told = digest({"field": field, "value": value})
        return {
            "id": fact_id(event_type.type, about.waba_id or "", time, told, *present(about.portfolio_id)),
            "time": told_at or about.time,
            "org_id": about.org_id,
            "waba_id": about.waba_id or "",
            "value": value,
        }

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
                portfolio_id=about.portfolio_id,
                of_our_app=app == about.app_id if app and about.app_id else None,
                event=value["event"],
                reason=_text(value.get("disconnection_info"), "reason"),
            )
        case "account_offboarded" | "account_reconnected":
            # What `account_update` tells as ACCOUNT_OFFBOARDED and ACCOUNT_RECONNECTED, in a field of its own.
            told = value.get(field) or value
            return AccountUpdated(
                **common(AccountUpdated, moment(told.get("timestamp"))),
                portfolio_id=about.portfolio_id,
                event=field.upper(),
                phone_number_id=_text(told, "phone_number_id"),
                reason=_text(told, "reason"),
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
