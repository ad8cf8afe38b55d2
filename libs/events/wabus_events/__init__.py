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
    SendingError,
    SendingRestriction,
    WebhookSeen,
)
from wabus_events.models.conversations.routing import (
    BusinessHours,
    OpenHours,
    RoutingChanged,
    RoutingRule,
    RuleCondition,
    Team,
    TeamMember,
    TeamsChanged,
)
from wabus_events.models.conversations.work import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationMarkedUnread,
    ConversationRead,
    ConversationReopened,
    ConversationSnoozed,
    ConversationTagged,
    NoteAdded,
    NoteRemoved,
)
from wabus_events.models.credentials import PRIVATE_TOPICS, CredentialStored, OrganisationKey
from wabus_events.models.erasures import (
    AccountForgotten,
    ContactForgotten,
    Forgotten,
    OrganisationForgotten,
    contact_id,
    identity_of,
)
from wabus_events.models.event import EVENTS, Event, WabaEvent, fact_id
from wabus_events.models.health import HealthChanged, HealthReason
from wabus_events.models.insights.costs import (
    AdviceDismissed,
    BudgetAlerted,
    BudgetLine,
    BudgetsSet,
    PricedVolume,
    PricingRead,
)
from wabus_events.models.insights.experiments import (
    ExperimentDayCounted,
    ExperimentDecided,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStarted,
    ExperimentStopped,
    HoldoutChosen,
    PersonDrawn,
)
from wabus_events.models.insights.performance import (
    TemplateDay,
    TemplateInsightsRead,
    TemplateInsightsRequested,
    TemplateInsightsSettled,
)
from wabus_events.models.messages.coexistence import ContactSynced, HistoryProgressed, MessageEchoed, MessageImported
from wabus_events.models.messages.media import MediumLost, MediumStored
from wabus_events.models.messages.messages import MessageReceived, MessageStatusChanged, MessagingFailed, Unrecognised
from wabus_events.models.messages.threads import (
    CallReported,
    ContactIdentityChanged,
    MarketingPreferenceChanged,
    StandbyReceived,
    ThreadControlChanged,
)
from wabus_events.models.prices import MarketRate, PriceRulesPublished, RateBand, RateCardPublished
from wabus_events.models.sends import (
    BlockRefused,
    BlockRequested,
    ContactBlocked,
    ContactUnblocked,
    LabelPaused,
    LabelResumed,
    MessageAccepted,
    MessageReported,
    OptedIn,
    OptedOut,
    ReadMarkRequested,
    SendCancelled,
    SendClaimed,
    SendExpired,
    SendRefused,
    SendRequested,
    SendReturned,
    SendSettled,
    SendUnknown,
)
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
from wabus_events.models.topics import (
    ACCOUNTS,
    CONVERSATIONS,
    CREDENTIALS,
    DEADLETTER,
    ERASURES,
    HEALTH,
    INSIGHTS,
    KEYS,
    MESSAGES,
    PRICES,
    SENDS,
    TEMPLATES,
    TOPICS,
    Topic,
)
from wabus_events.wire.envelope import Record, UndecodableRecord, UnknownEventType, decode, encode, tombstone
from wabus_events.wire.upcasting import upcast

__all__ = [
    "ACCOUNTS", "CONVERSATIONS", "CREDENTIALS", "DEADLETTER", "ERASURES", "EVENTS", "HEALTH", "INSIGHTS", "KEYS",
    "MESSAGES", "PRICES", "PRIVATE_TOPICS", "SENDS", "TEMPLATES", "TOPICS", "AccountAlerted", "AccountCheckRequested",
    "AccountChecked", "AccountConnected", "AccountDisconnected", "AccountForgotten", "AccountReviewed",
    "AccountSettingsChanged", "AccountUpdated", "AdviceDismissed", "BlockRefused", "BlockRequested", "Body",
    "BudgetAlerted", "BudgetLine", "BudgetsSet", "BusinessHours", "Button", "CallReported", "CallbackVerified",
    "CapabilityChanged", "Card", "CheckedNumber", "ContactBlocked", "ContactForgotten", "ContactIdentityChanged",
    "ContactSynced", "ContactUnblocked", "ConversationAssigned", "ConversationClosed", "ConversationEvent",
    "ConversationMarkedUnread", "ConversationRead", "ConversationReopened", "ConversationSnoozed", "ConversationTagged",
    "CredentialStored", "Event", "ExperimentDayCounted", "ExperimentDecided", "ExperimentDefined", "ExperimentPlan",
    "ExperimentStarted", "ExperimentStopped", "Footer", "Forgotten", "Header", "HealthChanged", "HealthReason",
    "HistoryProgressed", "HoldoutChosen", "LabelPaused", "LabelResumed", "LimitedTimeOffer", "MarketRate",
    "MarketingPreferenceChanged", "MediumLost", "MediumStored", "MessageAccepted", "MessageEchoed", "MessageImported",
    "MessageReceived", "MessageReported", "MessageStatusChanged", "MessagingFailed", "NoteAdded", "NoteRemoved",
    "OpenHours", "OptedIn", "OptedOut", "OrganisationForgotten", "OrganisationKey", "PersonDrawn", "PhoneNumber",
    "PhoneNumberNameReviewed", "PhoneNumberQualityChanged", "PriceRulesPublished", "PricedVolume", "PricingRead",
    "RateBand", "RateCardPublished", "ReadMarkRequested", "Record", "RoutingChanged", "RoutingRule", "RuleCondition",
    "SecurityChanged", "SendCancelled", "SendClaimed", "SendExpired", "SendRefused", "SendRequested", "SendReturned",
    "SendSettled", "SendUnknown", "SendingError", "SendingRestriction", "StandbyReceived", "Team", "TeamMember",
    "TeamsChanged", "Template", "TemplateCategoryChanged", "TemplateChanged", "TemplateComponentsChanged",
    "TemplateConfirmed", "TemplateDay", "TemplateInsightsRead", "TemplateInsightsRequested", "TemplateInsightsSettled",
    "TemplateQualityChanged", "TemplateRemoved", "TemplateStatusChanged", "TemplateSyncFailed",
    "TemplateSyncProgressed", "TemplateSyncRequested", "TemplateSyncStarted", "TemplatesSynced", "ThreadControlChanged",
    "Topic", "UndecodableRecord", "UnknownEventType", "Unrecognised", "WabaEvent", "WebhookSeen", "contact_id",
    "decode", "encode", "fact_id", "identity_of", "tombstone", "upcast",
]  # fmt: skip
