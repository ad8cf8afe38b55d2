"""The few pages a person sees on the way back from Meta, made here because they must work without the status page."""

from collections.abc import Mapping
from html import escape

from aiohttp import web

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


WAY_ON = {
    "permission_missing": (
        "A permission is missing",
        "Go back and click Connect again. At Meta, leave both permissions switched on: one is for your templates, the "
        "other for your messages.",
    ),
    "connected_elsewhere": (
        "This account is connected to another organisation",
        "Ask an administrator there to disconnect it, then click Connect again. You can also choose another account.",
    ),
    "connecting_elsewhere": (
        "Somebody else is connecting this account",
        "Go back and look: if they are from your organisation, it shows as connected in a moment.",
    ),
    "callback_unreachable": (
        "Meta can't reach us",
        "This is for whoever runs this service. When it is mended, click Connect again.",
    ),
    "app_not_subscribed": (
        "This service is not ready at Meta",
        "This is for whoever runs this service. When it is mended, click Connect again.",
    ),
    "app_refused": (
        "Meta does not accept this service",
        "This is for whoever runs this service. When it is mended, click Connect again.",
    ),
    "token_of_another_app": (
        "The access was given to another app",
        "This is for whoever runs this service. When it is mended, click Connect again.",
    ),
}
"""Title and way on for a person, by the code of a refusal; any other is worth another try."""


def refusal_page(status: int, code: str, why: str) -> web.Response:
    """An account was not connected, and why."""
    title, way_on = WAY_ON.get(code, ("WhatsApp is not connected yet", "Go back and click Connect again."))
    return message_page(status, title, why, way_on)


def message_page(status: int, title: str, *texts: str) -> web.Response:
    """What happened, and the way on."""
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in texts)
    return _page(status, title, f'{paragraphs}<p><a class="button" href="/">Back to the status page</a></p>')


def choice_page(state: str, wabas: Mapping[str, str]) -> web.Response:
    """Which of several accounts shall be connected?"""
    choices = "".join(
        f'<label><input type="radio" name="waba_id" value="{escape(waba_id)}" required> '
        f"{escape(name)} <small>{escape(waba_id)}</small></label>"
        for waba_id, name in wabas.items()
    )
    return _page(
        200,
        "Which account shall we connect?",
        f'<form method="post" action="/whatsapp/callback"><input type="hidden" name="state" value="{escape(state)}">'
        "<fieldset><legend>You gave access to several. You can connect the others afterwards.</legend>"
        f"{choices}</fieldset>"
        '<button class="button">Connect</button></form>',
    )


def _page(status: int, title: str, content: str) -> web.Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · WhatsApp connection</title>"
        '<link rel="icon" href="/ui/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/ui/style.css"></head>'
        f'<body><main class="notice"><h1>{escape(title)}</h1>{content}</main></body></html>'
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)
