"""The event contract of wabus: every fact that it publishes to Kafka, typed, and how to read one."""

from wabus_events.models.accounts import (
    AccountAlerted,
    AccountChecked,
    AccountCheckRequested,
    AccountConnected,
    AccountDisconnected,
    AccountReviewed,
    AccountSettingsChanged,
    AccountUpdated,
    CallbackVerified,
    CapabilityChanged,
    CheckedNumber,
    PhoneNumber,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    WebhookSeen,
)
from wabus_events.models.credentials import PRIVATE_TOPICS, CredentialStored
from wabus_events.models.event import EVENTS, Event, WabaEvent, fact_id
from wabus_events.models.health import HealthChanged, HealthReason
from wabus_events.models.messages import MessageReceived, MessageStatusChanged, MessagingFailed, Unrecognised
from wabus_events.models.templates import (
    Body,
    Button,
    Card,
    Footer,
    Header,
    LimitedTimeOffer,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateComponentsChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
)
from wabus_events.models.topics import ACCOUNTS, CREDENTIALS, DEADLETTER, HEALTH, MESSAGES, TEMPLATES, TOPICS, Topic
from wabus_events.wire.envelope import Record, UndecodableRecord, UnknownEventType, decode, encode, tombstone
from wabus_events.wire.upcasting import upcast

__all__ = [
    "ACCOUNTS", "CREDENTIALS", "DEADLETTER", "EVENTS", "HEALTH", "MESSAGES", "PRIVATE_TOPICS", "TEMPLATES", "TOPICS",
    "AccountAlerted", "AccountCheckRequested", "AccountChecked", "AccountConnected", "AccountDisconnected",
    "AccountReviewed", "AccountSettingsChanged", "AccountUpdated", "Body", "Button", "CallbackVerified",
    "CapabilityChanged", "Card", "CheckedNumber", "CredentialStored", "Event", "Footer", "Header",
    "HealthChanged", "HealthReason", "LimitedTimeOffer", "MessageReceived", "MessageStatusChanged", "MessagingFailed",
    "PhoneNumber", "PhoneNumberNameReviewed", "PhoneNumberQualityChanged", "Record", "SecurityChanged",
    "Template", "TemplateCategoryChanged", "TemplateChanged", "TemplateComponentsChanged",
    "TemplateConfirmed",    "TemplateQualityChanged", "TemplateRemoved", "TemplateStatusChanged", "TemplateSyncFailed",
    "TemplateSyncProgressed", "TemplateSyncRequested", "TemplateSyncStarted", "TemplatesSynced", "Topic",
    "UndecodableRecord", "UnknownEventType", "Unrecognised", "WabaEvent", "WebhookSeen", "decode", "encode",
    "fact_id", "tombstone", "upcast",
]  # fmt: skip
