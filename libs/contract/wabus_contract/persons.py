"""What each field that is kept for ever may say of a person: a decision for each, which a test asks for.

A person is anybody: a customer, or somebody of the business. A business's own names and numbers are that business's,
but where one person is the business they are theirs, so these fields count as such that may.
"""

from collections.abc import Mapping

from pydantic import BaseModel
from wabus_events.models.event import EVENTS, Event

from wabus_contract.schemas import models_in

FREE: Mapping[str, str] = {
    "Event": "id time org_id source traceparent",
    # accounts.v1
    "PhoneNumber": "phone_number_id quality_rating messaging_limit status platform_type throughput coexistence",
    "AccountConnected": "waba_id phone_numbers scopes token_expires_at callback_url portfolio_id time_zone_id "
    "time_zone currency country",
    "AccountDisconnected": "waba_id reason",
    "CallbackVerified": "waba_id callback_url",
    "WebhookSeen": "waba_id day field",
    "AccountUpdated": "waba_id event portfolio_id of_our_app phone_number_id reason",
    "AccountReviewed": "waba_id decision value",
    "AccountAlerted": "waba_id alert_type severity",
    "AccountSettingsChanged": "waba_id value",
    "CapabilityChanged": "waba_id max_daily_conversation_per_phone max_daily_conversations_per_business "
    "max_phone_numbers_per_business max_phone_numbers_per_waba value",
    "PhoneNumberQualityChanged": "waba_id event current_limit",
    "PhoneNumberNameReviewed": "waba_id decision rejection_reason",
    "SecurityChanged": "waba_id event",
    "AccountCheckRequested": "waba_id check_id",
    "CheckedNumber": "phone_number_id quality_rating status throughput messaging_limit messaging_limit_before "
    "name_status callback_url can_send_message platform_type coexistence",
    "AccountChecked": "waba_id our_callback_url error_code error_message subscribed token_expires_at scopes numbers "
    "portfolio_id time_zone_id time_zone currency country can_send_message restrictions fields_missing "
    "app_callback_host",
    "SendingRestriction": "can_send_message entity_id entity_type errors",
    "SendingError": "error_code",
    # templates.v1
    "Header": "format variables",
    "Body": "variables security_recommendation",
    "Footer": "code_expiration_minutes",
    "Button": "type variables otp_type flow_id flow_action navigate_screen",
    "LimitedTimeOffer": "has_expiration",
    "Card": "header body buttons",
    "Template": "template_id language category status parameter_format quality rejected_reason header body footer "
    "buttons carousel limited_time_offer fingerprint",
    "TemplateSyncRequested": "waba_id sync_id reason",
    "TemplateSyncStarted": "waba_id sync_id reason",
    "TemplateSyncProgressed": "waba_id sync_id fetched expected started_at",
    "TemplateChanged": "waba_id template added changed_fields previous version_number sync_id caused_by observed",
    "TemplateRemoved": "waba_id template_id language version_number sync_id caused_by observed",
    "TemplateConfirmed": "waba_id template_id version_number fingerprint sync_id caused_by",
    "TemplatesSynced": "waba_id sync_id reason total approved by_status added changed removed started_at",
    "TemplateSyncFailed": "waba_id sync_id reason code message retryable retry_after graph_code graph_subcode "
    "started_at",
    "TemplateStatusChanged": "waba_id template_id language event",
    "TemplateQualityChanged": "waba_id template_id language previous_quality new_quality",
    "TemplateCategoryChanged": "waba_id template_id language previous_category new_category correct_category",
    "TemplateComponentsChanged": "waba_id template_id language",
    # health.v1
    "HealthReason": "code severity remedy since waba_id",
    "HealthChanged": "from_status to_status reasons since previous_id",
    # insights.v1
    "PricedVolume": "country pricing_category pricing_type tier volume amount",
    "PricingRead": "waba_id priced_on time_zone currency amounts_told volumes",
    "TemplateDay": "template_id day sent delivered read clicked",
    "TemplateInsightsRead": "waba_id days",
    "TemplateInsightsRequested": "waba_id",
    "TemplateInsightsSettled": "waba_id outcome code",
    "BudgetLine": "budget_id waba_id month currency amount thresholds",
    "BudgetsSet": "budgets replaces",
    "BudgetAlerted": "budget_id waba_id month alert threshold currency amount spent projected unpriced",
    "AdviceDismissed": "advice_id kind dismissed",
    "PlannedArm": "arm weight template_language template_id template_version template_digest category",
    "PlannedGuardrail": "harm alpha",
    "ExperimentPlan": "waba_id arms control metric outcome_hours alpha minimum_days minimum_per_arm days guardrails "
    "auto_ramp",
    "DrawnSlice": "begin end arm",
    "ExperimentDefined": "experiment_id plan plan_hash salt",
    "ExperimentStarted": "experiment_id epoch slices plan_hash ends_at",
    "ExperimentStopped": "experiment_id arm reason",
    "ArmResult": "arm people successes log_evidence low high",
    "ExperimentDecided": "experiment_id outcome winner better worse reason arms",
    "ArmDay": "arm epoch drawn counted successes failed stopped excluded",
    "ExperimentDayCounted": "experiment_id day arms",
    "HoldoutChosen": "share salt",
    # prices.v1
    "RateBand": "first amount",
    "MarketRate": "market category bands",
    "RateCardPublished": "currency effective rates sha256 origin",
    "PriceRulesPublished": "effective origin service_charged service_rate_of service_free_monthly "
    "utility_in_window_charged free_entry_point_hours",
    # erasures.v1, keys.v1 and credentials.v1
    "OrganisationForgotten": "identity",
    "AccountForgotten": "identity",
    "OrganisationKey": "identity secret",
    "CredentialStored": "waba_id key_id nonce ciphertext scopes expires_at",
}
"""The fields of each model that say nothing of a person: ids that Meta or wabus gave to something else, words of a
fixed list, times, numbers, sentences of our own, and models that are listed themselves."""

