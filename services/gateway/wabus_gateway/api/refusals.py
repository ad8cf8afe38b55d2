"""Why an account was not connected, for people: title, what happened, and the way on."""

from collections.abc import Mapping

from wabus_runtime.http.answers import Problem

STATUS_OF = {
    "connected_elsewhere": 409,
    "connecting_elsewhere": 409,
    "not_connected": 404,
    "sign_up_over": 410,
    "sign_up_not_ours": 403,
    "app_refused": 503,
    "rate_limited": 503,
    "graph_unavailable": 502,
    "malformed_answer": 502,
}
"""HTTP status of a refusal; any other is 422: the account or the token will not do."""

_OPERATOR = "This is for whoever runs this service. When it is mended, connect again."
WAY_ON: Mapping[str, tuple[str, str]] = {
    "permission_missing": (
        "A permission is missing",
        "Connect again. At Meta, leave both permissions switched on: one is for your templates, the other for your "
        "messages.",
    ),
    "no_account": (
        "There is no WhatsApp account to connect",
        "Connect again. At Meta, choose an account in the list, or create one there.",
    ),
    "connected_elsewhere": (
        "This account is connected to another organisation",
        "Ask an administrator there to disconnect it, then connect again. You can also choose another account.",
    ),
    "connecting_elsewhere": (
        "Somebody else is connecting this account",
        "If they are from your organisation, it shows as connected in a moment.",
    ),
    "sign_up_over": ("This sign-up is over", "If WhatsApp is not connected yet, connect again."),
    "sign_up_not_ours": (
        "This sign-up was not started here",
        "Connect again, in the browser where you want to finish.",
    ),
    "callback_unreachable": ("Meta can't reach us", _OPERATOR),
    "app_not_subscribed": ("This service is not ready at Meta", _OPERATOR),
    "app_refused": ("Meta does not accept this service", _OPERATOR),
    "token_of_another_app": ("The access was given to another app", _OPERATOR),
}
"""Title and way on for a person, by the code of a refusal; any other is worth another try."""


def refusal(code: str, why: str) -> Problem:
    """An account was not connected, and why; `way_on` is what a person can do about it."""
    title, way_on = WAY_ON.get(code, ("WhatsApp is not connected yet", "Connect again."))
    return Problem(STATUS_OF.get(code, 422), code, title, why, way_on=way_on)
