"""Events about one WABA as hypothesis draws them, from pools small enough that facts meet."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from wabus_events import (
    AccountAlerted,
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AccountReviewed,
    AccountUpdated,
    CallbackVerified,
    CapabilityChanged,
    CheckedNumber,
    Event,
    PhoneNumber,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    SendingRestriction,
    Template,
    TemplateChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    WebhookSeen,
)

START = datetime(2026, 3, 1, tzinfo=UTC)


def details_of(kind: type[Event]) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of an event beside its envelope, from pools small enough that facts meet."""
    one_of = st.sampled_from
    template = {"template_id": one_of("tu"), "name": st.just("offer"), "language": one_of(["en", "de"])}
    number = {"display_phone_number": one_of(["15550001", "15550002"]), "value": st.just({})}
    sync = {"sync_id": one_of("xyz"), "reason": st.just("manual")}
    value = {"value": st.just({})}
    told = {"version_number": one_of([None, 1, 2]), "observed": st.booleans()}
    fields: dict[type[Event], dict[str, Any]] = {
        AccountConnected: {
            "org_id": one_of(["org-a", "org-b"]),
            "token_expires_at": one_of([None, START + timedelta(days=60)]),
            "scopes": one_of([[], ["b", "a"]]),
            "phone_numbers": one_of([[], [PhoneNumber(phone_number_id="9", display_phone_number="+1 555-0001")]]),
            "portfolio_id": one_of([None, "5"]),
            "time_zone_id": one_of([None, 47]),
        },
        AccountDisconnected: {"org_id": one_of(["org-a", "org-b", None]), "reason": st.just("asked")},
        CallbackVerified: {"callback_url": one_of(["https://a.example", "https://b.example"])},
        WebhookSeen: {"day": one_of([date(2026, 3, day) for day in range(1, 9)]), "field": st.just("messages")},
        TemplateSyncRequested: sync,
        TemplateSyncStarted: sync,
        TemplatesSynced: {
            **sync,
            "total": one_of([3, 5]),
            "approved": one_of([1, 2]),
            "by_status": st.just({"APPROVED": 1}),
            **{name: st.just(0) for name in ("added", "changed", "removed")},
            "started_at": st.just(START),
        },
        TemplateSyncFailed: {
            **sync,
            "code": one_of(["token_expired", "rate_limited", "app_refused"]),
            "message": st.just("It failed."),
            "retryable": st.booleans(),
            "started_at": st.just(START),
        },
        TemplateChanged: {
            "template": st.builds(
                Template,
                template_id=one_of("tu"),
                name=st.just("offer"),
                language=st.just("en"),
                category=st.just("UTILITY"),
                status=one_of(["APPROVED", "PAUSED"]),
                quality=one_of([None, "GREEN", "RED"]),
            ),
            "added": st.booleans(),
            "changed_fields": one_of([[], ["status"], ["status", "quality"], ["body"]]),
            **told,
        },
        TemplateRemoved: {**template, **told},
        TemplateConfirmed: {"template_id": one_of("tu")},
        TemplateStatusChanged: {
            **template,
            **value,
            "event": one_of(["APPROVED", "PAUSED", "REINSTATED", "DISABLED", "LOCKED", "UNLOCKED", "FLAGGED"]),
        },
        TemplateQualityChanged: {**template, **value, "new_quality": one_of(["GREEN", "RED"])},
        PhoneNumberQualityChanged: {
            **number,
            "event": one_of(["FLAGGED", "UNFLAGGED", "UPGRADE", "DOWNGRADE"]),
            "current_limit": one_of([None, "TIER_250", "TIER_1K"]),
        },
        PhoneNumberNameReviewed: {**number, "decision": one_of(["APPROVED", "REJECTED"])},
        SecurityChanged: {**number, "event": one_of(["PIN_CHANGED", "PIN_RESET_REQUEST"])},
        AccountUpdated: {
            "event": one_of(["DISABLED_UPDATE", "ACCOUNT_RESTRICTION"]),
            "value": one_of(
                [
                    {"ban_info": {"waba_ban_state": "DISABLE"}},
                    {"restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]},
                ]
            ),
        },
        AccountReviewed: {**value, "decision": one_of(["APPROVED", "REJECTED"])},
        AccountAlerted: {**value, "alert_type": one_of(["OBA_REJECTED", None]), "severity": st.just("CRITICAL")},
        AccountChecked: {
            "our_callback_url": st.just("https://us.example"),
            "error_code": one_of([None, None, "token_expired"]),
            "subscribed": st.booleans(),
            "currency": one_of([None, "EUR"]),
            "fields_missing": one_of([None, [], ["messages"]]),
            "restrictions": one_of([[], [SendingRestriction(entity_type="WABA", can_send_message="BLOCKED")]]),
            "numbers": one_of(
                [
                    [],
                    [CheckedNumber(phone_number_id="9", quality_rating="RED", callback_url="https://us.example/1")],
                    [CheckedNumber(phone_number_id="9", callback_url="https://elsewhere.example")],
                ]
            ),
        },
        CapabilityChanged: {
            **value,
            "max_daily_conversation_per_phone": one_of([None, -1, 250, 1000]),
            "max_daily_conversations_per_business": one_of([None, -1, 250, 2000]),
        },
    }
    return st.fixed_dictionaries(fields[kind])


KINDS: tuple[type[Event], ...] = (
    AccountConnected, AccountDisconnected, CallbackVerified, WebhookSeen, TemplateSyncRequested, TemplateSyncStarted,
    TemplatesSynced, TemplateSyncFailed, TemplateChanged, TemplateRemoved, TemplateConfirmed, TemplateStatusChanged,
    TemplateQualityChanged, PhoneNumberQualityChanged, PhoneNumberNameReviewed, SecurityChanged, AccountUpdated,
    AccountReviewed, AccountAlerted, CapabilityChanged, AccountChecked,
)  # fmt: skip

LISTING = (TemplateChanged, TemplateRemoved, TemplateConfirmed)
"""What we say ourselves of templates, to the microsecond; Meta's webhooks tell whole seconds."""