_ASKED = "Who of the platform asked: an HMAC under a key of the organisation's, which forgetting destroys"
_NUMBER = "A number that the business shows its customers; of a sole trader it may be their own"
_NAME = "The name that the business shows its customers; of a sole trader it may be their own"
_TEMPLATE = "Text of the business's own, the same for all its customers, which Meta has reviewed; somebody may be in it"
_REASON = "Why Meta decided so, in Meta's words, which may quote the template"
_ADVICE = "What stops sending and what helps, in Meta's words, in which the business's number or name may stand"
_PLANNED = "Text of the business's own, the same for all who are tried with; what is a person's comes with each send"
_AS_TOLD = "Members that Meta documents, such as the number, the name or the text that has a field of its own"

MAY: Mapping[str, str] = {
    "PhoneNumber.display_phone_number": _NUMBER,
    "PhoneNumber.verified_name": _NAME,
    "AccountConnected.connected_by": _ASKED,
    "AccountUpdated.value": _AS_TOLD,
    "AccountAlerted.value": "Members that Meta documents; `alert_description` is in Meta's words",
    "PhoneNumberQualityChanged.display_phone_number": _NUMBER,
    "PhoneNumberQualityChanged.value": _AS_TOLD,
    "PhoneNumberNameReviewed.display_phone_number": _NUMBER,
    "PhoneNumberNameReviewed.requested_verified_name": _NAME,
    "PhoneNumberNameReviewed.value": _AS_TOLD,
    "SecurityChanged.display_phone_number": _NUMBER,
    "SecurityChanged.value": _AS_TOLD,
    "AccountCheckRequested.requested_by": _ASKED,
    "CheckedNumber.display_phone_number": _NUMBER,
    "CheckedNumber.verified_name": _NAME,
    "SendingRestriction.additional_info": _ADVICE,
    "SendingError.description": _ADVICE,
    "SendingError.possible_solution": _ADVICE,
    "Header.text": _TEMPLATE,
    "Header.examples": _TEMPLATE,
    "Header.raw": _TEMPLATE,
    "Body.text": _TEMPLATE,
    "Body.examples": _TEMPLATE,
    "Body.raw": _TEMPLATE,
    "Footer.text": _TEMPLATE,
    "Footer.raw": _TEMPLATE,
    "Button.text": _TEMPLATE,
    "Button.url": _TEMPLATE,
    "Button.phone_number": _TEMPLATE,
    "Button.example": _TEMPLATE,
    "Button.raw": _TEMPLATE,
    "LimitedTimeOffer.text": _TEMPLATE,
    "LimitedTimeOffer.raw": _TEMPLATE,
    "Card.raw": _TEMPLATE,
    "Template.name": _TEMPLATE,
    "Template.other_components": _TEMPLATE,
    "Template.raw": _TEMPLATE,
    "TemplateSyncRequested.requested_by": _ASKED,
    "TemplateRemoved.name": _TEMPLATE,
    "TemplateStatusChanged.name": _TEMPLATE,
    "TemplateStatusChanged.reason": _REASON,
    "TemplateStatusChanged.value": _REASON,
    "TemplateQualityChanged.name": _TEMPLATE,
    "TemplateQualityChanged.value": _AS_TOLD,
    "TemplateCategoryChanged.name": _TEMPLATE,
    "TemplateCategoryChanged.value": _AS_TOLD,
    "TemplateComponentsChanged.name": _TEMPLATE,
    "TemplateComponentsChanged.value": _AS_TOLD,
    "HealthReason.message": "A sentence of ours, in which the business's number, name or template may stand",
    "BudgetsSet.requested_by": _ASKED,
    "TemplateInsightsRequested.requested_by": _ASKED,
    "AdviceDismissed.requested_by": _ASKED,
    "PlannedArm.template_name": _TEMPLATE,
    "PlannedArm.components": _PLANNED,
    "ExperimentPlan.name": _PLANNED,
    "ExperimentPlan.audience": _PLANNED,
    "ExperimentDefined.requested_by": _ASKED,
    "ExperimentStarted.requested_by": _ASKED,
    "ExperimentStopped.requested_by": _ASKED,
    "ExperimentDecided.requested_by": _ASKED,
    "HoldoutChosen.requested_by": _ASKED,
    "ContactForgotten.identity": "Who was forgotten: an HMAC under `IDENTITY_KEY`, so that it can be told by who knows "
    "the id, and by nobody else",
    "CredentialStored.granted_by": "Whose token it is: an HMAC under `IDENTITY_KEY`, gone with the account",
    "CredentialStored.meta_user_id": "The Facebook user's id in records of releases before 0.3, until "
    "`wabus rotate-keys`",
}
"""The fields that may say something of a person, and why they are kept all the same."""


def kept_for_ever() -> set[type[BaseModel]]:
    """Every model of whose values some are kept for ever: the events of such topics, and what these are made of."""
    events = [kind for kind in EVENTS.values() if kind.topic.retention is None]
    return {Event, *(model for kind in events for model in models_in(kind))}


def fields_of(model: type[BaseModel]) -> set[str]:
    """The model's own fields; the envelope's are `Event`'s."""
    return set(model.model_fields) - (set(Event.model_fields) if model is not Event else set())
