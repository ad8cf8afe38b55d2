"""Facts about accounts: who connected which WABA, proof that its webhooks reach us, and what Meta says of it."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import ACCOUNTS


class PhoneNumber(BaseModel):
    """A business phone number as Graph describes it; what Graph leaves out is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    phone_number_id: str
    display_phone_number: str | None = None
    verified_name: str | None = None
    quality_rating: str | None = None
    """GREEN, YELLOW, RED or UNKNOWN."""
    messaging_limit: str | None = None
    """TIER_250, TIER_2K, …"""


class AccountConnected(WabaEvent, topic=ACCOUNTS):
    """An organisation has connected a WABA: its token was checked and is stored. `org_id` is always set.

    A WABA belongs to the organisation that connected it last.
    """

    phone_numbers: list[PhoneNumber] = []
    scopes: list[str] = []
    token_expires_at: datetime | None = None
    """None for a token that does not expire by itself."""
    callback_url: str | None = None
    """The URL that Meta was told to send this WABA's messages to, if it was overridden."""
    connected_by: str | None = None


class AccountDisconnected(WabaEvent, topic=ACCOUNTS):
    """The organisation has given the WABA up, or it was taken away; its credential is gone."""

    reason: str
    """Who or what ended it, in a few words."""


class CallbackVerified(WabaEvent, topic=ACCOUNTS):
    """Meta shook hands with this WABA's own callback URL (Meta: "Webhooks: Getting Started", verification requests)."""

    callback_url: str


class WebhookSeen(WabaEvent, topic=ACCOUNTS):
    """A correctly signed webhook of this WABA arrived: the first one a gateway noticed on that UTC day.

    Messages age out of Kafka; this evidence does not.
    """

    day: date
    field: str


class AccountUpdated(WabaEvent, topic=ACCOUNTS):
    """`account_update`: verified, restricted, disabled, deleted, partner added or removed, …"""

    event: str
    """VERIFIED_ACCOUNT, ACCOUNT_RESTRICTION, DISABLED_UPDATE, ACCOUNT_DELETED, PARTNER_ADDED, … as Meta says it."""
    portfolio_id: str | None = None
    """The business portfolio that Meta told, where it did not tell the account itself: that of a partner."""
    of_our_app: bool | None = None
    """Whether the app that it names, as installed on the account or removed from it, is ours; None if it names none."""
    value: dict[str, Any]


class AccountReviewed(WabaEvent, topic=ACCOUNTS):
    """`account_review_update`: APPROVED, REJECTED, PENDING or DEFERRED."""

    decision: str
    value: dict[str, Any]


class AccountAlerted(WabaEvent, topic=ACCOUNTS):
    """`account_alerts`: something that Meta wants the business to look at."""

    alert_type: str | None = None
    """Meta's word for what is the matter."""
    severity: str | None = None
    """CRITICAL, WARNING or INFORMATIONAL."""
    value: dict[str, Any]


class AccountSettingsChanged(WabaEvent, topic=ACCOUNTS):
    """`account_settings_update`."""

    value: dict[str, Any]


class CapabilityChanged(WabaEvent, topic=ACCOUNTS):
    """`business_capability_update`: messaging limit and number of phone numbers of the business."""

    max_daily_conversation_per_phone: int | None = None
    """What Meta called the next one until February 2026."""
    max_daily_conversations_per_business: int | None = None
    """People whom the business may write to first in 24 hours; -1 for any number, and none for a word that is no limit.

    Meta's own word, a number or TIER_2K, stays in `value`.
    """
    max_phone_numbers_per_business: int | None = None
    max_phone_numbers_per_waba: int | None = None
    value: dict[str, Any]


class PhoneNumberQualityChanged(WabaEvent, topic=ACCOUNTS):
    """`phone_number_quality_update`: the number's messaging limit was raised or lowered, or it was flagged."""

    display_phone_number: str
    event: str
    """ONBOARDING, FLAGGED, UNFLAGGED, UPGRADE, DOWNGRADE, THROUGHPUT_UPGRADE."""
    current_limit: str | None = None
    """TIER_50, TIER_250, TIER_1K, TIER_10K, TIER_100K, TIER_UNLIMITED, TIER_NOT_SET."""
    value: dict[str, Any]


class PhoneNumberNameReviewed(WabaEvent, topic=ACCOUNTS):
    """`phone_number_name_update`: the display name was approved, rejected or deferred."""

    display_phone_number: str
    decision: str
    requested_verified_name: str | None = None
    rejection_reason: str | None = None
    value: dict[str, Any]


class SecurityChanged(WabaEvent, topic=ACCOUNTS):
    """`security`: two-step verification PIN changed, reset requested or done."""

    display_phone_number: str | None = None
    event: str
    """PIN_CHANGED, PIN_RESET_REQUEST, PIN_RESET_SUCCESS, …"""
    value: dict[str, Any]


class AccountCheckRequested(WabaEvent, topic=ACCOUNTS):
    """Somebody wants to know whether Meta still has the account as we think."""

    check_id: str
    requested_by: str | None = None


class CheckedNumber(BaseModel):
    """A business phone number as Graph described it at a check; what Graph leaves out is None."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    phone_number_id: str
    display_phone_number: str | None = None
    verified_name: str | None = None
    quality_rating: str | None = None
    """GREEN, YELLOW, RED or UNKNOWN."""
    status: str | None = None
    """CONNECTED, PENDING, FLAGGED, RESTRICTED, RATE_LIMITED, BANNED, DISCONNECTED, …"""
    throughput: str | None = None
    """STANDARD, HIGH or NOT_APPLICABLE."""
    messaging_limit: str | None = None
    """TIER_250, TIER_2K, …"""
    messaging_limit_before: str | None = None
    """The limit that was known until then, if it was another."""
    name_status: str | None = None
    """APPROVED, DECLINED, PENDING_REVIEW, EXPIRED, …"""
    callback_url: str | None = None
    """Where Meta sends this number's messages (`webhook_configuration`); None for nowhere."""


class AccountChecked(WabaEvent, topic=ACCOUNTS):
    """Graph was asked about a connected account, and the answer differs from what was known before."""

    our_callback_url: str
    """What the callback URLs of a number that reaches us begin with."""
    error_code: str | None = None
    """Why Graph did not answer: `token_expired`, `permission_lost`, `account_not_found`, `account_blocked`, …

    Then nothing of the following was read, and what was known of it stays.
    """
    error_message: str | None = None
    """The same for people."""
    subscribed: bool = True
    """Whether our app is subscribed to the account's webhooks (`subscribed_apps`)."""
    token_expires_at: datetime | None = None
    scopes: list[str] = []
    numbers: list[CheckedNumber] = []
