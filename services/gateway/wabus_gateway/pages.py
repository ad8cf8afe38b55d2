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
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def message_page(status: int, title: str, text: str) -> web.Response:
    """What happened, and the way on."""
    return _page(status, title, f'<p>{escape(text)}</p><p><a class="button" href="/">Back to the status page</a></p>')


def choice_page(state: str, wabas: Mapping[str, str]) -> web.Response:
    """Which of several accounts shall be connected?"""
    choices = "".join(
        f'<label><input type="radio" name="waba_id" value="{escape(waba_id)}" required> '
        f"{escape(name)} <small>{escape(waba_id)}</small></label>"
        for waba_id, name in wabas.items()
    )
    return _page(
        200,
        "Which account shall be connected?",
        f'<form method="post" action="/whatsapp/callback"><input type="hidden" name="state" value="{escape(state)}">'
        f"<fieldset><legend>You gave access to several</legend>{choices}</fieldset>"
        '<button class="button">Connect</button></form>',
    )


def _page(status: int, title: str, content: str) -> web.Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/ui/style.css"></head>'
        f'<body><main class="notice"><h1>{escape(title)}</h1>{content}</main></body></html>'
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)
