"""Who publishes an event and when, for the catalogue. An event that is not mentioned here speaks for itself."""

import inspect
import re

from wabus_events.models.event import Event

OWNERS = {
    "accounts.v1": "gateway",
    "templates.v1": "template-sync",
    "messages.v1": "gateway",
    "credentials.v1": "gateway",
    "health.v1": "health-projector",
}
"""The service that publishes to a topic, but for what Meta's webhooks tell: that is always the gateway."""

OTHER_OWNERS = {"AccountChecked": "health-projector", "AccountCheckRequested": "health-projector"}

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
    "MessagingFailed": "When a webhook of the field `messages` has errors, and neither messages nor statuses.",
    "Unrecognised": "When a signed webhook, or a part of one, is of a kind that this version does not know.",
    "TemplateSyncRequested": "When an admin clicks Sync Now (`POST /templates/sync`), by schedule, after a failure "
    "that may pass, or after a webhook.",
    "TemplateSyncStarted": "After a connection or a request, when a worker begins.",
    "TemplateSyncProgressed": "Now and then during a sync that takes a while.",
    "TemplateChanged": "In the transaction that ends a sync, once for each difference; or soon after a webhook.",
    "TemplateConfirmed": "When Graph was asked for one template, or for all in a sync, and said nothing new of it.",
    "TemplateRemoved": "In the transaction that ends a sync, once for each template that is gone; or after a webhook.",
    "TemplatesSynced": "At the end of each sync that went well, in one transaction with its changes.",
    "TemplateSyncFailed": "At the end of each sync that did not.",
    "HealthChanged": "When the status of an organisation or the reasons for it change; not at every look.",
}  # fmt: skip


def owner_of(kind: type[Event]) -> str:
    """The service to ask about this event."""
    if webhook_field(kind):
        return "gateway"
    return OTHER_OWNERS.get(kind.__name__) or OWNERS.get(kind.topic.name, "wabus")


def when_published(kind: type[Event]) -> str:
    """On what occasion it is published, in one sentence."""
    if field := webhook_field(kind):
        return f"When Meta sends a webhook of the field `{field}`."
    return WHEN.get(kind.__name__) or what_it_says(kind).partition("\n")[0]


def what_it_says(kind: type[Event]) -> str:
    """The fact itself: the docstring of its model."""
    return inspect.cleandoc(kind.__doc__ or "")


def webhook_field(kind: type[Event]) -> str | None:
    """The webhook field that an event stands for: its docstring begins with it."""
    found = re.match(r"`(\w+)`[:,.]", what_it_says(kind))
    return found[1] if found else None
