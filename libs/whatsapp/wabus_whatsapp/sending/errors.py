"""Meta's errors of messages, in one table: which class each is of, what it says to people, and what they can do. Pure.

Source: Meta, "WhatsApp error codes", "Rate limits" (Graph API), "Groups API, error codes", "Calling API,
troubleshooting", "Conversation Routing, troubleshooting", "Direct Send". What happens to a send of each class
is in `HANDLING`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal[
    "busy_number",
    "busy_pair",
    "calls_limited",
    "pause_number",
    "passing",
    "needs_template",
    "unreachable_person",
    "not_wanted",
    "template_wrong",
    "template_stopped",
    "identifier",
    "request_wrong",
    "wrong_door",
    "identity_changed",
    "media",
    "account_stop",
    "thread_of_another",
    "group",
    "country",
]
"""What has to happen because of an error: errors of one class are handled alike."""


class Handling(NamedTuple):
    """What happens to a send that was refused with an error of a class."""

    again: bool
    """Whether the same message is tried again by itself."""
    counted: bool
    """Whether a try counts as one of the few that a send has; who was only too fast loses none."""
    concerns: Literal["message", "person", "pair", "template", "number"]
    """What else can't be sent as long as it lasts: nothing, all to this person from any number, all to this person from
    this number, all of this template, all from this number."""
    happens: str
    """The same for people."""


HANDLING: Mapping[Kind, Handling] = {
    "busy_number": Handling(True, False, "number", "The whole number slows down, and the message is tried again."),
    "busy_pair": Handling(True, False, "pair", "Messages to this person wait, longer after each such error."),
    "calls_limited": Handling(
        True, False, "number", "The number waits as long as Meta says, and the message is tried again."
    ),
    "pause_number": Handling(True, False, "number", "The number waits for a minute at most."),
    "passing": Handling(True, True, "message", "The message is tried again a few times, with growing delays."),
    "needs_template": Handling(False, False, "message", "Refused: the person has to write first, or gets a template."),
    "unreachable_person": Handling(False, False, "person", "Refused: this person can't get it from this number."),
    "not_wanted": Handling(False, False, "person", "Refused: this person gets no marketing messages at the moment."),
    "template_wrong": Handling(False, False, "message", "Refused: the template was filled in wrongly, or is another."),
    "template_stopped": Handling(False, False, "template", "Refused: nothing of this template can be sent."),
    "identifier": Handling(
        False, False, "message", "Refused: this kind of message needs another address of the person."
    ),
    "request_wrong": Handling(False, False, "message", "Refused: Meta does not take what was asked."),
    "wrong_door": Handling(
        False,
        False,
        "template",
        "Sent through Meta's interface for marketing messages; refused if that does not take it either.",
    ),
    "identity_changed": Handling(False, False, "person", "Refused until somebody has confirmed who the person is."),
    "media": Handling(False, False, "message", "Refused: Meta can't use the file."),
    "account_stop": Handling(True, False, "number", "The number stops and its queue is kept until somebody has acted."),
    "thread_of_another": Handling(False, False, "pair", "Refused: another responder answers this person at present."),
    "group": Handling(False, False, "message", "Refused: nothing can be sent to this group."),
    "country": Handling(False, False, "person", "Refused: the business may not write to people there."),
}


class Trouble(NamedTuple):
    """What a code says of a whole account, or of one of its numbers; one message that fails with it suffices."""

    code: str
    severity: Literal["failing", "degraded"]
    message: str
    """`{number}` stands for the number that the messages were sent from, as a sentence begins with it."""
    remedy: str
    of_number: bool = False
    """Whether only a message from the same number proves that it is over."""


class MessageError(NamedTuple):
    """What one of Meta's codes says: `what` completes "could not be delivered because …"."""

    kind: Kind
    what: str
    remedy: str
    trouble: Trouble | None = None


def kind_of(code: int) -> Kind | None:
    """The class of a code of Meta's; None for one that is not known."""
    known = ERRORS.get(code)
    if known:
        return known.kind
    return "account_stop" if 200 <= code <= 299 else None  # all of these are permissions


def meaning(code: int) -> str | None:
    """What an error code says, as a sentence; None for one that is not known here."""
    known = ERRORS.get(code)
    if known is None:
        return None
    if known.trouble:
        return known.trouble.message.format(number="The number")
    return f"Not delivered because {known.what}."


_REVIEW = "See the reason in Business Support Home and ask for a review."
_REGISTER = (
    "Register the number again: in WhatsApp Manager, or by Embedded Signup when you connect your account once more."
)
_TEMPLATE = "Press “Sync now”, then use a template and language that are listed as approved."
_PARAMETERS = "Fill the template in with POST /templates/{id}/render before sending it: that names what is wrong."
_SLOWER = "Send more slowly, and try again those that failed."
_FEWER_CALLS = (
    "Nothing to correct: what waits is tried again once Meta takes calls. Each call before makes it last longer."
)
_AGAIN = "Try again; ask Meta's support if this lasts for hours."
_OUR_REQUEST = "Tell whoever writes these messages: the details are in the error that Meta gives with each of them."
_ACCESS = "Connect the account again and grant every permission that Meta asks for."
_DIRECT_SEND = "Send it as a template that Meta has approved."
_MARKETING = "Nothing to correct: send fewer marketing messages, and don't try again at once."


