"""What Meta knows of a person and a template, and refuses because of it. No I/O.

Sources: "Send messages", customer service windows (131047); "user_preferences webhook reference" (131050);
"Business-scoped user IDs" (131062); "Conversation Routing", troubleshooting (2494191); "Block users" (its page says
“an error” and not which: here the one of somebody who can't be reached, 131026); "Marketing Messages API" (131061,
131063); "Changelog", Apr 1, 2025: no marketing templates to numbers of the United States (131049).
"""

from typing import Any

from simulated_meta.sending import marketing
from simulated_meta.state import Person, Phone, Relation, Waba

Json = dict[str, Any]

WINDOW_SECONDS = 24 * 3600
ANYTIME = frozenset(("template",))
"""Types that need no open window."""


def hear(relation: Relation, now: float, *, by_ad: bool) -> None:
    """They wrote; `by_ad` is by an ad that clicks to WhatsApp, or a page's button."""
    relation.wrote_at = now
    if by_ad:
        relation.entered_at = now


def is_open(who: Person, phone: Phone, now: float) -> bool:
    relation = who.relations.get(phone.id)
    return relation is not None and 0 <= now - relation.wrote_at < WINDOW_SECONDS


def is_in_free_entry(relation: Relation, now: float, hours: int) -> bool:
    """Whether a message that is sent now is in a free entry point window, which it opens if it is the first answer.

    "Pricing", Free entry point windows: whoever answers within 24 hours opens it, and that answer is free already.
    """
    if relation.entered_at and 0 <= now - relation.entered_at < WINDOW_SECONDS:
        relation.entered_at = 0
        relation.free_until = now + hours * 3600
    return now < relation.free_until


def problem(
    who: Person, phone: Phone, waba: Waba, template: Json | None, now: float, *, by_user_id: bool, edge: str
) -> tuple[int, str] | None:
    """Why Meta does not deliver a message to this person, as code and details; None if it does."""
    relation = who.relations.get(phone.id)
    category = template["category"] if template else None
    if category == "AUTHENTICATION" and by_user_id:
        return 131062, "Authentication templates can only be sent to a phone number."
    if category == "MARKETING" and edge == "messages":
        if waba.disable_marketing_messages_on_cloud_api:
            return 131063, "Use the Marketing Messages API, or enable marketing templates on Cloud API."
        if template and marketing.has_max_price(template):
            return 131061, "Send this template by the Marketing Messages API."
    if relation and relation.owner == "another" and template is None:
        return 2494191, "Only the owner of the thread may send service messages."
    if not who.on_whatsapp or (relation and (relation.blocked_by_business or relation.blocked_business)):
        return 131026, "Message failed to send because the recipient can't be reached."
    if template is None and not is_open(who, phone, now):
        return 131047, "Message failed to send because more than 24 hours have passed since the customer last replied."
    if category == "MARKETING" and relation and relation.stopped_marketing:
        return 131050, "The user has stopped marketing messages of this business."
    if category == "MARKETING" and (who.phone or "").startswith("1"):
        return 131049, "In order to maintain a healthy ecosystem engagement, the message failed to be delivered."
    return None


def wa_id(number: str) -> str:
    """The id of a number, which may not be the number: chatwoot#12108, its normalizers for Brazil and Mexico."""
    if len(number) == 13 and number.startswith("55") and number[4] == "9" and int(number[2:4]) >= 31:
        return number[:4] + number[5:]  # the ninth digit, which old accounts were made without
    if len(number) == 13 and number.startswith("521"):
        return "52" + number[3:]
    return number
