"""Who publishes an event and when, for the catalogue. An event that is not mentioned here speaks for itself."""

import inspect
import re

from wabus_events.models.event import Event

OWNERS = {
    "accounts.v1": "gateway",
    "templates.v1": "template-sync",
    "messages.v1": "gateway",
    "sends.v1": "sender",
    "conversations.v1": "conversations",
    "credentials.v1": "gateway",
    "health.v1": "health-projector",
    "insights.v1": "insights",
    "erasures.v1": "wabus",
}
"""The service that publishes to a topic, or the command `wabus`; what Meta's webhooks tell is always the gateway's."""

OTHER_OWNERS = {
    "AccountChecked": "health-projector",
    "AccountCheckRequested": "health-projector",
    "MediumStored": "conversations",
    "MediumLost": "conversations",
    "PersonDrawn": "insights",
}

WHEN = {
    "AccountConnected": "At the end of Meta's login dialog, of Embedded Signup, or of `wabus connect`; again when it "
    "is connected again, perhaps by another organisation.",
    "AccountDisconnected": "When an admin disconnects it, or the person whose token it was removes the app at Meta or "
    "asks for their data to be deleted.",
    "AccountChecked": "When a check of a connected account at Graph finds something other than was known.",
    "CallbackVerified": "During connecting, and whenever Meta repeats the handshake.",
    "WebhookSeen": "With the first signed webhook of the WABA on a UTC day; several gateways may each tell of it, "
    "with the same id.",
    "MessageReceived": "Once for each message in a webhook of the field `messages`.",
    "MessageStatusChanged": "Once for each status in a webhook of the field `messages`.",
    "MessagingFailed": "When a webhook of the field `messages` has errors of its own, alone or beside messages "
    "and statuses.",
    "HistoryProgressed": "Once for each chunk in a webhook of the field `history`, and when the business shares none.",
    "MessageImported": "Once for each message in a webhook of the field `history`.",
    "MediumStored": "Once a medium was fetched from Meta, or is the same as one that is stored; perhaps twice.",
    "MediumLost": "When a medium is given up: in the end it could not be fetched, or it is not taken; perhaps twice.",
    "ContactIdentityChanged": "With a `system` message that tells of another number or id, beside its "
    "`MessageReceived`; or once for each change in a webhook of the field `user_id_update`.",
    "Unrecognised": "When a signed webhook, or a part of one, is of a kind that this version does not know.",
    "TemplateSyncRequested": "When an admin clicks Sync Now (`POST /templates/sync`), by schedule, after a failure "
    "that may pass, after a webhook, or when Meta has refused to send a template, once in ten minutes an account.",
    "TemplateSyncStarted": "After a connection or a request, when a worker begins.",
    "TemplateSyncProgressed": "Now and then during a sync that takes a while.",
    "TemplateChanged": "In the transaction that ends a sync, once for each difference; or soon after a webhook.",
    "TemplateConfirmed": "When Graph was asked for one template, or for all in a sync, and said nothing new of it.",
    "TemplateRemoved": "In the transaction that ends a sync, once for each template that is gone; or after a webhook.",
    "TemplatesSynced": "At the end of each sync that went well, in one transaction with its changes.",
    "TemplateSyncFailed": "At the end of each sync that did not.",
    "TemplateInsightsRead": "Once a day for up to ten templates of an account, where Meta says more than before.",
    "TemplateInsightsRequested": "When an admin has confirmed it (`POST /performance/enable`).",
    "TemplateInsightsSettled": "When Meta was asked to count, and has answered.",
    "SendRequested": "When `POST /messages` has taken a message, or a person wants one to be sent again.",
    "SendCancelled": "When somebody cancels a send.",
    "SendClaimed": "Before each call to Meta.",
    "SendReturned": "After a call of which it is certain that it has sent nothing, and that is made again later.",
    "MessageAccepted": "When Meta has answered that it takes the message.",
    "SendRefused": "When Meta has refused it, or the second check before the call has.",
    "SendExpired": "When its time is over before Meta was asked.",
    "SendUnknown": "When Meta was asked and no answer came, or the process that asked has ended before it told of one.",
    "SendSettled": "When a status tells that a message was sent whose answer is not known.",
    "MessageReported": "When `POST /messages/reported` tells of it; perhaps twice, with the same id.",
    "OptedOut": "When a person writes a word for it, or `POST /messages/opt-out` tells it; perhaps twice.",
    "OptedIn": "When a person writes a word for it, or `POST /messages/opt-in` tells it; perhaps twice.",
    "BlockRequested": "When `POST /messages/block` or `/messages/unblock` asks for it.",
    "ContactBlocked": "When Meta has answered that it is done; perhaps twice, with the same id.",
    "ContactUnblocked": "When Meta has answered that it is done; perhaps twice, with the same id.",
    "BlockRefused": "When Meta has refused it, or was in trouble at each attempt.",
    "ReadMarkRequested": "When somebody has read a conversation, or begins to write in it.",
    "LabelPaused": "Once for each number of the organisation, when it pauses a label.",
    "LabelResumed": "Once for each number of the organisation, when it resumes a label.",
    "ConversationAssigned": "When somebody takes a conversation or gives it to others, or a rule does. Where two do "
    "at once both are in the log, and the first counts.",
    "ConversationClosed": "When somebody closes a conversation; it is open again by itself when the person writes.",
    "ConversationSnoozed": "When somebody puts a conversation off.",
    "ConversationReopened": "When somebody reopens a conversation, or the time for which it was put off is over.",
    "ConversationRead": "When somebody has looked at a conversation.",
    "ConversationMarkedUnread": "When somebody marks a conversation as unread.",
    "ConversationTagged": "When somebody puts tags on a conversation, or takes some off.",
    "NoteAdded": "When somebody writes a note.",
    "NoteRemoved": "When somebody deletes a note.",
    "TeamsChanged": "When an administrator sets the teams (`PUT /teams`).",
    "RoutingChanged": "When an administrator sets the rules (`PUT /routing`).",
    "OrganisationForgotten": "When an organisation is forgotten; perhaps twice, and the later one counts.",
    "AccountForgotten": "When an account is forgotten, or the organisation that had it.",
    "ContactForgotten": "When a contact is forgotten.",
    "ExperimentDefined": "When somebody plans an experiment (`POST /experiments`).",
    "ExperimentStarted": "When somebody starts it or gives it other weights, and when an arm was stopped.",
    "ExperimentStopped": "When somebody stops it, or an arm; when a guardrail does; when its time is over.",
    "ExperimentDecided": "Once: when the plan's conditions hold, or somebody decides; perhaps twice, the same.",
    "ExperimentDayCounted": "Once a day for each day of which people are not counted yet; the last of a day counts.",
    "HoldoutChosen": "When an administrator sets the holdout (`PUT /experiments/holdout`).",
    "PersonDrawn": "When a platform asks for a person's arm (`POST /experiments/{experiment_id}/assign`).",
    "HealthChanged": "When the status of an organisation or the reasons for it change; not at every look.",
}  # fmt: skip


def owner_of(kind: type[Event]) -> str:
    """The service to ask about this event."""
    if webhook_field(kind):
        return "gateway"
    return OTHER_OWNERS.get(kind.__name__) or OWNERS.get(kind.topic.name, "wabus")


def when_published(kind: type[Event]) -> str:
    """On what occasion it is published, in one sentence."""
    if said := WHEN.get(kind.__name__):
        return said
    if field := webhook_field(kind):
        return f"When Meta sends a webhook of the field `{field}`."
    return what_it_says(kind).partition("\n")[0]


def what_it_says(kind: type[Event]) -> str:
    """The fact itself: the docstring of its model."""
    return inspect.cleandoc(kind.__doc__ or "")


def webhook_field(kind: type[Event]) -> str | None:
    """The webhook field that an event stands for: its docstring begins with it."""
    found = re.match(r"`(\w+)`[:,.]", what_it_says(kind))
    return found[1] if found else None