def _lasting(kind: Kind, what: str, trouble: Trouble) -> MessageError:
    return MessageError(kind, what, trouble.remedy, trouble)


ERRORS: Mapping[int, MessageError] = {
    131042: _lasting(
        "account_stop",
        "Meta has a problem with the payment method",
        Trouble(
            "payment_problem",
            "failing",
            "Meta does not send your messages because of a problem with your payment method.",
            "Correct the payment method of your WhatsApp Business account in Meta's Billing Hub.",
        ),
    ),
    131031: _lasting(
        "account_stop",
        "Meta has locked the account",
        Trouble("account_locked", "failing", "Meta has locked your account, so messages fail.", _REVIEW),
    ),
    368: _lasting(
        "account_stop",
        "Meta blocks the account for a time",
        Trouble(
            "account_blocked",
            "failing",
            "Meta blocks your account for a time because its rules were broken.",
            "See the reason in Business Support Home; it ends by itself.",
        ),
    ),
    133010: _lasting(
        "account_stop",
        "the number is not registered for the Cloud API",
        Trouble(
            "number_not_registered",
            "failing",
            "{number} is not registered for the Cloud API.",
            _REGISTER,
            of_number=True,
        ),
    ),
    131045: _lasting(
        "account_stop",
        "the number has a registration that does not fit its certificate",
        Trouble(
            "number_not_registered",
            "failing",
            "{number} has a registration that does not fit its certificate.",
            _REGISTER,
            of_number=True,
        ),
    ),
    131048: _lasting(
        "account_stop",
        "Meta holds the number back after many blocks and reports",
        Trouble(
            "spam_limited",
            "degraded",
            "{number} is held back by Meta: many earlier messages were blocked or reported.",
            "Write only to people who asked for it; check the number's quality in WhatsApp Manager.",
            of_number=True,
        ),
    ),
    131037: _lasting(
        "account_stop",
        "Meta has not approved a display name of the number",
        Trouble(
            "display_name_not_approved",
            "failing",
            "{number} can't send before Meta has approved a display name for it.",
            "Ask for a display name in WhatsApp Manager, under Phone numbers, and send again once it is approved.",
            of_number=True,
        ),
    ),
    131047: MessageError(
        "needs_template",
        "the customer had not written for 24 hours",
        "Begin such conversations with a template that Meta has approved.",
    ),
    131026: MessageError(
        "unreachable_person",
        "the recipients can't get them: they are not on WhatsApp, or have an old version",
        "Check those numbers, and reach these people another way.",
    ),
    131049: MessageError("not_wanted", "Meta limits how much marketing a person gets", _MARKETING),
    130472: MessageError("not_wanted", "Meta tries out what happens without marketing messages", _MARKETING),
    131050: MessageError(
        "not_wanted",
        "the recipients have stopped your marketing messages",
        "Take them off your list of marketing messages.",
    ),
    131021: MessageError(
        "unreachable_person", "they were sent to the number that sent them", "Leave your own number out."
    ),
    131030: MessageError(
        "unreachable_person",
        "the recipients are not on the list of those that Meta's test number may write to",
        "Add them to that list in Meta's App Dashboard, or send from a number of your own.",
    ),
    130497: MessageError(
        "country",
        "the business may not write to people in that country",
        "Leave these people out; Meta's policy names the trades that may not write to some countries.",
    ),
    131062: MessageError(
        "identifier",
        "Meta sends this kind of template to phone numbers only, and the recipient's was not given",
        "Give the phone number, or ask the customer for it.",
    ),
    137000: MessageError(
        "identity_changed",
        "the recipients have changed their phone since you last checked who they are",
        "Confirm who they are, then send again.",
    ),
    132000: MessageError("template_wrong", "a template got the wrong number of parameters", _TEMPLATE),
    132001: MessageError(
        "template_wrong", "the template does not exist in that language, or is not approved", _TEMPLATE
    ),
    132005: MessageError("template_wrong", "a template is too long with its parameters filled in", _PARAMETERS),
    132007: MessageError(
        "template_wrong",
        "a template's text is against Meta's rules",
        "See in WhatsApp Manager why, and change the text.",
    ),
    132008: MessageError("template_wrong", "a template's parameter was not accepted", _PARAMETERS),
    132012: MessageError("template_wrong", "a template got a parameter of the wrong kind or form", _PARAMETERS),
    132018: MessageError("template_wrong", "something was wrong with a template's parameters", _PARAMETERS),
    132068: MessageError(
        "template_wrong",
        "the template's Flow is blocked",
        "Correct the Flow in WhatsApp Manager, or use another template.",
    ),
    132069: MessageError(
        "template_wrong",
        "the template's Flow is slowed down: it was sent ten times in the last hour",
        "Correct the Flow in WhatsApp Manager; Meta lets it pass again by itself.",
    ),
    131061: MessageError(
        "wrong_door",
        "templates with a maximum price are sent by the Marketing Messages API only",
        "Send them through that API.",
    ),
    131063: MessageError(
        "wrong_door",
        "marketing templates are switched off for the Cloud API here",
        "Send them through the Marketing Messages API, or switch them on in WhatsApp Manager.",
    ),
    131064: MessageError(
        "account_stop",
        "Meta has lowered the limit for templates of the wrong category",
        "Correct the categories in WhatsApp Manager, and send marketing with marketing templates.",
    ),
    132015: MessageError(
        "template_stopped", "the template is paused", "Use another template until Meta ends the pause."
    ),
    132016: MessageError("template_stopped", "the template is disabled", "Use another template."),
    130429: MessageError("busy_number", "more was sent than Meta takes at once", _SLOWER),
    4: MessageError("calls_limited", "this service made more calls than Meta takes at once", _FEWER_CALLS),
    80007: MessageError("calls_limited", "more calls were made for the account than Meta takes at once", _FEWER_CALLS),
    131057: MessageError(
        "pause_number",
        "the account was in maintenance at Meta, as while its rate is raised",
        "Try again after a minute.",
    ),
    131056: MessageError("busy_pair", "too much was sent to the same person at once", _SLOWER),
    131053: MessageError(
        "media", "a picture or file could not be used", "Check its type and size against what WhatsApp supports."
    ),
    131051: MessageError("media", "the message was of a type that WhatsApp does not have", _OUR_REQUEST),
    131052: MessageError(
        "media", "Meta could not fetch the picture or file", "Check that its address can be reached from anywhere."
    ),
    131008: MessageError("request_wrong", "a parameter was missing", _OUR_REQUEST),
    131009: MessageError("request_wrong", "a parameter had a value that Meta does not take", _OUR_REQUEST),
    100: MessageError("request_wrong", "Meta did not accept the request", _OUR_REQUEST),
    134011: MessageError(
        "request_wrong",
        "the terms of WhatsApp Payments are not accepted",
        "Accept them in WhatsApp Manager, then send again.",
    ),
    131044: MessageError("account_stop", "Meta does not let the account send", _REVIEW),
    131005: MessageError("account_stop", "access was denied", _ACCESS),
    10: MessageError("account_stop", "a permission was missing", _ACCESS),
    200: MessageError("account_stop", "a permission was missing", _ACCESS),
    190: MessageError("account_stop", "the access to WhatsApp has expired", "Connect the account again."),
    1: MessageError("passing", "something failed at Meta", _AGAIN),
    2: MessageError("passing", "Meta was out of order for a moment", _AGAIN),
    131016: MessageError("passing", "Meta was out of order for a moment", _AGAIN),
    131000: MessageError("passing", "something failed at Meta", _AGAIN),
    0: MessageError("account_stop", "the access to WhatsApp has expired", "Connect the account again."),
    3: MessageError("account_stop", "a permission was missing", _ACCESS),
    17: MessageError("calls_limited", "more calls were made for the person than Meta takes at once", _FEWER_CALLS),
    32: MessageError("calls_limited", "more calls were made for the page than Meta takes at once", _FEWER_CALLS),
    33: MessageError("account_stop", "the number that it was sent from has been deleted", "Use another number."),
    613: MessageError("calls_limited", "more calls were made than Meta takes at once", _FEWER_CALLS),
    80008: MessageError("calls_limited", "more calls were made for the account than Meta takes at once", _FEWER_CALLS),
    131043: MessageError(
        "unreachable_person", "it could not be delivered in time", "Send it again if it still matters."
    ),
    135000: MessageError("request_wrong", "something in the request was wrong", _OUR_REQUEST),
    138006: MessageError(
        "not_wanted", "the person has not allowed calls", "Ask for the permission by a message first."
    ),
    138009: MessageError(
        "not_wanted", "the person was asked for the permission to call often enough", "Ask again after a week."
    ),
    131020: MessageError("group", "the group has no other member", "Invite people to the group first."),
    131041: MessageError("group", "the group does not exist, or the number is no member", "Look the group up again."),
    131207: MessageError("group", "Meta has suspended the group", _REVIEW),
    131215: MessageError("group", "the number may not use groups", "Look in Meta's documents which numbers may."),
    139200: MessageError("request_wrong", "Meta does not take it as a notice without a template", _DIRECT_SEND),
    2388318: MessageError("request_wrong", "Meta does not take it as a notice without a template", _DIRECT_SEND),
    2388330: MessageError("request_wrong", "Meta does not take it as a notice without a template", _DIRECT_SEND),
    2494191: MessageError(
        "thread_of_another", "another responder answers this person at present", "Take the thread over, then send."
    ),
}
"""By Meta's code."""

TROUBLES: Mapping[int, Trouble] = {code: error.trouble for code, error in ERRORS.items() if error.trouble}
"""Codes that one message suffices to tell of."""

MEANINGS: Mapping[int, MessageError] = {code: error for code, error in ERRORS.items() if not error.trouble}
"""Codes that matter once many messages fail."""
