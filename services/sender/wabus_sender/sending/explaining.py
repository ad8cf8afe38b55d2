"""Why something was refused, for people: a sentence and a remedy."""

from wabus_whatsapp.sending.errors import ERRORS, meaning

from wabus_sender.sending.checks import REFUSALS, Refusal

_LOOK_UP = "Look up the error code in Meta's list of error codes."
_OTHERWISE = {
    "meta_in_trouble": (
        "WhatsApp was in trouble at each attempt. Nothing was sent.",
        "Send it again later.",
    ),
    "no_access": (
        "There is no access to WhatsApp for the account of this number.",
        "Connect the account again.",
    ),
    "not_written_lately": (
        "Only a person who has written to this number in the last 24 hours can be blocked.",
        "Block them when they write again.",
    ),
    "block_list_full": (
        "This number has blocked as many people as WhatsApp allows.",
        "Unblock people of long ago.",
    ),
    "media_gone": (
        "WhatsApp does not have the file that the message names: it keeps files for 30 days, each for one number.",
        "Upload the file anew for this number, and send the message with its new id.",
    ),
    "upload_lost": ("The file was lost on its way.", "Upload it again."),
    "refused_by_meta": ("WhatsApp refused the message.", _LOOK_UP),
}


def explained(code: str, error_code: int | None) -> Refusal:
    """What a refusal says: by Meta's error where there is one, else by its own code."""
    known = ERRORS.get(error_code) if error_code is not None else None
    if known and error_code is not None and code not in _OTHERWISE:
        return Refusal(code, meaning(error_code) or known.what, known.remedy)
    if code in REFUSALS:
        return REFUSALS[code]
    return Refusal(code, *_OTHERWISE.get(code, _OTHERWISE["refused_by_meta"]))
