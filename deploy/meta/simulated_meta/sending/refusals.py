"""What Graph refuses a message with. Pure.

Source: "WhatsApp error codes" (code, title, what it means; HTTP status as its older copies and ycloud's have it), and
for the wording of `details` the public reports that are named beside each rule.
"""

from simulated_meta.graph.errors import GraphError

TITLES: dict[int, str] = {
    100: "Invalid parameter",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131020: "Bad group",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131031: "Account has been locked",
    131041: "Group unknown",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131049: "This message was not delivered to maintain healthy ecosystem engagement",
    131050: "User has stopped receiving marketing messages from this business",
    131051: "Unsupported message type",
    131053: "Media upload error",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    131057: "Account in maintenance mode",
    131061: "Template has a max price",
    131062: "Business-scoped User ID (BSUID) recipients are not supported for this message",
    131063: "Marketing templates are disabled for Cloud API",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132005: "Translated text too long",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
    132018: "There's an issue with the parameters in your template",
    133010: "The account is not registered",
    137000: "Recipient identity key mismatch",
    139100: "Failed to block/unblock some users",
    2494191: "The thread is controlled by another responder",
}
STATUS: dict[int, int] = {130429: 429, 131000: 500, 131031: 403, 131057: 500}
"""HTTP; 400 for every other."""


def refusal(code: int, details: str) -> GraphError:
    """An error of sending, with its `error_data`: "WhatsApp error codes", Error response syntax."""
    return GraphError(f"(#{code}) {TITLES[code]}", code, status=STATUS.get(code, 400), details=details)
