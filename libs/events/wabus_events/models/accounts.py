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
    status: str | None = None
    """CONNECTED, PENDING, FLAGGED, RESTRICTED, RATE_LIMITED, BANNED, DISCONNECTED, …"""
    platform_type: str | None = None
    """CLOUD_API, or NOT_APPLICABLE for a number that is not registered."""
    throughput: str | None = None
    """STANDARD, HIGH or NOT_APPLICABLE."""
    coexistence: bool | None = None
    """Whether the number is in use in the WhatsApp Business app too; None where Graph did not say."""


class _AboutAccount(WabaEvent):
    """What Graph says of the account itself. None is not known: what an earlier event said of it still stands."""

    portfolio_id: str | None = None
    """The business portfolio that owns the account."""
    time_zone_id: int | None = None
    """Meta's number for the account's time zone, in which its days are charged."""
    time_zone: str | None = None
    """The same as IANA has it, such as `Europe/Berlin`; None for a number that is not known here."""
    currency: str | None = None
    """Which the account is charged in (ISO 4217)."""
    country: str | None = None
    """Where the account is registered (ISO 3166-1 alpha-2)."""


class AccountConnected(_AboutAccount, topic=ACCOUNTS):
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
    """`account_update`: verified, restricted, disabled, deleted, partner added or removed, offboarded, …

    Webhooks of the fields `account_offboarded` and `account_reconnected` tell the same as its events ACCOUNT_OFFBOARDED
    and ACCOUNT_RECONNECTED, and become the same here.
    """

    event: str
    """VERIFIED_ACCOUNT, ACCOUNT_RESTRICTION, DISABLED_UPDATE, ACCOUNT_DELETED, PARTNER_ADDED, … as Meta says it."""
    phone_number_id: str | None = None
    """The business phone number that it is about, where Meta names one."""
    reason: str | None = None
    """Why an account left or was taken away, in Meta's word: USER_INITIATED, PRIMARY_INACTIVITY, …"""
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
    platform_type: str | None = None
    """CLOUD_API, or NOT_APPLICABLE for a number that is not registered."""
    coexistence: bool | None = None
    """Whether the number is in use in the WhatsApp Business app too; None where Graph did not say."""
    can_send_message: str | None = None
    """AVAILABLE, LIMITED or BLOCKED, with all that takes part in sending from it; None where Graph did not say."""


class SendingError(BaseModel):
    """Why Meta lets something not send, in its own words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    error_code: int | None = None
    """Such as 141006, an error with the payment method."""
    description: str | None = None
    """What is wrong."""
    possible_solution: str | None = None
    """What Meta advises to do."""


class SendingRestriction(BaseModel):
    """Something that takes part in sending, and that Meta lets send less than it could, or not at all."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    entity_type: str
    """PHONE_NUMBER, WABA, BUSINESS or APP."""
    entity_id: str | None = None
    """Its id at Meta."""
    can_send_message: str
    """LIMITED or BLOCKED."""
    errors: list[SendingError] = []
    """Why; Meta gives them with what is BLOCKED."""
    additional_info: list[str] = []
    """What Meta says of a limit, in its own words."""


class AccountChecked(_AboutAccount, topic=ACCOUNTS):
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
    can_send_message: str | None = None
    """AVAILABLE, LIMITED or BLOCKED, as Meta says of the account itself; None where Graph did not say."""
    restrictions: list[SendingRestriction] = []
    """What of account, portfolio, app and numbers Meta lets send less than it could, or not at all."""
    fields_missing: list[str] | None = None
    """The webhook fields of which nothing reaches us; None while it is not known what the app is subscribed to."""
    app_callback_host: str | None = None
    """Where the app's own callback is, if that is not here: then only what goes to an account's own callback comes."""
