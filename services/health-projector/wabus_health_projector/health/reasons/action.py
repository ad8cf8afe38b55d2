"""What can be pressed about a reason. Pure.

It is read off the remedy, so the sentence and its button can't lead to two places.
"""

import re
from collections.abc import Sequence

from wabus_events import PhoneNumber

from wabus_health_projector.health.reasons.reason import Action, Reason
from wabus_health_projector.health.state import digits

MANAGER = "https://business.facebook.com/wa/manage"
SUPPORT = "https://business.facebook.com/business-support-home/"
BILLING = "https://business.facebook.com/billing_hub"
DASHBOARD = "https://developers.facebook.com/apps/"
ERROR_CODES = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes"

RECONNECT = Action(kind="reconnect", href="/whatsapp/connect")
SYNC = Action(kind="sync", href="/templates/sync")
CHECK = Action(kind="check", href="/webhook/health/check")

MESSAGE_YOURSELF = "Send a message to your WhatsApp number"

EASIEST = ("reconnect", "sync", "check", "link")
"""What a person can do at once comes before what has to be looked for at Meta."""

_BY_CODE = {
    "account_banned": SUPPORT,
    "payment_problem": BILLING,
    **dict.fromkeys(("business_not_verified", "sending_blocked", "sending_limited"), f"{MANAGER}/home/?waba_id={{}}"),
}
"""Of reasons whose remedy may be Meta's own words, which may say "Connect" of anything."""
_CONNECTS = re.compile(r"(?:^|\. )Connect |or (?:by Embedded Signup when you )?connect ")
_PAGES = {
    "template_": "message-templates",
    **dict.fromkeys(("phone_", "number_", "display_name_", "messaging_limit_", "pin_", "spam_"), "phone-numbers"),
}
"""The page of WhatsApp Manager by how a reason's code begins; of any other it is the account's first one."""


def action_of(reason: Reason, numbers: Sequence[PhoneNumber] = ()) -> Action | None:
    """What to press, where there is something; `numbers` are those of the account that the reason is about.

    Meta writes its addresses down nowhere: these are what its own pages and messages link to.
    """
    remedy = reason.remedy
    if "App Dashboard" in remedy and not remedy.startswith(MESSAGE_YOURSELF):
        return Action(kind="link", href=DASHBOARD)
    if "whoever runs this service" in remedy and "WhatsApp Manager" not in remedy:
        return None
    if reason.code in _BY_CODE:
        return Action(kind="link", href=_BY_CODE[reason.code].format(reason.waba_id))
    if remedy.startswith(MESSAGE_YOURSELF):
        # The webhook that it causes is the proof; of an account without a number Meta can be asked.
        written = [digits(number.display_phone_number) for number in numbers if number.display_phone_number]
        return Action(kind="link", href=f"https://wa.me/{written[0]}") if written else CHECK
    if "“Sync now”" in remedy:
        return SYNC
    if _CONNECTS.search(remedy):
        return RECONNECT
    if "Business Support Home" in remedy:
        return Action(kind="link", href=SUPPORT)
    if "Billing Hub" in remedy:
        return Action(kind="link", href=BILLING)
    if "WhatsApp Manager" in remedy or reason.code.startswith(("template_", "phone_", "messaging_limit_", "pin_")):
        page = next((page for begins, page in _PAGES.items() if reason.code.startswith(begins)), "home")
        return Action(kind="link", href=f"{MANAGER}/{page}/?waba_id={reason.waba_id}")
    if "list of Cloud API error codes" in remedy:
        return Action(kind="link", href=ERROR_CODES)
    return None


def ease(reason: Reason) -> int:
    """How much there is in the way of solving it, to sort by: 0 is what can be pressed here."""
    return EASIEST.index(reason.action.kind) if reason.action else len(EASIEST)
